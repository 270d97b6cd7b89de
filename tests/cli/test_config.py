"""``otembed config``: the file it writes, what it shows, the schema it prints."""

from __future__ import annotations

import json

import jsonschema
import pytest
import yaml
from otembed.cli.main import app
from typer.testing import CliRunner

from otembed.config import MiningConfig, WordAlignmentConfig
from otembed.config.io import build, read_preset, read_yaml, train_config
from otembed.errors import ConfigError


def run(*arguments):
    return CliRunner().invoke(app, ["config", *map(str, arguments)], catch_exceptions=False)


@pytest.mark.parametrize("preset", ["retrieval", "starter"])
def test_init_writes_the_settings_of_the_preset(tmp_path, preset):
    path = tmp_path / "new" / "config.yaml"
    result = run("init", path, "--preset", preset)
    assert result.stdout == ""
    assert f"otembed train {path}" in result.stderr
    assert train_config(read_yaml(path)) == train_config({"pairs": {"en-sw": "starter:en-sw"}}, read_preset(preset))
    assert path.read_text() == run("init", "--preset", preset).stdout
    assert ("sample text" in path.read_text()) == (preset == "retrieval")


def test_init_does_not_replace_a_file_without_force(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("mine")
    with pytest.raises(ConfigError, match=r"config\.yaml(.|\n)*--force"):
        run("init", path)
    assert path.read_text() == "mine"
    run("init", path, "--force")
    assert path.read_text() == run("init").stdout


@pytest.mark.parametrize(("command", "kind"), [("mine", MiningConfig), ("align", WordAlignmentConfig)])
def test_init_and_schema_cover_other_commands(tmp_path, command, kind):
    path = tmp_path / "settings.yaml"
    assert f"otembed {command} ... --config {path}" in run("init", path, "--for", command).stderr
    assert build(kind, read_yaml(path)) == kind()
    schema = json.loads(run("schema", "--for", command).stdout)
    jsonschema.validate(read_yaml(path), schema)
    assert schema["title"].endswith(command)


def test_unknown_command_and_training_preset_are_rejected():
    with pytest.raises(ConfigError, match=r"--for 'mien'.*\n.*'mine'"):
        run("schema", "--for", "mien")
    with pytest.raises(ConfigError, match=r"--preset retrieval .*--for mine"):
        run("init", "--for", "mine", "--preset", "retrieval")


def test_init_refuses_an_unknown_preset():
    with pytest.raises(ConfigError, match=r"'retrievel'\n.*'retrieval'"):
        run("init", "--preset", "retrievel")


def test_show_prints_yaml_with_origins_and_missing_settings(tmp_path):
    result = run("show", "--preset", "retrieval", "--set", "optimization.seed=5")
    assert "  seed: 5  # --set\n" in result.stdout
    assert "  interpolate: 0.75  # preset retrieval\n" in result.stdout
    assert "--pairs" in result.stderr
    assert "pairs" not in yaml.safe_load(result.stdout)
    path = tmp_path / "c.yaml"
    path.write_text("pairs: {en-sw: a.tsv}\n")
    assert run("show", path).stderr == ""


def test_show_as_json():
    document = json.loads(run("show", "--preset", "starter", "--json").stdout)
    assert document["kind"] == "Resolved"
    assert document["origins"]["pairs.en-sw"] == "preset starter"
    assert document["settings"]["pairs"]["en-sw"] == "starter:en-sw"


def test_schema_validates_the_file_that_init_writes():
    schema = json.loads(run("schema").stdout)
    jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(run("init").stdout))
    assert schema["title"] == "Settings of otembed train"
