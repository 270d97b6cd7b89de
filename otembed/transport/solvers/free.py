"""Transport with one free side: each unit of the other side chooses its targets, in closed form.

Axes: A problems, N source units, M target units.
"""

from __future__ import annotations

import torch
from torch import Tensor

from otembed.transport.frame import Outcome, entropic_value
from otembed.transport.plan import TransportPlan
from otembed.transport.problem import Problem
from otembed.transport.settings import Settings


def by_closed_form(problem: Problem, index: Tensor, settings: Settings, result: TransportPlan) -> Outcome:
    r"""Solve with a constraint on one side only.

    With the target free, :math:`\min \langle P, C\rangle + \varepsilon\,\mathrm{KL}(P \mid a b^\top)` under
    :math:`P 1 = a` is solved by :math:`P_{ij} = a_i b_j e^{(f_i - C_{ij}) / \varepsilon}` with the potential
    :math:`f_i = -\varepsilon \log \sum_j b_j e^{-C_{ij} / \varepsilon}` and :math:`g = 0`. Without epsilon,
    :math:`f_i = \min_j C_{ij}`: the first of the cheapest units receives all mass, as in MaxSim.
    """
    cost, a, b = problem.take(index)
    if settings.rho_a == 0:
        plan, result.potential_target[index], result.value[index] = _chosen(cost.mT, b, a, settings)
        result.plan[index] = plan.mT
    else:
        result.plan[index], result.potential_source[index], result.value[index] = _chosen(cost, a, b, settings)
    return Outcome(torch.ones_like(index, dtype=torch.bool))


def _chosen(cost_ANM: Tensor, a_AN: Tensor, b_AM: Tensor, settings: Settings) -> tuple[Tensor, Tensor, Tensor]:
    """Return plan, source potentials and value with the target side free."""
    epsilon = settings.epsilon
    held, real = a_AN > 0, (b_AM > 0)[:, None, :]
    if epsilon:
        logits = torch.where(real, b_AM.log()[:, None, :] - cost_ANM / epsilon, -torch.inf)
        f = torch.where(held, -epsilon * logits.logsumexp(2), 0.0)
        # Where costs are many times epsilon, the exponential of logits - logsumexp has lost digits of the masses.
        plan = a_AN[:, :, None] * logits.softmax(2)
        exponent = (f[:, :, None] - cost_ANM) / epsilon
        return plan, f, entropic_value(cost_ANM, a_AN, b_AM, plan, exponent, settings)
    least, place = torch.where(real, cost_ANM, torch.inf).min(2, keepdim=True)
    plan = torch.zeros_like(cost_ANM).scatter_(2, place, a_AN[:, :, None])
    f = torch.where(held, least[:, :, 0], 0.0)
    return plan, f, (a_AN * f).sum(1)
