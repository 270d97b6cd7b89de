"""Tables of a comparison: what stands in them, and that names cannot break them."""

import json
import re
from io import StringIO

import pytest
from rich.console import Console

from otembed.comparison import compare
from otembed.comparison.tables import (
    comparison_latex,
    comparison_markdown,
    comparison_rows,
    comparison_table,
    legend,
)
from otembed.results.outcomes import Outcomes


@pytest.fixture
def found(tmp_path):
    """Make a comparison of planted results under the given names."""

    def make(*names, task="en_sw", suite="retrieval"):
        places = []
        for row, name in enumerate(names):
            share = 100 + 20 * row
            outcomes = [
                Outcomes(suite, each, metric, each, (1,) * right + (0,) * (200 - right), higher_is_better=higher)
                for each in (task, "en-ar")
                for metric, right, higher in (("accuracy", share, True), ("xsim", 200 - share, False))
            ]
            document = {"kind": "RetrievalReport", "outcomes": [vars(each) for each in outcomes]}
            path = tmp_path / f"{row}.json"
            path.write_text(json.dumps(document))
            places.append(f"{name}={path}")
        return compare(*places, resamples=200)

    return make


def test_rows_have_points_and_verdict(found):
    heading, first, *_ = comparison_rows(found("one", "two"))
    assert heading[3:8] == ["n", "A", "B", "B - A", "95 % interval"]
    assert first[:7] == ["retrieval", "en_sw", "accuracy", "200", "50.0", "60.0", "+10.0"]
    assert re.fullmatch(r"\+\d+\.\d to \+\d+\.\d", first[7])
    assert first[8] == "better"


def test_means_follow_their_tasks_and_other_metrics_are_optional(found):
    comparison = found("one", "two")
    assert [row[1] for row in comparison_rows(comparison)[1:]] == ["en_sw", "en-ar", "mean"]
    every = comparison_rows(comparison, every=True)[1:]
    assert [row[2] for row in every] == ["accuracy"] * 3 + ["xsim ↓"] * 3
    assert [(row[6], row[8]) for row in every[3:]] == [("-10.0", "better")] * 3


def test_several_models_are_labeled_by_letters(found):
    comparison = found("one", "two", "three")
    heading, *rows = comparison_rows(comparison)
    assert heading[5:8] == ["model", "figure", "minus A"]
    assert [(row[5], row[7]) for row in rows[:2]] == [("B", "+10.0"), ("C", "+20.0")]
    assert legend(comparison) == ["A  one", "B  two", "C  three"]


def test_terminal_table_fits_100_columns(found):
    console = Console(width=100, file=StringIO())
    console.print(comparison_table(found("one", "two", task="en-sw, centered")))
    lines = console.file.getvalue().splitlines()
    assert [line.split()[-1] for line in lines if line.startswith("retrieval")] == ["better", "better"]
    assert "paired bootstrap, 200 resamples" in " ".join(" ".join(lines).split())


def test_markdown_stays_a_table_for_any_name(found):
    text = comparison_markdown(found("a|b <i>*x*", "[two](y)", task="x|y"))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {10}
    assert "a\\|b \\<i\\>\\*x\\*" in text
    assert "\\[two\\](y)" in text


def test_latex_has_booktabs_rules_and_escapes_specials(found):
    text = comparison_latex(found("50%\nof", "b", task="a_b & {c}$"), every=True)
    body = [line for line in text.splitlines() if not line.startswith("%")]
    assert [line for line in body if line.endswith("rule")] == [r"\toprule", r"\midrule", r"\bottomrule"]
    assert {line.count(" & ") for line in body if line.endswith(r"\\")} == {8}
    assert r"a\_b \& \{c\}\$" in text
    assert "$-$10.0" in text
    assert r"xsim $\downarrow$" in text
