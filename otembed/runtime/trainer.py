"""From the settings that every training run shares to the arguments and callbacks of transformers' Trainer."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError
from transformers import PrinterCallback, SchedulerType, Trainer, get_scheduler
from transformers.integrations.integration_utils import (
    INTEGRATION_TO_CALLBACK,
    TensorBoardCallback,
    default_logdir,
)
from transformers.trainer_optimizer import is_optimizer_factory

from otembed.errors import ConfigError, OtembedError, did_you_mean, first_line
from otembed.runtime.arithmetic import faster_arithmetic
from otembed.runtime.run_state import TENSORBOARD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from transformers import TrainingArguments

    from otembed.config.trainer import TrainerConfig

    Arguments = TypeVar("Arguments", bound=TrainingArguments)
    Settings = TypeVar("Settings", bound=TrainerConfig)

# Fields that a run sets and that have another name, or none, among the settings of otembed; or what sets them.
_SETTINGS = {
    "bf16": "precision",
    "fp16": "precision",
    "bf16_full_eval": "precision",
    "fp16_full_eval": "precision",
    "data_seed": "seed",
    "output_dir": "output",
    "use_cpu": "device",
    "prompts": "prompt",
    "eval_strategy": "eval_steps",
    "save_strategy": "save_steps",
    "logging_strategy": "logging_steps",
    "metric_for_best_model": "load_best_model_at_end",
    "greater_is_better": "load_best_model_at_end",
    "restore_callback_states_from_checkpoint": "early_stopping_patience",
    "multi_dataset_batch_sampler": "sampling",
    "eval_steps": "evaluations",
    "save_steps": "evaluations",
    "load_best_model_at_end": "evaluations",
    "warmup_ratio": "warmup_steps",
}
_ALIASES = {
    "gradient_checkpointing": "activation_checkpointing",
    "gradient_checkpointing_kwargs": "activation_checkpointing",
}
_NO_EFFECT = "It has no effect: evaluators score held-out text, not the Trainer. Remove it."
# Fields that a run does not leave to anyone, and why.
_REFUSED = {
    "disable_tqdm": "otembed shows its own progress. Remove it.",
    "logging_nan_inf_filter": "A run stops at NaN, which the filter would hide. Remove it.",
    "resume_from_checkpoint": "Pass --resume (resume=) instead.",
    "save_only_model": "The run could not be resumed. Remove it.",
    "remove_unused_columns": "otembed passes only the columns that are trained on. Remove it.",
    "neftune_noise_alpha": "Its noise is scaled for padded batches of models with get_input_embeddings; sentence encoders lack"
    " that, and their batches are not padded. Remove it.",
    "hub_token": "It would be stored with the run: log in with hf auth login, or set HF_TOKEN.",
    "local_rank": "torchrun and accelerate launch set it. Remove it.",
    **dict.fromkeys(
        (
            "do_train",
            "do_eval",
            "do_predict",
            "per_device_eval_batch_size",
            "prediction_loss_only",
            "eval_accumulation_steps",
            "eval_do_concat_batches",
            "eval_use_gather_object",
            "include_for_metrics",
            "batch_eval_metrics",
        ),
        _NO_EFFECT,
    ),
}
# Arguments of optimizers that are made for the whole model.
_OF_THE_MODEL = frozenset({"params", "model", "optimizer_dict"})
_OPTIMIZER = ("optim", "adam_")
# Steps for which a schedule is tried where their number is not known yet.
_TRIED_STEPS = 1000
# The package of a reporting integration, where its name differs.
_PACKAGES = {"azure_ml": "azureml-mlflow", "comet_ml": "comet-ml", "flyte": "flytekit", "kubeflow": "kubeflow"}


def trainer_arguments(config: TrainerConfig, device: torch.device, checkpoints: int = 2) -> dict[str, Any]:
    """Return the Trainer's arguments for the shared settings, and those common to all runs, which keep ``checkpoints``."""
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
        "save_total_limit": checkpoints,
        "logging_first_step": True,
        "logging_nan_inf_filter": False,
        "disable_tqdm": True,
        # As for the first process: by default, the others would show warnings of libraries that it does not.
        "log_level_replica": "passive",
        "report_to": "none",
        "use_cpu": device.type == "cpu",
    }


