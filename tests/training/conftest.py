"""Small parallel text and a configuration that trains the tiny encoder in a second."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import otembed
from otembed.config.io import merge, train_config

if TYPE_CHECKING:
    from otembed.training.result import TrainResult

NOUNS = {"cat": "Katze", "dog": "Hund", "house": "Haus", "mat": "Matte", "chat": "Plausch", "floor": "Boden"}
VERBS = {"sat": "saß", "slept": "schlief", "sits": "sitzt", "sleeps": "schläft"}
PLACES = {"on the mat": "auf der Matte", "in the house": "im Haus", "on the floor": "auf dem Boden"}


def rows() -> list[str]:
    """72 different pairs, English first."""
    return [
        f"the {noun} {verb} {place}\tdie {NOUNS[noun]} {VERBS[verb]} {PLACES[place]}"
        for noun, verb, place in itertools.product(NOUNS, VERBS, PLACES)
    ]


def small_settings(folder: Path, model: Path) -> dict[str, Any]:
    """Settings of a run in ``folder`` that takes a second."""
    text = folder / "en-de.tsv"
    text.write_text("\n".join(rows()) + "\n", encoding="utf-8")
    return {
        "pairs": {"en-de": str(text)},
        "output": str(folder / "run"),
        "model": {"name": str(model), "max_seq_length": None, "freeze": [], "device": "cpu"},
        "held_out": {"size": 12, "eval_steps": 3},
        "optimization": {
            "max_steps": 6,
            "per_device_train_batch_size": 8,
            "learning_rate": 1e-3,
            "logging_steps": 2,
        },
    }


@pytest.fixture
def settings(tiny_model_path: Path, tmp_path: Path) -> dict[str, Any]:
    return small_settings(tmp_path, tiny_model_path)


@pytest.fixture
def text_path(settings: dict[str, Any]) -> Path:
    return Path(settings["pairs"]["en-de"])


@pytest.fixture
def configure(settings):
    """Build a configuration from the small settings and changes to them."""
    return lambda **changes: train_config(merge(settings, changes))


@pytest.fixture(scope="session")
def trained(tiny_model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """A finished run with every term, a best model before the last step and a length limit; read only."""
    changes = {
        "loss": {"alignment": {"anchor": {}}},
        "optimization": {"learning_rate": 0.05, "max_steps": 9},
        "model": {"max_seq_length": 12},
    }
    settings = small_settings(tmp_path_factory.mktemp("trained"), tiny_model_path)
    return otembed.train(train_config(merge(settings, changes)))


@pytest.fixture
def finished(trained: TrainResult, tmp_path: Path) -> Path:
    """A copy of the finished run, at the place where ``configure`` puts a run."""
    return Path(shutil.copytree(trained.run, tmp_path / "run"))
