"""Compute the linear layers of an encoder with oneDNN, where it multiplies float32 matrices faster than PyTorch's default.

On x86 processors, PyTorch multiplies float32 matrices with MKL, which uses AVX-512 on Intel's processors only. oneDNN, which
PyTorch has for other purposes, uses it everywhere: on an AMD processor with AVX-512, at 2.3 times the speed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from otembed.models.replaced import replaced_forward
from otembed.runtime.arithmetic import onednn_is_faster, onednn_linear

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

# Entries of a weight below which a layer is left as it is: oneDNN compiles a kernel for each number of rows, which takes
# about a millisecond.
LEAST_WEIGHT = 1 << 16


def fast_linear(model: nn.Module) -> AbstractContextManager[None]:
    """Compute the linear layers of ``model`` with oneDNN while the context is open, where a probe finds that faster.

    Outputs and gradients are those of :func:`torch.nn.functional.linear` up to the rounding of float32. Calls of other
    types or devices, under autocast, and of compiled models are computed as before; so are subclasses of ``Linear`` and
    layers with fewer than 65,536 weights. Differentiable once.

    Parameters
    ----------
    model
        Any module; contexts may be nested. Copies made of the model in the context compute on their own weights.
    """
    layers = [
        each
        for each in model.modules()
        if type(each) is nn.Linear
        and each.weight.numel() >= LEAST_WEIGHT
        and each.weight.dtype == torch.float32
        and each.weight.device.type == "cpu"
    ]
    return replaced_forward(layers if layers and onednn_is_faster() else (), _Forward)


class _Forward:
    """Stand in for ``forward`` of a linear layer."""

    def __init__(self, layer: nn.Linear) -> None:
        self._layer = layer

    def __call__(self, input: Tensor) -> Tensor:
        weight, bias = self._layer.weight, self._layer.bias
        if (
            torch.compiler.is_compiling()
            or not _is_plain(input)
            or not _is_plain(weight)
            or torch.is_autocast_enabled("cpu")
            or not input.numel()
        ):
            return nn.functional.linear(input, weight, bias)
        if torch.is_grad_enabled() and any(
            each is not None and each.requires_grad for each in (input, weight, bias)
        ):
            output: Tensor = _Product.apply(input, weight, bias)  # type: ignore[no-untyped-call]
            return output
        return onednn_linear(input, weight, bias)


def _is_plain(value: Tensor) -> bool:
    return type(value) in (Tensor, nn.Parameter) and value.dtype == torch.float32 and value.device.type == "cpu"


class _Product(torch.autograd.Function):
    """Input (..., n) times the transpose of weight (m, n), plus bias (m,) or None."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(input, weight)
        return onednn_linear(input, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        input, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        rows = gradient.reshape(-1, weight.shape[0])
        of_input = onednn_linear(gradient, weight.t(), None) if wanted[0] else None
        of_weight = onednn_linear(rows.t(), input.reshape(-1, weight.shape[1]).t(), None) if wanted[1] else None
        return of_input, of_weight, rows.sum(0) if wanted[2] else None
