"""The card's section: figures of the reports, counted here again, and its place in the card."""

from __future__ import annotations

from dataclasses import replace

import pytest

from otembed.tasks.retrieval.report import RetrievalReport, RetrievalScores
from otembed.training.card_section import BEFORE, HEADING, card_section, with_section
from otembed.training.curve import InterpolationCurve, SharePoint
from otembed.training.result import TrainResult


def report(accuracy):
    scores = tuple(
        RetrievalScores(pair, 40, accuracy, accuracy, accuracy, accuracy, 1 - accuracy, 1 - accuracy)
        for pair in ("en-sw", "en-ar")
    )
    centered = tuple(replace(one, accuracy_source_to_target=accuracy + 0.05) for one in scores)
    return RetrievalReport("m", scores, 1.0, centered)


RESULT = TrainResult(
    run="r", model="m", steps=12, epochs=1.5, best_step=9, seconds=2.0, training_seconds=1.0, parameters=10,
    trained_parameters=5, pairs={}, last_log={}, before=report(0.5), after=report(0.75),
)  # fmt: skip


def test_section_has_tables_layer_and_settings():
    text = card_section(RESULT, "a: 1\n", "9.9", 7, [(6, 0.25), (7, 0.5)])
    assert "otembed 9.9: 12 steps, 1.5 epochs; " in text
    assert "| en-sw | 50.0→75.0 +25.0 | 50.0→75.0 +25.0 | 50.0→75.0 +25.0 | 50.0→25.0 -25.0 |" in text
    assert "| en-ar | 55.0→80.0 +25.0 | 50.0→75.0 +25.0 |" in text
    assert RESULT.before.table(RESULT.after).markdown().strip() in text
    assert "step 9" in text
    assert "Held-out pairs: en-sw 40, en-ar 40." in text
    assert "Layer 7, which" in text
    assert "| layer | 6 | 7 |\n| --- | ---: | ---: |\n| score | 0.250 | 0.500 |\n" in text
    assert "```yaml\na: 1\n```" in text


def test_missing_measurements_are_noted_or_omitted():
    text = card_section(replace(RESULT, before=None, after=None, best_step=None), "a: 1\n", "9.9", None)
    assert "no pairs were held out" in text
    assert "1.5 epochs.\n" in text
    assert "Word alignment" not in text
    plain = replace(RESULT, before=replace(RESULT.before, centered_scores=()))
    assert "centered" not in card_section(plain, "a: 1\n", "9.9", 7)


@pytest.mark.parametrize(("own", "said"), [(512, "truncates them at 512."), (None, "does not truncate them.")])
def test_shorter_sentences_than_the_models_limit_are_noted(own, said):
    text = card_section(RESULT, "a: 1\n", "9.9", 7, truncated_at=128, own_limit=own)
    assert f"truncated at 128 tokens, as in training; the model itself {said}" in text
    assert "truncated" not in card_section(RESULT, "a: 1\n", "9.9", 7, own_limit=own)


def test_curve_before_centering_is_told_apart_from_the_figures_of_the_centered_model():
    curve = InterpolationCurve(0.5, False, (SharePoint(0.5, 0.5, -0.1, 0.1, True, None, 0.5, 2.0),))
    plain = replace(RESULT, interpolation=curve)
    assert "mean of pairs and directions; to the best" in card_section(plain, "a: 1\n", "9.9", 7)
    centered = replace(plain, mean_lengths={"all": 0.9})
    assert "directions, before centering; to the best" in card_section(centered, "a: 1\n", "9.9", 7)


@pytest.mark.parametrize("rest", [f"{BEFORE}\nrows\n## Citation\nx\n", ""])
def test_section_appears_once_before_the_training_details(rest):
    section = f"{HEADING}\n\n### Settings\n\nnew\n"
    card = with_section(f"# Model\n\ntext\n\n{rest}", section)
    assert card.index("text") < card.index(HEADING)
    if rest:
        assert card.index(HEADING) < card.index(BEFORE) < card.index("## Citation")
    again = with_section(card, section.replace("new", "newer"))
    assert again == card.replace("new", "newer")
