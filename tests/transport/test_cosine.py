"""Cosine costs: the written backward pass against the recorded one, products cut at the padding, second derivatives."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from otembed.transport import cosine, pairwise_cost


def padded(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(3, n, 5, generator=generator, dtype=torch.float64) for n in (4, 6))
    for row, (n, m) in enumerate([(4, 6), (2, 3), (1, 6)]):
        x[row, n:], y[row, m:] = 0, 0
    return x.to(dtype).requires_grad_(), y.to(dtype).requires_grad_()


@pytest.mark.parametrize("large", [0, 1 << 60], ids=["one by one", "batch"])
@pytest.mark.parametrize("needed", [(True, True), (True, False), (False, True)])
def test_values_and_gradients_match_the_formula(monkeypatch, large, needed):
    monkeypatch.setattr(cosine, "_LARGE", large)
    weights = torch.rand(3, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = []
    for function in (pairwise_cost, cosine._formula):
        sides = [side.requires_grad_(each) for side, each in zip(padded(), needed, strict=True)]
        cost = function(*sides)
        (cost * weights).sum().backward()
        found.append((cost, *(side.grad for side, each in zip(sides, needed, strict=True) if each)))
    for own, recorded in zip(*found, strict=True):
        torch.testing.assert_close(own, recorded, atol=1e-12, rtol=0)


def test_second_derivatives_pass_gradgradcheck():
    x, y = (side.detach()[:, :1].requires_grad_() for side in padded())
    assert gradcheck(pairwise_cost, (x, y))
    assert gradgradcheck(pairwise_cost, (x, y))
    one = y.detach()
    assert gradgradcheck(lambda x: pairwise_cost(x, one), (x,))


def test_all_padding_side_has_cost_one(monkeypatch):
    monkeypatch.setattr(cosine, "_LARGE", 0)
    x, y = padded(torch.float32)
    cost = pairwise_cost(torch.zeros_like(x), y)
    assert (cost == 1).all()
    cost.sum().backward()
    assert (y.grad == 0).all()
