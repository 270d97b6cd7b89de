"""Uniform masses sum to one and ignore padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from otembed.errors import ConfigError
from otembed.transport import uniform_marginals


def test_rows_sum_to_one_and_empty_rows_to_zero():
    mask = torch.rand(50, 5, generator=torch.Generator().manual_seed(0)) < 0.5
    mask[0], mask[1] = True, False
    masses = uniform_marginals(mask)
    assert masses.dtype == torch.float32
    torch.testing.assert_close(masses.sum(1), mask.any(1).float())
    assert (masses[~mask] == 0).all()
    assert (masses[mask] > 0).all()


@pytest.mark.parametrize(
    ("mask", "named"),
    [
        (torch.ones(1, 2), "float32"),
        (torch.ones(3) > 0, "(3,)"),
        (None, "got NoneType"),
        ([[True]], "got list"),
        (np.ones((1, 2), dtype=bool), "got ndarray"),
    ],
)
def test_invalid_masks_are_rejected(mask, named):
    with pytest.raises(ConfigError) as caught:
        uniform_marginals(mask)
    assert isinstance(caught.value, ValueError)
    assert named in caught.value.message
