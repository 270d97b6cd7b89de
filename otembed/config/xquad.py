"""Settings of extractive question answering, by default as in the paper's XQuAD experiments. Torch-free."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator

from otembed.config.base import Count, Seed, config_dataclass
from otembed.config.trainer import TrainerConfig, TrainerFields
from otembed.errors import ConfigError

# <s> question </s></s> paragraph </s>, as XLM-R joins two texts.
SPECIAL_TOKENS = 4


@config_dataclass
class SpanConfig(TrainerConfig):
    """A span head fine-tuned on English questions, and how answers are decoded."""

    num_train_epochs: PositiveFloat = Field(default=3.0, description="Passes over the training questions.")
    per_device_train_batch_size: Count = Field(
        default=8, description="Windows (question and part of its paragraph) per batch on the device."
    )
    gradient_accumulation_steps: Count = Field(
        default=4, description="Batches whose gradients are accumulated for one optimizer step."
    )
    weight_decay: NonNegativeFloat = Field(default=0.0, description="Weight decay (AdamW).")
    seed: Seed = Field(default=1, description="Random seed of the head and the data order.")
    max_length: Annotated[int, Field(ge=16, strict=True)] = Field(
        default=384, description="Maximum tokens of question and window together, special tokens included."
    )
    stride: Count = Field(default=128, description="Overlap of consecutive windows of a paragraph, in tokens.")
    max_question_length: Count = Field(default=64, description="Questions are truncated to this many tokens.")
    max_answer_length: Count = Field(default=30, description="Maximum answer length in tokens.")
    freeze: tuple[str, ...] = Field(default=(), description="Parts to freeze: embeddings, layers:N (the first N).")
    trainer: TrainerFields = field(default_factory=dict)
    normalization: Literal["squad", "mlqa"] = Field(
        default="squad", description="Answer normalization before scoring."
    )
    save_steps: Count = Field(default=500, description="Steps between checkpoints (with a run folder).")

    @model_validator(mode="after")
    def _windows_advance(self) -> SpanConfig:
        room = self.max_length - self.max_question_length - SPECIAL_TOKENS
        if self.stride >= room:
            raise ConfigError(
                f"stride = {self.stride} must be below {room}: max_length = {self.max_length} minus "
                f"max_question_length = {self.max_question_length} and {SPECIAL_TOKENS} special tokens",
                "Lower stride or max_question_length, or raise max_length.",
            )
        return self
