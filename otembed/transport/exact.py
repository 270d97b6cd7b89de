"""Exact optimal transport (earth mover's distance) of a padded batch, by POT's network simplex."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import ot
import torch
from numpy.typing import NDArray
from torch import Tensor

from otembed.errors import ConfigError
from otembed.transport.envelope import attach_gradients
from otembed.transport.plan import TransportPlan, TransportStatus
from otembed.transport.problem import prepare
from otembed.transport.solver import centered, unsolved
from otembed.transport.strength import check_positive

_SETTINGS: dict[str, Any] = {"numItermax": 10_000_000, "log": True, "check_marginals": False}
_OPTIMAL = 1  # POT's result code

Array = NDArray[np.float64]


def exact(
    cost: Tensor, a: Tensor, b: Tensor, *, share: float | None = None, threads: int | None = None
) -> TransportPlan:
    r"""Solve a batch of linear transport problems, :math:`\min_P \langle P, C\rangle` for given marginals.

    Parameters
    ----------
    cost
        (B, N, M) floating point costs; cells under zero mass are never read.
    a, b
        (B, N) and (B, M) masses of equal totals, not negative; zero mass marks padding.
    share
        Carry only this share of the smaller total, above 0 and below 1, so that :math:`P 1 \le a` and
        :math:`P^\top 1 \le b` (partial transport; the totals may differ). ``None``: all of it.
    threads
        Problems solved at the same time, None for ``torch.get_num_threads()``.

    Returns
    -------
    TransportPlan
        On the device of ``cost``, in float64 for float64 inputs, else float32; solved in float64 on the CPU.
        ``epsilon`` and ``iterations`` are 0. Empty and non-finite problems as in
        :func:`otembed.transport.sinkhorn`.

    Raises
    ------
    ConfigError
        If shapes, devices or dtypes do not fit, a mass is negative or ``threads`` is below 1.
    NumericsError
        If the total masses of a problem differ.

    Notes
    -----
    Gradients follow the envelope theorem, as in :func:`otembed.transport.sinkhorn`; where several plans are
    optimal they are those of the plan returned, one of the subgradients. The equivalent in POT is a loop of
    ``ot.emd``.

    References
    ----------
    Bonneel et al., Displacement interpolation using Lagrangian mass transport, SIGGRAPH Asia 2011.

    Examples
    --------
    >>> cost = torch.tensor([[[1.0, 0.0], [0.0, 3.0]]])
    >>> half = torch.tensor([[0.5, 0.5]])
    >>> exact(cost, half, half).plan.tolist()
    [[[0.0, 0.5], [0.5, 0.0]]]
    """
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise ConfigError(f"threads must be a whole number from 1 upwards or None, found {threads!r}")
    if share is not None and not 0 < check_positive("share", share) < 1:
        raise ConfigError(f"share must be above 0 and below 1, found {share!r}", "Leave it out to carry all mass.")
    with torch.no_grad():
        problem = prepare(cost, a, b, balanced=share is None)
        result = unsolved(problem, 0.0)
        rows = problem.solvable.nonzero()[:, 0].tolist()
        costs, a_rows, b_rows = (
            tensor.to("cpu", torch.float64).numpy() for tensor in (problem.cost, problem.a, problem.b)
        )
        with warnings.catch_warnings(), ThreadPoolExecutor(threads or torch.get_num_threads()) as pool:
            warnings.simplefilter("ignore", UserWarning)  # POT's word for what the status says
            solved = list(pool.map(lambda row: _solve_one(costs[row], a_rows[row], b_rows[row], share), rows))
        for row, found in zip(rows, solved, strict=True):
            for name, entry in found.items():
                field = getattr(result, name)
                field[row] = torch.as_tensor(np.asarray(entry)).to(field)
        if share is None:
            result = centered(result, problem)
    value = attach_gradients(
        cost,
        a,
        b,
        value=result.value,
        plan=result.plan,
        grad_a=result.potential_source,
        grad_b=result.potential_target,
    )
    return replace(result, value=value)


def _solve_one(cost: Array, a: Array, b: Array, share: float | None) -> dict[str, Any]:
    """Solve one problem without its padding; return the fields of the result by name."""
    cells = np.ix_(a > 0, b > 0)
    part, f_part, g_part, optimal = (_emd if share is None else _partial_emd)(
        a[a > 0], b[b > 0], np.ascontiguousarray(cost[cells]), share or 1.0
    )
    plan, f, g = np.zeros_like(cost), np.zeros_like(a), np.zeros_like(b)
    plan[cells], f[a > 0], g[b > 0] = part, f_part, g_part
    rows, columns = plan.sum(1) - a, plan.sum(0) - b
    if share is None:
        error = max(np.abs(rows).sum(), np.abs(columns).sum()) / a.sum()
    else:
        mass = share * min(a.sum(), b.sum())
        error = (rows.clip(0).sum() + columns.clip(0).sum() + abs(plan.sum() - mass)) / mass
    return {
        "value": float((plan * cost).sum()),
        "plan": plan,
        "potential_source": f,
        "potential_target": g,
        "marginal_error": error,
        "status": int(TransportStatus.CONVERGED if optimal else TransportStatus.MAX_ITERATIONS),
    }


def _emd(a: Array, b: Array, cost: Array, _share: float) -> tuple[Array, Array, Array, bool]:
    """Plan, potentials, and whether it is optimal."""
    plan, log = ot.emd(a, b, cost, **_SETTINGS)  # type: ignore[no-untyped-call]
    return plan, log["u"], log["v"], log["result_code"] == _OPTIMAL


def _partial_emd(a: Array, b: Array, cost: Array, share: float) -> tuple[Array, Array, Array, bool]:
    """Carry a share by giving each side a unit that takes for nothing what stays (Chapel et al., NeurIPS 2020).

    The potentials are the derivatives of the value by the masses, in which the carried mass moves along.
    """
    mass = share * min(a.sum(), b.sum())
    wide = np.zeros((len(a) + 1, len(b) + 1))
    wide[:-1, :-1] = cost - cost.min()
    wide[-1, -1] = 2.0 * wide.max() + 1.0  # what stays on one side cannot stay on the other
    both = np.append(a, b.sum() - mass), np.append(b, a.sum() - mass)
    plan, f, g, optimal = _emd(*both, wide, share)
    # d value / d m = -(f0 + g0) of the two added units, plus the smallest cost, which was taken off.
    price = share * (cost.min() - f[-1] - g[-1])
    source, target = f[:-1] + g[-1], g[:-1] + f[-1]
    if a.sum() <= b.sum():
        return plan[:-1, :-1], source + price, target, optimal
    return plan[:-1, :-1], source, target + price, optimal
