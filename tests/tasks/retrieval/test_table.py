from __future__ import annotations

import io
import subprocess
import sys

import pytest
from rich.console import Console

from otembed.errors import DataError
from otembed.results.format import percent, points
from otembed.tasks.retrieval.report import RetrievalReport, RetrievalScores
from otembed.tasks.retrieval.table import retrieval_markdown, retrieval_table


def scores(pair: str, accuracy: float, margin_k: int = 4) -> RetrievalScores:
    return RetrievalScores(pair, 1000, accuracy, 1.0, accuracy, accuracy, 1 - accuracy, 1 - accuracy, margin_k)


BEFORE = RetrievalReport("offline:multilingual-e5-small", (scores("en-sw", 0.7), scores("en-de", 0.9)), 3.0)
AFTER = RetrievalReport("runs/[best]/model", (scores("en-sw", 0.7346), scores("en-de", 1.0)), 3.0)


def rendered(*reports: RetrievalReport, centered: bool = False, width: int = 80) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width).print(retrieval_table(*reports, centered=centered))
    return stream.getvalue()


def test_one_report_has_a_row_a_pair_and_the_mean() -> None:
    lines = rendered(BEFORE).splitlines()
    assert [line.split() for line in lines[1:5]] == [
        ["pair", "sentences", "src→tgt", "tgt→src", "F1", "xSIM"],
        ["en-sw", "1000", "70.0", "100.0", "70.0", "30.0"],
        ["en-de", "1000", "90.0", "100.0", "90.0", "10.0"],
        ["mean", "2000", "80.0", "100.0", "80.0", "20.0"],
    ]
    assert "offline:multilingual-e5-small" in lines[0]
    assert "\x1b" not in rendered(BEFORE)


def test_two_reports_show_the_change_in_points_within_80_columns() -> None:
    text = rendered(BEFORE, AFTER)
    assert "70.0→73.5 +3.5  100.0→100.0 +0.0" in text
    assert "90.0→100.0 +10.0" in text
    assert "10.0→0.0 -10.0" in text
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_brackets_in_names_are_no_markup() -> None:
    assert "runs/[best]/model" in rendered(AFTER)


def test_long_names_of_pairs_are_folded_not_cut() -> None:
    long = [RetrievalReport(each.model, (scores("eng_Latn-swh_Latn", 1.0),), 1.0) for each in (BEFORE, AFTER)]
    text = rendered(*long)
    assert "…" not in text
    assert "".join(line[:12].strip() for line in text.splitlines()[2:4]) == "eng_Latn-swh_Latn"


def test_one_pair_needs_no_mean() -> None:
    assert "mean" not in rendered(RetrievalReport("m", (scores("en-sw", 0.5),), 1.0))


def test_centered_scores_are_shown_on_request() -> None:
    report = RetrievalReport("m", (scores("en-sw", 0.5),), 1.0, (scores("en-sw", 0.6),))
    assert "60.0" in rendered(report, centered=True)
    assert "m, centered" in rendered(report, centered=True)
    assert "60.0" not in rendered(report)


def test_markdown_is_the_same_table() -> None:
    assert retrieval_markdown(BEFORE) == (
        "| pair | sentences | src→tgt | tgt→src | F1 | xSIM |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: |\n"
        "| en-sw | 1000 | 70.0 | 100.0 | 70.0 | 30.0 |\n"
        "| en-de | 1000 | 90.0 | 100.0 | 90.0 | 10.0 |\n"
        "| mean | 2000 | 80.0 | 100.0 | 80.0 | 20.0 |\n"
    )
    assert "| en-sw | 70.0→73.5 +3.5 |" in retrieval_markdown(BEFORE, AFTER)


def test_bars_in_names_do_not_split_markdown_cells() -> None:
    assert "| a\\|b | 1000 |" in retrieval_markdown(RetrievalReport("m", (scores("a|b", 0.5),), 1.0))


@pytest.mark.parametrize(
    "other",
    [
        (scores("en-sw", 0.7),),
        (scores("en-sw", 0.7), scores("en-fr", 0.9)),
        (scores("en-sw", 0.7), scores("en-de", 0.9, margin_k=2)),
    ],
    ids=["fewer", "others", "margin"],
)
def test_reports_of_different_material_are_not_compared(other: tuple[RetrievalScores, ...]) -> None:
    with pytest.raises(DataError, match=r"cannot be compared: en-sw \(1000 sentences, k=4\)"):
        retrieval_table(BEFORE, RetrievalReport("m", other, 1.0))


@pytest.mark.parametrize(("centered", "message"), [(True, "m has no centered scores"), (False, "m has no scores")])
def test_missing_scores_are_reported(centered: bool, message: str) -> None:
    with pytest.raises(DataError, match=message):
        retrieval_markdown(RetrievalReport("m", (), 1.0), centered=centered)


def test_figures_are_rounded_once() -> None:
    assert (percent(0.99949), percent(1.0), percent(0.0)) == ("99.9", "100.0", "0.0")
    assert (points(0.70049, 0.70051), points(0.70049, 0.69951)) == ("+0.0", "-0.1")
    assert points(0.5, 0.4999) == "+0.0"


def test_reporting_loads_no_torch() -> None:
    code = "import sys, otembed.tasks.retrieval.table; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
