"""Configuration dataclasses: validation, error messages, and the settings that were renamed; torch-free."""

from __future__ import annotations

import os
import re
from dataclasses import field, fields, is_dataclass
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, dataclass_transform, get_args, get_type_hints

from pydantic import ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic.dataclasses import dataclass as pydantic_dataclass

from otembed.errors import ConfigError, did_you_mean
from otembed.results.paths import expand

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")
Count = Annotated[int, Field(gt=0, strict=True)]
Seed = Annotated[int, Field(ge=0, lt=2**32, strict=True)]

# Maps the former name of a setting to its current one; used in every configuration that has the current name.
RENAMED = {
    "accumulate": "gradient_accumulation_steps",
    "batch_size": "per_device_train_batch_size",
    "checkpoint_activations": "activation_checkpointing",
    "device_batch_size": "per_device_train_batch_size",
    "epochs": "num_train_epochs",
    "every": "eval_steps",
    "log_every": "logging_steps",
    "matryoshka": "matryoshka_dims",
    "max_iterations": "max_iter",
    "normalise_nfc": "normalize_nfc",
    "patience": "early_stopping_patience",
    "save_every": "save_steps",
    "scale": "temperature",
    "schedule": "lr_scheduler_type",
    "select_best": "load_best_model_at_end",
    "warmup": "warmup_steps",
}
# Where more than the name changed: how to convert the value.
CONVERSIONS = {
    "batch_size": " Examples per optimizer step are per_device_train_batch_size x gradient_accumulation_steps.",
    "scale": " temperature is 1 / scale.",
}
_TAG = "<"
# What pydantic adds to the path of a setting for a variant of its type.
_VARIANT = re.compile(rf"{_TAG}|(constrained-)?(int|float|str|bool)$|[a-z-]+\[")
_EXPECTED = "Input should be "

REMOVED = frozenset({"marginals", "match", "null_unit", "share", "top_k"})


def union_tag(name: str) -> str:
    """Return the tag of one variant of a union-typed setting; error messages omit it."""
    return f"{_TAG}{name}>"


def expand_home(path: str) -> str:
    """Expand a leading ``~`` once, so that every reader of the setting sees the same place."""
    try:
        return os.fspath(expand(path)) if path.startswith("~") else path
    except ConfigError as error:
        raise ValueError(error.message) from error  # the caller adds the name of the setting


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field, Field))
def config_dataclass(cls: type[T]) -> type[T]:
    """Turn ``cls`` into a frozen, keyword-only, validated dataclass that rejects unknown keys."""
    cls._not_boolean = field_validator("*", mode="before")(_not_boolean)  # type: ignore[attr-defined]
    settings = ConfigDict(extra="forbid", allow_inf_nan=False)
    decorate: Any = pydantic_dataclass(frozen=True, kw_only=True, config=settings)
    made: type[T] = decorate(cls)
    validate: Any = made.__init__

    @wraps(validate)
    def __init__(self: T, *args: Any, **values: Any) -> None:
        try:
            validate(self, *args, **values)
        except ValidationError as error:
            raise explain(made, error, made.__name__) from error

    made.__init__ = __init__  # type: ignore[method-assign, assignment]
    return made


def _not_boolean(cls: type, value: Any, info: ValidationInfo) -> Any:
    """Reject true and false as a number, which pydantic would read as 1 and 0."""
    if isinstance(value, bool):
        kinds = _kinds(get_type_hints(cls)[str(info.field_name)])
        if kinds & {int, float} and bool not in kinds:
            raise ValueError("Input should be a number, not true or false")
    return value


def _kinds(hint: Any) -> set[Any]:
    """Return a type, or the variants of a union."""
    return {hint}.union(*map(_kinds, get_args(hint))) if get_args(hint) else {hint}


def explain(kind: type, error: ValidationError, origin: str) -> ConfigError:
    """Turn the first error that pydantic found into a message and a hint."""
    first = error.errors()[0]
    ours = first.get("ctx", {}).get("error")
    location = _setting(first["loc"])
    if isinstance(ours, ConfigError):  # raised by a check between settings: a ValueError, so pydantic wraps it
        # The sections of a training run name their settings in full; others are also used alone, and cannot.
        if not location or ours.message.startswith(location[0]):
            return ours
        return ConfigError(f"{'.'.join(location)}: {ours.message}", ours.hint)
    key = ".".join(location)
    if first["type"] in {"unexpected_keyword_argument", "extra_forbidden"}:
        known = list(_hints_at(kind, location[:-1]))
        return ConfigError(f"{origin}: unknown setting {key!r}", _renamed(location, known))
    if first["type"] in {"missing", "missing_keyword_only_argument"}:
        return ConfigError(f"{origin}: {key} is missing", f"Set {key}.")
    # A value that fits no variant of a union has an error for each.
    reasons = [each["msg"] for each in error.errors() if _setting(each["loc"]) == location]
    if all(each.startswith(_EXPECTED) for each in reasons):
        reason = _EXPECTED + ", or ".join(dict.fromkeys(each.removeprefix(_EXPECTED) for each in reasons))
    else:
        reason = first["msg"].removeprefix("Value error, ")
    reason = reason[0].lower() + reason[1:]
    hint = f"Correct the value of {key}."
    if str(first["input"]).lower() == "none" and type(None) in _kinds(
        _hints_at(kind, location[:-1]).get(location[-1])
    ):
        hint = f"Write {key}=null for none."
    return ConfigError(f"{origin}: {key} = {first['input']!r}: {reason}", hint)


def _setting(location: Sequence[int | str]) -> list[str]:
    """Return the path of a setting, without the variants of unions that pydantic adds to it."""
    return [str(part) for part in location if not (isinstance(part, str) and _VARIANT.match(part))]


def _renamed(location: list[str], known: list[str]) -> str:
    """Return a hint with the setting's new name, that it was removed, or the closest known name."""
    *section, old = location
    new = RENAMED.get(old)
    if old in REMOVED:
        return f"{old} was removed; delete it."
    if new not in known:
        return did_you_mean(old, known)
    return f"Use {'.'.join([*section, new])}, its new name.{CONVERSIONS.get(old, '')}"


def _hints_at(kind: Any, path: list[str]) -> dict[str, Any]:
    """Return the settings of the section at a path, with their types."""
    for part in path:
        hint = get_type_hints(kind).get(part)
        candidates = [hint, *get_args(hint)]
        kind = next((each for each in candidates if is_dataclass(each)), kind)
    hints = get_type_hints(kind)
    return {each.name: hints[each.name] for each in fields(kind)}
