"""Scores against scikit-learn, and a count by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support

from otembed.errors import DataError
from otembed.tasks.tagging.conllu import TAGS
from otembed.tasks.tagging.scores import MISSING, correct_words, tag_scores

TAG = st.integers(0, len(TAGS) - 1)


@given(st.lists(st.tuples(TAG, st.one_of(TAG, st.just(MISSING))), min_size=1, max_size=60))
def test_scores_match_scikit_learn(pairs):
    gold, found = map(list, zip(*pairs, strict=True))
    scores = tag_scores(gold, found)
    assert scores.accuracy == pytest.approx(accuracy_score(gold, found))
    present = sorted(set(gold))
    assert scores.macro_f1 == pytest.approx(f1_score(gold, found, labels=present, average="macro", zero_division=0))
    assert scores.majority == np.bincount(gold).max() / len(gold)
    assert scores.missing == found.count(MISSING)
    labels = [TAGS.index(name) for name in scores.tags]
    assert set(labels) == (set(gold) | set(found)) - {MISSING}
    expected = precision_recall_fscore_support(gold, found, labels=labels, zero_division=0)
    for place, each in enumerate(scores.tags.values()):
        assert (each.precision, each.recall, each.f1) == pytest.approx([row[place] for row in expected[:3]])
        assert (each.words, each.predicted) == (expected[3][place], found.count(labels[place]))


def test_missing_predictions_lower_recall_but_not_precision():
    scores = tag_scores([7, 7, 7, 15], [7, MISSING, MISSING, 15])
    assert scores.accuracy == 0.5
    assert scores.tags["NOUN"][2:] == (1.0, 1 / 3, 0.5)
    assert scores.macro_f1 == 0.75


def test_correct_words_per_sentence_sum_to_the_accuracy():
    draw = np.random.default_rng(0)
    lengths = draw.integers(1, 9, 30)
    gold, found = draw.integers(0, 3, (2, lengths.sum()))
    right = correct_words(gold, found, lengths)
    ends = np.cumsum(lengths)
    assert right == [
        int((gold[end - size : end] == found[end - size : end]).sum())
        for end, size in zip(ends, lengths, strict=True)
    ]
    assert sum(right) / lengths.sum() == pytest.approx(tag_scores(gold, found).accuracy)


@pytest.mark.parametrize(("gold", "found"), [([], []), ([1], []), ([1], [1, 2])])
def test_mismatched_counts_are_rejected(gold, found):
    with pytest.raises(DataError, match=rf"{len(found)} .*{len(gold)} words"):
        tag_scores(gold, found)
