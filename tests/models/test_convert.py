"""Export: precision, layout, ONNX by another environment, and figures counted here again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

from otembed.errors import ModelError, NumericsError
from otembed.models.convert import ONNX_FILE, ExportReport, export_model

TEXTS = ["the cat sat on the mat", "кошка спит в доме", "แมว นอน ใน บ้าน", "猫睡在房子里"]
OLDER = os.environ.get("OTEMBED_ST53_PYTHON")
needs_older = pytest.mark.skipif(
    OLDER is None, reason="OTEMBED_ST53_PYTHON names no Python of an environment with sentence-transformers 5.3"
)
ENCODE = """
import json, sys, sentence_transformers
model = sentence_transformers.SentenceTransformer(sys.argv[1], device="cpu", local_files_only=True)
print("VECTORS" + json.dumps([sentence_transformers.__version__, model.encode(json.loads(sys.argv[2])).tolist()]))
"""


def load(folder, **options):
    return SentenceTransformer(str(folder), device="cpu", local_files_only=True, **options)


@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("layout", ["5.3", "current"])
def test_weights_and_layout_are_those_asked_for(tiny_model_path, tmp_path, precision, layout):
    report = export_model(tiny_model_path, tmp_path / "out", precision=precision, layout=layout, check=TEXTS)
    dtype = getattr(torch, precision)
    original, weights = (load_file(each / "model.safetensors") for each in (tiny_model_path, tmp_path / "out"))
    assert {each.dtype for each in weights.values()} == {dtype}
    assert all(torch.equal(weights[name], each.to(dtype)) for name, each in original.items())
    kinds = [each["type"] for each in json.loads((tmp_path / "out" / "modules.json").read_text())]
    older = [f"sentence_transformers.models.{name}" for name in ("Transformer", "Pooling", "Normalize")]
    assert (kinds == older) == (layout == "5.3")
    before, after = load(tiny_model_path).encode(TEXTS), load(tmp_path / "out").encode(TEXTS).astype(np.float32)
    assert report.largest_difference == pytest.approx(np.abs(before - after).max(), abs=1e-7)
    cosines = (before * after).sum(1) / np.linalg.norm(before, axis=1) / np.linalg.norm(after, axis=1)
    assert report.lowest_cosine == pytest.approx(cosines.min(), abs=1e-6)
    assert report.largest_difference <= {"float32": 0, "float16": 2e-3, "bfloat16": 2e-2}[precision]
    assert report.megabytes == round(sum(each.stat().st_size for each in (tmp_path / "out").rglob("*.*") if each.is_file()) / 1e6, 1)  # fmt: skip
    assert ExportReport.from_json(report.to_json()) == report


def test_without_check_nothing_is_compared_and_the_stored_layer_comes_along(tiny_model_path, tmp_path):
    source = tmp_path / "source"
    export_model(tiny_model_path, source)
    (source / "otembed.json").write_text('{"alignment_layer": 2}')
    report = export_model(source, tmp_path / "out")
    assert (report.sentences, report.largest_difference, report.onnx_difference) == (0, None, None)
    assert (tmp_path / "out" / "otembed.json").read_text() == '{"alignment_layer": 2}'


def test_nothing_is_replaced(tiny_model_path, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis").write_text("years")
    with pytest.raises(ModelError, match=r"there is something already\nName another folder"):
        export_model(tiny_model_path, tmp_path / "out")
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["thesis"]


def test_a_failing_export_leaves_nothing(tiny_model_path, tmp_path, monkeypatch):
    def full_disk(*_args, **_options):
        raise OSError("No space left on device")

    monkeypatch.setattr("otembed.models.convert.make_portable", full_disk)
    with pytest.raises(ModelError, match=r"cannot write the model to .*No space left.*\nCheck the free space"):
        export_model(tiny_model_path, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_weights_beyond_the_precision_are_refused(tiny_model_path, tmp_path):
    source = tmp_path / "source"
    model = load(tiny_model_path)
    model[0].model.encoder.layer[0].output.dense.weight.data[0, 0] = 1e5
    model.save(str(source))
    with pytest.raises(
        NumericsError, match=r"layer\.0\.output\.dense\.weight is not finite in float16\n.*bfloat16"
    ):
        export_model(source, tmp_path / "out", precision="float16")
    assert not (tmp_path / "out").exists()
    export_model(source, tmp_path / "out", precision="bfloat16")


def test_vectors_that_are_not_finite_are_refused(tiny_model_path, tmp_path, monkeypatch):
    monkeypatch.setattr("otembed.models.convert._encode", lambda model, texts: np.full((1, 2), np.nan))
    with pytest.raises(NumericsError, match="vectors are not finite"):
        export_model(tiny_model_path, tmp_path / "out", check=TEXTS)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"onnx": "no-such-python"},
            r"no-such-python: cannot be run: No such file.*\n.*optimum-onnx\[onnxruntime\]",
        ),
        ({"onnx": sys.executable}, r"cannot write ONNX: .*\n.*an environment of its own"),
        (
            {"onnx": "x", "precision": "float16"},
            r"cannot be made from precision float16, layout 5\.3\nLeave both out",
        ),
        ({"onnx": "x", "layout": "current"}, "cannot be made from precision float32, layout current"),
    ],
)
def test_onnx_that_cannot_be_made_is_refused_before_anything_is_loaded(options, message, tmp_path):
    with pytest.raises(ModelError, match=message):
        export_model("not-even-looked-at/./x", tmp_path / "out", **options)


def test_an_onnx_export_that_fails_leaves_nothing(tiny_model_path, tmp_path):
    fake = tmp_path / "python"
    fake.write_text('#!/bin/sh\ncase "$2" in *provider*) echo "it broke" >&2; exit 1;; esac\n')
    fake.chmod(0o755)
    with pytest.raises(ModelError, match=r"no ONNX file could be made by .*: it broke"):
        export_model(tiny_model_path, tmp_path / "out", onnx=fake)
    assert [each.name for each in tmp_path.iterdir()] == ["python"]


@needs_older
@pytest.mark.slow
def test_the_older_layout_gives_the_same_vectors_in_5_3(tiny_model_path, tmp_path):
    export_model(tiny_model_path, tmp_path / "out")
    command = [str(OLDER), "-c", ENCODE, str(tmp_path / "out"), json.dumps(TEXTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    version, vectors = json.loads(done.stdout.partition("VECTORS")[2])
    assert version.startswith("5.3.")
    np.testing.assert_allclose(vectors, load(tiny_model_path).encode(TEXTS), atol=1e-6)


@needs_older
@pytest.mark.slow
def test_the_onnx_file_gives_the_same_vectors(tiny_model_path, tmp_path):
    probe = subprocess.run([str(OLDER), "-c", "import optimum.onnxruntime"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("the environment of OTEMBED_ST53_PYTHON has no optimum-onnx[onnxruntime]")
    report = export_model(tiny_model_path, tmp_path / "out", onnx=Path(str(OLDER)), check=TEXTS)
    assert (tmp_path / "out" / ONNX_FILE).is_file()
    assert report.onnx_difference < 1e-5
    assert not [each for each in (tmp_path / "out").iterdir() if each.name.startswith(".")]
