"""Random problems, and values and plans by numpy and POT, for the tests of this room."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import ot
import pytest
import torch
from torch import Tensor

from otembed.transport.solvers import sinkhorn as sinkhorn_solver


class Batch(NamedTuple):
    cost: Tensor
    a: Tensor
    b: Tensor


def make_batch(
    seed: int = 0,
    *,
    sizes: tuple[int, int, int] = (4, 9, 7),
    dtype: torch.dtype = torch.float64,
    ragged: bool = True,
) -> Batch:
    """Costs in [0, 1] and masses of total 1; with ``ragged``, each problem has sizes of its own."""
    problems, n, m = sizes
    generator = torch.Generator().manual_seed(seed)
    cost = torch.rand(problems, n, m, generator=generator, dtype=torch.float64)
    sides = []
    for width in (n, m):
        masses = torch.rand(problems, width, generator=generator, dtype=torch.float64) + 0.1
        if ragged:
            lengths = torch.randint(1, width + 1, (problems, 1), generator=generator)
            masses = torch.where(torch.arange(width) < lengths, masses, 0.0)
        sides.append(masses / masses.sum(1, keepdim=True))
    return Batch(cost.to(dtype), sides[0].to(dtype), sides[1].to(dtype))


def kl(p: np.ndarray, q: np.ndarray) -> float:
    """KL with mass terms, read off its definition; 0 log 0 = 0."""
    some = p > 0
    return float((p[some] * np.log(p[some] / q[some])).sum() - p.sum() + q.sum())


def objective(
    plan: np.ndarray, cost: np.ndarray, a: np.ndarray, b: np.ndarray, epsilon: float, rho: tuple[float, float]
) -> float:
    value = float((plan * cost).sum()) + epsilon * kl(plan, np.outer(a, b))
    for strength, sums, masses in zip(rho, (plan.sum(1), plan.sum(0)), (a, b), strict=True):
        if math.isfinite(strength):
            value += strength * kl(sums, masses)
    return value


def pot_plan(
    cost: np.ndarray, a: np.ndarray, b: np.ndarray, epsilon: float, rho: tuple[float, float] = (math.inf, math.inf)
) -> np.ndarray:
    """The plan by POT on one problem without padding, converged far beyond the tolerances of the tests."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        if all(math.isinf(strength) for strength in rho):
            return ot.bregman.sinkhorn_log(a, b, cost, epsilon, numItermax=20_000, stopThr=1e-11)
        return ot.unbalanced.sinkhorn_unbalanced(
            a, b, cost, epsilon, rho, method="sinkhorn_stabilized", reg_type="kl", numItermax=100_000, stopThr=1e-14
        )


def pot_batch(
    batch: Batch, epsilon: float, rho: tuple[float, float] = (math.inf, math.inf)
) -> tuple[Tensor, Tensor]:
    """Values and padded plans, one problem after another."""
    plans, values = torch.zeros(batch.cost.shape, dtype=torch.float64), []
    for row, (cost, a, b) in enumerate(zip(*(tensor.double().numpy() for tensor in batch), strict=True)):
        cells = np.ix_(a > 0, b > 0)
        problem = cost[cells], a[a > 0], b[b > 0]
        plan = pot_plan(*problem, epsilon, rho)
        values.append(objective(plan, *problem, epsilon, rho))
        plans[row].numpy()[cells] = plan
    return torch.tensor(values, dtype=torch.float64), plans


@pytest.fixture(params=["compiled", "tensors"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to iterate: the compiled loops of a CPU, and the tensors of every other device."""
    monkeypatch.setattr(sinkhorn_solver, "TENSORS_ONLY", request.param == "tensors")
    return request.param


@pytest.fixture(scope="session")
def batch_of() -> Callable[..., Batch]:
    return make_batch


@pytest.fixture(scope="session")
def pot_solution() -> Callable[..., tuple[Tensor, Tensor]]:
    return pot_batch
