"""Every knob of the XNLI protocols, defined once; torch-free. The protocols stand in ``docs/xnli.md``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from otembed.config.base import Count, config_dataclass
from otembed.errors import ConfigError

Positive = Annotated[float, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, strict=True)]


@config_dataclass
class ProbeConfig:
    """A linear classifier over frozen sentence vectors."""

    limit: Count | None = Field(default=50_000, description="Training pairs, drawn by the seed. null: all.")
    dev_limit: Count | None = Field(default=None, description="Development pairs, drawn by the seed. null: all.")
    strengths: tuple[Positive, ...] = Field(
        default=(1e-4, 1e-3, 1e-2, 1e-1, 1.0),
        min_length=1,
        description="Inverse strengths C of the L2 penalty; English development pairs choose one.",
    )
    max_iterations: Count = Field(default=500, description="Most iterations of the solver (L-BFGS).")
    prompt: str | None = Field(
        default=None, description="Text put before every sentence. null: the model's default."
    )
    prompt_name: str | None = Field(default=None, description="The same by the model's name for it.")
    batch_tokens: Count | None = Field(
        default=None, description="Most tokens encoded at a time. null: 512 on a CPU, 16,384 elsewhere."
    )
    seed: Seed = Field(default=42, description="Seed of the draws.")

    @model_validator(mode="after")
    def _fits_together(self) -> ProbeConfig:
        if self.prompt is not None and self.prompt_name is not None:
            raise ConfigError("prompt and prompt_name are both set", "Keep one of them.")
        return self


@config_dataclass
class FinetuneConfig:
    """A classifier over both sentences, all of the encoder fine-tuned with it."""

    limit: Count | None = Field(default=None, description="Training pairs, drawn by the seed. null: all.")
    dev_limit: Count | None = Field(default=None, description="Development pairs, drawn by the seed. null: all.")
    learning_rate: Positive = Field(default=2e-5, description="Peak learning rate (AdamW).")
    epochs: Positive = Field(default=5.0, description="Passes over the training pairs.")
    max_steps: Count | None = Field(default=None, description="Optimizer steps; replaces epochs.")
    batch_size: Count = Field(default=32, description="Pairs of a step, all of its batches together.")
    accumulate: Count = Field(default=1, description="Batches that make one step; divides batch_size.")
    max_length: Annotated[int, Field(ge=5, strict=True)] = Field(
        default=128, description="Tokens of both sentences together; at most what the model can do."
    )
    warmup: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.1, description="Share of the steps over which the learning rate rises."
    )
    weight_decay: Annotated[float, Field(ge=0)] = Field(default=0.01, description="AdamW weight decay.")
    evaluations: Count = Field(default=5, description="How often the development pairs are scored, evenly spread.")
    freeze: tuple[str, ...] = Field(default=(), description="Parts not to train: embeddings, layers:N.")
    precision: Literal["float32", "bf16", "fp16"] = Field(default="float32", description="fp16 needs a GPU.")
    seed: Seed = Field(default=42, description="Seed of draws, shuffling, dropout and the classifier's start.")

    @model_validator(mode="after")
    def _fits_together(self) -> FinetuneConfig:
        if self.batch_size % self.accumulate:
            raise ConfigError(
                f"batch_size is {self.batch_size}, accumulate {self.accumulate}",
                "Choose accumulate so that it divides batch_size.",
            )
        return self
