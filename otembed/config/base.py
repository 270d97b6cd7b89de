"""How a configuration dataclass is made, and how its complaints are worded; torch-free."""

from __future__ import annotations

from dataclasses import field, fields, is_dataclass
from functools import wraps
from typing import Annotated, Any, TypeVar, dataclass_transform, get_args, get_type_hints

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass

from otembed.errors import ConfigError, did_you_mean

T = TypeVar("T")
Count = Annotated[int, Field(gt=0, strict=True)]
_TAG = "<"


def union_tag(name: str) -> str:
    """Return the tag of one form of a setting that has several; complaints leave it out."""
    return f"{_TAG}{name}>"


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field, Field))
def config_dataclass(cls: type[T]) -> type[T]:
    """Make ``cls`` a frozen, keyword-only, validated dataclass that refuses unknown keys."""
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


def explain(kind: type, error: ValidationError, origin: str) -> ConfigError:
    """Turn pydantic's first complaint into one message and one hint."""
    first = error.errors()[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, ConfigError):  # raised by a validator; pydantic wraps every ValueError
        return cause
    location = [str(part) for part in first["loc"] if not str(part).startswith(_TAG)]
    key = ".".join(location)
    if first["type"] in {"unexpected_keyword_argument", "extra_forbidden"}:
        known = _field_names(kind, location[:-1])
        return ConfigError(f"{origin}: no setting is called {key!r}", did_you_mean(location[-1], known))
    if first["type"] in {"missing", "missing_keyword_only_argument"}:
        return ConfigError(f"{origin}: {key} is missing", f"Set {key}.")
    reason = first["msg"][0].lower() + first["msg"][1:]
    return ConfigError(f"{origin}: {key} = {first['input']!r}: {reason}", "Set a value within these limits.")


def _field_names(kind: Any, path: list[str]) -> list[str]:
    for part in path:
        hint = get_type_hints(kind).get(part)
        candidates = [hint, *get_args(hint)]
        kind = next((each for each in candidates if is_dataclass(each)), kind)
    return [each.name for each in fields(kind)]
