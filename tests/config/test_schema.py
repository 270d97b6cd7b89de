"""JSON Schema of the settings: what otembed takes is valid, what it refuses key by key is not."""

from __future__ import annotations

import jsonschema
import pytest
import yaml

from otembed.config import TrainConfig, settings_schema
from otembed.config.io import build, preset_names, read_preset, to_yaml, train_config
from otembed.config.mining import MiningConfig
from otembed.config.schema import allowed
from otembed.errors import ConfigError

PAIRS = {"pairs": {"en-sw": "a.tsv"}}
VALIDATOR = jsonschema.Draft202012Validator(settings_schema(TrainConfig))


def test_schema_is_valid_for_its_draft():
    for kind in (TrainConfig, MiningConfig):
        schema = settings_schema(kind)
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["$schema"] == jsonschema.Draft202012Validator.META_SCHEMA["$id"]
        assert schema["title"] == kind.__name__


@pytest.mark.parametrize("name", preset_names())
def test_presets_are_valid_before_and_after_resolution(name):
    VALIDATOR.validate(read_preset(name))
    VALIDATOR.validate(yaml.safe_load(to_yaml(train_config(PAIRS, read_preset(name)))))


@pytest.mark.parametrize(
    "tree",
    [
        {"lss": {}},
        {"loss": {"alignment": {"epsilom": 1}}},
        {"loss": {"alignment": {"epsilon": -1}}},
        {"loss": {"alignment": {"unit": "letter"}}},
        {"loss": {"alignment": {"relaxation": 0}}},
        {"loss": {"alignment": {"relaxation": [1]}}},
        {"loss": {"alignment": {"anchor": {"reduction": "max"}}}},
        {"optimization": {"per_device_train_batch_size": 1}},
        {"optimization": {"warmup_steps": -1}},
        {"optimization": {"seed": 2**32}},
        {"optimization": {"max_steps": 1.5}},
        {"data": {"checks": {"max_length_ratio": 0.5}}},
        {"model": {"freeze": "embeddings"}},
        {"pairs": ["a.tsv"]},
        {"output": ""},
    ],
)
def test_schema_rejects_what_otembed_rejects(tree):
    assert not VALIDATOR.is_valid(tree)
    with pytest.raises(ConfigError):
        build(TrainConfig, PAIRS | tree)


def test_settings_have_description_default_and_limits():
    loss = VALIDATOR.schema["$defs"]["AlignmentConfig"]["properties"]
    assert loss["epsilon"].keys() == {"default", "description", "minimum", "type"}
    for section in VALIDATOR.schema["$defs"].values():
        assert all("title" not in knob for knob in section["properties"].values())


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({"type": "array", "items": {"type": "string"}}, "list of text"),
        ({"const": "auto", "type": "string"}, "auto"),
        ({"$ref": "#/$defs/A"}, "settings below"),
        ({}, "any value"),
        (
            {"oneOf": [{"type": "null"}, {"prefixItems": [{"type": "number"}, {"type": "null"}]}]},
            "null | [number; null]",
        ),
    ],
)
def test_allowed_values_in_words(node, words):
    assert allowed(node) == words
