"""Results go to JSON and back, and files are written whole or not at all."""

from __future__ import annotations

import json

import pytest

from otembed.errors import DataError
from otembed.results import json_text, write_text
from otembed.tasks.retrieval.report import RetrievalReport, RetrievalScores

SCORES = RetrievalScores("en-sw", 10, 0.5, 0.7, 0.4, 0.6, 0.3, 0.2)


def test_json_round_trip(tmp_path):
    text = SCORES.to_json(tmp_path / "scores.json")
    assert (tmp_path / "scores.json").read_text() == text
    assert RetrievalScores.from_json(text) == SCORES
    assert json.loads(text)["schema"] == 1


def test_accuracy_is_the_mean_of_both_directions():
    assert SCORES.accuracy == pytest.approx(0.6)


def test_non_finite_numbers_become_null():
    document = json.loads(RetrievalScores("a-b", 1, float("nan"), float("inf"), 0, 0, 0, 0).to_json())
    assert document["accuracy_source_to_target"] is document["accuracy_target_to_source"] is None


@pytest.mark.parametrize(
    "text", ["{", '{"kind": "Other", "schema": 1}', '{"kind": "RetrievalScores", "schema": 99}']
)
def test_other_documents_are_rejected(text):
    with pytest.raises(DataError):
        RetrievalScores.from_json(text)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"sentences": "ten"}, "sentences.*'ten'"),
        ({"sentences": True}, "sentences.*True"),
        ({"pair": None}, "pair.*None"),
        ({"accuracy_source_to_target": [0.5]}, "accuracy_source_to_target"),
    ],
)
def test_values_of_another_type_are_rejected_with_the_file(tmp_path, values, named):
    path = tmp_path / "scores.json"
    path.write_text(json.dumps({**SCORES.to_dict(), **values}))
    with pytest.raises(DataError, match=rf"scores.json: .*{named}") as caught:
        RetrievalScores.read(path)
    assert caught.value.hint
    report = {"schema": RetrievalReport.schema, "kind": "RetrievalReport", "model": "m", "seconds": 1.0}
    path.write_text(json.dumps({**report, "scores": [{**SCORES.to_dict(), **values}]}))
    with pytest.raises(DataError, match=named):
        RetrievalReport.read(path)


@pytest.mark.parametrize("scores", [None, 1, [1], ["x"], {"a": 1}])
def test_nested_results_of_another_type_are_rejected(scores):
    document = {"schema": RetrievalReport.schema, "kind": "RetrievalReport", "model": "m", "seconds": 1.0}
    with pytest.raises(DataError):
        RetrievalReport.from_json(json.dumps({**document, "scores": scores}))


def test_file_names_that_are_not_utf8_are_written_as_escapes(tmp_path):
    name = b"caf\xe9.tsv".decode("utf-8", "surrogateescape")
    write_text(tmp_path / "x.json", json_text({"file": name}))
    assert json.loads((tmp_path / "x.json").read_text()) == {"file": name}


def test_failed_write_leaves_the_earlier_file(tmp_path, monkeypatch):
    path = tmp_path / "file.txt"
    write_text(path, "first")
    monkeypatch.setattr("otembed.results.files.os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_text(path, "second")
    assert path.read_text() == "first"
    assert [each.name for each in tmp_path.iterdir()] == ["file.txt"]
