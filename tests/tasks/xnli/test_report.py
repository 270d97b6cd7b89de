"""The table of two reports: every figure is one of them, rounded once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from otembed.errors import DataError
from otembed.results.outcomes import Outcomes, digest_of
from otembed.tasks.xnli.report import XnliReport, XnliScore


def report(en, sw, dev, **changes):
    scores = (XnliScore("en", 1000, en, 1 / 3), XnliScore("sw", 1000, sw, 0.4))
    made = XnliReport("m", "probe", scores, dev, {"mnli": False, "dev_pairs": 9}, {}, 1.0)
    return replace(made, **changes)


def test_markdown_of_one_report():
    assert report(0.5, 0.4321, 0.6).table().markdown() == (
        "| language | pairs | accuracy, stand-in | majority |\n| --- | ---: | ---: | ---: |\n"
        "| en | 1,000 | 50.0 | 33.3 |\n| sw | 1,000 | 43.2 | 40.0 |\n| mean | 2,000 | 46.6 |  |\n"
        "| development | 9 | 60.0 |  |\n"
    )


def test_markdown_of_two_reports():
    before, after = report(0.5, 0.4, 0.6), report(0.49, 0.45, 0.6, trained_languages=("sw",))
    rows = before.table(after).markdown().splitlines()[2:]
    assert rows == [
        "| en | 1,000 | 50.0→49.0 -1.0 | 33.3 |",
        "| sw (trained) | 1,000 | 40.0→45.0 +5.0 | 40.0 |",
        "| mean | 2,000 | 45.0→47.0 +2.0 |  |",
        "| mean of the trained |  | 40.0→45.0 +5.0 |  |",
        "| development | 9 | 60.0→60.0 +0.0 |  |",
    ]
    mnli = {"mnli": True, "dev_pairs": 9}
    assert "stand-in" not in replace(before, training=mnli).table(replace(after, training=mnli)).markdown()


def test_reports_on_different_data_are_rejected():
    for change in ({"protocol": "finetune"}, {"training": {"mnli": True, "dev_pairs": 9}}, {"scores": ()}):
        with pytest.raises(DataError, match="same protocol"):
            report(0.5, 0.4, 0.6).table(report(0.5, 0.4, 0.6, **change))


def test_reports_of_other_pairs_of_the_same_number_are_rejected():
    def of(text):
        return report(0.5, 0.4, 0.6, outcomes=(Outcomes("xnli", "sw", "accuracy", digest_of([text]), (1,)),))

    assert of("a").table(of("a")).rows
    with pytest.raises(DataError, match="xnli sw has other examples"):
        of("a").table(of("b"))
