"""``otembed merge``: what it prints, writes and refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
from otembed.cli.main import app
from typer.testing import CliRunner

import otembed
from otembed.errors import ConfigError, ModelError


def run(*arguments):
    return CliRunner().invoke(app, ["merge", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def folders(tiny_model_path, tiny_model, tmp_path):
    tiny_model[0].model.pooler.dense.weight.data += 1
    tiny_model[0].model.encoder.layer[0].output.dense.weight.data *= 2
    tiny_model.save(str(tmp_path / "b"))
    return tiny_model_path, tmp_path / "b"


def test_merge_prints_and_writes_the_mean(folders, tmp_path):
    lines = run(*folders, "--weight", 0.25, "-o", tmp_path / "out").stdout.splitlines()
    assert lines[0] == f"{tmp_path / 'out'}: 0.75 x {folders[0]} + 0.25 x {folders[1]}"
    assert lines[1].startswith("2 of ")
    first, second, merged = (otembed.load_model(each, device="cpu") for each in (*folders, tmp_path / "out"))
    name = "0.model.encoder.layer.0.output.dense.weight"
    expected = 0.75 * first.state_dict()[name] + 0.25 * second.state_dict()[name]
    np.testing.assert_allclose(merged.state_dict()[name], expected, atol=1e-7)
    document = json.loads(run(*folders, "-o", tmp_path / "again", "--json").stdout)
    assert (document["kind"], document["weight"], document["differing"]) == ("MergeReport", 0.5, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--weight", "2"], "weight is 2"), ([], "differ in")],
)
def test_unsupported_requests_are_rejected(arguments, message, folders, tiny_wordpiece_model_path, tmp_path):
    second = folders[1] if arguments else tiny_wordpiece_model_path
    with pytest.raises((ConfigError, ModelError), match=message):
        run(folders[0], second, "-o", tmp_path / "out", *arguments)
    assert not (tmp_path / "out").exists()