def check_fields(kind: type[TrainingArguments], given: Mapping[str, Any], settings: type) -> dict[str, Any]:
    """Return the fields that the setting ``trainer`` passes on to the Trainer's arguments, with their types.

    Parameters
    ----------
    kind
        The class of the arguments, whose dataclass fields define names and types.
    given
        Field to value, as in YAML.
    settings
        The configuration dataclass of the run, whose settings take precedence.

    Raises
    ------
    ConfigError
        A field does not exist, has another type, is set by a setting of otembed, or is not left to users; or a package
        that ``report_to`` names is missing.
    """
    known = {each.name: each for each in fields(kind)}
    hints = get_type_hints(kind)
    checked = {}
    for name, value in given.items():
        if name not in known:
            raise ConfigError(f"trainer.{name} is not a field of {kind.__name__}", did_you_mean(name, known))
        place = _place_of(name, settings)
        if place is not None or name in _SETTINGS or name in _REFUSED:
            hint = "Remove it." if place is None else f"Set {place} instead."
            raise ConfigError(f"trainer.{name} is set by otembed", _REFUSED.get(name, hint))
        checked[name] = _typed(name, value, hints[name], known[name].metadata.get("choices"))
    if "report_to" in checked:
        _check_reporters(checked["report_to"])
    return checked


def build_arguments(
    kind: type[Arguments],
    ours: Mapping[str, Any],
    given: Mapping[str, Any],
    settings: type,
    model: torch.nn.Module | None = None,
) -> Arguments:
    """Return the Trainer's arguments for one device per process.

    With several GPUs in one process, the Trainer would split batches over them.

    Parameters
    ----------
    kind
        The class of the arguments.
    ours
        The fields that otembed sets.
    given, settings
        As in :func:`check_fields`; they take precedence over defaults among ``ours``.
    model
        The model to train, for optimizers that depend on it; ``None`` if there is none yet.

    Raises
    ------
    ConfigError
        As in :func:`check_fields`, or the class rejects the values together, or the optimizer or the schedule of the
        learning rate rejects its arguments.
    """
    checked = check_fields(kind, given, settings)
    try:
        arguments = kind(**{**ours, **checked})
    # What the class rejects: values, packages that are missing, a device that cannot do it.
    except (ValueError, TypeError, ImportError, RuntimeError) as error:
        if not checked:
            raise
        raise ConfigError(
            f"trainer: {kind.__name__} rejects {', '.join(checked)}: {first_line(error)}",
            "Correct or remove them.",
        ) from error
    arguments._n_gpu = min(arguments.n_gpu, 1)
    _try_schedule(arguments, _try_optimizer(arguments, checked, model), settings)
    return arguments


def batches_of(examples: int, size: int, given: Mapping[str, Any]) -> int:
    """Return the number of batches in one pass, with ``dataloader_drop_last`` among the given fields only the full ones."""
    return math.floor(examples / size) if given.get("dataloader_drop_last") else math.ceil(examples / size)


def require_batch(examples: int, size: int, given: Mapping[str, Any]) -> None:
    """Raise ConfigError if one pass over the examples has no batch."""
    if not batches_of(examples, size, given):
        raise ConfigError(
            f"{examples} training examples do not fill a batch of {size}, and trainer.dataloader_drop_last leaves out others",
            "Lower per_device_train_batch_size, or remove trainer.dataloader_drop_last.",
        )


def check_arguments(
    kind: type[TrainingArguments], config: TrainerConfig, given: Mapping[str, Any], model: torch.nn.Module
) -> None:
    """Check the fields of :func:`build_arguments` before a run folder is opened, as far as they do not depend on its data.

    Raises
    ------
    ConfigError
        As in :func:`build_arguments`.
    """
    device = next(model.parameters()).device
    # Some schedules require evaluations; whether there are any, only the run knows.
    ours = {"output_dir": "checkpoints", "eval_strategy": "steps", "eval_steps": 1}
    build_arguments(kind, ours | trainer_arguments(config, device), given, type(config), model)


def _try_optimizer(
    arguments: TrainingArguments, checked: Mapping[str, Any], model: torch.nn.Module | None
) -> torch.optim.Optimizer:
    """Return the optimizer that the Trainer would make, for a single weight; another one if that depends on the model."""
    weight = [torch.nn.Parameter(torch.zeros(1))]
    try:
        make, options = Trainer.get_optimizer_cls_and_kwargs(arguments, model)  # type: ignore[arg-type]
        if is_optimizer_factory(make) or not _OF_THE_MODEL.isdisjoint(options):
            return torch.optim.SGD(weight, lr=arguments.learning_rate)
        made: torch.optim.Optimizer = make(weight, **options)
    # Optimizers of other libraries have their own errors.
    except Exception as error:
        named = [f"trainer.{name} = {value!r}" for name, value in checked.items() if name.startswith(_OPTIMIZER)]
        if not named:
            raise
        raise ConfigError(
            f"{', '.join(named)}: {arguments.optim} cannot be set up: {first_line(error)}",
            "Correct or remove them; trainer.optim_args is written NAME=VALUE,NAME=VALUE.",
        ) from error
    return made


# transformers passes no arguments on to these.
_WITHOUT_ARGUMENTS = (SchedulerType.CONSTANT, SchedulerType.CONSTANT_WITH_WARMUP)


