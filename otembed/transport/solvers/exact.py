"""Exact optimal transport (earth mover's distance) of a padded batch, by POT's network simplex."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import ot
import torch
from numpy.typing import NDArray
from torch import Tensor

from otembed.transport.frame import Outcome, run
from otembed.transport.plan import TransportPlan
from otembed.transport.problem import Problem
from otembed.transport.settings import Settings, check_settings

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
        (B, N, M) floating point costs; cells of zero mass are never read.
    a, b
        (B, N) and (B, M) masses of equal totals, not negative; zero mass marks padding.
    share
        Transport only this share of the smaller total, between 0 and 1, so that :math:`P 1 \le a` and
        :math:`P^\top 1 \le b` (partial transport; the totals may differ). None transports all mass.
    threads
        Number of problems solved in parallel, None for ``torch.get_num_threads()``.

    Returns
    -------
    TransportPlan
        On the device of ``cost``, in float64 for float64 inputs, else float32; solved in float64 on the CPU.
        ``epsilon`` and ``iterations`` are 0. Empty and non-finite problems as in
        :func:`otembed.transport.sinkhorn`.

    Raises
    ------
    ConfigError
        If shapes, devices or dtypes do not match, a mass is negative, or a setting is out of range.
    NumericsError
        If the total masses of a problem differ.

    Notes
    -----
    Gradients follow the envelope theorem, as in :func:`otembed.transport.sinkhorn`; where several plans are
    optimal, they are those of the returned plan, which are a subgradient. The equivalent in POT is a loop of
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
    return run(by_network_simplex, cost, a, b, check_settings(epsilon=0, share=share, threads=threads))


def by_network_simplex(problem: Problem, index: Tensor, settings: Settings, result: TransportPlan) -> Outcome:
    """Solve by POT's network simplex, in float64 on the CPU, ``settings.threads`` problems at a time."""
    rows = index.tolist()
    # Moved first: MPS has no float64.
    costs, a_rows, b_rows = (tensor.cpu().double().numpy() for tensor in (problem.cost, problem.a, problem.b))
    with warnings.catch_warnings(), ThreadPoolExecutor(settings.threads or torch.get_num_threads()) as pool:
        warnings.simplefilter("ignore", UserWarning)  # POT warns about what the status reports
        solved = list(pool.map(lambda row: _solve_one(costs[row], a_rows[row], b_rows[row], settings.share), rows))
    for row, (found, _) in zip(rows, solved, strict=True):
        for name, entry in found.items():
            field = getattr(result, name)
            field[row] = torch.as_tensor(np.asarray(entry)).to(field)
    return Outcome(torch.tensor([optimal for _, optimal in solved], device=index.device))


def _solve_one(cost: Array, a: Array, b: Array, share: float | None) -> tuple[dict[str, Any], bool]:
    """Solve one problem without its padding; return the fields of the result by name, and whether it is optimal."""
    cells = np.ix_(a > 0, b > 0)
    # The simplex has absolute tolerances, and finds no plan at negative costs. Division by a power of 2 is exact.
    least = cost[cells].min()
    above = np.ascontiguousarray(cost[cells] - least)
    mass, price = _power_of_two(max(a.sum(), b.sum())), _power_of_two(above.max())
    part, f_part, g_part, optimal = (_emd if share is None else _partial_emd)(
        a[a > 0] / mass, b[b > 0] / mass, above / price, least / price, share or 1.0
    )
    plan, f, g = np.zeros_like(cost), np.zeros_like(a), np.zeros_like(b)
    plan[cells], f[a > 0], g[b > 0] = part * mass, f_part * price, g_part * price
    rows, columns = plan.sum(1) - a, plan.sum(0) - b
    if share is None:
        error = max(np.abs(rows).sum(), np.abs(columns).sum()) / a.sum()
    else:
        mass = share * min(a.sum(), b.sum())
        error = (rows.clip(0).sum() + columns.clip(0).sum() + abs(plan.sum() - mass)) / mass
    found = {
        "value": float((plan * cost).sum()),
        "plan": plan,
        "potential_source": f,
        "potential_target": g,
        "marginal_error": error,
    }
    return found, optimal


def _power_of_two(number: float) -> float:
    """Return the largest power of 2 that is at most ``number``, 1/2 for 0."""
    return float(np.ldexp(1.0, np.frexp(number)[1] - 1))


def _emd(a: Array, b: Array, cost: Array, least: float, _share: float) -> tuple[Array, Array, Array, bool]:
    """Return plan, potentials, and whether the plan is optimal, for the costs plus ``least``."""
    plan, log = ot.emd(a, b, cost, **_SETTINGS)  # type: ignore[no-untyped-call]
    return plan, log["u"] + least, log["v"], log["result_code"] == _OPTIMAL


def _partial_emd(a: Array, b: Array, cost: Array, least: float, share: float) -> tuple[Array, Array, Array, bool]:
    """Add a unit to each side that receives the remaining mass at no cost (Chapel et al., NeurIPS 2020).

    The potentials are the derivatives of the value with respect to the masses, including the effect on the carried mass.
    """
    mass = share * min(a.sum(), b.sum())
    wide = np.zeros((len(a) + 1, len(b) + 1))
    wide[:-1, :-1] = cost
    wide[-1, -1] = 2.0 * wide.max() + 1.0  # mass left out on one side cannot go to the added unit of the other
    both = np.append(a, b.sum() - mass), np.append(b, a.sum() - mass)
    plan, f, g, optimal = _emd(*both, wide, 0.0, share)
    # d value / d m = -(f0 + g0) of the two added units, plus the smallest cost, which was subtracted.
    price = share * (least - f[-1] - g[-1])
    source, target = f[:-1] + g[-1], g[:-1] + f[-1]
    if a.sum() <= b.sum():
        return plan[:-1, :-1], source + price, target, optimal
    return plan[:-1, :-1], source, target + price, optimal
