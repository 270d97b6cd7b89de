r"""Partial transport: only a given share of the mass is carried, the cheapest to carry.

.. math::
    \min_P \langle P, C\rangle + \varepsilon\,\mathrm{KL}(P \mid a b^\top),
    \quad P 1 \le a,\; P^\top 1 \le b,\; 1^\top P 1 = m

Axes: A problems still active (of B), N source units, M target units.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from otembed.transport.envelope import attach_gradients
from otembed.transport.plan import TransportPlan, TransportStatus
from otembed.transport.problem import Problem, prepare
from otembed.transport.solver import entropic_value, unsolved
from otembed.transport.strength import Strength

CHECK_EVERY = 5


def solve_partial(
    cost: Tensor, a: Tensor, b: Tensor, strength: Strength, *, share: float, tol: float, max_iter: int
) -> TransportPlan:
    r"""Carry m = ``share`` times the smaller total of each problem; settings are checked by the caller.

    With the multiplier :math:`\lambda` of the carried mass, the optimum is
    :math:`P_{ij} = a_i b_j e^{(f_i + g_j + \lambda - C_{ij}) / \varepsilon}` with :math:`f, g \le 0`, and 0
    wherever a unit is not used up. Each update maximizes the dual over one side's potentials and
    :math:`\lambda` together, in log domain and in closed form: the smallest sums fill up last. The
    result holds :math:`f + \lambda / 2` and :math:`g + \lambda / 2`.
    """
    with torch.no_grad(), torch.autocast(cost.device.type, enabled=False):
        problem = prepare(cost, a, b, balanced=False)
        result = unsolved(problem, strength.epsilon)
        index = problem.solvable.nonzero()[:, 0]
        levels = torch.zeros_like(result.value)
        state = _start(problem, index, strength.epsilon, share)
        iterations = 0
        while len(index):
            steps = min(CHECK_EVERY, max_iter - iterations) if iterations else 1
            for _ in range(steps):
                state["u"], _ = _filled(state, state["v"], "a")
                state["v"], state["level"] = _filled(state, state["u"], "b")
            iterations += steps
            error = _residual(state)
            finished = (error <= tol) | ~error.isfinite() | (iterations >= max_iter)
            if bool(finished.any()):
                part = {name: tensor[finished] for name, tensor in state.items()}
                _record(result, levels, problem, part, index[finished], error[finished], strength, iterations, tol)
                index = index[~finished]
                state = {name: tensor[~finished] for name, tensor in state.items()}
    return _with_gradients(result, levels, problem, cost, a, b, strength, share)


def _start(problem: Problem, index: Tensor, epsilon: float, share: float) -> dict[str, Tensor]:
    cost, a, b = problem.cost[index], problem.a[index], problem.b[index]
    return {
        "exponent": cost / -epsilon,
        "a": a,
        "b": b,
        "u": torch.zeros_like(a),
        "v": torch.zeros_like(b),
        "level": torch.zeros_like(a[:, 0]),
        "mass": share * torch.minimum(a.sum(1), b.sum(1)),
    }


def _filled(state: dict[str, Tensor], other: Tensor, side: str) -> tuple[Tensor, Tensor]:
    """Return the best potentials (A, units) of one side and the level (A,), the other side's held fixed.

    A unit of mass w with log-sum s takes w min(exp(s + level), 1); the level is the one at which all
    units together take the carried mass.
    """
    if side == "a":
        sums = torch.logsumexp(state["exponent"] + (other + state["b"].log())[:, None, :], 2)
    else:
        sums = torch.logsumexp(state["exponent"] + (other + state["a"].log())[:, :, None], 1)
    masses = state[side]
    real = masses > 0
    sums = torch.where(real, sums, -torch.inf)
    ordered, order = sums.sort(1, descending=True)
    weights = masses.gather(1, order)
    used_up = weights.cumsum(1) - weights  # by the units before, if those are full
    # Log of what the units from each place on would take at level 0.
    rest = torch.logcumsumexp((ordered + weights.log()).flip(1), 1).flip(1)
    candidates = (state["mass"][:, None] - used_up).clamp_min(0).log() - rest
    # The first place at which no unit from there on is more than full.
    fits = (candidates + ordered <= 0) & ordered.isfinite()
    place = fits.int().argmax(1, keepdim=True)
    level = candidates.gather(1, place)
    potentials = torch.where(real, (-(sums + level)).clamp_max(0.0), 0.0)
    return potentials, level[:, 0]


def _plan(state: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    exponent = state["exponent"] + (state["u"] + state["level"][:, None])[:, :, None] + state["v"][:, None, :]
    product = state["a"][:, :, None] * state["b"][:, None, :]
    return torch.where(product > 0, product * exponent.exp(), 0.0), exponent


def _residual(state: dict[str, Tensor]) -> Tensor:
    """Return the L1 violation of the optimality conditions on the source side, by the carried mass.

    The target side and the carried mass are exact after its update.
    """
    plan, _ = _plan(state)
    taken, masses = plan.sum(2), state["a"]
    over = (taken - masses).clamp_min(0)
    idle = torch.where(state["u"] < 0, (masses - taken).clamp_min(0), 0.0)
    # What a multiplier below 0 leaves unused counts by how much it would pay to use it.
    slack = torch.minimum(idle, taken * torch.expm1((-state["u"]).clamp_max(80.0)))
    amount = (plan.sum((1, 2)) - state["mass"]).abs()
    return ((over + slack).sum(1) + amount) / state["mass"]


def _record(
    result: TransportPlan,
    levels: Tensor,
    problem: Problem,
    state: dict[str, Tensor],
    index: Tensor,
    error: Tensor,
    strength: Strength,
    iterations: int,
    tol: float,
) -> None:
    """Write finished problems into ``result``."""
    plan, exponent = _plan(state)
    cost, a, b = problem.cost[index], problem.a[index], problem.b[index]
    value = entropic_value(cost, a, b, plan, exponent, strength)
    lost = ~(value.isfinite() & error.isfinite())
    status = torch.where(error <= tol, int(TransportStatus.CONVERGED), int(TransportStatus.MAX_ITERATIONS))
    half = strength.epsilon * state["level"][:, None] / 2
    found = {
        "value": value.masked_fill(lost, torch.nan),
        "plan": plan.masked_fill(lost[:, None, None], 0.0),
        "potential_source": torch.where((a > 0) & ~lost[:, None], strength.epsilon * state["u"] + half, 0.0),
        "potential_target": torch.where((b > 0) & ~lost[:, None], strength.epsilon * state["v"] + half, 0.0),
        "marginal_error": error.masked_fill(lost, torch.nan),
        "iterations": torch.full_like(index, iterations),
        "status": status.masked_fill(lost, int(TransportStatus.NON_FINITE)).to(torch.int8),
    }
    for name, entry in found.items():
        getattr(result, name)[index] = entry
    levels[index] = (strength.epsilon * state["level"]).masked_fill(lost, 0.0)


def _with_gradients(
    result: TransportPlan,
    levels: Tensor,
    problem: Problem,
    cost: Tensor,
    a: Tensor,
    b: Tensor,
    strength: Strength,
    share: float,
) -> TransportPlan:
    """Envelope gradients: the plan for the cost, the multipliers for the masses.

    The carried mass is a share of the smaller total, so the masses of that side also move it.
    """
    with torch.no_grad():
        total_a, total_b = problem.a.sum(1, keepdim=True), problem.b.sum(1, keepdim=True)
        pairs = (
            (problem.a, total_b, result.potential_source, result.plan.sum(2), total_a <= total_b),
            (problem.b, total_a, result.potential_target, result.plan.sum(1), total_b < total_a),
        )
        gradients = []
        for masses, other_total, potential, taken, smaller in pairs:
            own = potential - levels[:, None] / 2
            used = torch.where(masses > 0, taken / masses, 0.0)
            gradient = own + strength.epsilon * (other_total - used) + share * levels[:, None] * smaller
            dead = (result.status >= TransportStatus.EMPTY)[:, None]
            gradients.append(torch.where((masses > 0) & ~dead, gradient, 0.0))
    value = attach_gradients(
        cost, a, b, value=result.value, plan=result.plan, grad_a=gradients[0], grad_b=gradients[1]
    )
    return replace(result, value=value)
