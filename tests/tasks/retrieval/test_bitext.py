from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from otembed.errors import ConfigError, DataError, NumericsError
from otembed.tasks.retrieval import bitext_scores
from otembed.tasks.retrieval.bitext import accuracy, error_rate, weighted_f1

FIGURES = ("accuracy", "f1", "xsim")


def clouds(rows: int, dimensions: int, seed: int, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    source = generator.normal(size=(rows, dimensions))
    return source, source + noise * generator.normal(size=source.shape)


def cosines(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    return (source / np.linalg.norm(source, axis=1)[:, None]) @ (target / np.linalg.norm(target, axis=1)[:, None]).T


def xsim_by_hand(table: np.ndarray, k: int) -> float:
    """xSIM, one query at a time: the best ratio among the k nearest candidates."""
    wrong = 0
    for query, row in enumerate(table):
        candidates = sorted(range(len(row)), key=lambda index: -row[index])[:k]
        mean_query = np.mean(sorted(row)[-k:])
        ratios = [row[each] / ((mean_query + np.mean(sorted(table[:, each])[-k:])) / 2) for each in candidates]
        wrong += candidates[int(np.argmax(ratios))] != query
    return wrong / len(table)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("k", [1, 4, 7])
@pytest.mark.parametrize("rows", [9, 60])
def test_every_figure_equals_brute_force(seed: int, k: int, rows: int) -> None:
    source, target = clouds(rows, 8, seed)
    table = cosines(source, target)
    scores = bitext_scores(source, target, pair="en-sw", k=k)
    gold = np.arange(rows)
    for direction, each in (("source_to_target", table), ("target_to_source", table.T)):
        found = each.argmax(axis=1)
        assert getattr(scores, f"accuracy_{direction}") == pytest.approx((found == gold).mean())
        f1 = f1_score(gold, found, average="weighted", zero_division=0)
        assert getattr(scores, f"f1_{direction}") == pytest.approx(f1)
        assert getattr(scores, f"xsim_{direction}") == pytest.approx(xsim_by_hand(each, k))
    assert (scores.pair, scores.sentences, scores.margin_k) == ("en-sw", rows, k)


def test_margin_corrects_a_hub() -> None:
    # Target 0 is a hub: by cosine rows 0 and 1 both find it, row 2 finds its own. The margin of row 1 over
    # k=3 is .8 / ((.533 + .833) / 2) = 1.17 with the hub and .7 / ((.533 + .3) / 2) = 1.68 with its own.
    table = np.array([[0.9, 0.1, 0.1], [0.8, 0.7, 0.1], [0.8, 0.1, 0.9]])
    # Halved, as ratios do not mind, the rows have room for a private axis that brings them to length 1.
    private = np.sqrt(1 - (table**2).sum(axis=1) / 4)
    source, target = np.hstack([table / 2, np.diag(private)]), np.eye(3, 6)
    np.testing.assert_allclose(cosines(source, target), table / 2)
    scores = bitext_scores(source, target, pair="a-b", k=3)
    assert scores.accuracy_source_to_target == pytest.approx(2 / 3)
    assert scores.f1_source_to_target == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert scores.xsim_source_to_target == 0


@given(st.lists(st.integers(0, 11), min_size=12, max_size=12))
def test_weighted_f1_equals_scikit_learn(found: list[int]) -> None:
    expected = f1_score(np.arange(12), found, average="weighted", zero_division=0)
    assert weighted_f1(np.array(found)) == pytest.approx(expected)


@given(st.lists(st.integers(0, 6), min_size=7, max_size=7))
def test_f1_is_at_most_accuracy_and_error_rate_is_the_complement(found: list[int]) -> None:
    array = np.array(found)
    assert weighted_f1(array) <= accuracy(array) + 1e-12
    assert error_rate(array) == pytest.approx(1 - accuracy(array))


@given(rows=st.integers(2, 30), seed=st.integers(0, 2**32 - 1), k=st.integers(1, 6))
@settings(deadline=None)
def test_order_of_rows_does_not_matter(rows: int, seed: int, k: int) -> None:
    source, target = clouds(rows, 6, seed)
    order = np.random.default_rng(seed).permutation(rows)
    assert bitext_scores(source, target, pair="p", k=k) == bitext_scores(
        source[order], target[order], pair="p", k=k
    )


@given(rows=st.integers(1, 30), seed=st.integers(0, 2**32 - 1), k=st.integers(1, 6))
@settings(deadline=None)
def test_identical_sides_have_no_errors(rows: int, seed: int, k: int) -> None:
    source, _ = clouds(rows, 6, seed)
    scores = bitext_scores(source, source * 3, pair="p", k=k)
    assert (scores.accuracy, scores.f1) == (1, 1)
    assert scores.margin_k == min(k, rows)


@given(rows=st.integers(1, 30), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_swapping_the_sides_swaps_the_directions(rows: int, seed: int) -> None:
    source, target = clouds(rows, 6, seed)
    there, back = bitext_scores(source, target, pair="p"), bitext_scores(target, source, pair="p")
    for name in FIGURES:
        assert getattr(there, f"{name}_source_to_target") == getattr(back, f"{name}_target_to_source")


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_ties_go_to_the_lowest_index(choice: list[int], seed: int) -> None:
    source = np.random.default_rng(seed).normal(size=(5, 120))[choice]
    found = np.array([choice.index(each) for each in choice])
    scores = bitext_scores(source, source, pair="p", k=1)
    assert scores.accuracy_source_to_target == scores.accuracy_target_to_source == accuracy(found)
    assert scores.xsim_source_to_target == scores.xsim_target_to_source == error_rate(found)


def test_collapsed_vectors_score_at_chance() -> None:
    scores = bitext_scores(np.ones((8, 4)), np.ones((8, 4)), pair="p")
    assert (scores.accuracy, scores.xsim) == (1 / 8, 7 / 8)


def test_k_is_reduced_to_the_rows_with_a_warning() -> None:
    source, target = clouds(3, 4, 0)
    assert bitext_scores(source, target, pair="p", k=4) == bitext_scores(source, target, pair="p", k=3)


def test_margins_are_finite_where_neighborhoods_cancel() -> None:
    # Both neighbors of each row sum to a cosine of 0: the ratio's denominator is 0 everywhere.
    source = np.array([[1.0, 0.0], [-1.0, 0.0]])
    assert bitext_scores(source, source, pair="p").xsim == 0


@pytest.mark.parametrize("k", [0, -1, 1.0, True, None])
def test_k_out_of_range_is_rejected(k: object) -> None:
    with pytest.raises(ConfigError, match=f"k is {k!r}"):
        bitext_scores(np.eye(2), np.eye(2), pair="p", k=k)  # type: ignore[arg-type]


@pytest.mark.parametrize("other", [np.eye(3)[:2], np.eye(2)])
def test_sides_of_different_shape_are_rejected(other: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"en-sw: .*\(3, 3\).*\(2, "):
        bitext_scores(np.eye(3), other, pair="en-sw")


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_zero_rows_are_rejected_with_pair_and_side(value: float) -> None:
    target = np.eye(2)
    target[1] = value
    with pytest.raises(NumericsError, match=r"en-sw: target: .*1 of 2"):
        bitext_scores(np.eye(2), target, pair="en-sw")
