"""The settings that docs/training.md shows train a tiny model."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import otembed
from otembed.config.io import merge, train_config

GUIDE = Path(__file__).parents[2] / "docs" / "training.md"
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
NEEDS = {"lora": "peft", "tensorboard": "tensorboard"}


@pytest.mark.parametrize("text", EXAMPLES, ids=lambda text: text.split(":")[0] + str(len(text)))
def test_example_trains(text, settings, tiny_wordpiece_model_path, monkeypatch, tmp_path):
    monkeypatch.setenv("OTEMBED_CACHE", str(tmp_path / "cache"))
    for word, package in NEEDS.items():
        if word in text:
            pytest.importorskip(package)
    text = text.replace("offline:multilingual-e5-small", str(tiny_wordpiece_model_path))
    small = {"optimization": {"max_steps": 2, "save_steps": None}, "held_out": {"size": 0}}
    result = otembed.train(train_config(merge(merge(settings, yaml.safe_load(text)), small)))
    assert result.last_log["grad_norm"] > 0
    for word, name in (("tensorboard", "tensorboard"), ("keep_adapter", "adapter")):
        assert (Path(result.run) / name).exists() == (word in text)
