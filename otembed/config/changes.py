"""Settings that differ from their defaults."""

from __future__ import annotations

from dataclasses import MISSING, fields, is_dataclass
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from otembed.config.loader import inline_yaml
from otembed.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

OFF = "null"


def changed_settings(config: Any) -> tuple[tuple[str, str, str], ...]:
    """Return path, value and default of every setting that differs from its default, values as in YAML.

    A section that is off by default is compared with the defaults of the section. Settings without a default have ``""``
    in its place.

    Examples
    --------
    >>> from otembed.config import MiningConfig
    >>> changed_settings(MiningConfig(k=8))
    (('k', '8', '4'),)
    """
    return tuple(_changes(config, None, ""))


def refuse_idle(config: Any, names: Collection[str], reason: str, *, section: str = "") -> None:
    """Raise ConfigError if one of these settings, which have no effect for this reason, differs from its default.

    A default is accepted, since the file of a run holds all settings.
    """
    for name, value, default in changed_settings(config):
        if name in names:
            raise ConfigError(
                f"{section}{name} = {value} has no effect {reason}",
                f"Leave {section}{name} out, or set it to {default}.",
            )


def _changes(config: Any, usual: Any, head: str) -> Iterator[tuple[str, str, str]]:
    """Yield what differs from ``usual``, or from the defaults of the class if it is None."""
    plain = TypeAdapter(type(config)).dump_python(config, mode="json")
    for each in fields(config):
        path, value = f"{head}{each.name}", getattr(config, each.name)
        default = _default(each) if usual is None else getattr(usual, each.name)
        if default is MISSING:
            yield path, inline_yaml(plain[each.name]), ""
        elif is_dataclass(value):
            if default is None:
                yield path, "on", OFF
            yield from _changes(value, default if type(default) is type(value) else None, f"{path}.")
        elif value != default:
            # A section that is on by default and was turned off.
            shown = (
                "on" if is_dataclass(default) else inline_yaml(TypeAdapter(Any).dump_python(default, mode="json"))
            )
            yield path, inline_yaml(plain[each.name]), shown


def _default(field: Any) -> Any:
    """Return the default of a field as pydantic or dataclasses declare it, MISSING without one."""
    declared = field.default
    if isinstance(declared, FieldInfo):
        return MISSING if declared.is_required() else declared.get_default(call_default_factory=True)
    if declared is not MISSING:
        return declared
    return MISSING if field.default_factory is MISSING else field.default_factory()
