"""Settings of the XNLI protocols, which ``docs/xnli.md`` describes. Torch-free."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated

from pydantic import Field, PositiveFloat, model_validator

from otembed.config.base import Count, Seed, config_dataclass
from otembed.config.trainer import TrainerConfig, TrainerFields
from otembed.errors import ConfigError


@config_dataclass
class ProbeConfig:
    """A linear classifier over frozen sentence embeddings."""

    limit: Count | None = Field(default=50_000, description="Training pairs, sampled with seed. null: all.")
    dev_limit: Count | None = Field(default=None, description="Development pairs, sampled with seed. null: all.")
    strengths: tuple[PositiveFloat, ...] = Field(
        default=(1e-4, 1e-3, 1e-2, 1e-1, 1.0),
        min_length=1,
        description="Candidate inverse strengths C of the L2 penalty; the English development pairs select one.",
    )
    max_iter: Count = Field(default=500, description="Maximum number of solver iterations (L-BFGS).")
    prompt: str | None = Field(
        default=None, description="Text to prepend to every sentence. null: the model's default."
    )
    prompt_name: str | None = Field(default=None, description="Name of the model's prompt to prepend instead.")
    batch_tokens: Count | None = Field(
        default=None, description="Maximum tokens per encoded batch. null: 512 on a CPU, 16,384 elsewhere."
    )
    seed: Seed = Field(default=42, description="Random seed of the sampled pairs.")

    @model_validator(mode="after")
    def _fits_together(self) -> ProbeConfig:
        if self.prompt is not None and self.prompt_name is not None:
            raise ConfigError("prompt and prompt_name are mutually exclusive", "Set only one of them.")
        return self


@config_dataclass
class FinetuneConfig(TrainerConfig):
    """A classifier over both sentences, fine-tuned together with the encoder."""

    limit: Count | None = Field(default=None, description="Training pairs, sampled with seed. null: all.")
    dev_limit: Count | None = Field(default=None, description="Development pairs, sampled with seed. null: all.")
    num_train_epochs: PositiveFloat = Field(default=5.0, description="Passes over the training pairs.")
    learning_rate: PositiveFloat = Field(default=2e-5, description="Peak learning rate (AdamW).")
    max_length: Annotated[int, Field(ge=5, strict=True)] = Field(
        default=128, description="Maximum tokens of both sentences together, up to the model's own limit."
    )
    evaluations: Count = Field(
        default=5, description="Number of evaluations on the development pairs, evenly spaced."
    )
    freeze: tuple[str, ...] = Field(default=(), description="Parts to freeze: embeddings, layers:N (the first N).")
    trainer: TrainerFields = field(default_factory=dict)
