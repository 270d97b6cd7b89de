"""Planted bitext: vectors and lines whose pairs are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from otembed.mining.vectors import open_vectors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from otembed.mining.vectors import Vectors

WORDS = (
    "the",
    "cat",
    "sat",
    "on",
    "mat",
    "dog",
    "slept",
    "in",
    "house",
    "die",
    "Katze",
    "saß",
    "auf",
    "und",
    "Hund",
)


@pytest.fixture(scope="session")
def sentences() -> Callable[..., list[str]]:
    """Make different lines of words that the tiny models know."""

    def make(count: int, seed: int = 0) -> list[str]:
        draw = np.random.default_rng(seed)
        return [" ".join([str(number), *draw.choice(WORDS, draw.integers(1, 9))]) for number in range(count)]

    return make


@pytest.fixture
def stored(tmp_path: Path) -> Callable[..., Vectors]:
    """Write a matrix to a file and open it."""

    def store(values: np.ndarray, name: str = "x") -> Vectors:
        path = tmp_path / f"{name}.npy"
        np.save(path, values)
        return open_vectors(path)

    return store
