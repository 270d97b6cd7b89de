"""ONNX export: vectors against torch, and the example of the documents without torch."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnxruntime import InferenceSession
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding
from tokenizers import Tokenizer

from otembed.errors import ConfigError, ModelError, NumericsError
from otembed.models.center import center
from otembed.models.onnx_export import SENTENCES, OnnxReport, export_onnx

TEXTS = [
    "cat",
    "the cat sat on the mat",
    "die Katze saß auf der Matte und der Hund schlief im Haus " * 9,
    "猫 睡 在",
]
BAG = {"version": "1.0", "model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1}, "unk_token": "a"}}
# The only packages of the example are in the standard library, or numpy, onnxruntime and tokenizers.
BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "transformers", "sentence_transformers", "onnx", "onnxscript", "otembed"}:
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
"""


def load(folder):
    return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


def run(folder, texts):
    """Vectors of the exported model."""
    batch = Tokenizer.from_file(str(folder / "tokenizer.json")).encode_batch(texts)
    session = InferenceSession(str(folder / "model.onnx"))
    feed = {"input_ids": [each.ids for each in batch], "attention_mask": [each.attention_mask for each in batch]}
    return session.run(None, {name: np.array(rows) for name, rows in feed.items()})[0]


def cosines(x, y):
    return (x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)


@pytest.fixture(scope="module")
def exported(tiny_model_path, tmp_path_factory):
    """The tiny model as ONNX, and the report."""
    folder = tmp_path_factory.mktemp("onnx") / "out"
    return folder, export_onnx(tiny_model_path, folder)


@pytest.mark.parametrize("count", [1, 3, 4])
def test_vectors_equal_those_of_torch_for_any_batch_and_length(exported, tiny_model_path, count):
    folder, report = exported
    expected = load(tiny_model_path).encode(TEXTS[-count:])
    np.testing.assert_allclose(run(folder, TEXTS[-count:]), expected, atol=1e-5)
    assert report.largest_difference < 1e-5
    assert report.lowest_cosine > 0.99999
    assert (report.precision, report.dimension, report.sentences) == ("float32", 32, len(SENTENCES))
    assert report.megabytes == round(sum(each.stat().st_size for each in folder.iterdir()) / 1e6, 1)
    assert OnnxReport.from_json(report.to_json()) == report


def test_the_folder_has_the_tokenizer_and_the_prompts(exported):
    folder, _ = exported
    assert sorted(each.name for each in folder.iterdir()) == ["encoder.json", "model.onnx", "tokenizer.json"]
    # No source lines and paths of the machine that exported it.
    assert b".py" not in (folder / "model.onnx").read_bytes()
    assert json.loads((folder / "encoder.json").read_text()) == {
        "prompt": "",
        "prompts": {"query": "query: ", "document": ""},
        "max_seq_length": 64,
        "dimension": 32,
        "normalized": True,
        "similarity": "cosine",
        "precision": "float32",
        "task": None,
    }


def test_the_example_of_the_documents_needs_neither_torch_nor_transformers(exported, tiny_model_path, tmp_path):
    page = Path(__file__).parents[2] / "docs" / "models.md"
    (code,) = (
        each
        for each in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        if "InferenceSession" in each
    )
    assert len([line for line in code.splitlines() if line]) == 10
    (tmp_path / "encoder-onnx").symlink_to(exported[0])
    subprocess.run([sys.executable, "-c", f"{BLOCKED}{code}np.save('v.npy', vectors)"], cwd=tmp_path, check=True)
    texts = re.findall(r'"(a black cat|eine schwarze Katze)"', code)
    np.testing.assert_allclose(np.load(tmp_path / "v.npy"), load(tiny_model_path).encode(texts), atol=1e-5)


@pytest.mark.slow
def test_other_pooling_dense_layers_and_routes_are_part_of_the_graph(tiny_model_path, tmp_path):
    model = load(tiny_model_path)
    model[1] = Pooling(32, pooling_mode="cls")
    model[2] = Dense(32, 12)
    model.save(str(tmp_path / "dense"))
    export_onnx(tmp_path / "dense", tmp_path / "a")
    np.testing.assert_allclose(run(tmp_path / "a", TEXTS), model.encode(TEXTS), atol=1e-4)
    assert not json.loads((tmp_path / "a" / "encoder.json").read_text())["normalized"]
    model = load(tiny_model_path)
    means = np.random.default_rng(0).normal(size=(2, 32)) / 8
    model.prompts, model.default_prompt_name = {"query": "query: "}, "query"
    center(model, means[0], {"de": means[1]})
    model.save(str(tmp_path / "centered"))
    prompted = ["query: " + text for text in TEXTS]
    for task, folder in ((None, "b"), ("de", "c")):
        export_onnx(tmp_path / "centered", tmp_path / folder, task=task)
        expected = model.encode(TEXTS, **({} if task is None else {"task": task}))
        np.testing.assert_allclose(run(tmp_path / folder, prompted), expected, atol=1e-5)
        settings = json.loads((tmp_path / folder / "encoder.json").read_text())
        assert (settings["prompt"], settings["task"]) == ("query: ", task)


