"""The Sinkhorn iteration compiled for a CPU: one problem at a time, each with its own stopping test.

The same method as in ``iteration``, which serves every other device: there the whole batch is updated together, here
each problem is reduced to its real units and stays in the CPU cache from its first update to its last. All arithmetic
is float64. Names are those of ``loops``, which defines the steps.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from otembed.runtime.compiling import jit
from otembed.transport.kernels.arrays import (
    absorb,
    compiled,
    compiled_fast,
    copy_cells,
    exps,
    extreme,
    furthest,
    logs,
    picked,
    place,
    real_units,
)
from otembed.transport.kernels.loops import (
    build_kernel,
    divergence,
    log_updates,
    scaling_updates,
    source_error,
    translate,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from otembed.transport.kernels.arrays import Doubles, Floats
    from otembed.transport.plan import TransportPlan
    from otembed.transport.problem import Problem
    from otembed.transport.settings import Settings

# Log-scalings beyond this are absorbed: their products with the kernel must stay in the range of float64.
_FAR = 200.0
# If costs / epsilon exceed this, the first update is made in the log domain.
_STEEP = 500.0
_MAX_OMEGA = 1.9
_GROWTH = 2.0  # over-relaxed errors oscillate a little on their way down
_CELLS_A_TASK = 1 << 15


def solve_compiled(problem: Problem, index: Tensor, settings: Settings, result: TransportPlan) -> None:
    """Solve the problems of ``index`` on the CPU and write them into ``result``.

    Large batches are distributed over ``torch.get_num_threads()`` threads; the solution of a problem depends neither
    on the other problems nor on the threads.
    """
    import torch  # here, because the process that only compiles this file needs none

    todo = index.numpy()
    inputs = [tensor.contiguous() for tensor in (problem.cost, problem.a, problem.b)]
    potentials = [result.potential_source, result.potential_target]
    outputs = [result.plan, *potentials, result.value, result.marginal_error, result.iterations]
    arrays = [tensor.numpy() for tensor in (*inputs, *outputs)]
    values = (
        settings.epsilon,
        settings.rho_a,
        settings.rho_b,
        settings.tol,
        settings.max_iter,
        settings.symmetric,
    )
    count = max(1, _CELLS_A_TASK // max(1, math.prod(problem.cost.shape[1:])))
    parts = [todo[first : first + count] for first in range(0, len(todo), count)]
    solve_part: Callable[..., None] = _solve_rows
    threads = min(torch.get_num_threads(), len(parts))
    if threads <= 1:
        solve_part(todo, *arrays, *values)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda part: solve_part(part, *arrays, *values), parts))


@jit(
    error_model="numpy",
    ahead="void(i8[::1], f4[:,:,::1], f4[:,::1], f4[:,::1], f4[:,:,::1], f4[:,::1], f4[:,::1], f4[::1], f4[::1], "
    "i8[::1], f8, f8, f8, f8, i8, b1)",
)
def _solve_rows(
    todo: NDArray[np.int64],
    cost: Floats,
    a: Floats,
    b: Floats,
    plan: Floats,
    f: Floats,
    g: Floats,
    value: Floats,
    error: Floats,
    iterations: NDArray[np.int64],
    epsilon: float,
    rho_a: float,
    rho_b: float,
    tol: float,
    max_iter: int,
    symmetric: bool,
) -> None:
    for row in todo:
        rows, columns = real_units(a[row]), real_units(b[row])
        mass_a, mass_b = picked(a[row], rows), picked(b[row], columns)
        scaled = np.empty((len(rows), len(columns)))
        copy_cells(scaled, cost[row], rows, columns)
        # Subtracting a constant changes no balanced plan and preserves the digits in which small costs differ.
        least = extreme(scaled, -1.0) if math.isinf(rho_a) and math.isinf(rho_b) else 0.0
        for i in range(len(rows)):
            for j in range(len(columns)):
                scaled[i, j] = (scaled[i, j] - least) / epsilon
        soft_a, soft_b = epsilon / rho_a, epsilon / rho_b
        u, v, kernel, top, du, dv, reached, done = _run(
            scaled, mass_a, mass_b, soft_a, soft_b, tol, max_iter, symmetric
        )
        error[row], iterations[row] = reached, done
        value[row] = _write(
            plan[row],
            rows,
            columns,
            scaled,
            mass_a,
            mass_b,
            u,
            v,
            kernel,
            top,
            du,
            dv,
            epsilon,
            rho_a,
            rho_b,
            least,
        )
        for i in range(len(rows)):
            f[row, rows[i]] = epsilon * (u[i] + du[i]) + least / 2
        for j in range(len(columns)):
            g[row, columns[j]] = epsilon * (v[j] + dv[j]) + least / 2


@compiled
def _run(
    scaled: Doubles,
    a: Doubles,
    b: Doubles,
    soft_a: float,
    soft_b: float,
    tol: float,
    max_iter: int,
    symmetric: bool,
) -> tuple[Doubles, Doubles, Doubles, float, Doubles, Doubles, float, int]:
    """Solve one problem; return absorbed potentials, kernel, increments not yet absorbed, error and updates."""
    n, m = scaled.shape
    u, v, du, dv = np.zeros(n), np.zeros(m), np.zeros(n), np.zeros(m)
    old_u, old_v = np.empty(n), np.empty(m)
    log_a, log_b = logs(a), logs(b)
    kernel = np.empty((n, m))
    omega, cap, before = 1.0, _MAX_OMEGA, math.inf
    done = 0
    if max(abs(extreme(scaled, 1.0)), abs(extreme(scaled, -1.0))) > _STEEP:
        log_updates(scaled, log_a, log_b, soft_a, soft_b, u, v, 1, symmetric)
        done = 1
    top = build_kernel(kernel, scaled, log_a, log_b, u, v)
    while True:
        steps = min(min(max(4, done // 4), 50) if done else 1, max_iter - done)
        if steps and (soft_a or soft_b):  # the updates make the target side exact again
            translate(log_a, log_b, soft_a, soft_b, u, v, du, dv)
        for i in range(n):
            old_u[i] = du[i]
        for j in range(m):
            old_v[j] = dv[j]
        scaling_updates(kernel, log_a, log_b, top, soft_a, soft_b, u, v, du, dv, steps, omega, symmetric)
        done += steps
        reach_u, reach_v = furthest(du), furthest(dv)
        if not (reach_u <= _FAR and reach_v <= _FAR):
            if math.isnan(reach_u) or math.isnan(reach_v):
                # The kernel has no entries where the plan needs mass: repeat in the log domain, without over-relaxation.
                absorb(u, du, old_u)
                absorb(v, dv, old_v)
                log_updates(scaled, log_a, log_b, soft_a, soft_b, u, v, steps, symmetric)
            else:
                absorb(u, du, du)
                absorb(v, dv, dv)
            top = build_kernel(kernel, scaled, log_a, log_b, u, v)
        error = source_error(kernel, log_a, top, soft_a, u, du, dv)
        if error <= tol or not math.isfinite(error) or done >= max_iter:
            return u, v, kernel, top, du, dv, error, done
        # Young's relation, and the fallback where the error grows: as in iteration.Iterate.
        rate = min(max(error / before, 1e-6), 0.9999) ** (1.0 / steps)
        plain = min((rate + omega - 1.0) ** 2 / (rate * omega * omega), 0.9999)
        if error > _GROWTH * before:
            cap = (1.0 + cap) / 2.0
            omega = 1.0
        elif rate > omega - 1.0:
            omega = min(cap, max(omega, 2.0 / (1.0 + math.sqrt(1.0 - plain))))
        before = error


@compiled_fast
def _write(
    plan: Floats,
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    scaled: Doubles,
    a: Doubles,
    b: Doubles,
    u: Doubles,
    v: Doubles,
    kernel: Doubles,
    top: float,
    du: Doubles,
    dv: Doubles,
    epsilon: float,
    rho_a: float,
    rho_b: float,
    least: float,
) -> float:
    """Write the plan and return its objective, as ``frame.entropic_value`` does."""
    n, m = kernel.shape
    scale_b, sums = exps(dv), np.zeros(m)
    line = np.empty(m)
    mass_a = mass_b = work = product = total = cells = steepest = relaxed = 0.0
    for i in range(n):
        scale_a, of_row = math.exp(du[i] + top), 0.0
        for j in range(m):
            moved = kernel[i, j] * scale_a * scale_b[j]
            exponent = (u[i] + du[i]) + (v[j] + dv[j]) - scaled[i, j]
            line[j] = moved
            work += moved * scaled[i, j]
            product += moved * exponent
            steepest = max(steepest, abs(exponent))
            of_row += moved
            sums[j] += moved
        place(plan[rows[i]], columns, line)
        total += of_row
        mass_a += a[i]
        if math.isfinite(rho_a):
            relaxed += rho_a * divergence(of_row, a[i])
    for j in range(m):
        mass_b += b[j]
        if math.isfinite(rho_b):
            relaxed += rho_b * divergence(sums[j], b[j])
    entropy = product - total + mass_a * mass_b
    if steepest < 1.0:
        # At large epsilon these terms would cancel: there KL is summed cell by cell.
        for i in range(n):
            for j in range(m):
                exponent = (u[i] + du[i]) + (v[j] + dv[j]) - scaled[i, j]
                cells += a[i] * b[j] * (exponent * math.exp(exponent) - math.expm1(exponent))
        entropy = cells
    return float(epsilon * work + least * total + epsilon * entropy + relaxed)
