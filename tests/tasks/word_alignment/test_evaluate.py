"""AER and its parts against hand counts and their definition; the report and the evaluator's contract."""

from __future__ import annotations

import csv
import random

import numpy as np
import pytest

from otembed.config import WordAlignmentConfig
from otembed.errors import DataError, NumericsError
from otembed.tasks.word_alignment import (
    AlignmentReport,
    GoldSentence,
    WordAlignmentEvaluator,
    alignment_scores,
    evaluate_alignment,
)
from otembed.words import align
from tests.tasks.selecting import train_selecting

WORDS = ["cat", "sat", "Matte", "Haus", "schlief"]
EMBEDDINGS = WordAlignmentConfig(layer=0, center=False, order_prior=0.0, decoding="mutual")
METRICS = {"alignment_accuracy", "aer", "precision", "recall", "f1"}


def gold_set():
    """Two sentences of equal words, the second turned round; the gold misses a link and has one that is wrong."""
    sure = [{(k, k) for k in range(5)}, {(k, 4 - k) for k in range(4)} | {(0, 0)}]
    gold = [GoldSentence(frozenset(each), frozenset(each)) for each in sure]
    return [WORDS, WORDS], [WORDS, WORDS[::-1]], gold


def test_counts_match_a_hand_count():
    """Made: 3 links of which 1 is sure and 2 are possible, in sentence 1; none in sentence 2, where 2 are sure."""
    gold = [
        GoldSentence(frozenset({(0, 0)}), frozenset({(0, 0), (1, 1)})),
        GoldSentence(frozenset({(0, 0), (1, 0)}), frozenset({(0, 0), (1, 0)})),
    ]
    scores = alignment_scores([[(0, 0), (1, 1), (2, 2)], []], gold)
    assert scores.precision == pytest.approx(2 / 3)
    assert scores.recall == pytest.approx(1 / 3)
    assert scores.f1 == pytest.approx(4 / 9)
    assert scores.aer == pytest.approx(1 - (1 + 2) / (3 + 3))
    assert (scores.links, scores.sure, scores.possible) == (3, 3, 4)


def test_figures_match_their_definition_on_random_links():
    generator = random.Random(0)
    cells = [(s, i, j) for s in range(20) for i in range(6) for j in range(6)]
    for share in (0.0, 0.1, 0.6):
        a, s, p = ({cell for cell in cells if generator.random() < rate} for rate in (share, 0.15, 0.2))
        p |= s

        def rows(links):
            return [frozenset((i, j) for row, i, j in links if row == sentence) for sentence in range(20)]

        gold = [GoldSentence(*each) for each in zip(rows(s), rows(p), strict=True)]
        scores = alignment_scores(rows(a), gold)
        assert scores.aer == pytest.approx(1 - (len(a & s) + len(a & p)) / (len(a) + len(s)))
        assert scores.precision == pytest.approx(len(a & p) / len(a) if a else 0)
        assert scores.recall == pytest.approx(len(a & s) / len(s))


def test_no_links_give_zeros():
    empty = alignment_scores([[]], [GoldSentence(frozenset(), frozenset())])
    assert (empty.precision, empty.recall, empty.f1, empty.aer) == (0, 0, 0, 0)


@pytest.mark.parametrize(("links", "gold"), [([], []), ([[]], [])])
def test_mismatched_counts_are_rejected(links, gold):
    with pytest.raises(DataError, match=r"gold: \d .*0"):
        alignment_scores(links, gold)


def test_report_scores_the_links_of_the_aligner(tiny_model):
    source, target, gold = gold_set()
    report = evaluate_alignment(tiny_model, {"one": gold_set(), "two": gold_set()}, EMBEDDINGS, name="tiny")
    found = align(source, target, model=tiny_model, layer=0, center=False, order_prior=0.0, decoding="mutual")
    links = [[(link.source, link.target) for link in each.links] for each in found]
    assert report.scores == (alignment_scores(links, gold, name="one"), alignment_scores(links, gold, name="two"))
    # All ten links are made; the gold has ten, one of them elsewhere: 1 - 2 * 9 / 20.
    assert report.aer == pytest.approx(0.1)
    assert (report.layer, report.layer_origin, report.unseen, report.model) == (0, "given", 0, "tiny")
    assert report.settings["decoding"] == "mutual"
    assert AlignmentReport.from_json(report.to_json()) == report


