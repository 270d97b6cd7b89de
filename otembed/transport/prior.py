"""A cost of position: words of parallel sentences tend to stand in the same order.

Axes: B problems, N source units, M target units.
"""

from __future__ import annotations

import torch
from torch import Tensor

from otembed.errors import ConfigError


def order_prior(a: Tensor, b: Tensor) -> Tensor:
    r"""Return how far apart two units stand in their sentences, :math:`|i / (n - 1) - j / (m - 1)|`.

    Positions count the units with mass and run from 0, the first, to 1, the last; a single unit stands in
    the middle. Added to a cost with a weight, it is the distortion of statistical aligners.

    Parameters
    ----------
    a, b
        (B, N) and (B, M) masses; zero marks padding, wherever it stands.

    Returns
    -------
    Tensor
        (B, N, M) between 0 and 1, 0 at padding, in the wider dtype of the masses; without gradient.

    Raises
    ------
    ConfigError
        If the shapes do not fit.

    Examples
    --------
    >>> order_prior(torch.tensor([[0.3, 0.3, 0.4]]), torch.tensor([[0.5, 0.5, 0.0]])).tolist()
    [[[0.0, 1.0, 0.0], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]]
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[0] != b.shape[0]:
        raise ConfigError(
            f"a and b do not fit: {tuple(a.shape)} and {tuple(b.shape)}", "Give masses (B, N) and (B, M)."
        )
    dtype = torch.promote_types(a.dtype, b.dtype)
    places = []
    for masses in (a, b):
        real = masses != 0
        count = real.sum(1, keepdim=True)
        place = (real.cumsum(1) - 1).to(dtype) / (count - 1).clamp_min(1)
        places.append(torch.where(count == 1, 0.5, place))
    apart = (places[0][:, :, None] - places[1][:, None, :]).abs()
    return torch.where((a != 0)[:, :, None] & (b != 0)[:, None, :], apart, 0.0)
