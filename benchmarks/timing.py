"""CPU time of alternatives that run in turn, so that a change of the machine's speed affects all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import process_time


def interleaved(runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Return the CPU seconds of each run in each round."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            begun = process_time()
            run()
            seconds[name].append(process_time() - begun)
    return seconds
