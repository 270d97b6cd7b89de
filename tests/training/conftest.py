"""Small parallel text and a configuration that trains the tiny encoder in a second."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

from otembed.config.io import merge, train_config

if TYPE_CHECKING:
    from pathlib import Path

NOUNS = {"cat": "Katze", "dog": "Hund", "house": "Haus", "mat": "Matte", "chat": "Plausch", "floor": "Boden"}
VERBS = {"sat": "saß", "slept": "schlief", "sits": "sitzt", "sleeps": "schläft"}
PLACES = {"on the mat": "auf der Matte", "in the house": "im Haus", "on the floor": "auf dem Boden"}


def rows() -> list[str]:
    """72 different pairs, English first."""
    return [
        f"the {noun} {verb} {place}\tdie {NOUNS[noun]} {VERBS[verb]} {PLACES[place]}"
        for noun, verb, place in itertools.product(NOUNS, VERBS, PLACES)
    ]


@pytest.fixture
def text_path(tmp_path: Path) -> Path:
    path = tmp_path / "en-de.tsv"
    path.write_text("\n".join(rows()) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def settings(text_path: Path, tiny_model_path: Path, tmp_path: Path) -> dict[str, Any]:
    return {
        "pairs": {"en-de": str(text_path)},
        "output": str(tmp_path / "run"),
        "model": {"name": str(tiny_model_path), "max_seq_length": None, "freeze": [], "device": "cpu"},
        "held_out": {"size": 12, "eval_steps": 3},
        "optimization": {
            "max_steps": 6,
            "per_device_train_batch_size": 8,
            "learning_rate": 1e-3,
            "logging_steps": 2,
        },
    }


@pytest.fixture
def configure(settings):
    """Build a configuration from the small settings and changes to them."""
    return lambda **changes: train_config(merge(settings, changes))
