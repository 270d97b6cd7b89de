"""Export: precision, layout, and the reported differences recomputed here."""

from __future__ import annotations

import json
import os
import subprocess

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

from otembed.errors import ModelError, NumericsError, OutputError
from otembed.models.export import ExportReport, change_of, export_model

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
def test_export_writes_requested_precision_and_layout(tiny_model_path, tmp_path, precision, layout):
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


def test_export_copies_the_stored_layer_and_compares_only_with_check(tiny_model_path, tmp_path):
    source = tmp_path / "source"
    export_model(tiny_model_path, source)
    (source / "otembed.json").write_text('{"alignment_layer": 2}')
    report = export_model(source, tmp_path / "out")
    assert (report.sentences, report.largest_difference) == (0, None)
    assert (tmp_path / "out" / "otembed.json").read_text() == '{"alignment_layer": 2}'


def test_export_never_replaces_a_folder(tiny_model_path, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis").write_text("years")
    with pytest.raises(ModelError, match=r"/out: "):
        export_model(tiny_model_path, tmp_path / "out")
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["thesis"]


def test_failed_export_leaves_no_files(tiny_model_path, tmp_path, monkeypatch):
    def full_disk(*_args, **_options):
        raise OSError("No space left on device")

    monkeypatch.setattr("otembed.models.export.make_portable", full_disk)
    with pytest.raises(OutputError, match=r"out: .*No space left"):
        export_model(tiny_model_path, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_weights_out_of_range_of_the_precision_are_rejected(tiny_model_path, tmp_path):
    source = tmp_path / "source"
    model = load(tiny_model_path)
    model[0].model.encoder.layer[0].output.dense.weight.data[0, 0] = 1e5
    model.save(str(source))
    with pytest.raises(NumericsError, match=r"layer\.0\.output\.dense\.weight .*float16\n.*bfloat16"):
        export_model(source, tmp_path / "out", precision="float16")
    assert not (tmp_path / "out").exists()
    export_model(source, tmp_path / "out", precision="bfloat16")


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_weights_that_were_not_finite_before_are_no_matter_of_the_precision(tiny_model, tmp_path, precision):
    next(tiny_model.parameters()).data[7, 0] = torch.nan
    tiny_model.save(str(tmp_path / "model"), create_model_card=False)
    with pytest.raises(NumericsError, match="not finite in float32") as caught:
        export_model(tmp_path / "model", tmp_path / "out", precision=precision)
    assert "download" in caught.value.hint


def test_non_finite_embeddings_are_rejected(tiny_model_path, tmp_path, monkeypatch):
    monkeypatch.setattr("otembed.models.export._encode", lambda model, texts: np.full((1, 2), np.nan))
    with pytest.raises(NumericsError, match="not finite"):
        export_model(tiny_model_path, tmp_path / "out", check=TEXTS)
    assert not (tmp_path / "out").exists()


@needs_older
@pytest.mark.slow
def test_older_layout_gives_the_same_vectors_in_5_3(tiny_model_path, tmp_path):
    export_model(tiny_model_path, tmp_path / "out")
    command = [str(OLDER), "-c", ENCODE, str(tmp_path / "out"), json.dumps(TEXTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    version, vectors = json.loads(done.stdout.partition("VECTORS")[2])
    assert version.startswith("5.3.")
    np.testing.assert_allclose(vectors, load(tiny_model_path).encode(TEXTS), atol=1e-6)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([[3.0, 4.0], [0.0, 0.0]], [[4.0, 3.0], [0.0, 0.0]], (1.0, 0.96)),
        ([[3.0, 4.0], [0.0, 0.0]], [[3.0, 4.0], [0.0, 0.5]], (0.5, 0.0)),
        ([[1.0, 0.0]], [[-1.0, 0.0]], (2.0, -1.0)),
    ],
)
def test_zero_vectors_have_a_cosine(before, after, expected):
    assert change_of(np.array(before), np.array(after), "") == pytest.approx(expected)


def test_vectors_that_are_not_finite_are_refused():
    with pytest.raises(NumericsError, match="not finite"):
        change_of(np.array([[1.0, np.nan]]), np.ones((1, 2)), "Check the model.")
