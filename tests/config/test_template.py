"""The commented file of settings: every knob, explained, and the same settings when it is read."""

from __future__ import annotations

import re

import pytest
import yaml

from otembed.config import TrainConfig, settings_template, template
from otembed.config.io import preset_names, read_preset, to_yaml, train_config
from otembed.config.mining import MiningConfig

PAIRS = {"pairs": {"en-sw": "a: b.tsv", "en-ar": "#c"}}
LAYERS = [{}, *(read_preset(name) for name in preset_names()), {"loss": {"alignment": {"anchor": {}}}}]


@pytest.mark.parametrize("layer", LAYERS)
def test_template_reads_back_as_the_same_settings(layer):
    config = train_config(PAIRS, layer)
    assert train_config(yaml.safe_load(settings_template(config))) == config


def test_every_setting_is_listed_and_explained():
    lines = settings_template(train_config(PAIRS)).splitlines()
    named = [index for index, line in enumerate(lines) if re.match(r"[ #]*[a-z_]+:( |$)", line)]
    known = yaml.safe_load(to_yaml(train_config(PAIRS, {"loss": {"alignment": {"anchor": {}}}})))

    def keys(tree):
        for key, value in tree.items():
            yield key
            yield from keys(value) if isinstance(value, dict) and key != "pairs" else ()

    assert set(keys(known)) <= {lines[index].lstrip("# ").split(":")[0] for index in named}
    bare = [index for index in named if not lines[index - 1].lstrip().startswith("#")]
    # What follows a section that is off is that section again, as a comment.
    assert [lines[i - 1].lstrip() for i in bare] == [
        f"{lines[i].lstrip('# ').removesuffix(':')}: null" for i in bare
    ]


def test_template_shows_limits_choices_and_defaults():
    text = settings_template(train_config(PAIRS, {"loss": {"sentence": "none", "alignment": {"epsilon": 0.1}}}))
    assert "[number >= 0; default 0.05]\n    epsilon: 0.1\n" in text
    assert "[mnrl | mse | gist | distill | none; default mnrl]\n  sentence: none\n" in text
    assert "``" not in text


def test_disabled_section_is_enabled_by_uncommenting():
    text = settings_template(train_config(PAIRS, {"loss": {"alignment": {}}}))
    head, off = text.split("    anchor: null\n")
    block = re.match(r"(?:    # .*\n)+", off)[0]
    on = head + re.sub(r"(?m)^    # ", "    ", block) + off[len(block) :]
    expected = train_config(PAIRS, {"loss": {"alignment": {"anchor": {}}}})
    assert train_config(yaml.safe_load(on)) == expected


def test_other_settings_have_a_template():
    config = MiningConfig(k=7, threshold=0.5)
    assert MiningConfig(**yaml.safe_load(settings_template(config, head="one\ntwo"))) == config


def test_sections_without_docstrings_have_a_template(monkeypatch):
    """Python run with -OO."""
    config = train_config(PAIRS)
    schema = template.settings_schema(TrainConfig)
    for section in schema["$defs"].values():
        section.pop("description", None)
    monkeypatch.setattr(template, "settings_schema", lambda kind: schema)
    assert train_config(yaml.safe_load(settings_template(config))) == config


def test_head_comes_first():
    assert settings_template(TrainConfig(pairs={"en-sw": "x"}), head="one\ntwo").startswith("# one\n# two\n\n# ")
