"""The OT score beside MaxSim: its forms of input, its laws, its place in the library's own loss."""

from __future__ import annotations

import math

import pytest
import torch
from sentence_transformers.multi_vector_encoder.scoring import colbert_scores
from sentence_transformers.util.similarity import maxsim, mean_maxsim

from otembed.errors import ConfigError
from otembed.words.similarity import EMPTY_SCORE, ot_similarity, ot_similarity_pairwise


def token_vectors(lengths, seed, dimensions=8):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.nn.functional.normalize(torch.randn(n, dimensions, generator=generator, dtype=torch.float64), dim=1)
        for n in lengths
    ]


QUERIES = token_vectors([3, 5, 1, 4], 0)
DOCUMENTS = token_vectors([4, 2, 6], 1)


def padded(rows):
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


def test_every_input_type_gives_the_same_scores():
    expected = ot_similarity(QUERIES, DOCUMENTS)
    assert expected.shape == (4, 3)
    assert bool((expected <= 0).all())
    masks = [padded([torch.ones(len(row)) for row in side]) for side in (QUERIES, DOCUMENTS)]
    garbage = padded(DOCUMENTS).masked_fill(masks[1][:, :, None] == 0, 7.0)
    forms = (
        (padded(QUERIES), padded(DOCUMENTS)),
        ([row.numpy() for row in QUERIES], [row.numpy() for row in DOCUMENTS]),
        (padded(QUERIES).numpy(), padded(DOCUMENTS).numpy()),
        (padded(QUERIES), garbage, masks[0].bool(), masks[1]),
    )
    for form in forms:
        torch.testing.assert_close(ot_similarity(*form), expected)
    torch.testing.assert_close(ot_similarity(QUERIES[1], DOCUMENTS[2]), expected[1:2, 2:3])
    halves = [[row.to(torch.bfloat16) for row in side] for side in (QUERIES, DOCUMENTS)]
    torch.testing.assert_close(ot_similarity(*halves), expected.float(), atol=1e-2, rtol=0)


def test_pairwise_is_the_diagonal():
    torch.testing.assert_close(
        ot_similarity_pairwise(QUERIES[:3], DOCUMENTS), ot_similarity(QUERIES[:3], DOCUMENTS).diagonal()
    )


@pytest.mark.parametrize("score", [ot_similarity, ot_similarity_pairwise])
def test_query_with_nan_has_no_score_and_spreads_no_gradient(score):
    x, y = padded(QUERIES[:3]).clone(), padded(DOCUMENTS)
    x[1, 0, 0] = math.nan
    x.requires_grad_()
    y.requires_grad_()
    scores = score(x, y)
    assert scores.view(3, -1).isnan().any(1).tolist() == [False, True, False]
    scores.nan_to_num(0).sum().backward()
    assert bool(x.grad.isfinite().all() & y.grad.isfinite().all())
    assert not x.grad[1].any()
    assert bool(x.grad[0].any())


def test_grouped_documents_follow_the_order_of_colbert_scores():
    groups = torch.randn(4, 2, 5, 8, dtype=torch.float64)
    mask = torch.ones(4, 2, 5)
    scores = ot_similarity(QUERIES, groups, documents_mask=mask)
    assert scores.shape == colbert_scores(padded(QUERIES), groups, documents_mask=mask).shape == (4, 8)
    torch.testing.assert_close(scores[2, 3 * 2 + 1], ot_similarity(QUERIES[2], groups[3, 1])[0, 0])


def test_exact_scores_are_never_above_mean_maxsim_of_either_direction():
    scores = ot_similarity(QUERIES, DOCUMENTS, epsilon=0)
    there = mean_maxsim(QUERIES, DOCUMENTS) - 1
    back = mean_maxsim(DOCUMENTS, QUERIES).T - 1
    assert bool((scores <= torch.minimum(there, back) + 1e-6).all())
    assert bool((ot_similarity(QUERIES, DOCUMENTS, epsilon=0.1) <= scores).all())


def test_exact_scores_with_free_documents_are_mean_maxsim():
    scores = ot_similarity(QUERIES, DOCUMENTS, epsilon=0, relaxation=(None, 0))
    torch.testing.assert_close(scores, mean_maxsim(QUERIES, DOCUMENTS) - 1, check_dtype=False, atol=1e-6, rtol=0)
    back = ot_similarity(QUERIES, DOCUMENTS, epsilon=0, relaxation=(0, None))
    torch.testing.assert_close(back, mean_maxsim(DOCUMENTS, QUERIES).T - 1, check_dtype=False, atol=1e-6, rtol=0)


def test_gradients_with_free_documents_match_mean_maxsim():
    gradients = []
    for score in (lambda q: ot_similarity([q], DOCUMENTS, epsilon=0, relaxation=(None, 0)), mean_maxsim_of):
        query = QUERIES[1].clone().requires_grad_()
        score(query)[0, 1].backward()
        gradients.append(query.grad)
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-5)


def mean_maxsim_of(query):
    return mean_maxsim([torch.nn.functional.normalize(query, dim=1)], DOCUMENTS)


def test_entropy_and_a_penalty_on_the_free_side_lower_the_score():
    """With epsilon by at most epsilon log M; with a small relaxation it nears the free side from below."""
    best = mean_maxsim(QUERIES, DOCUMENTS) - 1
    soft = ot_similarity(QUERIES, DOCUMENTS, epsilon=1e-2, relaxation=(None, 0))
    assert bool(((soft <= best + 1e-6) & (soft >= best - 1e-2 * torch.tensor([4, 2, 6]).log() - 1e-6)).all())
    near = ot_similarity(QUERIES, DOCUMENTS, epsilon=1e-2, relaxation=(math.inf, 1e-6), tol=1e-6, max_iter=20_000)
    torch.testing.assert_close(near, soft, atol=1e-4, rtol=0)


def test_scores_keep_the_order_and_gradient_of_their_texts():
    queries = [row.clone().requires_grad_() for row in QUERIES]
    best = ot_similarity(queries, QUERIES, epsilon=0.02)
    assert best.argmax(1).tolist() == [0, 1, 2, 3]
    best.sum().backward()
    assert all(row.grad.isfinite().all() and row.grad.any() for row in queries)


def test_empty_texts_rank_last_as_under_maxsim():
    documents = [*DOCUMENTS, torch.zeros(0, 8, dtype=torch.float64)]
    scores = ot_similarity(QUERIES, documents)
    assert scores[:, 3].tolist() == [EMPTY_SCORE] * 4
    assert float(maxsim(QUERIES, documents)[0, 3]) == EMPTY_SCORE
    torch.testing.assert_close(scores[:, :3], ot_similarity(QUERIES, DOCUMENTS))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], DOCUMENTS), "queries"),
        (([torch.ones(3)], DOCUMENTS), r"\[\(3,\)\]"),
        (([torch.ones(3, 8), torch.ones(3, 7)], DOCUMENTS), "queries"),
        ((QUERIES, torch.ones(2, 3, 8), None, torch.ones(2, 4)), "documents"),
        ((QUERIES, torch.ones(2, 3, 7)), "source and target"),
    ],
)
def test_mismatched_input_is_rejected(arguments, message):
    with pytest.raises(ConfigError, match=message):
        ot_similarity(*arguments)


def test_unequal_numbers_of_pairs_are_rejected():
    with pytest.raises(ConfigError, match="4 queries"):
        ot_similarity_pairwise(QUERIES, DOCUMENTS)
