import errno
import json
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from filelock import FileLock

from otembed.embeddings import embed
from otembed.embeddings.embed import embed_lines
from otembed.embeddings.lines import read_side
from otembed.errors import ConfigError, DataError, NumericsError, OutputError
from otembed.runtime import arithmetic


@pytest.fixture
def run(sentences):
    lines = sentences(70)

    def run(model, cache, lines=lines, **options):
        return embed_lines(read_side(lines), model, cache=cache, **options)

    return run


@pytest.fixture(autouse=True)
def small_windows(monkeypatch):
    monkeypatch.setattr(embed, "WINDOW", 8)


def folder(cache):
    (only,) = [each for each in (cache / "embeddings").iterdir() if each.is_dir()]
    return only


def test_vectors_match_encode(run, sentences, tiny_model, tmp_path):
    vectors = run(tiny_model, tmp_path, prompt_name="query")
    expected = tiny_model.encode(sentences(70), prompt="query: ", normalize_embeddings=True)
    np.testing.assert_allclose(vectors.read(0, 99), expected, atol=1e-6)
    half = run(tiny_model, tmp_path, prompt="query: ", precision="float16", truncate_dim=16)
    cut = expected[:, :16] / np.linalg.norm(expected[:, :16], axis=1, keepdims=True)
    np.testing.assert_allclose(half.read(0, 99), cut, atol=5e-4)


def test_arithmetic_is_autocast_and_has_vectors_of_its_own(run, sentences, tiny_model, tmp_path, monkeypatch):
    exact = run(tiny_model, tmp_path).read(0, 99)
    # What caches had before there was a choice is found again.
    assert "arithmetic" not in json.loads((folder(tmp_path) / "manifest.json").read_text())
    with torch.autocast("cpu", torch.bfloat16):
        expected = tiny_model.encode(sentences(70), prompt="query: ", normalize_embeddings=True)
    rounded = run(tiny_model, tmp_path, prompt_name="query", arithmetic="bf16").read(0, 99)
    np.testing.assert_allclose((rounded * expected).sum(1), 1, atol=1e-4)  # other batches
    np.testing.assert_allclose(np.linalg.norm(rounded, axis=1), 1, atol=1e-6)
    assert 1e-6 < np.abs(rounded - run(tiny_model, tmp_path, prompt_name="query").read(0, 99)).max() < 0.02
    # auto shares the vectors of what it chooses.
    for speedup, known in ((3.0, rounded), (0.5, run(tiny_model, tmp_path, prompt_name="query").read(0, 99))):
        monkeypatch.setattr(arithmetic, "bf16_speedup", lambda device, speedup=speedup: speedup)
        before = set((tmp_path / "embeddings").iterdir())
        assert (
            run(tiny_model, tmp_path, prompt_name="query", arithmetic="auto").read(0, 99).tobytes()
            == known.tobytes()
        )
        assert set((tmp_path / "embeddings").iterdir()) == before
    assert run(tiny_model, tmp_path).read(0, 99).tobytes() == exact.tobytes()


def test_complete_vectors_need_no_lock(run, tiny_model, tmp_path, monkeypatch):
    def read_only(self, timeout=None):
        raise OSError(errno.EROFS, "Read-only file system", self.lock_file)

    written = run(tiny_model, tmp_path)
    monkeypatch.setattr(FileLock, "acquire", read_only)
    assert run(tiny_model, tmp_path).read(0, 99).tobytes() == written.read(0, 99).tobytes()
    next(each for each in folder(tmp_path).iterdir() if each.name != "manifest.json").unlink()
    with pytest.raises(OutputError, match="Read-only"):
        run(tiny_model, tmp_path)


def test_number_of_shards_does_not_change_bytes(run, tiny_model, tmp_path):
    whole = run(tiny_model, tmp_path / "whole").read(0, 99)
    # One window of 8 first, whose speed is then known; then at most so many rows, in whole windows.
    for rows, shards in ((1, 9), (9, 5), (32, 3), (1000, 2)):
        parts = run(tiny_model, tmp_path / str(rows), shard_rows=rows)
        assert len(parts.parts) == shards
        assert parts.read(0, 99).tobytes() == whole.tobytes()


def test_slow_encoder_gets_smaller_shards(run, tiny_model, tmp_path, monkeypatch):
    whole = run(tiny_model, tmp_path / "whole").read(0, 99)
    monkeypatch.setattr(embed, "SHARD_SECONDS", -1)
    parts = run(tiny_model, tmp_path / "parts")
    assert len(parts.parts) == 9
    assert parts.read(0, 99).tobytes() == whole.tobytes()


