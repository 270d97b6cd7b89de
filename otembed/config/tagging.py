"""Settings of part-of-speech tagging, which ``docs/tagging.md`` describes. Torch-free."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat

from otembed.config.base import Count, Seed, config_dataclass
from otembed.config.plan import Layer
from otembed.config.trainer import TrainerConfig, TrainerFields, WarmupSteps

Limit = Count | None


@config_dataclass
class TaggingProbeConfig:
    """A linear classifier over frozen word vectors of one layer or of every layer."""

    layer: Layer | Literal["auto", "all"] = Field(
        default="auto",
        description="Hidden layer of the vectors, 0 the embeddings; auto: the layer with the highest development"
        " accuracy; all: every layer.",
    )
    word_pooling: Literal["mean", "first", "last"] = Field(
        default="mean", description="How a word's vector is computed from its tokens."
    )
    train_limit: Limit = Field(default=2_000, description="Training sentences, sampled with seed. null: all.")
    dev_limit: Limit = Field(default=None, description="Development sentences, sampled with seed. null: all.")
    limit: Limit = Field(default=None, description="Test sentences of each language, evenly spaced. null: all.")
    train_language: str = Field(
        default="en", description="Language of the training sentences, which zero-shot means leave out."
    )
    strengths: tuple[PositiveFloat, ...] = Field(
        default=(1e-3, 1e-2, 1e-1),
        min_length=1,
        description="Candidate inverse strengths C of the L2 penalty; the development sentences select one.",
    )
    max_iter: Count = Field(default=500, description="Maximum number of solver iterations (L-BFGS).")
    seed: Seed = Field(default=42, description="Random seed of the sampled sentences.")


@config_dataclass
class TaggingFinetuneConfig(TrainerConfig):
    """A token classifier fine-tuned together with the encoder, by default as in XTREME."""

    train_limit: Limit = Field(default=None, description="Training sentences, sampled with seed. null: all.")
    dev_limit: Limit = Field(default=None, description="Development sentences, sampled with seed. null: all.")
    limit: Limit = Field(default=None, description="Test sentences of each language, evenly spaced. null: all.")
    train_language: str = Field(
        default="en", description="Language of the training sentences, which zero-shot means leave out."
    )
    num_train_epochs: PositiveFloat = Field(default=10.0, description="Passes over the training sentences.")
    learning_rate: PositiveFloat = Field(default=2e-5, description="Peak learning rate (AdamW).")
    warmup_steps: WarmupSteps = Field(
        default=0.0, description="Steps over which the learning rate rises; below 1, a share of all steps."
    )
    weight_decay: NonNegativeFloat = Field(default=0.0, description="Weight decay (AdamW).")
    max_length: Annotated[int, Field(ge=8, strict=True)] = Field(
        default=128, description="Maximum tokens of a sentence; longer ones are split between words."
    )
    evaluations: Count = Field(
        default=10, description="Number of evaluations on the development sentences, evenly spaced."
    )
    freeze: tuple[str, ...] = Field(default=(), description="Parts to freeze: embeddings, layers:N (the first N).")
    trainer: TrainerFields = field(default_factory=dict)
    seed: Seed = Field(default=1, description="Random seed: sampled sentences, the new layer, dropout, data order.")
