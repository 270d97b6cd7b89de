"""Settings as keyword arguments, or as a configuration object in their place."""

from __future__ import annotations

from dataclasses import fields
from functools import wraps
from inspect import signature
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from otembed.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

P = ParamSpec("P")
T = TypeVar("T")


def checked_settings(kind: type[T], config: T | None, settings: Mapping[str, Any]) -> T:
    """Return the settings of a function that takes them as ``config`` or as any further keywords.

    Raises
    ------
    ConfigError
        On a setting that ``kind`` rejects, and on a config with further settings.
    """
    if config is None:
        return kind(**settings)
    if settings:
        raise ConfigError(
            f"config and keyword settings are mutually exclusive: {', '.join(settings)}",
            "Set them in config, or omit config.",
        )
    return config


def config_or_keywords(kind: type) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorate a function that takes its settings as keywords, or as one argument ``config`` of class ``kind``.

    The keywords are the fields of ``kind``; the function declares them for readers, editors and type checkers. It
    receives them as ``config``, which is never None.

    Raises
    ------
    ConfigError
        On a setting that ``kind`` rejects, on a ``config`` of another class, and on a call with ``config`` and a keyword setting: a keyword equal to its
        default cannot be distinguished from an omitted one, and ``config`` would silently override it.
    """
    names = [field.name for field in fields(kind)]

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        parameters = signature(function)

        @wraps(function)
        def configured(*args: P.args, **kwargs: P.kwargs) -> T:
            call = parameters.bind(*args, **kwargs)
            given = {name: call.arguments.pop(name) for name in names if name in call.arguments}
            if call.arguments.get("config") is None:
                call.arguments["config"] = kind(**given)
            elif not isinstance(call.arguments["config"], kind):
                raise ConfigError(
                    f"config is {call.arguments['config']!r}, not a {kind.__name__}",
                    f"Pass {kind.__name__}(...), or the settings as keywords.",
                )
            elif given:
                name, value = next(iter(given.items()))
                raise ConfigError(
                    f"config and {name} = {value!r} are mutually exclusive",
                    f"Set it in the config: dataclasses.replace(config, {name}=...).",
                )
            return function(*call.args, **call.kwargs)

        return configured

    return decorate
