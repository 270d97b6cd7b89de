"""Reports of bitext retrieval: means, tables, and JSON that rebuilds the scores."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from otembed.errors import DataError
from otembed.results.outcomes import Outcomes, digest_of
from otembed.tasks.retrieval.report import RetrievalReport, RetrievalScores, mean_scores

FIRST = RetrievalScores("de-en", 10, 0.5, 0.7, 0.4, 0.6, 0.3, 0.2)
SECOND = RetrievalScores("es-en", 2, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, margin_k=2)
REPORT = RetrievalReport("tiny", (FIRST, SECOND), 1.5)

WAYS = ("source_to_target", "target_to_source")


def test_means_weight_pairs_equally_and_sum_sentences():
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


def test_centered_mean_requires_centered_scores():
    assert REPORT.centered_mean is None
    assert RetrievalReport("tiny", (FIRST,), 1.5, (SECOND,)).centered_mean == mean_scores((SECOND,))


def test_mean_of_no_scores_is_rejected():
    with pytest.raises(DataError):
        mean_scores(())


def test_other_scores_are_rejected():
    document = REPORT.to_dict() | {"scores": [{"kind": "Other", "schema": 1}]}
    with pytest.raises(DataError, match=r"RetrievalScores.*Other"):
        RetrievalReport.from_dict(document)


def scores(pair, accuracy, margin_k=4):
    return RetrievalScores(pair, 1000, accuracy, 1.0, accuracy, accuracy, 1 - accuracy, 1 - accuracy, margin_k)


BEFORE = RetrievalReport("offline:multilingual-e5-small", (scores("en-sw", 0.7), scores("en-de", 0.9)), 3.0)
AFTER = RetrievalReport("runs/best/model", (scores("en-sw", 0.7346), scores("en-de", 1.0)), 3.0)


def test_table_of_one_report_has_a_row_per_pair_and_the_mean():
    table = BEFORE.table()
    assert table.columns == ("pair", "sentences", "src→tgt", "tgt→src", "F1", "xSIM")
    assert table.rows == (
        ("en-sw", "1000", "70.0", "100.0", "70.0", "30.0"),
        ("en-de", "1000", "90.0", "100.0", "90.0", "10.0"),
        ("mean", "2000", "80.0", "100.0", "80.0", "20.0"),
    )
    assert table.title == BEFORE.model
    # Figures without a direction in their heading.
    assert BEFORE.scores[0].f1 == sum(getattr(BEFORE.scores[0], f"f1_{way}") for way in WAYS) / 2
    assert BEFORE.scores[0].xsim == sum(getattr(BEFORE.scores[0], f"xsim_{way}") for way in WAYS) / 2
    assert "F1 and xSIM are means of both directions" in " ".join(table.notes)
    assert len(RetrievalReport("m", (FIRST,), 1.0).table().rows) == 1


def test_table_of_two_reports_shows_the_change_within_80_columns():
    table = BEFORE.table(AFTER)
    assert table.rows[0] == ("en-sw", "70.0→73.5 +3.5", "100.0→100.0 +0.0", "70.0→73.5 +3.5", "30.0→26.5 -3.5")
    stream = io.StringIO()
    Console(file=stream, width=80).print(table)
    assert "…" not in stream.getvalue()
    assert max(map(len, stream.getvalue().splitlines())) <= 80


def test_centered_scores_have_their_own_table():
    report = RetrievalReport("m", (scores("en-sw", 0.5),), 1.0, (scores("en-sw", 0.6),))
    plain, centered = report.tables()
    assert (plain.rows[0][2], centered.rows[0][2]) == ("50.0", "60.0")
    assert centered.title == "m, centered"


@pytest.mark.parametrize(
    "other",
    [
        (scores("en-sw", 0.7),),
        (scores("en-sw", 0.7), scores("en-fr", 0.9)),
        (scores("en-sw", 0.7), scores("en-de", 0.9, margin_k=2)),
    ],
    ids=["fewer", "others", "margin"],
)
def test_reports_on_different_data_are_not_compared(other):
    with pytest.raises(DataError, match=r"en-sw \(1000 sentences, k=4\)"):
        BEFORE.table(RetrievalReport("m", other, 1.0))


@pytest.mark.parametrize(("centered", "hint"), [(True, "--center"), (False, "language pair")])
def test_missing_scores_are_rejected(centered, hint):
    with pytest.raises(DataError, match=hint):
        RetrievalReport("m", (), 1.0).table(centered=centered)


def test_reports_of_other_sentences_of_the_same_number_are_not_compared():
    def of(text):
        outcomes = (Outcomes("retrieval", "en-sw", "accuracy", digest_of([text]), (1,)),)
        return RetrievalReport("m", (scores("en-sw", 0.7),), 1.0, (scores("en-sw", 0.8),), outcomes)

    assert of("a").table(of("a")).rows
    for centered in (False, True):
        with pytest.raises(DataError, match="retrieval en-sw has other examples"):
            of("a").table(of("b"), centered=centered)
