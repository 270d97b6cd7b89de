"""Compute the linear layers of an encoder with oneDNN, where that is faster than PyTorch's default.

On x86 processors, PyTorch multiplies float32 matrices with MKL, which uses AVX-512 on Intel's processors only. oneDNN, which
PyTorch has for other purposes, uses it everywhere: on an AMD processor with AVX-512, at 2.3 times the speed. In bfloat16, PyTorch
calls oneDNN itself, but casts and packs the weights for each batch.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from otembed.models.replaced import replaced_forward
from otembed.runtime.arithmetic import onednn_is_faster, onednn_linear, onednn_packed, onednn_packs_bf16

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

# Entries of a weight below which a layer is left as it is: oneDNN compiles a kernel for each number of rows, which takes
# about a millisecond.
LEAST_WEIGHT = 1 << 16


def fast_linear(model: nn.Module) -> AbstractContextManager[None]:
    """Compute the linear layers of ``model`` with oneDNN while the context is open, where that is faster.

    In float32, a probe decides. Under autocast to bfloat16, PyTorch uses oneDNN as well, but casts and packs the weights in every
    call; without gradients, the packed weights are kept instead, which takes half of the memory of the layers once more.
    Outputs and gradients are those of :func:`torch.nn.functional.linear` up to rounding. Calls of other types or
    devices and of compiled models are computed as before; so are subclasses of ``Linear`` and layers with fewer than
    65,536 weights. Differentiable once.

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
    if not layers or not (onednn_is_faster() or onednn_packs_bf16()):
        return nullcontext()
    return replaced_forward(layers, _Forward)


class _Forward:
    """Stand in for ``forward`` of a linear layer."""

    def __init__(self, layer: nn.Linear) -> None:
        self._layer = layer
        self._packed: Tensor | None = None
        self._packed_from: tuple[int, ...] = ()

    def __call__(self, input: Tensor) -> Tensor:
        weight, bias = self._layer.weight, self._layer.bias
        if (
            torch.compiler.is_compiling()
            or type(input) not in (Tensor, nn.Parameter)
            or input.device.type != "cpu"
            or not _is_plain(weight)
            or not input.numel()
        ):
            return nn.functional.linear(input, weight, bias)
        learns = torch.is_grad_enabled() and any(
            each is not None and each.requires_grad for each in (input, weight, bias)
        )
        if torch.is_autocast_enabled("cpu"):
            return self._under_autocast(input, learns=learns)
        if input.dtype != torch.float32 or not onednn_is_faster():
            return nn.functional.linear(input, weight, bias)
        if learns:
            output: Tensor = _Product.apply(input, weight, bias)  # type: ignore[no-untyped-call]
            return output
        return onednn_linear(input, weight, bias)

    def _under_autocast(self, input: Tensor, *, learns: bool) -> Tensor:
        weight, bias = self._layer.weight, self._layer.bias
        half = torch.bfloat16
        if (
            learns
            or torch.get_autocast_dtype("cpu") != half
            or weight.is_inference()  # its changes are not counted
            or not onednn_packs_bf16()
        ):
            self._packed = None
            return nn.functional.linear(input, weight, bias)
        version = weight.data_ptr(), weight._version
        if self._packed is None or self._packed_from != version:
            self._packed, self._packed_from = onednn_packed(weight.detach().to(half)), version
        return onednn_linear(input.to(half), self._packed, None if bias is None else bias.to(half))

    def __getstate__(self) -> dict[str, Any]:
        """Leave packed weights out of copies."""
        return vars(self) | {"_packed": None}


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
