"""The solver behind the public functions: pose, iterate, write down, attach gradients.

Axes: A problems finished together (of B), N source units, M target units.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from otembed.transport.compiled import solve_compiled
from otembed.transport.envelope import attach_gradients
from otembed.transport.iteration import Iterate, window
from otembed.transport.plan import TransportPlan, TransportStatus
from otembed.transport.problem import Problem, prepare
from otembed.transport.strength import Strength

# Tests set it, to run the iteration of the other devices on a CPU as well.
TENSORS_ONLY = False


def solve_entropic(
    cost: Tensor, a: Tensor, b: Tensor, strength: Strength, *, tol: float, max_iter: int, symmetric: bool
) -> TransportPlan:
    """Solve checked settings; ``symmetric`` asserts equal sides and symmetric costs and averages updates."""
    with torch.no_grad(), torch.autocast(cost.device.type, enabled=False):
        problem = prepare(cost, a, b, balanced=strength.balanced)
        result = _iterate(problem, strength, tol=tol, max_iter=max_iter, symmetric=symmetric)
        if strength.balanced:
            result = centered(result, problem)
    return with_gradients(result, problem, cost, a, b, strength)


def with_gradients(
    result: TransportPlan, problem: Problem, cost: Tensor, a: Tensor, b: Tensor, strength: Strength
) -> TransportPlan:
    """Attach the envelope gradients of an entropic solution to its value."""
    dead = (result.status >= TransportStatus.EMPTY)[:, None]
    found: list[Tensor | None] = []
    for masses, potential, own, other, rho in (
        (a, result.potential_source, problem.a, problem.b, strength.rho_a),
        (b, result.potential_target, problem.b, problem.a, strength.rho_b),
    ):
        if not masses.requires_grad:
            found.append(None)
            continue
        with torch.no_grad():
            found.append(_mass_gradient(potential, own, other, strength.epsilon, rho).masked_fill(dead, 0.0))
    value = attach_gradients(cost, a, b, value=result.value, plan=result.plan, grad_a=found[0], grad_b=found[1])
    return replace(result, value=value)


def centered(result: TransportPlan, problem: Problem) -> TransportPlan:
    """Move the free constant of balanced potentials so that both sides hold half the dual value."""
    f, g, a, b = result.potential_source, result.potential_target, problem.a, problem.b
    total = (a.sum(1) + b.sum(1)).clamp_min(torch.finfo(a.dtype).tiny)
    shift = (((b * g).sum(1) - (a * f).sum(1)) / total)[:, None]
    return replace(
        result,
        potential_source=torch.where(a > 0, f + shift, 0.0),
        potential_target=torch.where(b > 0, g - shift, 0.0),
    )


def _mass_gradient(potential: Tensor, own: Tensor, other: Tensor, epsilon: float, rho: float) -> Tensor:
    """Return the derivative of the value by the masses of one side at a fixed plan."""
    conjugate = potential if math.isinf(rho) else -rho * torch.expm1(-potential / rho)
    kept = torch.exp(-potential / rho)
    return torch.where(own > 0, conjugate + epsilon * (other.sum(1, keepdim=True) - kept), 0.0)


def _iterate(problem: Problem, strength: Strength, *, tol: float, max_iter: int, symmetric: bool) -> TransportPlan:
    """Run the active problems until each meets ``tol`` or ``max_iter``, writing them down as they finish."""
    result = unsolved(problem, strength.epsilon)
    index = problem.solvable.nonzero()[:, 0]
    if not len(index):
        return result
    if problem.cost.device.type == "cpu" and not TENSORS_ONLY:
        solve_compiled(problem, result, strength, tol=tol, max_iter=max_iter, symmetric=symmetric)
        return judged(result, index, tol)
    cost, a, b = rows_of(problem.cost, index), rows_of(problem.a, index), rows_of(problem.b, index)
    shift = cost.new_zeros(len(index))
    if strength.balanced:
        # Adding a constant changes no balanced plan, and small costs keep the digits that differ.
        padded = (a == 0)[:, :, None] | (b == 0)[:, None, :]
        shift = cost.masked_fill(padded, math.inf).amin((1, 2))
    state = Iterate.start(index, cost, a, b, strength.epsilon, shift)
    lowered = torch.zeros_like(result.value).index_copy_(0, index, shift)
    left: list[Iterate] = []
    iterations = 0
    while len(state.index):
        steps = min(window(iterations), max_iter - iterations)
        iterations += steps
        state.advance(strength, steps, symmetric=symmetric)
        error = state.error_A
        finished = (error <= tol) | ~error.isfinite() | (iterations >= max_iter)
        state.finish(finished)
        # Finished problems stand still, and leave in groups: a copy of the rest costs as much as some updates.
        count = int(finished.sum())
        if 4 * count >= len(finished):
            left.append(state if count == len(finished) else state.take(finished))
            state = state.take(~finished)
    _record(result, Iterate.joined(left), problem, strength, lowered)
    return judged(result, index, tol)


def rows_of(tensor: Tensor, index: Tensor) -> Tensor:
    """Return the rows of ``index``, which are in order: all of them without a copy."""
    return tensor if len(index) == len(tensor) else tensor[index]


def unsolved(problem: Problem, epsilon: float) -> TransportPlan:
    """Return the result of problems which need no solving, to be filled with the others."""
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


def judged(result: TransportPlan, index: Tensor, tol: float) -> TransportPlan:
    """Set the status of the problems of ``index`` from what was found, and clear those that overflowed."""
    value, error = result.value[index], result.marginal_error[index]
    status = torch.where(error <= tol, int(TransportStatus.CONVERGED), int(TransportStatus.MAX_ITERATIONS))
    lost = ~(value.isfinite() & error.isfinite())
    result.status[index] = status.masked_fill(lost, int(TransportStatus.NON_FINITE)).to(torch.int8)
    if bool(lost.any()):
        gone = index[lost]
        for each in (result.plan, result.potential_source, result.potential_target):
            each[gone] = 0.0
        for each in (result.value, result.marginal_error):
            each[gone] = math.nan
    return result


def _record(
    result: TransportPlan,
    state: Iterate,
    problem: Problem,
    strength: Strength,
    lowered: Tensor,
) -> None:
    """Write the problems into ``result``."""
    index = state.index
    plan = state.plan()
    exponent = state.absorbed()
    half = lowered[index][:, None] / 2
    f = torch.where(state.log_a_AN.isfinite(), strength.epsilon * (state.u_AN + state.du_AN) + half, 0.0)
    g = torch.where(state.log_b_AM.isfinite(), strength.epsilon * (state.v_AM + state.dv_AM) + half, 0.0)
    a, b = problem.a[index], problem.b[index]
    value = entropic_value(problem.cost[index], a, b, plan, exponent, strength)
    result.value[index] = value
    result.plan[index] = plan
    result.potential_source[index] = f
    result.potential_target[index] = g
    result.marginal_error[index] = state.error_A
    result.iterations[index] = state.iterations_A


def entropic_value(
    cost: Tensor, a: Tensor, b: Tensor, plan: Tensor, exponent: Tensor, strength: Strength
) -> Tensor:
    """Return the objective of ``plan`` = a b^T exp(exponent); everything is finite, also under padding."""
    work = torch.linalg.vecdot(plan.flatten(1), cost.flatten(1))
    rows, columns = plan.sum(2), plan.sum(1)
    divergence = torch.linalg.vecdot(plan.flatten(1), exponent.flatten(1)) - rows.sum(1) + a.sum(1) * b.sum(1)
    # At large epsilon these terms would cancel: there KL is summed cell by cell, as q (x e^x - (e^x - 1)).
    even = torch.linalg.vector_norm(exponent.flatten(1), math.inf, dim=1) < 1
    if bool(even.any()):
        x = exponent[even]
        cells = (a[even, :, None] * b[even, None, :]) * (x * x.exp() - torch.expm1(x))
        divergence = divergence.index_put((even.nonzero()[:, 0],), cells.sum((1, 2)))
    value: Tensor = work + strength.epsilon * divergence
    for rho, sums, masses in ((strength.rho_a, rows, a), (strength.rho_b, columns, b)):
        if math.isfinite(rho):
            ratio = torch.where(masses > 0, sums / masses, 1.0)
            value = value + rho * (torch.xlogy(sums, ratio) - sums + masses).sum(1)
    return value
