"""Reports of bitext retrieval: means, and JSON that rebuilds the scores inside."""

from __future__ import annotations

import json

import pytest

from otembed.errors import DataError
from otembed.tasks.retrieval.report import RetrievalReport, RetrievalScores, mean_scores

FIRST = RetrievalScores("de-en", 10, 0.5, 0.7, 0.4, 0.6, 0.3, 0.2)
SECOND = RetrievalScores("es-en", 2, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, margin_k=2)
REPORT = RetrievalReport("tiny", (FIRST, SECOND), 1.5)


def test_means_count_pairs_alike_and_sentences_together():
    mean = REPORT.mean
    assert (mean.pair, mean.sentences, mean.margin_k) == ("mean", 12, 2)
    assert mean.accuracy_source_to_target == pytest.approx(0.75)
    assert (REPORT.accuracy, REPORT.f1, REPORT.xsim) == pytest.approx((0.8, 0.75, 0.125))


def test_json_round_trip_rebuilds_the_scores():
    report = RetrievalReport("tiny", (FIRST, SECOND), 1.5, (SECOND, FIRST))
    text = report.to_json()
    assert RetrievalReport.from_json(text) == report
    document = json.loads(text)
    assert document["means"] == pytest.approx({"accuracy": 0.8, "f1": 0.75, "xsim": 0.125})
    assert document["scores"][0]["kind"] == "RetrievalScores"


def test_centered_mean_is_there_if_centered_scores_are():
    assert REPORT.centered_mean is None
    assert RetrievalReport("tiny", (FIRST,), 1.5, (SECOND,)).centered_mean == mean_scores((SECOND,))


def test_mean_of_nothing_is_refused():
    with pytest.raises(DataError, match="no scores to take the mean of"):
        mean_scores(())


def test_scores_of_another_kind_are_refused():
    document = REPORT.to_dict() | {"scores": [{"kind": "Other", "schema": 1}]}
    with pytest.raises(DataError, match="not a RetrievalScores"):
        RetrievalReport.from_dict(document)
