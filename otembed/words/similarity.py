"""Optimal transport as a late-interaction score, an alternative to MaxSim.

Axes: Q queries, P documents, N query tokens, M document tokens, D dimensions, G documents per group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from otembed.errors import ConfigError
from otembed.transport import (
    Metric,
    Relaxation,
    TransportStatus,
    all_pairs,
    pairwise_cost,
    solve,
    uniform_marginals,
)
from otembed.transport.pairs import MAX_CELLS
from otembed.transport.problem import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    Array = Tensor | np.ndarray
    Vectors = Array | Sequence[Array]

EMPTY_SCORE = -1e9
"""Score of a pair with an empty side: finite and below every other score, as in sentence-transformers' MaxSim."""


def ot_similarity(
    queries: Vectors,
    documents: Vectors,
    queries_mask: Array | None = None,
    documents_mask: Array | None = None,
    *,
    metric: Metric = "cosine",
    epsilon: float = 0.05,
    relaxation: Relaxation = None,
    tol: float = 1e-4,
    max_iter: int = 2000,
    max_cells: int = MAX_CELLS,
) -> Tensor:
    r"""Score every query against every document by the transport cost between their tokens.

    .. math:: s_{qp} = -\mathrm{OT}_\varepsilon(x_q, y_p)

    with uniform masses on the tokens. MaxSim matches every query token to its best document token, so a single
    document token may match all of them; in balanced transport each token counts once, in both directions. Under
    ``cosine``, scores are between -2 and 0, and exact balanced scores (``epsilon`` 0) are at most mean MaxSim minus 1.

    Parameters
    ----------
    queries
        (Q, N, D) padded token vectors, a list of (n, D), or one (N, D).
    documents
        (P, M, D), a list of (m, D), or one (M, D); also (P, G, M, D), groups of documents as passed by
        sentence-transformers losses, scored in the order of ``colbert_scores``.
    queries_mask, documents_mask
        (Q, N) and (P, M) or (P, G, M), non-zero at tokens. Without a mask, zero vectors are padding.
    metric
        Name of the cost, see :func:`otembed.transport.pairwise_cost`.
    epsilon
        Strength of the entropic term, in units of the cost; 0 for exact transport.
    relaxation, tol, max_iter
        As in :func:`otembed.transport.solve`.
    max_cells
        Maximum number of cost cells held at a time.

    Returns
    -------
    Tensor
        (Q, P) or (Q, P G) scores, larger is closer; -1e9 where a side has no token, NaN where one has NaN.

    Raises
    ------
    ConfigError
        If vectors and masks do not match, or a setting is out of range.

    Notes
    -----
    Gradients flow to the vectors; see :func:`otembed.transport.all_pairs` for their cost. The function
    can replace ``maxsim``, and serve as the ``similarity_fct`` of a loss:
    ``MultiVectorMultipleNegativesRankingLoss(model, scale=20, similarity_fct=ot_similarity)``.

    Examples
    --------
    Both query tokens have an exact match in either document, so MaxSim cannot distinguish them. In the second
    document the match occurs once, and half of the mass has to move elsewhere.

    >>> query = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    >>> documents = [torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])]
    >>> [[round(score, 3) + 0.0 for score in row] for row in ot_similarity(query, documents, epsilon=0).tolist()]
    [[0.0, -0.5]]
    """
    x, a = _cloud(queries, queries_mask, "queries")
    y, b = _cloud(documents, documents_mask, "documents")
    found = all_pairs(
        x,
        y,
        a,
        b,
        metric=metric,
        epsilon=epsilon,
        relaxation=relaxation,
        tol=tol,
        max_iter=max_iter,
        max_cells=max_cells,
    )
    return _scores(found.value, found.status)


def ot_similarity_pairwise(
    queries: Vectors,
    documents: Vectors,
    queries_mask: Array | None = None,
    documents_mask: Array | None = None,
    *,
    metric: Metric = "cosine",
    epsilon: float = 0.05,
    relaxation: Relaxation = None,
    tol: float = 1e-4,
    max_iter: int = 2000,
) -> Tensor:
    """Score each query against the document at the same index: the diagonal of :func:`ot_similarity`, (Q,).

    Parameters, errors and gradients are the same; the graph keeps the costs.

    Examples
    --------
    >>> query, document = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, 2.0]]])
    >>> ot_similarity_pairwise(query, document).tolist()
    [-1.0]
    """
    x, a = _cloud(queries, queries_mask, "queries")
    y, b = _cloud(documents, documents_mask, "documents")
    if len(x) != len(y):
        raise ConfigError(f"{len(x)} queries but {len(y)} documents", "Pass the same number of each.")
    (x, a), (y, b) = clean(x, a), clean(y, b)
    found = solve(
        pairwise_cost(x, y, metric=metric), a, b, epsilon=epsilon, relaxation=relaxation, tol=tol, max_iter=max_iter
    )
    return _scores(found.value, found.status)


def _scores(value: Tensor, status: Tensor) -> Tensor:
    return torch.where(status == TransportStatus.EMPTY, EMPTY_SCORE, -value)


def _cloud(vectors: Vectors, mask: Array | None, name: str) -> tuple[Tensor, Tensor]:
    """Return padded vectors (K, L, D) in floating point and uniform masses (K, L)."""
    if isinstance(vectors, list | tuple):
        rows = [torch.as_tensor(row) for row in vectors]
        if not rows or any(row.ndim != 2 or row.shape[1] != rows[0].shape[1] for row in rows):
            raise ConfigError(
                f"{name}: expected a list of token vectors (n, D), got shapes {[tuple(row.shape) for row in rows]}",
                "Pass one (n, D) tensor per text, all with the same D.",
            )
        padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        if mask is None:
            lengths = torch.tensor([len(row) for row in rows], device=padded.device)
            mask = torch.arange(padded.shape[1], device=padded.device) < lengths[:, None]
    else:
        padded = torch.as_tensor(vectors)
    if not padded.is_floating_point():
        padded = padded.float()
    present = padded.any(-1) if mask is None else torch.as_tensor(mask, device=padded.device) != 0
    if padded.ndim == 2:
        padded, present = padded[None], present.view(1, -1)
    if padded.ndim == 4 and present.shape == padded.shape[:3]:
        padded, present = padded.flatten(0, 1), present.flatten(0, 1)
    if padded.ndim != 3 or present.shape != padded.shape[:2]:
        raise ConfigError(
            f"{name}: vectors and mask do not match: shapes {tuple(padded.shape)} and {tuple(present.shape)}",
            "Pass (B, N, D) and (B, N).",
        )
    return padded, uniform_marginals(present).to(torch.promote_types(padded.dtype, torch.float32))
