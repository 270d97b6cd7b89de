"""Optimal transport as a late-interaction score, beside MaxSim.

Axes: Q queries, P documents, N query tokens, M document tokens, D dimensions, G documents a group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict, Unpack

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

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    Array = Tensor | np.ndarray
    Vectors = Array | Sequence[Array]

EMPTY_SCORE = -1e9
"""Score of a pair with an empty side: below every real one, and finite, as in sentence-transformers' MaxSim."""


class Transport(TypedDict, total=False):
    """Settings of the transport problems, see :func:`otembed.transport.solve`."""

    relaxation: Relaxation
    share: float | None
    tol: float
    max_iter: int


def ot_similarity(
    queries: Vectors,
    documents: Vectors,
    queries_mask: Array | None = None,
    documents_mask: Array | None = None,
    *,
    metric: Metric = "cosine",
    epsilon: float = 0.05,
    max_cells: int = MAX_CELLS,
    **settings: Unpack[Transport],
) -> Tensor:
    r"""Score every query against every document by what it costs to carry one's tokens to the other's.

    .. math:: s_{qp} = -\mathrm{OT}_\varepsilon(x_q, y_p)

    with uniform masses on the tokens. MaxSim lets every query token take the best document token, so one good
    token may serve all; balanced transport makes each token count once, in both directions. Under ``cosine``
    scores lie between -2 and 0, and exact balanced scores (``epsilon`` 0) are never above mean MaxSim minus 1.

    Parameters
    ----------
    queries
        (Q, N, D) padded token vectors, a list of (n, D), or one (N, D).
    documents
        (P, M, D), a list of (m, D), or one (M, D); also (P, G, M, D), groups of documents as the losses of
        sentence-transformers give them, scored in the order of ``colbert_scores``.
    queries_mask, documents_mask
        (Q, N) and (P, M) or (P, G, M), non-zero at tokens. Without, vectors of zeros are padding.
    metric
        Name of the cost, see :func:`otembed.transport.pairwise_cost`.
    epsilon
        Strength of the entropic term in units of the cost; 0 for exact transport.
    max_cells
        Most cost cells held at a time.
    **settings
        ``relaxation``, ``share``, ``tol`` and ``max_iter`` of :func:`otembed.transport.solve`.

    Returns
    -------
    Tensor
        (Q, P) or (Q, P G) scores, larger is closer; -1e9 where a side has no token, NaN where one has NaN.

    Raises
    ------
    ConfigError
        If vectors and masks do not fit, or a setting is out of range.

    Notes
    -----
    Gradients flow to the vectors; see :func:`otembed.transport.all_pairs` for what they cost. It takes the
    place of ``maxsim``, and of ``similarity_fct`` in a loss:
    ``MultiVectorMultipleNegativesRankingLoss(model, scale=20, similarity_fct=ot_similarity)``.

    Examples
    --------
    Both query tokens find their like in either document, so MaxSim cannot tell these apart. In the second
    the like is there once, and half of the mass has to go elsewhere.

    >>> query = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    >>> documents = [torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])]
    >>> [[round(score, 3) + 0.0 for score in row] for row in ot_similarity(query, documents, epsilon=0).tolist()]
    [[0.0, -0.5]]
    """
    x, a = _cloud(queries, queries_mask, "queries")
    y, b = _cloud(documents, documents_mask, "documents")
    found = all_pairs(x, y, a, b, metric=metric, epsilon=epsilon, max_cells=max_cells, **settings)
    return _scores(found.value, found.status)


def ot_similarity_pairwise(
    queries: Vectors,
    documents: Vectors,
    queries_mask: Array | None = None,
    documents_mask: Array | None = None,
    *,
    metric: Metric = "cosine",
    epsilon: float = 0.05,
    **settings: Unpack[Transport],
) -> Tensor:
    """Score each query against the document of the same place: the diagonal of :func:`ot_similarity`, (Q,).

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
        raise ConfigError(f"{len(x)} queries do not pair with {len(y)} documents", "Give as many of each.")
    x, y = (torch.where((masses > 0)[:, :, None], z, 0.0) for z, masses in ((x, a), (y, b)))
    found = solve(pairwise_cost(x, y, metric=metric), a, b, epsilon=epsilon, **settings)
    return _scores(found.value, found.status)


def _scores(value: Tensor, status: Tensor) -> Tensor:
    return torch.where(status == TransportStatus.EMPTY, EMPTY_SCORE, -value)


def _cloud(vectors: Vectors, mask: Array | None, name: str) -> tuple[Tensor, Tensor]:
    """Return padded vectors (K, L, D) in floating point and uniform masses (K, L)."""
    if isinstance(vectors, list | tuple):
        rows = [torch.as_tensor(row) for row in vectors]
        if not rows or any(row.ndim != 2 or row.shape[1] != rows[0].shape[1] for row in rows):
            raise ConfigError(
                f"{name}: expected a list of token vectors (n, D), found shapes {[tuple(row.shape) for row in rows]}",
                "Give one (n, D) a text, all of one dimension.",
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
            f"{name}: vectors and mask do not fit: {tuple(padded.shape)} and {tuple(present.shape)}",
            "Give (B, N, D) and (B, N).",
        )
    return padded, uniform_marginals(present).to(torch.promote_types(padded.dtype, torch.float32))
