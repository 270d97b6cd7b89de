"""Masses sum to one, ignore padding, and idf agrees with scikit-learn."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

from otembed.errors import ConfigError
from otembed.transport import idf_weights, norm_marginals, sinkhorn, uniform_marginals, weighted_marginals

masks = st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=1, max_size=4).map(torch.tensor)


@settings(max_examples=50, deadline=None)
@given(mask=masks)
def test_rows_sum_to_one_and_empty_rows_to_zero(mask):
    x = torch.randn(*mask.shape, 3, generator=torch.Generator().manual_seed(0))
    x[~mask] = math.nan
    for masses in (uniform_marginals(mask), norm_marginals(x, mask), weighted_marginals(x.norm(dim=2), mask)):
        assert masses.dtype == torch.float32
        torch.testing.assert_close(masses.sum(1), mask.any(1).float())
        assert (masses[~mask] == 0).all()
        assert (masses[mask] > 0).all()


def test_norm_marginals_are_detached_and_proportional():
    x = torch.tensor([[[3.0, 4.0], [0.0, 15.0], [1.0, 1.0]]], dtype=torch.float16, requires_grad=True)
    masses = norm_marginals(x, torch.tensor([[True, True, False]]))
    assert masses.tolist() == [[0.25, 0.75, 0.0]]
    assert not masses.requires_grad


def test_weighted_marginals_pass_gradients_and_drop_units_of_no_weight():
    weights = torch.tensor([[1.0, 0.0, 3.0], [0.0, 0.0, 0.0]], requires_grad=True)
    masses = weighted_marginals(weights, torch.ones(2, 3, dtype=torch.bool))
    assert masses.tolist() == [[0.25, 0.0, 0.75], [0.0, 0.0, 0.0]]
    masses[0, 0].backward()
    torch.testing.assert_close(weights.grad[0], torch.tensor([3 / 16, -1 / 16, -1 / 16]))


def test_a_broken_weight_is_reported_by_the_solver():
    mask = torch.ones(2, 2, dtype=torch.bool)
    a = weighted_marginals(torch.tensor([[1.0, 1.0], [1.0, math.nan]]), mask)
    result = sinkhorn(torch.zeros(2, 2, 2), a, uniform_marginals(mask), epsilon=0.1)
    assert result.status.tolist() == [0, 3]


def test_marginal_refusals():
    mask = torch.ones(1, 2, dtype=torch.bool)
    with pytest.raises(ConfigError, match=r"weight of unit 1 in row 0 is negative: -2"):
        weighted_marginals(torch.tensor([[1.0, -2.0]]), mask)
    with pytest.raises(ConfigError, match=r"\(1, 3\) and \(1, 2\)"):
        weighted_marginals(torch.ones(1, 3), mask)
    with pytest.raises(ConfigError, match=r"torch\.float32"):
        uniform_marginals(torch.ones(1, 2))
    with pytest.raises(ConfigError, match=r"\(B, N, D\), found \(1, 2\)"):
        norm_marginals(torch.ones(1, 2), mask)


def test_idf_agrees_with_scikit_learn():
    texts = ["the cat sat", "the dog ran", "a cat and a dog", "the end"]
    counts = CountVectorizer(token_pattern=r"\w+").fit_transform(texts)
    wanted = TfidfTransformer(smooth_idf=True).fit(counts).idf_
    documents = torch.as_tensor((counts.toarray() > 0).sum(0))
    torch.testing.assert_close(idf_weights(documents, len(texts)), torch.as_tensor(wanted).float())


def test_idf_refusals():
    with pytest.raises(ConfigError, match="documents must be at least 1, found 0"):
        idf_weights(torch.tensor([0]), 0)
    with pytest.raises(ConfigError, match="word 1 is 5, outside 0 to 3"):
        idf_weights(torch.tensor([3, 5]), 3)
    with pytest.raises(ConfigError, match="word 0 is -1"):
        idf_weights(torch.tensor([-1]), 3)
