"""The same balanced problems solved by POT's batched Sinkhorn: a second opinion, and a reference."""

from __future__ import annotations

import ot.batch
import torch
from torch import Tensor

from otembed.transport.plan import TransportPlan, TransportStatus
from otembed.transport.problem import Problem, prepare
from otembed.transport.solver import centered, entropic_value, unsolved, with_gradients
from otembed.transport.strength import Strength


def solve_by_pot(
    cost: Tensor, a: Tensor, b: Tensor, strength: Strength, *, tol: float, max_iter: int
) -> TransportPlan:
    """Solve checked balanced settings with ``ot.batch.solve_batch(method="log_sinkhorn", grad="detach")``.

    Its one test for convergence serves the whole batch, on the L2 error of the source marginal; ``status`` is
    judged here, problem by problem, by the L1 error that every solver of this room reports. Value and gradients
    are taken from its plan and potentials as for our own solver: its own envelope gradient records the loop.
    """
    with torch.no_grad(), torch.autocast(cost.device.type, enabled=False):
        problem = prepare(cost, a, b, balanced=True)
        result = unsolved(problem, strength.epsilon)
        index = problem.solvable.nonzero()[:, 0]
        if len(index):  # rows without mass would turn the others into NaN
            _fill(result, problem, index, strength, tol, max_iter)
        result = centered(result, problem)
    return with_gradients(result, problem, cost, a, b, strength)


def _fill(
    result: TransportPlan, problem: Problem, index: Tensor, strength: Strength, tol: float, max_iter: int
) -> None:
    cost, a, b = problem.cost[index], problem.a[index], problem.b[index]
    # An L2 error of at most tol / sqrt(N) is an L1 error of at most tol.
    limit = tol * float(a.sum(1).min()) / a.shape[1] ** 0.5
    solved = ot.batch.solve_batch(  # type: ignore[no-untyped-call]
        cost, strength.epsilon, a, b, max_iter=max_iter, tol=limit, method="log_sinkhorn", grad="detach"
    )
    plan = solved.plan.nan_to_num(0.0)
    f, g = (
        torch.where(masses > 0, strength.epsilon * (log_scaling - masses.log()), 0.0)
        for log_scaling, masses in zip(solved.potentials, (a, b), strict=True)
    )
    total = a.sum(1)
    error = torch.maximum((plan.sum(2) - a).abs().sum(1), (plan.sum(1) - b).abs().sum(1)) / total
    exponent = (f[:, :, None] + g[:, None, :] - cost) / strength.epsilon
    status = torch.where(error <= tol, int(TransportStatus.CONVERGED), int(TransportStatus.MAX_ITERATIONS))
    found = {
        "value": entropic_value(cost, a, b, plan, exponent, strength),
        "plan": plan,
        "potential_source": f,
        "potential_target": g,
        "marginal_error": error,
        "iterations": torch.full_like(index, int(solved.log["n_iter"]) + 1),
        "status": status.to(torch.int8),
    }
    for name, entry in found.items():
        getattr(result, name)[index] = entry
