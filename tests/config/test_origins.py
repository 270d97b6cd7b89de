"""Where each setting comes from: the same merge as in training, with a mark on every value."""

from __future__ import annotations

import os

import pytest
import yaml

from otembed.config import Resolved, resolve_settings
from otembed.config.io import parse_assignments, read_preset, to_yaml, train_config
from otembed.errors import ConfigError

TEXT = """\
pairs:
  en-sw: a.tsv

loss: {sentence: none, alignment: null,
  contrastive: {epsilon: 0.1}}
held_out: &held
  pairs: {en-sw: b.tsv}
optimization:
  seed: 7
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(TEXT)
    return path


def test_values_match_training_and_origins_name_the_layer(path):
    settings = ["loss.contrastive.tol=0.001", "optimization.seed=8"]
    found = resolve_settings(path, preset="low-resource", assignments=settings)
    trained = train_config(read_preset("low-resource"), yaml.safe_load(TEXT), parse_assignments(settings))
    assert found.settings == yaml.safe_load(to_yaml(trained))
    expected = {
        "pairs.en-sw": f"{path}:2",
        "loss.sentence": f"{path}:4",
        "loss.alignment": f"{path}:4",
        "loss.contrastive.epsilon": f"{path}:5",
        "loss.contrastive.temperature": "preset low-resource",
        "loss.contrastive.tol": "--set",
        "loss.contrastive.cost": "default",
        "held_out.pairs.en-sw": f"{path}:7",
        "optimization.seed": "--set",
        "optimization.learning_rate": "preset low-resource",
        "data.limit": "default",
    }
    assert {key: found.origins[key] for key in expected} == expected


def test_section_disabled_and_enabled_again_starts_from_defaults(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("loss: {sentence: mnrl, alignment: null, contrastive: null}\n")
    found = resolve_settings(path, preset="paper-literal", assignments=["loss.alignment.weight=2"])
    assert found.settings["loss"]["alignment"]["cost"] == "cosine"
    assert found.origins["loss.alignment.cost"] == "default"
    assert found.origins["loss.alignment.weight"] == "--set"


def test_yaml_merge_keys_have_the_line_of_the_value(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("held_out:\n  pairs: &p\n    en-sw: b.tsv\npairs:\n  <<: *p\n  en-ar: c.tsv\n")
    found = resolve_settings(path)
    assert found.settings["pairs"] == {"en-sw": "b.tsv", "en-ar": "c.tsv"}
    assert (found.origins["pairs.en-sw"], found.origins["pairs.en-ar"]) == (f"{path}:3", f"{path}:6")


def test_yaml_output_is_valid_input_and_json_round_trips(path):
    found = resolve_settings(path, preset="starter")
    assert train_config(yaml.safe_load(found.to_yaml())) == train_config(
        read_preset("starter"), yaml.safe_load(TEXT)
    )
    assert f"  seed: 7  # {path}:9\n" in found.to_yaml()
    assert Resolved.from_json(found.to_json()) == found


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_file_is_read_once_and_its_place_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.yaml").write_text("held_out:\n  size: 7\n", encoding="utf-8")
    expected = resolve_settings(tmp_path / "a.yaml")
    assert resolve_settings("~/a.yaml").settings == expected.settings
    read, write = os.pipe()
    os.write(write, (tmp_path / "a.yaml").read_bytes())
    os.close(write)
    assert resolve_settings(f"/dev/fd/{read}").settings == expected.settings
    os.close(read)


def test_empty_file_gives_defaults_without_pairs(tmp_path):
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    found = resolve_settings(tmp_path / "empty.yaml")
    assert "pairs" not in found.settings
    assert set(found.origins.values()) == {"default"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lss: 1\n", "'lss'"),
        ("a: [\n", r"config\.yaml:2: "),
        ("- 1\n", "found list"),
    ],
)
def test_invalid_files_are_rejected_as_in_training(tmp_path, text, message):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        resolve_settings(path)


def test_key_with_a_dot_has_its_origin_and_place(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("trainer:\n  lr_scheduler_kwargs:\n    a.b: 1\n")
    found = resolve_settings(path)
    assert found.origins["trainer.lr_scheduler_kwargs.a.b"] == f"{path}:3"
    assert f"\n    a.b: 1  # {path}:3\n" in found.to_yaml()
