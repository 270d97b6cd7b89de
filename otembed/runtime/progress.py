"""Progress of long stages: a function of the stage's name, the units done and the total."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]


def silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""


def counting(progress: Progress, stage: str, total: int, done: int = 0) -> Callable[[int], None]:
    """Return a function that adds newly finished units to ``done`` and reports the sum to ``progress``."""

    def advance(count: int) -> None:
        nonlocal done
        done += count
        progress(stage, done, total)

    return advance