def test_one_layer_is_used_for_all_sets(tiny_model):
    words = ["cat", "dog", "mat", "house", "sat", "slept", "the", "on"]
    text = [[words[row % 8], words[row // 8], *words] for row in range(64)]
    sets = {"small": gold_set(), "large": (text, text, gold_set()[2][:1] * len(text))}
    assert evaluate_alignment(tiny_model, sets).layer_origin == "default"
    assert evaluate_alignment(tiny_model, dict(reversed(sets.items()))).layer_origin == "text"


def test_truncated_words_are_counted(tiny_model):
    tiny_model.max_seq_length = 5
    report = evaluate_alignment(tiny_model, {"gold": gold_set()}, EMBEDDINGS)
    assert report.unseen > 0
    assert report.scores[0].links < 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s, t, g: (s, t[:1], g), "gold: 2 .*1 .*2"),
        (lambda s, t, g: ([], [], []), "gold: 0 "),
        (lambda s, t, g: (s, ["a b", "c"], g), "gold: sentence 1 "),
    ],
)
def test_mismatched_sets_are_rejected(tiny_model, change, message):
    with pytest.raises(DataError, match=message):
        evaluate_alignment(tiny_model, {"gold": change(*gold_set())})
    with pytest.raises(DataError, match=message):
        WordAlignmentEvaluator(*change(*gold_set()))


def test_no_set_and_diverged_model_are_rejected(tiny_model):
    with pytest.raises(DataError, match="at least one set"):
        evaluate_alignment(tiny_model, {})
    next(tiny_model.parameters()).data.fill_(float("nan"))
    with pytest.raises(NumericsError, match="NaN or infinity"):
        evaluate_alignment(tiny_model, {"gold": gold_set()})


def test_evaluator_follows_the_contract(tiny_model, tmp_path):
    judge = WordAlignmentEvaluator(*gold_set(), name="de/en", config=EMBEDDINGS)
    assert (judge.primary_metric, judge.greater_is_better, judge.description) == (
        "alignment_accuracy",
        True,
        "Word Alignment",
    )
    metrics = judge(tiny_model, str(tmp_path), epoch=1, steps=10)
    assert set(metrics) == {f"de/en_{name}" for name in METRICS}
    assert all(type(value) is float for value in metrics.values())
    assert metrics["de/en_alignment_accuracy"] == pytest.approx(0.9)
    assert judge.primary_metric == "de/en_alignment_accuracy"
    assert tiny_model.model_card_data.eval_results_dict[judge] == metrics
    assert judge.get_config_dict()["layer"] == 0
    judge(tiny_model, str(tmp_path), epoch=2, steps=20)
    with (tmp_path / "word_alignment_de_en_results.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert set(rows[0]) == METRICS | {"epoch", "steps"}
    assert float(rows[1]["aer"]) == metrics["de/en_aer"]


def test_csv_file_is_optional(tiny_model, tmp_path):
    WordAlignmentEvaluator(*gold_set(), config=EMBEDDINGS, write_csv=False)(tiny_model, str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_trainer_selects_by_the_metric_and_the_card_shows_it(tiny_model, tmp_path):
    sentences = [" ".join(np.roll(WORDS, shift)) for shift in range(4)]
    judge = WordAlignmentEvaluator(*gold_set(), config=EMBEDDINGS)
    metric = "eval_gold_alignment_accuracy"
    trainer = train_selecting(tiny_model, (sentences, sentences), judge, metric, tmp_path)
    assert trainer.state.best_metric is not None
    tiny_model.save_pretrained(str(tmp_path / "final"))
    assert "Word Alignment" in (tmp_path / "final" / "README.md").read_text(encoding="utf-8")
