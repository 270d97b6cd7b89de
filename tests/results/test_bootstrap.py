"""The bootstrap against scipy, a resampling by hand, and laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from otembed.errors import DataError, NumericsError
from otembed.results.bootstrap import differences, differing, holm, interval, resampled_figures, two_sided_p
from otembed.results.outcomes import Outcomes


def outcomes(values, weights=(), task="sw"):
    return Outcomes("xnli", task, "accuracy", "d", tuple(values), tuple(weights))


def pair(seed, size=200, weighted=False):
    draw = np.random.default_rng(seed)
    values = [draw.random(size).round(2), draw.random(size).round(2) + 0.05]
    if not weighted:
        return [outcomes(each) for each in values]
    weights = [draw.integers(0, 9, size) for _ in "ab"]
    return [outcomes(v * w, w.tolist()) for v, w in zip(values, weights, strict=True)]


@pytest.mark.parametrize("weighted", [False, True])
def test_interval_matches_scipy(weighted):
    first, second = pair(0, weighted=weighted)
    a, v = (np.array(each.values) for each in (first, second))
    b, w = (np.array(each.weights or [1.0] * 200) for each in (first, second))

    def statistic(rows, axis=-1):
        return (v[rows].sum(axis) / w[rows].sum(axis)) - (a[rows].sum(axis) / b[rows].sum(axis))

    expected = stats.bootstrap(
        (np.arange(200),), statistic, n_resamples=20_000, method="percentile", vectorized=True, rng=5
    )
    drawn = resampled_figures([first, second], resamples=20_000)
    found = differences(drawn[1], drawn[0])
    assert interval(found, 0.95) == pytest.approx(expected.confidence_interval, abs=0.0035)
    assert found.std() == pytest.approx(expected.standard_error, rel=0.03)


def test_resampled_figures_have_their_exact_distribution():
    """With two examples every resample is one of three, with known figures and chances."""
    first, second = outcomes((1, 0), (1, 3)), outcomes((0, 2), (2, 2))
    drawn = resampled_figures([first, second], resamples=20_000)
    kinds, times = np.unique(drawn.T, axis=0, return_counts=True)
    assert kinds.tolist() == [[0.0, 1.0], [0.25, 0.5], [1.0, 0.0]]
    assert times / 20_000 == pytest.approx([0.25, 0.5, 0.25], abs=0.015)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=40), st.integers(0, 9))
@settings(max_examples=50, deadline=None)
def test_same_seed_gives_same_numbers_and_equal_models_have_no_difference(pairs, seed):
    a, b = (outcomes(each) for each in zip(*pairs, strict=True))
    drawn = resampled_figures([a, b, a], resamples=200, seed=seed)
    assert (drawn == resampled_figures([a, b, a], resamples=200, seed=seed)).all()
    assert (differences(drawn[2], drawn[0]) == 0).all()
    assert ((drawn >= 0) & (drawn <= 1)).all()


def test_tasks_are_resampled_independently_and_blocks_keep_the_distribution(monkeypatch):
    first, second = outcomes(range(50)), outcomes(range(50), task="ar")
    drawn = [resampled_figures([each], resamples=4000)[0] for each in (first, second)]
    assert abs(np.corrcoef(*drawn)[0, 1]) < 0.05
    monkeypatch.setattr("otembed.results.bootstrap.MOST_CELLS", 500)
    blocked = resampled_figures([first], resamples=4000)[0]
    assert blocked.std() == pytest.approx(drawn[0].std(), rel=0.08)


def test_resamples_with_zero_weight_are_redrawn_or_rejected():
    drawn = resampled_figures([outcomes([1, *[0] * 9], [2, *[0] * 9])], resamples=500)
    assert (drawn == 0.5).all()
    lone = np.eye(12, 300).astype(int).tolist()
    with pytest.raises(DataError, match="300"):
        resampled_figures([outcomes(row, row) for row in lone], resamples=400)


def test_sums_that_overflow_are_rejected():
    with np.errstate(over="ignore"), pytest.raises(NumericsError, match="xnli sw accuracy"):
        resampled_figures([outcomes([1e308, *[0] * 5])], resamples=200)


def test_p_value_counts_the_signs_of_resamples():
    assert two_sided_p(np.array([-1.0, 1.0, 2.0, 3.0])) == pytest.approx(2 * 2 / 5)
    assert two_sided_p(np.zeros(10)) == 1.0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_matches_its_definition(values):
    order = sorted(values)
    size = len(values)
    expected = {p: min(1, max((size - k) * order[k] for k in range(order.index(p) + 1))) for p in values}
    found = holm(values)
    for p, adjusted in zip(values, found, strict=True):
        # Equal p-values share the largest of their adjusted ones only by order; the smallest is the definition's.
        same = [a for q, a in zip(values, found, strict=True) if q == p]
        assert min(same) == pytest.approx(expected[p])
        assert adjusted >= p


def test_differing_counts_examples_whose_values_or_weights_differ():
    assert differing(outcomes((1, 0, 1)), outcomes((1, 1, 0))) == 2
    assert differing(outcomes((1, 0), (1, 1)), outcomes((1, 0), (1, 2))) == 1
    assert differing(outcomes((1, 0)), outcomes((1, 0), (1, 2))) == 1
