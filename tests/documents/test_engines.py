"""Mining of documents in worker processes and after a kill gives the bytes of one process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from importlib.util import find_spec

import psutil
import pytest

from otembed.config import DocumentMiningConfig, DocumentsConfig, MatchConfig
from otembed.documents import align_work, mine_documents

pytestmark = pytest.mark.slow

# Kills itself at a stage: after the documents were compared, or with some groups aligned.
KILLED = """
import os, signal, sys
from otembed.documents import align_work, mine_documents
align_work.GROUP_SENTENCES = 40
source, target, model, cache, stage = sys.argv[1:]

def kill(name, done, total):
    if name.startswith(stage) and done >= (60 if stage == "aligning" else 1):
        os.kill(os.getpid(), signal.SIGKILL)

mine_documents(source, target, model, cache=cache, device="cpu", progress=kill)
"""


@pytest.fixture
def places(write, sentences):
    lines = [sentences(9, seed=number) for number in range(12)]
    sides = [lines, [each[1:] for each in lines[::-1]]]
    return [
        write(
            name, "".join(json.dumps({"id": f"d{number}", "text": each}) + "\n" for number, each in enumerate(side))
        )
        for name, side in zip(("a.jsonl", "b.jsonl"), sides, strict=True)
    ]


def config_of(**engine):
    return DocumentMiningConfig(match=MatchConfig(**engine), align=DocumentsConfig(threshold=0.3, **engine))


def written(found, tmp_path):
    return found.aligned.write(tmp_path / "out.jsonl").read_bytes()


def links(cache):
    return {path.name: path.read_bytes() for path in (cache / "documents").iterdir()}


def workers():
    found = []
    for each in psutil.Process().children(recursive=True):
        try:
            if "spawn_main" in " ".join(each.cmdline()):
                found.append(each)
        except psutil.NoSuchProcess:
            continue
    return found


def test_killed_worker_of_processes(tiny_model_path, tmp_path, places, monkeypatch):
    monkeypatch.setattr(align_work, "GROUP_SENTENCES", 40)
    model = str(tiny_model_path)
    whole = mine_documents(*places, model, config=config_of(), cache=tmp_path / "a", device="cpu")
    killed = []

    def kill(stage, done, total):
        if stage == "aligning" and done and not killed:
            (worker, *_) = workers()
            killed.append(worker.pid)
            os.kill(worker.pid, signal.SIGKILL)

    found = mine_documents(
        *places,
        model,
        config=config_of(engine="processes", workers=2),
        cache=tmp_path / "b",
        device="cpu",
        progress=kill,
    )
    assert killed
    assert written(found, tmp_path) == written(whole, tmp_path)
    assert links(tmp_path / "a") == links(tmp_path / "b")


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: otembed[ray]")
def test_ray_gives_the_bytes_of_one_process(tiny_model_path, tmp_path, places, monkeypatch):
    monkeypatch.setattr(align_work, "GROUP_SENTENCES", 40)
    found = [
        mine_documents(
            *places, str(tiny_model_path), config=config_of(**engine), cache=tmp_path / name, device="cpu"
        )
        for name, engine in (("local", {}), ("ray", {"engine": "ray", "workers": 2}))
    ]
    assert written(found[0], tmp_path) == written(found[1], tmp_path)
    assert links(tmp_path / "local") == links(tmp_path / "ray")


def test_killed_runs_resume_with_the_same_bytes(tiny_model_path, tmp_path, places, monkeypatch):
    monkeypatch.setattr(align_work, "GROUP_SENTENCES", 40)
    model, cut = str(tiny_model_path), tmp_path / "cut"
    for stage in ("comparing", "aligning"):
        code = subprocess.run([sys.executable, "-c", KILLED, *map(str, (*places, model, cut, stage))], check=False)
        assert code.returncode == -signal.SIGKILL
    found = mine_documents(*places, model, cache=cut, device="cpu")
    whole = mine_documents(*places, model, cache=tmp_path / "whole", device="cpu")
    assert 0 < found.aligned.report.resumed < len(found.aligned)
    assert written(found, tmp_path) == written(whole, tmp_path)
    assert links(cut) == links(tmp_path / "whole")
