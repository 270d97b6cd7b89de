"""How long stages say how far they are: a function of the stage's name, what is done and all there is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]


def silent(stage: str, done: int, total: int) -> None:
    """Say nothing."""


def counting(progress: Progress, stage: str, total: int, done: int = 0) -> Callable[[int], None]:
    """Return a function of how many more are done, which tells ``progress`` how many are done by then."""

    def advance(count: int) -> None:
        nonlocal done
        done += count
        progress(stage, done, total)

    return advance
