"""Tables and pictures of question answering from reports made by hand."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from rich.console import Console

from otembed.errors import ConfigError, DataError
from otembed.results.plots import plot_questions
from otembed.tasks.xquad import SpanReport, SpanScores
from otembed.tasks.xquad.report import AnswerScores, QuestionReport, QuestionScores
from otembed.tasks.xquad.table import markdown, question_caption, question_rows, span_caption, span_rows, span_table

ACCURACY = {("en", "en"): 0.9, ("en", "ar"): 0.5, ("ar", "en"): 0.4, ("ar", "ar"): 0.7}


def retrieval(**knobs):
    cells = tuple(QuestionScores("paragraph", *pair, 10, 20, x, x / 2, x / 3, 1.0) for pair, x in ACCURACY.items())
    answers = tuple(
        AnswerScores(code, 10, 40, share, share / 2, {"en": 1.0, "ar": 0.0}, {"en": 0.75, "ar": 0.25})
        for code, share in (("en", 0.6), ("ar", 0.2))
    )
    settings = {"query_prompt": "query: ", "passage_prompt": "", "candidate": "sentence", "max_seq_length": 64}
    numbers = {"limit": None, "encoding_seconds": 99.0, "scoring_seconds": 1.0}
    return QuestionReport("m|n", {"en": "a", "ar": "b"}, cells, answers, **(settings | numbers | knobs))


def spans(name="m", shift=0.0, **knobs):
    scores = (SpanScores("en", 10, 0.5 + shift, 0.25, 12, 0), SpanScores("ar", 10, 0.25, 0.125, 12, 1))
    settings = {
        "normalization": "squad",
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 2,
        "learning_rate": 3e-5,
        "max_length": 48,
    }
    values = {"training_data": "stand-in: x.json", "training_questions": 1234, "training_windows": 2000}
    values |= {"data": {"en": "a", "ar": "b"}, "limit": 10, "steps": 60, "losses": {}}
    values |= {"training_seconds": 1.0, "prediction_seconds": 1.0}
    return SpanReport(model=name, scores=scores, settings=settings, **(values | knobs))


def test_rows_are_the_cells_and_plain_means():
    tables = list(question_rows(retrieval()).values())
    assert tables[0] == [["question", "en", "ar"], ["en", "90.0", "50.0"], ["ar", "40.0", "70.0"]]
    assert tables[1][1:] == [
        ["paragraph, within languages", "80.0", "40.0", "26.7", "100.0"],
        ["paragraph, across languages", "45.0", "22.5", "15.0", "100.0"],
    ]
    assert tables[2][1:] == [
        ["en", "60.0", "30.0", "75.0", "25.0"],
        ["ar", "20.0", "10.0", "75.0", "25.0"],
        ["mean", "40.0", "20.0", "", ""],
    ]


def test_captions_hold_what_figures_depend_on():
    caption = question_caption(retrieval(limit=7))
    for part in ("'query: '", "cut at 64 tokens", "encoded as sentence", "7 questions", "took 1.0% of the time"):
        assert part in caption
    caption = span_caption(spans())
    for part in ("squad normalization", "1,234 training questions", "60 steps of 4", "windows of 48", "stand-in"):
        assert part in caption
    assert "stand-in" not in span_caption(spans(training_data="SQuAD v1.1"))


def test_span_rows_set_reports_side_by_side():
    assert span_rows([spans()])[-1] == ["mean", "20", "37.5", "18.8"]
    assert span_rows([spans(), spans("n", 0.1)])[:2] == [
        ["language", "questions", "m F1", "m exact match", "n F1", "n exact match"],
        ["en", "10", "50.0", "25.0", "60.0", "25.0"],
    ]
    console = Console(width=100)
    with console.capture() as captured:
        console.print(span_table(spans()))
    assert captured.get().startswith("m: spans, trained on stand-in: x.json\n")


def test_markdown_escapes_bars():
    assert markdown([["a|b"], ["c"]]) == "| a\\|b |\n| --- |\n| c |\n"


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_maps_are_drawn_for_what_a_report_holds(tmp_path, suffix):
    pytest.importorskip("matplotlib")
    path = tmp_path / f"maps{suffix}"
    plot_questions(retrieval(), path)
    raw = path.read_bytes()
    assert raw.startswith(b"\x89PNG") if suffix == ".png" else b"language of the best 20" in raw
    with pytest.raises(ConfigError, match=r"a picture is \.png or \.svg"):
        plot_questions(retrieval(), tmp_path / "maps.pdf")


def test_reports_of_another_kind_are_refused():
    with pytest.raises(DataError, match="not a QuestionReport: found kind 'SpanReport'"):
        QuestionReport.from_dict(spans().to_dict())


def test_the_benchmark_sets_before_and_after_beside_each_other():
    place = Path(__file__).parents[3] / "benchmarks" / "transfer.py"
    specification = spec_from_file_location("transfer", place)
    script = module_from_spec(specification)
    specification.loader.exec_module(script)
    means, matrix, answers = script.tables(retrieval().to_dict(), retrieval().to_dict())
    assert "| paragraph, across languages | 45.0 | 45.0 | +0.0 |" in means
    assert "| en | 90.0 → 90.0 | 50.0 → 50.0 |" in matrix
    assert "| ar | 20.0 | 20.0 | +0.0 | 25.0 | 25.0 |" in answers
    (table,) = script.tables(spans().to_dict(), spans("n", 0.1).to_dict())
    assert "| en | 10 | 50.0 | 60.0 | +10.0 | 25.0 | 25.0 | +0.0 |" in table
    assert "| mean | 20 | 37.5 | 42.5 | +5.0 | 18.8 | 18.8 | +0.0 |" in table
    document = {"model": "a/b", "data": {"en": "/c/d.json"}, "losses": [1.5], "outcomes": [1]}
    assert script.stored(document) == {"model": "b", "data": {"en": "d.json"}, "losses": [1.5]}
