"""Settings as keyword arguments, or as a configuration object in their place."""

from __future__ import annotations

from dataclasses import fields
from functools import wraps
from inspect import signature
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from otembed.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")


def config_or_keywords(kind: type) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorate a function with an argument ``config`` of class ``kind`` and the fields of ``kind`` as keywords.

    Calls that pass both are rejected: a keyword equal to its default cannot be distinguished from an omitted one, and
    ``config`` would silently override it.

    Raises
    ------
    ConfigError
        On a call with ``config`` and a keyword setting.
    """
    names = [field.name for field in fields(kind)]

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        parameters = signature(function)

        @wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> T:
            given = parameters.bind_partial(*args, **kwargs).arguments
            named = [name for name in names if name in kwargs]
            if named and given.get("config") is not None:
                raise ConfigError(
                    f"config and {named[0]} = {kwargs[named[0]]!r} are mutually exclusive",
                    f"Set it in the config: dataclasses.replace(config, {named[0]}=...).",
                )
            return function(*args, **kwargs)

        return checked

    return decorate
