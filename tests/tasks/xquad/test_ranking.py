"""Ranks and figures against sorting by hand, scikit-learn, and MTEB's rules written from their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score

from otembed.errors import DataError, NumericsError
from otembed.tasks.xquad import ranking
from otembed.tasks.xquad.ranking import ABSENT, average_precision, discounted_gain, rank_candidates, reciprocal_rank


def problem(seed, queries=7, candidates=23, right=3, size=8):
    generator = np.random.default_rng(seed)
    x, y = generator.normal(size=(queries, size)), generator.normal(size=(candidates, size))
    rows = np.array([generator.choice(candidates, right, replace=False) for _ in range(queries)])
    return x, y, rows


def ordered(x, y):
    """Candidates of each query by cosine, best first, the lower index first among equals; in float64."""
    unit = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (x, y)]
    return [sorted(range(len(y)), key=lambda c, row=row: (-row[c], c)) for row in unit[0] @ unit[1].T]


@pytest.mark.parametrize("block_cells", [1, 60, 1 << 22])
def test_ranks_and_groups_equal_a_full_sort(monkeypatch, block_cells):
    monkeypatch.setattr(ranking, "BLOCK_CELLS", block_cells)
    x, y, rows = problem(0)
    groups = np.arange(len(y)) % 3
    found = rank_candidates(x, y, rows, groups=groups, tops=(1, 5, 99))
    order = ordered(x, y)
    assert found.ranks.tolist() == [sorted(o.index(c) + 1 for c in r) for o, r in zip(order, rows, strict=True)]
    for top, counts in zip((1, 5, 99), found.groups, strict=True):
        assert counts.tolist() == [np.bincount(groups[o[:top]], minlength=3).tolist() for o in order]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5))
def test_average_precision_matches_scikit_learn_and_a_sum_over_ranks(seed, right):
    x, y, rows = problem(seed, right=right)
    ranks = rank_candidates(x, y, rows).ranks
    unit = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (x, y)]
    for scores, wanted, shares, cut in zip(
        unit[0] @ unit[1].T, rows, average_precision(ranks), average_precision(ranks, 4), strict=True
    ):
        truth = np.isin(np.arange(len(y)), wanted)
        assert shares == pytest.approx(average_precision_score(truth, scores))
        relevant = truth[np.argsort(-scores, kind="stable")]
        assert cut == pytest.approx(sum(relevant[: k + 1].mean() for k in range(4) if relevant[k]) / right)


def test_mteb_figures_of_one_correct_candidate_match_their_definitions():
    x, y, rows = problem(3, queries=40, right=1)
    ranks = rank_candidates(x, y, rows).ranks
    order = ordered(x, y)
    for o, (wanted,), reciprocal, gain in zip(
        order, rows, reciprocal_rank(ranks), discounted_gain(ranks), strict=True
    ):
        hits = [place for place, candidate in enumerate(o[:10]) if candidate == wanted]
        assert reciprocal == (1 / (hits[0] + 1) if hits else 0)
        assert gain == pytest.approx(sum(1 / math.log2(place + 2) for place in hits))
        truth = (np.arange(len(y)) == wanted)[None]
        assert gain == pytest.approx(ndcg_score(truth, -np.argsort(o)[None], k=10))


def test_equal_candidates_keep_their_order_despite_rounding():
    x, y, _ = problem(1, candidates=300, size=384)
    y[7::50] = y[5]
    found = rank_candidates(x, y, [[57, 5, 7]] * len(x), groups=np.arange(300) == 57, tops=(300,)).ranks
    assert (np.diff(found, axis=1) == 1).all()


def test_queries_may_have_fewer_correct_candidates():
    ranks = rank_candidates([[1.0, 0.0]] * 2, np.eye(2), [[1, ABSENT], [0, 1]]).ranks
    assert ranks.tolist() == [[2, ABSENT], [1, 2]]
    assert average_precision(ranks).tolist() == [0.5, 1.0]


def test_mismatched_input_is_rejected():
    for right, message in (([[2]], "rows from 0 to 1"), ([[ABSENT]], "at least one"), ([[0], [0]], "right .2, 1")):
        with pytest.raises(DataError, match=message):
            rank_candidates([[1.0, 0.0]], np.eye(2), right)
    with pytest.raises(NumericsError, match="candidates: "):
        rank_candidates([[1.0, 0.0]], [[np.nan, 1.0]], [[0]])
