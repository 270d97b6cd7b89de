"""Inference pairs that a tiny encoder can learn: the hypothesis repeats, loses or contradicts words of the premise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from otembed.data.nli_formats import LABELS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WORDS = ["the", "cat", "sat", "on", "mat", "dog", "slept", "in", "house", "die", "Katze", "saß", "auf", "Hund"]


@pytest.fixture(scope="session")
def made() -> Callable[..., list[tuple[str, str, str]]]:
    """Make pairs: entailment repeats the premise, contradiction is a line of Han, neutral is other words."""

    def make(count: int, seed: int = 0) -> list[tuple[str, str, str]]:
        draw = np.random.default_rng(seed)
        rows = []
        for number in range(count):
            premise, other = (" ".join(draw.choice(WORDS, draw.integers(3, 9))) for _ in range(2))
            label = LABELS[number % 3]
            hypothesis = {"entailment": premise, "neutral": other, "contradiction": "猫 睡 在 房子 里"}[label]
            rows.append((f"{number} {premise}", hypothesis, label))
        return rows

    return make


@pytest.fixture
def file(made: Callable[..., list[tuple[str, str, str]]], tmp_path: Path) -> Callable[..., Path]:
    """Write such pairs as a TSV file."""

    def write(name: str, count: int, seed: int = 0) -> Path:
        path = tmp_path / name
        text = "".join("\t".join(row) + "\n" for row in [("premise", "hypothesis", "label"), *made(count, seed)])
        path.write_text(text, encoding="utf-8")
        return path

    return write