def _try_schedule(arguments: TrainingArguments, optimizer: torch.optim.Optimizer, settings: type) -> None:
    """Set up the schedule as the Trainer does, and compute its learning rates at the start, in the middle and at the end."""
    steps = arguments.max_steps if arguments.max_steps > 0 else _TRIED_STEPS
    try:
        if arguments.lr_scheduler_kwargs and arguments.lr_scheduler_type in _WITHOUT_ARGUMENTS:
            raise TypeError("it takes no arguments")
        schedule = get_scheduler(
            arguments.lr_scheduler_type,
            optimizer,
            arguments.get_warmup_steps(steps),
            steps,
            arguments.lr_scheduler_kwargs,  # type: ignore[arg-type]
        )
        for rate in getattr(schedule, "lr_lambdas", ()):
            for step in (0, steps // 2, steps):
                rate(step)
    # Arguments are passed on unchecked: any error may come back.
    except Exception as error:
        place = _place_of("lr_scheduler_type", settings) or "trainer.lr_scheduler_type"
        name = SchedulerType(arguments.lr_scheduler_type).value
        raise ConfigError(
            f"{place} = {name} with trainer.lr_scheduler_kwargs = {arguments.lr_scheduler_kwargs!r}: {first_line(error)}",
            f"Set trainer.lr_scheduler_kwargs to the arguments that {name} takes, or choose another schedule.",
        ) from error


def arrange_callbacks(trainer: Trainer, folder: Path | None) -> None:
    """Let callbacks that report to other tools run last, so that they see what the callbacks of otembed add to the log.

    TensorBoard's event files are written to ``tensorboard`` in the run folder ``folder``, or for ``None`` to torch's
    default, unless ``TENSORBOARD_LOGGING_DIR`` is set: the folder of checkpoints, the Trainer's default, is deleted.
    """
    trainer.remove_callback(PrinterCallback)
    reporters = tuple(INTEGRATION_TO_CALLBACK.values())
    trainer.callback_handler.callbacks.sort(key=lambda each: isinstance(each, reporters))
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, TensorBoardCallback) and callback.logging_dir is None:
            callback.logging_dir = default_logdir() if folder is None else str(folder / TENSORBOARD)
        if isinstance(callback, reporters):
            reporter: Any = callback
            reporter.on_train_begin = _starting(reporter.on_train_begin, type(callback).__name__)


def _starting(begin: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Return ``begin`` of a callback with errors as ConfigError: most tools need an account or a server."""

    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return begin(*args, **kwargs)
        except OtembedError:
            raise
        # Each tool has its own errors.
        except Exception as error:
            raise ConfigError(
                f"trainer.report_to: {name} cannot start: {first_line(error)}",
                "Set up the tool and resume the run, or start again without it.",
            ) from error

    return guarded


def _check_reporters(names: str | list[str] | None) -> None:
    listed = [names] if isinstance(names, str) else names or []
    if listed in (["none"], ["all"]):
        return
    for name in listed:
        kind = INTEGRATION_TO_CALLBACK.get(name)
        if kind is None:
            choices = ["none", "all", *INTEGRATION_TO_CALLBACK]
            raise ConfigError(f"trainer.report_to = {name!r} is not known", did_you_mean(name, choices))
        try:
            kind()
        # A package that is missing is a RuntimeError or an ImportError.
        except (RuntimeError, ImportError) as error:
            raise ConfigError(
                f"trainer.report_to = {name}: the package is not installed",
                f"pip install {_PACKAGES.get(name, name)}",
            ) from error


def _place_of(name: str, settings: type) -> str | None:
    """Return the path of the setting that a field belongs to, None if there is none."""
    for wanted in (name, _SETTINGS.get(name), _ALIASES.get(name)):
        found = next((path for path, last in _paths(settings) if last == wanted), None)
        if found is not None:
            return found
    return None


def _paths(settings: type, head: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path and the name of every setting, those of sections included."""
    hints = get_type_hints(settings)
    for each in fields(settings):
        inner = next((kind for kind in (hints[each.name], *get_args(hints[each.name])) if is_dataclass(kind)), None)
        if inner is None:
            yield f"{head}{each.name}", each.name
        elif isinstance(inner, type):
            yield from _paths(inner, f"{head}{each.name}.")


def _typed(name: str, value: Any, hint: Any, listed: Iterable[str] | None) -> Any:
    """Return the value in the type of its field; ConfigError if it has another type or is not one of the choices.

    The choices are the members of an enumeration, or those that the field lists.
    """
    choices = [str(one.value) for kind in get_args(hint) if _is_enum(kind) for one in kind] or list(listed or ())
    if choices and isinstance(value, str) and value not in choices:
        raise ConfigError(f"trainer.{name} = {value!r} is not known", did_you_mean(value, choices))
    try:
        return TypeAdapter(
            hint, config=ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False)
        ).validate_python(value)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise ConfigError(
            f"trainer.{name} = {value!r}: {reason[0].lower()}{reason[1:]}", f"Correct the value of trainer.{name}."
        ) from error


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Enum)


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
