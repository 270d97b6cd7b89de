"""From the settings that every training run shares to the arguments of transformers' Trainer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from otembed.errors import ConfigError
from otembed.runtime.arithmetic import faster_arithmetic

if TYPE_CHECKING:
    import torch
    from transformers import TrainingArguments

    from otembed.config.trainer import TrainerConfig

    Arguments = TypeVar("Arguments", bound=TrainingArguments)
    Settings = TypeVar("Settings", bound=TrainerConfig)


def trainer_arguments(config: TrainerConfig, device: torch.device) -> dict[str, Any]:
    """Return the Trainer's arguments for the shared settings, and the arguments common to all runs."""
    return {
        "num_train_epochs": config.num_train_epochs,
        "max_steps": config.max_steps or -1,
        "per_device_train_batch_size": config.per_device_train_batch_size,
        "gradient_accumulation_steps": config.gradient_accumulation_steps,
        "learning_rate": config.learning_rate,
        "warmup_steps": config.warmup_steps,
        "weight_decay": config.weight_decay,
        "bf16": config.precision == "bf16",
        "fp16": config.precision == "fp16",
        "seed": config.seed,
        "data_seed": config.seed,
        "save_total_limit": 2,
        "logging_first_step": True,
        "logging_nan_inf_filter": False,
        "disable_tqdm": True,
        "report_to": "none",
        "use_cpu": device.type == "cpu",
    }


def on_one_device(arguments: Arguments) -> Arguments:
    """Return the arguments for one device per process: with several GPUs the Trainer would split batches over them."""
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def resolve_precision(config: Settings, device: torch.device) -> Settings:
    """Return the settings with ``precision: auto`` replaced by what the device computes faster.

    Raises
    ------
    ConfigError
        fp16 on a CPU.
    """
    if config.precision == "fp16" and device.type == "cpu":
        raise ConfigError("precision = fp16 requires a GPU", "Set precision to bf16, float32 or auto on a CPU.")
    return replace(config, precision=faster_arithmetic(device)) if config.precision == "auto" else config