def test_int8_states_the_lowest_cosine(exported, tiny_model_path, tmp_path):
    report = export_onnx(tiny_model_path, tmp_path / "out", int8=True, check=TEXTS)
    found, expected = run(tmp_path / "out", TEXTS), load(tiny_model_path).encode(TEXTS)
    alone = np.concatenate([run(tmp_path / "out", [text]) for text in TEXTS])
    lowest = min(cosines(each, expected).min() for each in (found, alone))
    assert report.lowest_cosine == pytest.approx(lowest, abs=1e-6)
    assert 0.9 < report.lowest_cosine < 0.99999
    assert report.precision == "int8"
    sizes = [(folder / "model.onnx").stat().st_size for folder in (tmp_path / "out", exported[0])]
    assert sizes[0] < sizes[1]


def test_weights_beyond_the_limit_of_one_file_go_into_a_second(tiny_model_path, tmp_path, monkeypatch):
    monkeypatch.setattr("otembed.models.onnx_export.ONE_FILE", 0)
    for name, int8 in (("a", False), ("b", True)):
        report = export_onnx(tiny_model_path, tmp_path / name, int8=int8)
        names = {each.name for each in (tmp_path / name).iterdir()}
        assert names == {"encoder.json", "model.onnx", "model.onnx.data", "tokenizer.json"}
        assert report.lowest_cosine > (0.9 if int8 else 0.99999)
    sizes = [(tmp_path / name / "model.onnx.data").stat().st_size for name in "ba"]
    assert sizes[0] < 0.7 * sizes[1]


def broken(*_args, **_options):
    raise RuntimeError("cannot trace\nat length")


@pytest.mark.parametrize(
    ("place", "value", "kind", "message"),
    [
        ("find_spec", lambda name: None, ConfigError, r"onnx, onnxscript, onnxruntime\n.*otembed\[onnx\]"),
        ("_encode", lambda *_: np.full((len(TEXTS), 32), 0.5, np.float32), NumericsError, r"more than 0\.0001"),
        ("torch.onnx.export", broken, ModelError, "BertModel: RuntimeError: cannot trace\n"),
    ],
)
def test_failed_exports_leave_no_files(tiny_model_path, tmp_path, monkeypatch, place, value, kind, message):
    monkeypatch.setattr(f"otembed.models.onnx_export.{place}", value)
    with pytest.raises(kind, match=message):
        export_onnx(tiny_model_path, tmp_path / "out", check=TEXTS)
    assert list(tmp_path.iterdir()) == []


def test_requests_that_no_graph_fulfills_are_rejected(tiny_model_path, tmp_path):
    with pytest.raises(ConfigError) as caught:
        export_onnx(tiny_model_path, tmp_path / "out", task="sw")
    assert "'sw'" in caught.value.message
    assert "Omit task" in caught.value.hint
    with pytest.raises(ConfigError, match="no sentences"):
        export_onnx(tiny_model_path, tmp_path / "out", check=[])
    model = load(tiny_model_path)
    model[1].include_prompt = False
    model.save(str(tmp_path / "model"))
    with pytest.raises(ModelError, match="prompt"):
        export_onnx(tmp_path / "model", tmp_path / "out")
    with pytest.raises(ModelError, match="not an empty folder"):
        export_onnx(tiny_model_path, tmp_path / "model")
    assert [each.name for each in tmp_path.iterdir()] == ["model"]


def test_bag_of_static_word_vectors_is_rejected(tmp_path):
    words = StaticEmbedding(Tokenizer.from_str(json.dumps(BAG)), embedding_dim=8)
    SentenceTransformer(modules=[words], device="cpu", local_files_only=True).save(str(tmp_path / "model"))
    with pytest.raises(ModelError, match="does not contain a transformer"):
        export_onnx(tmp_path / "model", tmp_path / "out")
    assert not (tmp_path / "out").exists()
