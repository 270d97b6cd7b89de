"""The wall time of the stages of a run."""

from __future__ import annotations

from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class StageClock:
    """Measures blocks of code; ``seconds`` has those of each stage, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Measure the block as this stage."""
        started = perf_counter()
        yield
        self.seconds[stage] = round(perf_counter() - started, 3)
