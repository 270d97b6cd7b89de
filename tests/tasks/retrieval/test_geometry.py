from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity

from otembed.errors import DataError, NumericsError
from otembed.tasks.retrieval import effective_rank, mean_cosine


@given(rows=st.integers(2, 20), columns=st.integers(1, 6), seed=st.integers(0, 2**32 - 1))
def test_mean_cosine_matches_all_pairs(rows: int, columns: int, seed: int) -> None:
    vectors = np.random.default_rng(seed).normal(1, 2, (rows, columns))
    table = cosine_similarity(vectors)
    assert mean_cosine(vectors) == pytest.approx(table[~np.eye(rows, dtype=bool)].mean(), abs=1e-6)


@given(rows=st.integers(1, 12), columns=st.integers(1, 12), seed=st.integers(0, 2**32 - 1))
def test_effective_rank_matches_the_definition(rows: int, columns: int, seed: int) -> None:
    vectors = np.random.default_rng(seed).normal(size=(rows, columns))
    singular = np.sqrt(np.clip(np.linalg.eigvalsh(vectors @ vectors.T), 0, None))
    shares = singular / singular.sum()
    entropy = -sum(share * np.log(share) for share in shares if share > 0)
    rank = effective_rank(vectors)
    assert rank == pytest.approx(np.exp(entropy), rel=1e-4)
    assert 1 - 1e-9 <= rank <= min(rows, columns) + 1e-9


def test_collapse_changes_both_measures() -> None:
    generator = np.random.default_rng(0)
    spread = generator.normal(size=(200, 16))
    collapsed = 1 + 0.01 * spread
    assert mean_cosine(collapsed) > 0.99 > 0.1 > abs(mean_cosine(spread))
    assert effective_rank(collapsed) < 2 < 15 < effective_rank(spread)


def test_effective_rank_of_a_line_is_one_and_scale_invariant() -> None:
    line = np.outer([1.0, -2.0, 3.0], [1.0, 2.0])
    assert effective_rank(line) == pytest.approx(1)
    vectors = np.random.default_rng(0).normal(size=(6, 4))
    assert effective_rank(vectors * 1e-300) == pytest.approx(effective_rank(vectors))


def test_mean_cosine_of_one_row_is_rejected() -> None:
    with pytest.raises(DataError, match="two rows"):
        mean_cosine([[1.0, 2.0]])


def test_effective_rank_of_zeros_is_rejected() -> None:
    with pytest.raises(DataError, match="zero matrix"):
        effective_rank(np.zeros((3, 2)))


@pytest.mark.parametrize("measure", [mean_cosine, effective_rank])
def test_nan_is_rejected(measure: object) -> None:
    with pytest.raises(NumericsError, match="1 of 2"):
        measure([[1.0, np.nan], [1.0, 1.0]])  # type: ignore[operator]
