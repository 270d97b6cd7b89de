"""Compiled steps on one transport problem: its kernel, updates of its potentials, its error.

Names: n source units and m target units; ``scaled`` (n, m) is the cost divided by epsilon; ``u`` (n,) and ``v`` (m,)
are f / epsilon and g / epsilon; ``kernel`` (n, m) is exp(u + v - scaled + log a + log b - top); ``du`` and ``dv`` are the
increments since it was built; ``soft_a`` is epsilon / rho_a, 0 where the marginal is a constraint.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from otembed.transport.kernels.arrays import compiled, compiled_fast, exponentials, exps, extreme

if TYPE_CHECKING:
    from otembed.transport.kernels.arrays import Doubles


@compiled
def build_kernel(kernel: Doubles, scaled: Doubles, log_a: Doubles, log_b: Doubles, u: Doubles, v: Doubles) -> float:
    """Fill the kernel in place and return ``top``, the log of its divisor."""
    n, m = scaled.shape
    for i in range(n):
        for j in range(m):
            kernel[i, j] = (u[i] + log_a[i]) + (v[j] + log_b[j]) - scaled[i, j]
    top = extreme(kernel, 1.0)
    powers = np.empty(m)
    for i in range(n):
        exponentials(kernel[i], top, powers)
    return top


@compiled
def log_updates(
    scaled: Doubles,
    log_a: Doubles,
    log_b: Doubles,
    soft_a: float,
    soft_b: float,
    u: Doubles,
    v: Doubles,
    steps: int,
    symmetric: bool,
) -> None:
    """Update the full potentials in place in the log domain: slower, but correct for values of any size."""
    n, m = scaled.shape
    for _ in range(steps):
        for i in range(n):
            wanted = -_log_sum(v, log_b, scaled[i]) / (1.0 + soft_a)
            u[i] += (0.5 if symmetric else 1.0) * (wanted - u[i])
        for j in range(m):
            v[j] = u[j] if symmetric else -_log_sum(u, log_a, scaled[:, j]) / (1.0 + soft_b)


@compiled
def _log_sum(potential: Doubles, log_masses: Doubles, costs: Doubles) -> float:
    """Return log sum exp of potential + log mass - cost."""
    top = -math.inf
    for i in range(len(costs)):
        top = max(top, potential[i] + log_masses[i] - costs[i])
    total = 0.0
    for i in range(len(costs)):
        total += math.exp(potential[i] + log_masses[i] - costs[i] - top)
    return top + math.log(total)


@compiled_fast
def scaling_updates(
    kernel: Doubles,
    log_a: Doubles,
    log_b: Doubles,
    top: float,
    soft_a: float,
    soft_b: float,
    u: Doubles,
    v: Doubles,
    du: Doubles,
    dv: Doubles,
    steps: int,
    omega: float,
    symmetric: bool,
) -> None:
    """Update du and dv in place ``steps`` times; the last update of dv is not over-relaxed."""
    n, m = kernel.shape
    share_a, share_b = 1.0 / (1.0 + soft_a), 1.0 / (1.0 + soft_b)
    scale_b, sums = exps(dv), np.empty(m)
    pull_a = 0.5 if symmetric else omega
    for step in range(steps):
        pull_b = 1.0 if step == steps - 1 else omega
        for j in range(m):
            sums[j] = 0.0
        for i in range(n):
            total = 0.0
            for j in range(m):
                total += kernel[i, j] * scale_b[j]
            wanted = (log_a[i] - top - soft_a * u[i] - math.log(total)) * share_a
            du[i] += pull_a * (wanted - du[i])
            scale_a = math.exp(du[i])
            for j in range(m):
                sums[j] += kernel[i, j] * scale_a
        for j in range(m):
            if symmetric:
                dv[j] = du[j]
            else:
                wanted = (log_b[j] - top - soft_b * v[j] - math.log(sums[j])) * share_b
                dv[j] += pull_b * (wanted - dv[j])
            scale_b[j] = math.exp(dv[j])


@compiled
def translate(
    log_a: Doubles,
    log_b: Doubles,
    soft_a: float,
    soft_b: float,
    u: Doubles,
    v: Doubles,
    du: Doubles,
    dv: Doubles,
) -> None:
    """Move mass between the potentials, f + t and g - t, to the best t, which is known in closed form."""
    shift = (_log_mass(log_a, soft_a, u, du) - _log_mass(log_b, soft_b, v, dv)) / (soft_a + soft_b)
    for i in range(len(du)):
        du[i] += shift
    for j in range(len(dv)):
        dv[j] -= shift


@compiled
def _log_mass(log_masses: Doubles, soft: float, whole: Doubles, rest: Doubles) -> float:
    """Return the log of the mass at which a side's potentials are optimal."""
    top = -math.inf
    for i in range(len(rest)):
        top = max(top, log_masses[i] - soft * (whole[i] + rest[i]))
    total = 0.0
    for i in range(len(rest)):
        total += math.exp(log_masses[i] - soft * (whole[i] + rest[i]) - top)
    return top + math.log(total)


@compiled_fast
def source_error(
    kernel: Doubles, log_a: Doubles, top: float, soft_a: float, u: Doubles, du: Doubles, dv: Doubles
) -> float:
    """Relative L1 distance of the source marginal from a exp(-f / rho_a); the target side is exact."""
    n, m = kernel.shape
    scale_b = exps(dv)
    distance, mass, all_wanted = 0.0, 0.0, 0.0
    for i in range(n):
        total = 0.0
        for j in range(m):
            total += kernel[i, j] * scale_b[j]
        wanted = math.exp(log_a[i] - soft_a * (u[i] + du[i]))
        distance += abs(wanted - total * math.exp(du[i] + top))
        all_wanted += wanted
        mass += math.exp(log_a[i])
    # Where almost no mass is worth moving, an empty plan is correct.
    return distance / max(all_wanted, 1e-16 * mass)


@compiled
def divergence(found: float, wanted: float) -> float:
    """Return one term of the KL divergence between masses."""
    return (found * math.log(found / wanted) if found > 0 else 0.0) - found + wanted
