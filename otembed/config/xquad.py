"""Every knob of extractive question answering; the defaults are those of the paper's XQuAD experiments."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from otembed.config.base import Count, config_dataclass
from otembed.errors import ConfigError

# <s> question </s></s> paragraph </s>, as XLM-R puts two texts together.
SPECIAL_TOKENS = 4


@config_dataclass
class SpanConfig:
    """Fine-tuning a span head on English questions, and reading answers off it."""

    learning_rate: Annotated[float, Field(gt=0)] = Field(default=3e-5, description="Peak, after the warm-up.")
    epochs: Annotated[float, Field(gt=0)] = Field(default=3.0, description="Passes over the training questions.")
    max_steps: Count | None = Field(default=None, description="Optimizer steps instead of epochs. null: epochs.")
    batch_size: Count = Field(default=32, description="Windows an optimizer step.")
    device_batch_size: Count = Field(
        default=8, description="Windows in memory at a time; gradients are accumulated up to batch_size."
    )
    warmup: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.1, description="Share of the steps in which the learning rate rises; then it falls linearly."
    )
    weight_decay: Annotated[float, Field(ge=0)] = Field(default=0.0, description="AdamW's.")
    max_length: Annotated[int, Field(ge=16, strict=True)] = Field(
        default=384, description="Tokens of question and window together, special ones included."
    )
    stride: Count = Field(default=128, description="Tokens that two windows of a paragraph share.")
    max_question_length: Count = Field(default=64, description="Questions are cut after this many tokens.")
    max_answer_length: Count = Field(default=30, description="Longest answer in tokens.")
    freeze: tuple[str, ...] = Field(default=(), description="Frozen parts: embeddings, layers:N.")
    normalization: Literal["squad", "mlqa"] = Field(default="squad", description="How answers are compared.")
    seed: Annotated[int, Field(ge=0, strict=True)] = Field(default=1, description="Of the head and the batches.")
    save_every: Count = Field(default=500, description="Steps between checkpoints, where there is a run folder.")

    @model_validator(mode="after")
    def _check(self) -> SpanConfig:
        if self.batch_size % min(self.device_batch_size, self.batch_size):
            raise ConfigError(
                f"batch_size {self.batch_size} is no multiple of device_batch_size {self.device_batch_size}",
                "Choose a device_batch_size that divides batch_size.",
            )
        room = self.max_length - self.max_question_length - SPECIAL_TOKENS
        if self.stride >= room:
            raise ConfigError(
                f"stride {self.stride} leaves windows no way forward: max_length {self.max_length} less "
                f"max_question_length {self.max_question_length} and special tokens is {room}",
                "Lower stride or max_question_length, or raise max_length.",
            )
        return self
