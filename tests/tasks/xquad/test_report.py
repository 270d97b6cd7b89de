"""Tables and pictures of question answering from reports made by hand."""

from __future__ import annotations

import pytest

from otembed.errors import ConfigError, DataError
from otembed.results.outcomes import Outcomes, digest_of
from otembed.tasks.xquad.plot import plot_questions
from otembed.tasks.xquad.report import AnswerScores, QuestionReport, QuestionScores, SpanReport, SpanScores

ACCURACY = {("en", "en"): 0.9, ("en", "ar"): 0.5, ("ar", "en"): 0.4, ("ar", "ar"): 0.7}


def retrieval(**changes):
    cells = tuple(QuestionScores("paragraph", *pair, 10, 20, x, x / 2, x / 3, 1.0) for pair, x in ACCURACY.items())
    answers = tuple(
        AnswerScores(code, 10, 40, share, share / 2, {"en": 1.0, "ar": 0.0}, {"en": 0.75, "ar": 0.25})
        for code, share in (("en", 0.6), ("ar", 0.2))
    )
    settings = {"query_prompt": "query: ", "passage_prompt": "", "candidate": "sentence", "max_seq_length": 64}
    numbers = {"limit": None, "encoding_seconds": 99.0, "scoring_seconds": 1.0}
    values = {"scores": cells} | settings | numbers | changes
    return QuestionReport("m|n", {"en": "a", "ar": "b"}, answers=answers, **values)


def spans(name="m", shift=0.0, **changes):
    scores = (SpanScores("en", 10, 0.5 + shift, 0.25, 12, 0), SpanScores("ar", 10, 0.25, 0.125, 12, 1))
    settings = {"normalization": "squad", "learning_rate": 3e-5, "max_length": 48}
    settings |= {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
    values = {"training_data": "stand-in: x.json", "training_questions": 1234, "training_windows": 2000}
    values |= {"data": {"en": "a", "ar": "b"}, "limit": 10, "steps": 60, "losses": {}}
    values |= {"training_seconds": 1.0, "prediction_seconds": 1.0}
    return SpanReport(model=name, scores=scores, settings=settings, **(values | changes))


def test_rows_are_cells_and_means():
    matrix, answers, means = retrieval().tables()
    assert matrix.columns == ("question", "en", "ar")
    assert matrix.rows == (("en", "90.0", "50.0"), ("ar", "40.0", "70.0"))
    assert means.rows == (
        ("paragraph, within languages", "80.0", "40.0", "26.7", "100.0"),
        ("paragraph, across languages", "45.0", "22.5", "15.0", "100.0"),
    )
    assert answers.rows == (
        ("en", "60.0", "30.0", "75.0", "25.0"),
        ("ar", "20.0", "10.0", "75.0", "25.0"),
        ("mean", "40.0", "20.0", "", ""),
    )
    assert retrieval().table() == means


def test_notes_list_what_figures_depend_on():
    (note,) = retrieval(limit=7).table().notes
    for part in ("'query: '", "64 tokens", "encoded as sentence", "7 questions", "1.0% of the time"):
        assert part in note
    assert [bool(table.notes) for table in retrieval().tables()] == [False, False, True]
    assert [bool(table.notes) for table in retrieval(scores=()).tables()] == [True]
    note = " ".join(spans().table().notes)
    for part in ("squad normalization", "1,234 training questions", "60 steps of 4", "windows of 48", "stand-in"):
        assert part in note
    assert "stand-in" not in " ".join(spans(training_data="SQuAD v1.1").table().notes)


def test_span_tables_show_reports_side_by_side():
    assert spans().table().rows[-1] == ("mean", "20", "37.5", "18.8")
    assert spans().table().title == "m: spans, trained on stand-in: x.json"
    both = spans().table(spans("n", 0.1))
    assert both.columns == ("language", "questions", "m F1", "m exact match", "n F1", "n exact match")
    assert both.rows[0] == ("en", "10", "50.0", "25.0", "60.0", "25.0")


def test_span_tables_of_other_questions_of_the_same_number_are_rejected():
    def of(text):
        return spans(outcomes=(Outcomes("xquad", "span/en", "f1", digest_of([text]), (1,)),))

    assert of("a").table(of("a")).rows
    with pytest.raises(DataError, match="xquad span/en has other examples"):
        of("a").table(of("b"))


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_maps_are_drawn_for_the_contents_of_a_report(tmp_path, suffix):
    pytest.importorskip("matplotlib")
    path = tmp_path / f"maps{suffix}"
    plot_questions(retrieval(), path)
    raw = path.read_bytes()
    assert raw.startswith(b"\x89PNG") if suffix == ".png" else b"language of the top 20" in raw
    with pytest.raises(ConfigError, match=r"maps\.pdf"):
        plot_questions(retrieval(), tmp_path / "maps.pdf")


def test_other_reports_are_rejected():
    with pytest.raises(DataError, match="SpanReport"):
        QuestionReport.from_dict(spans().to_dict())
