"""A run that is interrupted after some reports of its progress."""

from __future__ import annotations

import itertools
from collections.abc import Callable


class Cut(Exception):
    """The interruption."""


def stop_after(count: int) -> Callable[..., None]:
    """Return a progress function that raises :class:`Cut` on that call."""
    calls = itertools.count(1)

    def progress(*_: object) -> None:
        if next(calls) == count:
            raise Cut

    return progress
