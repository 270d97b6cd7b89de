"""Masses of units: every row sums to 1, rows without units to 0."""

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
        (B, N) float32, ``1 / n`` at the n units of a row and 0 at padding; rows without units are 0.

    Raises
    ------
    ConfigError
        If ``mask`` is not a bool tensor with two axes.

    Examples
    --------
    >>> uniform_marginals(torch.tensor([[True, True, False], [False, False, False]])).tolist()
    [[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]
    """
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.ndim != 2:
        found = f"{tuple(mask.shape)} and {mask.dtype}" if isinstance(mask, Tensor) else type(mask).__name__
        raise ConfigError(
            f"mask must be a tensor of shape (B, N) and dtype bool, got {found}",
            "The mask is True at units and False at padding.",
        )
    masses = mask.to(torch.float32)
    return masses / masses.sum(1, keepdim=True).clamp_min(1.0)
