"""Transport with one side free: every unit of the other side takes what suits it best, in closed form.

Axes: B problems, N source units, M target units.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from otembed.transport.envelope import attach_gradients
from otembed.transport.plan import TransportPlan, TransportStatus
from otembed.transport.problem import prepare
from otembed.transport.solver import entropic_value, unsolved
from otembed.transport.strength import Strength


def solve_with_free_side(cost: Tensor, a: Tensor, b: Tensor, epsilon: float, *, free_source: bool) -> TransportPlan:
    r"""Solve for the marginal of one side alone.

    With the target free, :math:`\min \langle P, C\rangle + \varepsilon\,\mathrm{KL}(P \mid a b^\top)` under
    :math:`P 1 = a` is :math:`P_{ij} = a_i b_j e^{(f_i - C_{ij}) / \varepsilon}` with the potential
    :math:`f_i = -\varepsilon \log \sum_j b_j e^{-C_{ij} / \varepsilon}` and :math:`g = 0`. Without epsilon,
    :math:`f_i = \min_j C_{ij}`: the first of the cheapest units takes all, which is what MaxSim scores.
    """
    if free_source:
        turned = solve_with_free_side(cost.mT, b, a, epsilon, free_source=False)
        return replace(
            turned,
            plan=turned.plan.mT,
            potential_source=turned.potential_target,
            potential_target=turned.potential_source,
        )
    with torch.no_grad(), torch.autocast(cost.device.type, enabled=False):
        problem = prepare(cost, a, b, balanced=False)
        result = unsolved(problem, epsilon)
        cost_BNM, a_BN, b_BM = problem.cost, problem.a, problem.b
        held, real = (a_BN > 0), (b_BM > 0)[:, None, :]
        f, plan, value = torch.zeros_like(a_BN), torch.zeros_like(cost_BNM), result.value
        if not cost_BNM.numel():
            pass  # nothing to carry, and no least cost among none
        elif epsilon:
            logits = torch.where(real, b_BM.log()[:, None, :] - cost_BNM / epsilon, -torch.inf)
            best = logits.logsumexp(2)
            f = torch.where(held, -epsilon * best, 0.0)
            plan = torch.where(real & held[:, :, None], a_BN[:, :, None] * (logits - best[:, :, None]).exp(), 0.0)
            exponent = (f[:, :, None] - cost_BNM) / epsilon
            value = entropic_value(cost_BNM, a_BN, b_BM, plan, exponent, Strength(epsilon, torch.inf, torch.inf))
        else:
            least, place = torch.where(real, cost_BNM, torch.inf).min(2, keepdim=True)
            plan.scatter_(2, place, a_BN[:, :, None])
            f = torch.where(held, least[:, :, 0], 0.0)
            value = (a_BN * f).sum(1)
        done = problem.solvable
        lost = done & ~value.isfinite()
        value = torch.where(done, value, result.value).masked_fill(lost, torch.nan)
        status = result.status.masked_fill(lost, int(TransportStatus.NON_FINITE))
        dead = (status >= TransportStatus.EMPTY)[:, None]
        plan = plan.masked_fill(dead[:, :, None], 0.0)
        f = f.masked_fill(dead, 0.0)
        used = torch.where(b_BM > 0, plan.sum(1) / b_BM, 0.0)
        grad_a = torch.where(held & ~dead, f + epsilon * (b_BM.sum(1, keepdim=True) - 1.0), 0.0)
        grad_b = torch.where((b_BM > 0) & ~dead, epsilon * (a_BN.sum(1, keepdim=True) - used), 0.0)
    return replace(
        result,
        value=attach_gradients(cost, a, b, value=value, plan=plan, grad_a=grad_a, grad_b=grad_b),
        plan=plan,
        potential_source=f,
        status=status,
    )
