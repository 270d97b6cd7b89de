"""Contextual word retrieval against brute force in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from otembed.config import WordAlignmentConfig
from otembed.tasks.word_alignment import AlignmentReport, GoldSentence, evaluate_alignment, score_word_retrieval
from otembed.tasks.word_alignment.word_retrieval import one_to_one
from otembed.words.vectors import WordVectors

LAYER = 3


def made(seed, pairs=30, noise=0.6, unseen=0.0):
    """Random sentences: target vectors are noisy copies of the source's, in another order, with an offset."""
    draw = np.random.default_rng(seed)
    source, target, gold, sentences = [], [], [], ([], [])
    for _ in range(pairs):
        size = int(draw.integers(1, 9))
        order = draw.permutation(size)
        x = draw.normal(size=(size, 8)) + 2
        y = x[order] + noise * draw.normal(size=x.shape) - 5
        sure = {(int(order[j]), j) for j in range(size)}
        sure |= {(0, int(draw.integers(size)))}  # some words have two sure links
        gold.append(GoldSentence(frozenset(sure), frozenset(sure | {(0, 0)})))
        for side, vectors, words in ((source, x, sentences[0]), (target, y, sentences[1])):
            seen = torch.from_numpy(draw.random(size) >= unseen)
            values = torch.from_numpy(vectors).float() * seen[:, None]
            side.append(WordVectors({LAYER: values}, seen))
            words.append([f"w{n}" for n in range(size)])
    return (*sentences, gold), source, target


def brute_force(gold_set, source, target, centered):
    """Right or wrong for each one-to-one link by pair, in both directions, word by word."""
    right = {"source": [], "target": []}
    words = [
        [(pair, place, vectors.layers[LAYER][place].double().numpy()) for pair, vectors in enumerate(side) for place in range(len(vectors.seen)) if vectors.seen[place]]
        for side in (source, target)
    ]  # fmt: skip
    if centered:
        # With few words on a side, as in word alignment, the joint mean of both.
        few = min(map(len, words)) < 100
        means = [np.mean([each[2] for each in (words[0] + words[1] if few else side)], axis=0) for side in words]
        words = [
            [(pair, place, vector - mean) for pair, place, vector in side]
            for side, mean in zip(words, means, strict=True)
        ]
    for pair, each in enumerate(gold_set[2]):
        for i, j in each.sure:
            if sum(a == i for a, _ in each.sure) > 1 or sum(b == j for _, b in each.sure) > 1:
                continue
            for name, (own, other), (query, answer) in (
                ("source", words, (i, j)),
                ("target", words[::-1], (j, i)),
            ):
                vector = next((v for p, w, v in own if (p, w) == (pair, query)), None)
                best = None
                if vector is not None:
                    cosines = [v @ vector / np.linalg.norm(v) for _, _, v in other]
                    best = other[int(np.argmax(cosines))][:2]
                right[name].append((pair, best == (pair, answer)))
    return right


@pytest.mark.parametrize(("pairs", "unseen"), [(40, 0.0), (40, 0.2), (10, 0.0)])
def test_scores_and_outcomes_match_brute_force(pairs, unseen):
    gold_set, source, target = made(pairs, pairs, unseen=unseen)
    scores, outcomes = score_word_retrieval(gold_set, source, target, LAYER, name="toy")
    assert [each.key for each in outcomes] == [
        ("alignment", "toy", "word_retrieval"),
        ("alignment", "toy", "word_retrieval_centered"),
    ]
    for centered, outcome in zip((False, True), outcomes, strict=True):
        right = brute_force(gold_set, source, target, centered)
        shares = [np.mean([good for _, good in right[name]]) for name in ("source", "target")]
        found = (
            (scores.centered_source_to_target, scores.centered_target_to_source)
            if centered
            else (scores.source_to_target, scores.target_to_source)
        )
        assert found == pytest.approx(shares)
        assert outcome.value == pytest.approx(np.mean(shares))
        for pair in range(len(gold_set[2])):
            here = [good for name in right for where, good in right[name] if where == pair]
            assert (outcome.values[pair], outcome.weights[pair]) == (sum(here), len(here))
    assert scores.links == len(right["source"])
    assert (scores.source_words, scores.target_words) == tuple(
        sum(int(each.seen.sum()) for each in side) for side in (source, target)
    )
    assert scores.accuracy == pytest.approx(outcomes[0].value)
    assert scores.centered_accuracy == pytest.approx(outcomes[1].value)
    if pairs == 40:
        assert 0 < scores.accuracy < scores.centered_accuracy < 1


def test_links_of_words_with_other_sure_links_are_left_out():
    sure = frozenset({(0, 0), (1, 1), (2, 1), (3, 3)})
    assert one_to_one(GoldSentence(sure, sure | {(0, 3)})) == [(0, 0), (3, 3)]


def test_degenerate_sets_have_figures_without_errors():
    def vectors(*rows):
        return WordVectors({LAYER: torch.tensor(rows)}, torch.ones(len(rows), dtype=torch.bool))

    link = GoldSentence(frozenset({(0, 0)}), frozenset({(0, 0)}))
    # A single word on each side is the mean itself once it is centered.
    scores, (plain, centered) = score_word_retrieval(
        ([["a"]], [["b"]], [link]), [vectors([1.0, 0.0])], [vectors([1.0, 0.0])], LAYER
    )
    assert (plain.value, centered.value, scores.links) == (1, 0, 1)
    none = GoldSentence(frozenset(), frozenset())
    scores, outcomes = score_word_retrieval(
        ([["a"]], [["b"]], [none]), [vectors([1.0, 0.0])], [vectors([1.0, 0.0])], LAYER
    )
    assert (scores.links, scores.accuracy, outcomes) == (0, 0, ())


def sets(words=("the", "cat", "sat", "on", "mat")):
    source = [list(np.roll(words, shift)) for shift in range(4)]
    gold = GoldSentence(frozenset((i, i) for i in range(5)), frozenset((i, i) for i in range(5)))
    return {"same": (source, source, [gold] * 4)}


def test_report_has_both_tables_and_round_trips(tiny_model):
    report = evaluate_alignment(tiny_model, sets(), WordAlignmentConfig(layer=2))
    (one,) = report.retrieval
    # Both sides are equal, and words differ by their position and neighbors.
    assert (one.links, one.accuracy, one.source_words) == (20, 1, 20)
    assert report.word_retrieval == 1
    assert {each.metric for each in report.outcomes} == {"aer", "word_retrieval", "word_retrieval_centered"}
    assert len({each.examples for each in report.outcomes}) == 1
    assert [len(table.rows) for table in report.tables()] == [1, 1]
    assert AlignmentReport.from_json(report.to_json()) == report
    assert report.to_dict()["means"]["word_retrieval"] == 1
    assert report.to_dict()["retrieval"][0]["figures"]["accuracy"] == 1
    without = evaluate_alignment(tiny_model, sets(), WordAlignmentConfig(layer=2), retrieval=False)
    assert (without.retrieval, without.word_retrieval, len(without.tables())) == ((), None, 1)
    assert without.scores == report.scores
    two = evaluate_alignment(tiny_model, sets() | {"more": sets()["same"]}, WordAlignmentConfig(layer=2))
    assert two.retrieval_table().rows[-1][:3] == ("mean", "40", "100.0")


def test_words_are_retrieved_also_when_tokens_are_aligned(tiny_model):
    words, tokens = (
        evaluate_alignment(tiny_model, sets(), WordAlignmentConfig(layer=2, unit=unit))
        for unit in ("word", "token")
    )
    assert tokens.retrieval == words.retrieval
