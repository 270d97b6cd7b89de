"""Balanced problems solved by POT's batched Sinkhorn: a reference implementation to compare with."""

from __future__ import annotations

import ot.batch
import torch
from torch import Tensor

from otembed.transport.frame import Outcome, entropic_value
from otembed.transport.plan import TransportPlan
from otembed.transport.problem import Problem
from otembed.transport.settings import Settings


def by_pot(problem: Problem, index: Tensor, settings: Settings, result: TransportPlan) -> Outcome:
    """Solve by ``ot.batch.solve_batch(method="log_sinkhorn", grad="detach")``.

    POT has one convergence test for the whole batch, on the L2 error of the source marginal. Convergence is judged
    here per problem, by the L1 error that every solver of this package reports. Value and gradients are computed from
    POT's plan and potentials as for the native solver, since POT's envelope gradient records the whole loop.
    """
    cost, a, b = problem.take(index)  # rows without mass would turn the others into NaN
    # An L2 error of at most tol / sqrt(N) is an L1 error of at most tol.
    limit = settings.tol * float(a.sum(1).min()) / a.shape[1] ** 0.5
    solved = ot.batch.solve_batch(  # type: ignore[no-untyped-call]
        cost, settings.epsilon, a, b, max_iter=settings.max_iter, tol=limit, method="log_sinkhorn", grad="detach"
    )
    plan = solved.plan.nan_to_num(0.0)
    f, g = (
        torch.where(masses > 0, settings.epsilon * (log_scaling - masses.log()), 0.0)
        for log_scaling, masses in zip(solved.potentials, (a, b), strict=True)
    )
    error = torch.maximum((plan.sum(2) - a).abs().sum(1), (plan.sum(1) - b).abs().sum(1)) / a.sum(1)
    exponent = (f[:, :, None] + g[:, None, :] - cost) / settings.epsilon
    result.value[index] = entropic_value(cost, a, b, plan, exponent, settings)
    result.plan[index] = plan
    result.potential_source[index] = f
    result.potential_target[index] = g
    result.marginal_error[index] = error
    result.iterations[index] = int(solved.log["n_iter"]) + 1
    return Outcome(error <= settings.tol)
