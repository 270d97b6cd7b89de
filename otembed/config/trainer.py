"""Settings that every training run shares, named as in transformers' TrainingArguments. Torch-free."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, NonNegativeFloat, PositiveFloat

from otembed.config.base import Count, Seed, config_dataclass


def _whole_from_one(steps: float) -> float:
    if steps >= 1 and not steps.is_integer():
        raise ValueError("must be a whole number of steps, or a share below 1")
    return steps


WarmupSteps = Annotated[NonNegativeFloat, AfterValidator(_whole_from_one)]


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    try:
        json.dumps(values, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"must be plain values, as in YAML: {error}") from error
    return values


# Names and types are those of the class of arguments, which loads torch: they are checked where a run starts
# (otembed.runtime.trainer), before it reads data.
TrainerFields = Annotated[
    dict[str, Any],
    AfterValidator(_plain),
    Field(
        description="Further fields of the TrainingArguments of sentence-transformers by name, such as optim, report_to,"
        " dataloader_num_workers."
    ),
]


@config_dataclass
class TrainerConfig:
    """Length, batches, learning rate, precision and seed of a training run; classes below override defaults."""

    num_train_epochs: PositiveFloat = Field(default=1.0, description="Passes over the training data.")
    max_steps: Count | None = Field(
        default=None, description="Number of optimizer steps; overrides num_train_epochs. null: not set."
    )
    per_device_train_batch_size: Count = Field(
        default=32, description="Training examples per batch on each device (each process)."
    )
    gradient_accumulation_steps: Count = Field(
        default=1, description="Batches whose gradients are accumulated for one optimizer step."
    )
    learning_rate: PositiveFloat = Field(default=3e-5, description="Peak learning rate (AdamW).")
    warmup_steps: WarmupSteps = Field(
        default=0.1, description="Steps over which the learning rate rises; below 1, a share of all steps."
    )
    weight_decay: NonNegativeFloat = Field(default=0.01, description="Weight decay (AdamW).")
    precision: Literal["auto", "float32", "bf16", "fp16"] = Field(
        default="float32",
        description="Precision of the encoder's forward and backward pass. auto: bf16 where the device computes it"
        " faster. fp16 requires a GPU.",
    )
    seed: Seed = Field(default=42, description="Random seed: data order, dropout, sampling, new layers.")
