"""The frame around every solver: prepare the problems, run the method, judge its result, attach gradients.

Axes: A problems to solve (of B), N source units, M target units.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from otembed.transport.gradients import attach_gradients, attach_plan_gradients
from otembed.transport.kernels.iteration import rows_of
from otembed.transport.plan import TransportPlan, TransportStatus
from otembed.transport.problem import Problem, check_tensors, prepare
from otembed.transport.settings import Settings


@dataclass(frozen=True, eq=False)
class Outcome:
    """The values that a method returns in addition to the fields that it fills.

    ``converged`` (A,) is True where a problem met the method's stopping criterion. ``mass_gradients`` (B, N) and
    (B, M) are the derivatives of the value with respect to the masses, where :func:`run` cannot derive them from
    the potentials.
    """

    converged: Tensor
    mass_gradients: tuple[Tensor, Tensor] | None = None


Method = Callable[[Problem, Tensor, Settings, TransportPlan], Outcome]
"""Takes the prepared batch, the indices (A,) of the problems to solve, the settings, and the plan to fill in place:
value, plan, potentials, marginal error and iterations of these problems."""


def run(method: Method, cost: Tensor, a: Tensor, b: Tensor, settings: Settings) -> TransportPlan:
    """Solve a batch by ``method`` with checked settings.

    Parameters
    ----------
    method
        One of the methods in :mod:`otembed.transport.solvers`.
    cost, a, b
        (B, N, M), (B, N) and (B, M): costs and masses as given by the caller.
    settings
        Checked settings.

    Raises
    ------
    ConfigError, NumericsError
        As :func:`otembed.transport.problem.check_tensors` and :func:`otembed.transport.problem.prepare`.
    """
    check_tensors(cost, a, b)
    outcome = None
    with torch.no_grad(), torch.autocast(cost.device.type, enabled=False):
        problem = prepare(cost, a, b, balanced=settings.balanced)
        result = _unsolved(problem, settings.epsilon)
        index = problem.solvable
        if len(index):
            outcome = method(problem, index, settings, result)
            _judge(result, index, outcome.converged)
        if settings.balanced:
            result = _centered(result, problem)
        gradients = _mass_gradients((a, b), result, problem, settings, outcome)
    value = attach_gradients(
        cost, a, b, value=result.value, plan=result.plan, grad_a=gradients[0], grad_b=gradients[1]
    )
    plan = attach_plan_gradients(result.plan, cost, a, b, settings) if settings.plan_gradients else result.plan
    return replace(result, value=value, plan=plan)


def entropic_value(
    cost: Tensor, a: Tensor, b: Tensor, plan: Tensor, exponent: Tensor, settings: Settings
) -> Tensor:
    """Return the objective (A,) of ``plan`` = a b^T exp(exponent); every input is finite, also at padding."""
    work = torch.linalg.vecdot(plan.flatten(1), cost.flatten(1))
    rows, columns = plan.sum(2), plan.sum(1)
    divergence = torch.linalg.vecdot(plan.flatten(1), exponent.flatten(1)) - rows.sum(1) + a.sum(1) * b.sum(1)
    # At large epsilon these terms would cancel: there KL is summed cell by cell, as q (x e^x - (e^x - 1)).
    even = torch.linalg.vector_norm(exponent.flatten(1), math.inf, dim=1) < 1
    count = int(even.sum())
    if count:
        index = rows_of(even, count)
        x = exponent[index]
        cells = (a[index][:, :, None] * b[index][:, None, :]) * (x * x.exp() - torch.expm1(x))
        divergence = divergence.index_put((index,), cells.sum((1, 2)))
    value: Tensor = work + settings.epsilon * divergence
    for rho, sums, masses in ((settings.rho_a, rows, a), (settings.rho_b, columns, b)):
        if 0 < rho < math.inf:
            ratio = torch.where(masses > 0, sums / masses, 1.0)
            value = value + rho * (torch.xlogy(sums, ratio) - sums + masses).sum(1)
    return value


def _unsolved(problem: Problem, epsilon: float) -> TransportPlan:
    """Return the result for problems that need no solving, to be filled with the others."""
    bad = problem.status == TransportStatus.NON_FINITE
    value = problem.a.new_zeros(len(bad)).masked_fill(bad, math.nan)
    return TransportPlan(
        value=value,
        plan=problem.cost.new_zeros(problem.cost.shape),
        potential_source=problem.a.new_zeros(problem.a.shape),
        potential_target=problem.b.new_zeros(problem.b.shape),
        marginal_error=value.clone(),
        iterations=torch.zeros_like(problem.status, dtype=torch.int64),
        status=problem.status.clone(),
        epsilon=epsilon,
    )


def _judge(result: TransportPlan, index: Tensor, converged: Tensor) -> None:
    """Set the status of the solved problems, and clear those that overflowed."""
    value, error = result.value[index], result.marginal_error[index]
    status = torch.where(converged, int(TransportStatus.CONVERGED), int(TransportStatus.MAX_ITERATIONS))
    lost = ~(value.isfinite() & error.isfinite())
    result.status[index] = status.masked_fill(lost, int(TransportStatus.NON_FINITE)).to(torch.int8)
    if bool(lost.any()):
        gone = index[lost]
        for each in (result.plan, result.potential_source, result.potential_target):
            each[gone] = 0.0
        for each in (result.value, result.marginal_error):
            each[gone] = math.nan


def _centered(result: TransportPlan, problem: Problem) -> TransportPlan:
    """Shift the free constant of balanced potentials so that each side contributes half of the dual value."""
    f, g, a, b = result.potential_source, result.potential_target, problem.a, problem.b
    total = (a.sum(1) + b.sum(1)).clamp_min(torch.finfo(a.dtype).tiny)
    shift = (((b * g).sum(1) - (a * f).sum(1)) / total)[:, None]
    return replace(
        result,
        potential_source=torch.where(a > 0, f + shift, 0.0),
        potential_target=torch.where(b > 0, g - shift, 0.0),
    )


def _mass_gradients(
    given: tuple[Tensor, Tensor],
    result: TransportPlan,
    problem: Problem,
    settings: Settings,
    outcome: Outcome | None,
) -> list[Tensor | None]:
    """Return the derivative of the value with respect to each side's masses, None where it is not needed."""
    dead = (result.status >= TransportStatus.EMPTY)[:, None]
    sides = (
        (problem.a, problem.b, result.potential_source, settings.rho_a, 2),
        (problem.b, problem.a, result.potential_target, settings.rho_b, 1),
    )
    found: list[Tensor | None] = []
    for place, (own, other, potential, rho, axis) in enumerate(sides):
        if not given[place].requires_grad:
            found.append(None)
            continue
        if outcome is not None and outcome.mass_gradients is not None:
            gradient = outcome.mass_gradients[place]
        else:
            # At a fixed plan: the conjugate of the penalty, and the entropy relative to a b^T.
            conjugate = potential if math.isinf(rho) else -rho * torch.expm1(-potential / rho) if rho else 0.0
            kept = torch.exp(-potential / rho) if rho else result.plan.sum(axis) / own
            gradient = conjugate + settings.epsilon * (other.sum(1, keepdim=True) - kept)
        found.append(torch.where((own > 0) & ~dead, gradient, 0.0))
    return found
