"""Masses of units: uniform, by vector norm or by given weights; every row sums to 1, empty rows to 0."""

from __future__ import annotations

import torch
from torch import Tensor

from otembed.errors import ConfigError


def uniform_marginals(mask: Tensor) -> Tensor:
    """Give every unit of a row the same mass.

    Parameters
    ----------
    mask
        (B, N) bool, True at units, False at padding.

    Returns
    -------
    Tensor
        (B, N) float32, ``1 / n`` at the n units of a row and 0 at padding; an empty row is 0 throughout.

    Raises
    ------
    ConfigError
        If ``mask`` is not a bool tensor of two axes.

    Examples
    --------
    >>> uniform_marginals(torch.tensor([[True, True, False], [False, False, False]])).tolist()
    [[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]
    """
    return weighted_marginals(torch.ones_like(mask, dtype=torch.float32), mask)


def norm_marginals(x: Tensor, mask: Tensor) -> Tensor:
    """Give every unit a mass proportional to the Euclidean norm of its vector, detached.

    Parameters
    ----------
    x
        (B, N, D) vectors; half precision is cast to float32.
    mask
        (B, N) bool, True at units; vectors elsewhere are not used.

    Returns
    -------
    Tensor
        (B, N) masses, float64 for float64 vectors, else float32.

    Raises
    ------
    ConfigError
        If the shapes do not fit.

    Examples
    --------
    >>> norm_marginals(torch.tensor([[[3.0, 4.0], [0.0, 15.0]]]), torch.tensor([[True, True]])).tolist()
    [[0.25, 0.75]]
    """
    if x.ndim != 3:
        raise ConfigError(f"vectors must have shape (B, N, D), found {tuple(x.shape)}")
    dtype = torch.promote_types(x.dtype, torch.float32)
    return weighted_marginals(torch.linalg.vector_norm(x.detach().to(dtype), dim=-1), mask)


def weighted_marginals(weights: Tensor, mask: Tensor) -> Tensor:
    r"""Give every unit a mass proportional to its weight, :math:`a_i = w_i / \sum_k w_k`.

    A unit of weight 0 has no mass and takes no part in the transport. A row with a NaN or infinite weight
    becomes NaN, which the solvers report as ``NON_FINITE``. Gradients flow to ``weights``.

    Parameters
    ----------
    weights
        (B, N) weights, not negative, for example :func:`idf_weights` looked up by token; half precision
        is cast to float32.
    mask
        (B, N) bool, True at units; weights elsewhere are not used.

    Returns
    -------
    Tensor
        (B, N) masses, 0 at padding; a row without weight is 0 throughout.

    Raises
    ------
    ConfigError
        If the shapes do not fit, the mask is not bool or a weight is negative.

    Examples
    --------
    >>> weighted_marginals(torch.tensor([[1.0, 3.0, 9.0]]), torch.tensor([[True, True, False]])).tolist()
    [[0.25, 0.75, 0.0]]
    """
    if mask.dtype != torch.bool or mask.ndim != 2 or weights.shape != mask.shape:
        raise ConfigError(
            "weights and mask must have one shape (B, N) and the mask dtype bool, "
            f"found {tuple(weights.shape)} and {tuple(mask.shape)} {mask.dtype}",
            "The mask is True at units and False at padding.",
        )
    dtype = torch.promote_types(weights.dtype, torch.float32)
    masses = torch.where(mask, weights.to(dtype), 0.0)
    negative = (masses < 0).nonzero()
    if len(negative):
        row, unit = negative[0].tolist()
        raise ConfigError(
            f"weight of unit {unit} in row {row} is negative: {masses[row, unit].item():g}",
            "Weights are masses: give numbers from 0 upwards.",
        )
    total = masses.sum(1, keepdim=True)
    return masses / torch.where(total == 0, 1.0, total)


def idf_weights(counts: Tensor, documents: int) -> Tensor:
    r"""Weigh words by smooth inverse document frequency, :math:`\ln\frac{1 + n}{1 + n_w} + 1`.

    The formula of scikit-learn's ``TfidfTransformer(smooth_idf=True)``: rare words weigh more, and a word
    of every document weighs 1.

    Parameters
    ----------
    counts
        (V,) number of documents which contain each word, :math:`n_w`.
    documents
        Number of documents, :math:`n`.

    Returns
    -------
    Tensor
        (V,) float32 weights.

    Raises
    ------
    ConfigError
        If there is no document or a count is not between 0 and ``documents``.

    Examples
    --------
    >>> [round(weight, 3) for weight in idf_weights(torch.tensor([3, 0]), 3).tolist()]
    [1.0, 2.386]
    """
    if documents < 1:
        raise ConfigError(f"documents must be at least 1, found {documents}")
    outside = ((counts < 0) | (counts > documents)).nonzero()
    if len(outside):
        word = tuple(outside[0].tolist())
        raise ConfigError(
            f"document count of word {word[0]} is {counts[word].item()}, outside 0 to {documents}",
            "Count every document once for each word it contains.",
        )
    smooth = (1.0 + documents) / (1.0 + counts.to(torch.float64))
    return (smooth.log() + 1.0).to(torch.float32)
