"""The benchmark script that sets two reports of one task side by side."""

from __future__ import annotations

import json
import sys

import pytest

from otembed.tasks.xnli.report import XnliReport, XnliScore
from tests.tasks.xquad.test_report import retrieval, spans


@pytest.fixture
def script(benchmark_script):
    return benchmark_script("transfer")


def test_retrieval_transfer_before_and_after(script):
    means, matrix, answers = script.tables(retrieval().to_dict(), retrieval().to_dict())
    assert "| paragraph, across languages | 45.0 | 45.0 | +0.0 |" in means
    assert "| en | 90.0 → 90.0 | 50.0 → 50.0 |" in matrix
    assert "| ar | 20.0 | 20.0 | +0.0 | 25.0 | 25.0 |" in answers


def test_span_transfer_before_and_after(script):
    (table,) = script.tables(spans().to_dict(), spans("n", 0.1).to_dict())
    assert "| en | 10 | 50.0 | 60.0 | +10.0 | 25.0 | 25.0 | +0.0 |" in table
    assert "| mean | 20 | 37.5 | 42.5 | +5.0 | 18.8 | 18.8 | +0.0 |" in table


def test_inference_transfer_before_and_after(script):
    before, after = (
        XnliReport("m", "probe", (XnliScore("sw", 9, share, 0.4),), 0.5, {"dev_pairs": 9}, {}, 1.0).to_dict()
        for share in (0.5, 0.6)
    )
    (table,) = script.tables(before, after)
    assert "| sw | 9 | 50.0→60.0 +10.0 | 40.0 |" in table


def test_reports_are_stored_without_outcomes_and_folders(script, tmp_path, monkeypatch, capsys):
    document = {"model": "a/b", "data": {"en": "/c/d.json"}, "losses": [1.5], "outcomes": [1]}
    assert script.stored(document) == {"model": "b", "data": {"en": "d.json"}, "losses": [1.5]}
    places = [spans(name).to_json(tmp_path / f"{name}.json") and tmp_path / f"{name}.json" for name in "mn"]
    arguments = ["transfer.py", *map(str, places), "--store", str(tmp_path / "kept"), "--called", "trained"]
    monkeypatch.setattr(sys, "argv", arguments)
    script.main()
    assert "| mean | 20 |" in capsys.readouterr().out
    assert json.loads((tmp_path / "kept_after.json").read_text())["model"] == "trained"
    assert "outcomes" not in json.loads((tmp_path / "kept_before.json").read_text())
