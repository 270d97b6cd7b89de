"""Gradients of a transport value by the envelope theorem: the solution is the gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from otembed.errors import ConfigError


class _EnvelopeValue(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, cost: Tensor, a: Tensor, b: Tensor, value: Tensor, *gradients: Tensor | None) -> Tensor:
        ctx.save_for_backward(*gradients, value.isfinite())
        return value.clone()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        *gradients, finite = ctx.saved_tensors
        # A NaN value would spread: its derivative in the loss is NaN, and NaN times 0 is not 0.
        upstream = torch.where(finite, upstream.detach(), 0.0)
        found = [
            upstream.view(-1, *[1] * (gradient.ndim - 1)) * gradient if needed and gradient is not None else None
            for gradient, needed in zip(gradients, ctx.needs_input_grad, strict=False)
        ]
        if torch.is_grad_enabled():  # create_graph=True
            found = [None if gradient is None else once(gradient) for gradient in found]
        return *found, None, None, None, None


class _Once(torch.autograd.Function):
    """The identity, which refuses to be differentiated.

    ``once_differentiable`` lets a second derivative pass, silently wrong, where the upstream gradient is
    constant, as under ``value.sum()``.
    """

    @staticmethod
    def forward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.clone()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> None:
        raise ConfigError(
            "transport values can be differentiated once only",
            "Leave out create_graph=True, or detach the gradient before it is used.",
        )


def once(gradient: Tensor) -> Tensor:
    """Return ``gradient`` so that differentiating it again is refused."""
    refused: Tensor = _Once.apply(gradient.requires_grad_())  # type: ignore[no-untyped-call]
    return refused


def attach_gradients(
    cost: Tensor, a: Tensor, b: Tensor, *, value: Tensor, plan: Tensor, grad_a: Tensor | None, grad_b: Tensor | None
) -> Tensor:
    r"""Return ``value`` with the gradients which the optimum itself provides.

    At the optimum the derivative of :math:`\min_P F(P; C, a, b)` is that of :math:`F` at fixed :math:`P`:
    the plan for the cost, ``grad_a`` and ``grad_b`` for the masses. No iteration is recorded; the graph holds
    one node, which keeps these three tensors. Gradients are exact up to the tolerance of the solver and
    differentiable once: a second derivative would need that of the plan, and is refused by a ConfigError.

    Parameters
    ----------
    cost, a, b
        (B, N, M), (B, N) and (B, M), the inputs as they were given.
    value
        (B,) detached values; where they are NaN no gradient flows.
    plan, grad_a, grad_b
        (B, N, M), (B, N) and (B, M) detached gradients; None for masses that take none.
    """
    attached: Tensor = _EnvelopeValue.apply(cost, a, b, value, plan, grad_a, grad_b)  # type: ignore[no-untyped-call]
    return attached
