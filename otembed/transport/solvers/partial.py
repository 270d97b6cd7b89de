r"""Partial transport: only a given share of the mass is transported, at the lowest cost.

.. math::
    \min_P \langle P, C\rangle + \varepsilon\,\mathrm{KL}(P \mid a b^\top),
    \quad P 1 \le a,\; P^\top 1 \le b,\; 1^\top P 1 = m

Axes: A problems still active (of B), N source units, M target units.
"""

from __future__ import annotations

import torch
from torch import Tensor

from otembed.transport.frame import Outcome, entropic_value
from otembed.transport.kernels.iteration import rows_of
from otembed.transport.plan import TransportPlan
from otembed.transport.problem import Problem
from otembed.transport.settings import Settings

CHECK_EVERY = 5


def by_partial_sinkhorn(problem: Problem, index: Tensor, settings: Settings, result: TransportPlan) -> Outcome:
    r"""Transport m = ``settings.share`` times the smaller total of each problem.

    With the multiplier :math:`\lambda` of the transported mass, the optimum is
    :math:`P_{ij} = a_i b_j e^{(f_i + g_j + \lambda - C_{ij}) / \varepsilon}` with :math:`f, g \le 0`, and 0
    for every unit whose mass is not used up. Each update maximizes the dual over the potentials of one side and
    :math:`\lambda` together, in the log domain and in closed form: the units with the smallest sums fill up last.
    The result holds :math:`f + \lambda / 2` and :math:`g + \lambda / 2`.
    """
    share = settings.share or 1.0
    cost, a, b = problem.take(index)
    levels = torch.zeros_like(result.value)
    state = {
        "exponent": cost / -settings.epsilon,
        "a": a,
        "b": b,
        "u": torch.zeros_like(a),
        "v": torch.zeros_like(b),
        "level": torch.zeros_like(a[:, 0]),
        "mass": share * torch.minimum(a.sum(1), b.sum(1)),
    }
    active, iterations = index, 0
    while len(active):
        steps = min(CHECK_EVERY, settings.max_iter - iterations) if iterations else 1
        for _ in range(steps):
            state["u"], _ = _filled(state, state["v"], "a")
            state["v"], state["level"] = _filled(state, state["u"], "b")
        iterations += steps
        error = _residual(state)
        finished = (error <= settings.tol) | ~error.isfinite() | (iterations >= settings.max_iter)
        count = int(finished.sum())  # waits for the device
        if count:
            rows, kept = rows_of(finished, count), rows_of(~finished, len(finished) - count)
            part, done = {name: tensor[rows] for name, tensor in state.items()}, active[rows]
            _record(result, problem, part, done, settings)
            result.marginal_error[done], result.iterations[done] = error[rows], iterations
            levels[done] = settings.epsilon * part["level"]
            active = active[kept]
            state = {name: tensor[kept] for name, tensor in state.items()}
    return Outcome(
        result.marginal_error[index] <= settings.tol, _mass_gradients(result, levels, problem, settings, share)
    )


def _filled(state: dict[str, Tensor], other: Tensor, side: str) -> tuple[Tensor, Tensor]:
    """Return the best potentials (A, units) of one side and the level (A,), with the other side fixed.

    A unit of mass w with log-sum s takes w min(exp(s + level), 1); the level is the one at which all
    units together take the transported mass.
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
    used_up = weights.cumsum(1) - weights  # by the units before, if they are full
    # Log of the mass that the units from each place on would take at level 0.
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
    """Return the L1 violation of the optimality conditions on the source side, relative to the transported mass.

    The target side and the transported mass are exact after the target update.
    """
    plan, _ = _plan(state)
    taken, masses = plan.sum(2), state["a"]
    over = (taken - masses).clamp_min(0)
    idle = torch.where(state["u"] < 0, (masses - taken).clamp_min(0), 0.0)
    # Mass left unused by a negative multiplier counts by how much the cost would drop if it were used.
    slack = torch.minimum(idle, taken * torch.expm1((-state["u"]).clamp_max(80.0)))
    amount = (plan.sum((1, 2)) - state["mass"]).abs()
    return ((over + slack).sum(1) + amount) / state["mass"]


def _record(
    result: TransportPlan, problem: Problem, state: dict[str, Tensor], index: Tensor, settings: Settings
) -> None:
    """Write value, plan and potentials of finished problems into ``result``."""
    plan, exponent = _plan(state)
    cost, a, b = problem.cost[index], problem.a[index], problem.b[index]
    half = settings.epsilon * state["level"][:, None] / 2
    result.value[index] = entropic_value(cost, a, b, plan, exponent, settings)
    result.plan[index] = plan
    result.potential_source[index] = torch.where(a > 0, settings.epsilon * state["u"] + half, 0.0)
    result.potential_target[index] = torch.where(b > 0, settings.epsilon * state["v"] + half, 0.0)


def _mass_gradients(
    result: TransportPlan, levels: Tensor, problem: Problem, settings: Settings, share: float
) -> tuple[Tensor, Tensor]:
    """Return the derivatives of the value with respect to the masses: their multipliers.

    The transported mass is a share of the smaller total, so the masses of that side also change it.
    """
    total_a, total_b = problem.a.sum(1, keepdim=True), problem.b.sum(1, keepdim=True)
    pairs = (
        (problem.a, total_b, result.potential_source, result.plan.sum(2), total_a <= total_b),
        (problem.b, total_a, result.potential_target, result.plan.sum(1), total_b < total_a),
    )
    source, target = (
        potential
        - levels[:, None] / 2
        + settings.epsilon * (other_total - taken / masses)
        + share * levels[:, None] * smaller
        for masses, other_total, potential, taken, smaller in pairs
    )
    return source, target
