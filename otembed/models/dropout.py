"""Dropout on a CPU from 16 random bits per entry, where PyTorch draws a number of 53 bits.

PyTorch takes 10 ns per entry, which is 10 % of a training step without padding; 16 bits take 1.5 ns. They come from PyTorch's
own generator, so seeds, resumed runs and gradient checkpointing repeat them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from otembed.models.replaced import replaced_forward

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

# Levels of 16 bits: a probability is rounded to a multiple of 1 / LEVELS.
LEVELS = 1 << 16
# Smaller inputs are dropped as before: there, the calls take longer than the numbers.
LEAST_ENTRIES = 4096


def has_levels(probability: float) -> bool:
    """Say whether a probability is neither 0 nor 1 when rounded to a multiple of 1 / 65,536."""
    return 0 < round(probability * LEVELS) < LEVELS


def keep_mask(entries: int, probability: float, dtype: torch.dtype) -> tuple[Tensor, float]:
    """Draw which entries dropout keeps.

    Parameters
    ----------
    entries
        How many.
    probability
        Of an entry to be dropped; see :func:`has_levels`.
    dtype
        A type of floating-point numbers.

    Returns
    -------
    mask, scale
        (entries,) ones and zeros on the CPU, and one over the probability of a one.
    """
    dropped = round(probability * LEVELS)
    words = torch.empty(-(-entries // 4), dtype=torch.int64).random_(-(2**63), None)
    bits = words.view(torch.int16)[:entries]
    least = dropped - LEVELS // 2  # the lowest of the values that are kept
    mask = bits.clamp_(least - 1, least).sub_(least - 1)
    return mask.to(dtype), LEVELS / (LEVELS - dropped)


def fast_dropout(model: nn.Module) -> AbstractContextManager[None]:
    """Compute the dropout layers of ``model`` with :func:`keep_mask` while the context is open.

    The probability is rounded to a multiple of 1 / 65,536, and outputs are scaled by the rounded one, so their expectation is
    the input. Inputs on other devices or of fewer than 4,096 entries and compiled models are computed as before.
    Differentiable.

    Parameters
    ----------
    model
        Any module; contexts may be nested.
    """
    layers = (
        each for each in model.modules() if type(each) is nn.Dropout and not each.inplace and has_levels(each.p)
    )
    return replaced_forward(layers, _Forward)


class _Forward:
    """Stand in for ``forward`` of a dropout layer."""

    def __init__(self, layer: nn.Dropout) -> None:
        self._layer = layer

    def __call__(self, input: Tensor) -> Tensor:
        layer = self._layer
        if (
            not layer.training
            or torch.compiler.is_compiling()
            or input.device.type != "cpu"
            or not input.is_floating_point()
            or input.numel() < LEAST_ENTRIES
            or not has_levels(layer.p)
        ):
            return nn.functional.dropout(input, layer.p, layer.training)
        mask, scale = keep_mask(input.numel(), layer.p, input.dtype)
        return input * mask.view(input.shape) * scale