def test_interrupted_run_resumes_from_finished_shards(run, tiny_model, tmp_path, monkeypatch, caplog):
    whole = run(tiny_model, tmp_path / "whole").read(0, 99)
    calls = []

    def stop_after_five(stage, done, total):
        calls.append(done)
        if len(calls) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tiny_model, tmp_path / "cut", shard_rows=16, progress=stop_after_five)
    again = []
    with caplog.at_level("INFO", "otembed"):
        rest = run(tiny_model, tmp_path / "cut", shard_rows=24, progress=lambda _, done, total: again.append(done))
    # Shards of 8 and 16 rows were finished, the third was cut.
    assert (calls[-1], again) == (40, [32, 40, 48, 56, 64, 70])
    assert "24 of 70" in caplog.text
    assert rest.read(0, 99).tobytes() == whole.tobytes()


KILLED = """
import json, os, signal, sys
from otembed import load_model
from otembed.embeddings import embed
from otembed.embeddings.lines import read_side
embed.WINDOW = 8
count = 0
def progress(stage, done, total):
    global count
    count += 1
    if count == 4:
        os.kill(os.getpid(), signal.SIGKILL)
embed.embed_lines(read_side(json.load(sys.stdin)), load_model(sys.argv[1], device="cpu"), cache=sys.argv[2],
                  shard_rows=8, progress=progress)
"""


@pytest.mark.slow
def test_killed_process_leaves_only_complete_shards(run, sentences, tiny_model, tiny_model_path, tmp_path):
    whole = run(tiny_model, tmp_path / "whole").read(0, 99)
    command = [sys.executable, "-c", KILLED, str(tiny_model_path), str(tmp_path / "cut")]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, input=json.dumps(sentences(70)))
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert len(json.loads((folder(tmp_path / "cut") / "manifest.json").read_text())["shards"]) == 3
    assert run(tiny_model, tmp_path / "cut").read(0, 99).tobytes() == whole.tobytes()


@pytest.mark.parametrize("damage", ["cut", "changed", "missing", "manifest", "rows", "start", "temporary"])
def test_corrupt_shards_are_detected_and_recomputed(run, tiny_model, tmp_path, caplog, damage):
    whole = run(tiny_model, tmp_path, shard_rows=16).read(0, 99)
    place = folder(tmp_path)
    shard = sorted(place.glob("rows-*"))[1]
    data = shard.read_bytes()
    if damage == "cut":
        shard.write_bytes(data[:-1])
    elif damage == "changed":
        shard.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "missing":
        shard.unlink()
    elif damage == "manifest":
        (place / "manifest.json").write_text("{")
    elif damage in {"rows", "start"}:  # of one shard: the document is still valid
        document = json.loads((place / "manifest.json").read_text())
        document["shards"][1][damage] += 1
        (place / "manifest.json").write_text(json.dumps(document))
    else:
        (place / "rows-000000000016.float32.tmp").write_bytes(b"half")
    again = []
    vectors = run(tiny_model, tmp_path, shard_rows=16, progress=lambda _, done, total: again.append(done))
    assert vectors.read(0, 99).tobytes() == whole.tobytes()
    assert len(again) == {"manifest": 9, "temporary": 0}.get(damage, 2)
    warned = [record for record in caplog.records if record.name == "otembed.embeddings.shards"]
    assert bool(warned) == (damage != "temporary")
    assert not list(place.glob("*.tmp"))


def test_cache_depends_on_text_model_and_settings_not_on_paths(run, sentences, tiny_model, tmp_path):
    def folders():
        return len([each for each in (tmp_path / "embeddings").iterdir() if each.is_dir()])

    run(tiny_model, tmp_path)
    for count, change in enumerate(
        ({"lines": sentences(69)}, {"prompt": "a "}, {"precision": "float16"}, {"truncate_dim": 8}), start=2
    ):
        run(tiny_model, tmp_path, **change)
        assert folders() == count
    run(tiny_model, tmp_path, prompt="", batch_size=4)
    assert folders() == 5
    with torch.no_grad():
        next(tiny_model.parameters())[0, 0] += 1
    run(tiny_model, tmp_path)
    assert folders() == 6


def test_faults_are_reported(run, tiny_model, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="'int8'"):
        run(tiny_model, tmp_path, precision="int8")
    with pytest.raises(ConfigError, match="truncate_dim is 33"):
        run(tiny_model, tmp_path, truncate_dim=33)
    with pytest.raises(ConfigError, match="'qury'"):
        run(tiny_model, tmp_path, prompt_name="qury")
    with pytest.raises(ConfigError, match="prompt"):
        run(tiny_model, tmp_path, prompt_name="query", prompt="")

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("otembed.embeddings.shards.os.fsync", full)
        with pytest.raises(DataError, match="No space left on device"):
            run(tiny_model, tmp_path)
    monkeypatch.setattr(tiny_model, "encode", lambda texts, **_: np.full((len(texts), 32), np.nan))
    with pytest.raises(NumericsError, match="line 1\n"):
        run(tiny_model, tmp_path)
