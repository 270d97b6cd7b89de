"""``otembed export``: what it prints and refuses."""

from __future__ import annotations

import json

import pytest
from otembed.cli.main import app
from typer.testing import CliRunner

from otembed.errors import ConfigError, ModelError


def run(*arguments):
    return CliRunner().invoke(app, ["export", *map(str, arguments)], catch_exceptions=False)


def test_export_prints_folder_and_differences(tiny_model_path, tmp_path):
    result = run(tiny_model_path, tmp_path / "a", "--precision", "float16", "--check")
    first, second = result.stdout.splitlines()
    assert first == f"{tmp_path / 'a'}: 0.1 MB, float16, layout 5.3"
    assert second.startswith("embeddings of 24 sentences: ")
    assert len(run(tiny_model_path, tmp_path / "b", "--layout", "current").stdout.splitlines()) == 1
    document = json.loads(run(tiny_model_path, tmp_path / "c", "--check", "--json").stdout)
    assert (document["kind"], document["sentences"], document["largest_difference"]) == ("ExportReport", 24, 0.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--precision", "fp16"], "--precision 'fp16'"),
        (["--layout", "5.4"], r"--layout '5.4'(.|\n)*'5.3'"),
        (["--int8"], r"--int8 does not apply without --onnx"),
        (["--task", "sw"], r"--task does not apply without --onnx"),
        (["--onnx", "--precision", "float16"], r"--precision does not apply to --onnx"),
        (["--onnx", "--layout", "5.3"], r"--layout does not apply to --onnx"),
    ],
)
def test_unsupported_requests_are_rejected(arguments, message, tiny_model_path, tmp_path):
    with pytest.raises((ConfigError, ModelError), match=message):
        run(tiny_model_path, tmp_path / "out", *arguments)
    assert list(tmp_path.iterdir()) == []


def test_onnx_prints_folder_and_differences(tiny_model_path, tmp_path):
    first, second = run(tiny_model_path, tmp_path / "a", "--onnx").stdout.splitlines()
    assert first.startswith(f"{tmp_path / 'a'}: 0.")
    assert first.endswith(" MB, ONNX, float32")
    assert second.startswith("vectors of 5 sentences against torch: largest difference ")
    document = json.loads(run(tiny_model_path, tmp_path / "b", "--onnx", "--int8", "--check", "--json").stdout)
    assert (document["kind"], document["sentences"], document["precision"]) == ("OnnxReport", 29, "int8")
