"""The Sinkhorn iteration on tensors: batched, in increments of the potentials, with one stopping test per problem.

Axes: A problems still active (of B), N source units, M target units. Potentials u = f / epsilon and
v = g / epsilon are dimensionless here.

The state holds the exponent E = u + v - C / epsilon in addition to u and v. Small differences between large
potentials are then rounded once, when E is built, which is equivalent to changing the cost in its last digit;
afterwards the marginals reach single precision at any epsilon. The increments since then, du and dv, are absorbed
into E only when they grow large, so an update takes two passes over the kernel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Self

import torch
from torch import Tensor

from otembed.transport.settings import Settings

_FAR = 8.0  # log-scalings beyond this are absorbed into the kernel
_WILD = 30.0  # and beyond this they leave the range in which the kernel, cut off at e^-87, is faithful
_LEAST = 1e-30  # of a kernel whose largest entry is 1
_MAX_OMEGA = 1.9
_GROWTH = 2.0  # over-relaxed errors oscillate a little on their way down


def window(iterations: int) -> int:
    """Return the number of updates before the next convergence test, from the number made so far.

    >>> [window(done) for done in (0, 1, 9, 100, 1000)]
    [1, 8, 8, 25, 50]
    """
    return min(max(8, iterations // 4), 50) if iterations else 1


def rows_of(mask: Tensor, count: int) -> Tensor:
    """Return the indices of the ``count`` True entries of ``mask`` (A,), in order, without waiting for the device.

    >>> rows_of(torch.tensor([False, True, False, True]), 2).tolist()
    [1, 3]
    """
    return mask.to(torch.int8).argsort(descending=True, stable=True)[:count]


@dataclass(eq=False)
class Iterate:
    """The active problems. Every tensor has A rows."""

    index: Tensor  # (A,) place in the batch
    exponent_ANM: Tensor
    kernel_ANM: Tensor  # exp(exponent + log a + log b - top); 0 at padding
    top_A: Tensor
    log_a_AN: Tensor  # -inf at padding
    log_b_AM: Tensor
    pad_a_AN: Tensor  # 1 at padding, else 0
    pad_b_AM: Tensor
    u_AN: Tensor  # absorbed into the exponent; 0 at padding
    v_AM: Tensor
    du_AN: Tensor  # not yet absorbed; 0 at padding
    dv_AM: Tensor
    omega_A1: Tensor  # over-relaxation, 0 for a finished problem
    cap_A1: Tensor
    live_A1: Tensor  # 1, or 0 for a finished problem that is still in the batch
    error_A: Tensor
    iterations_A: Tensor

    @classmethod
    def start(cls, index: Tensor, cost: Tensor, a: Tensor, b: Tensor, epsilon: float, shift: Tensor) -> Self:
        """Start with zero potentials for the costs minus ``shift`` (A,)."""
        ones = cost.new_ones(len(index), 1)
        begun = cls(
            index=index,
            exponent_ANM=torch.sub((shift / epsilon)[:, None, None], cost, alpha=1.0 / epsilon),
            kernel_ANM=cost,
            top_A=ones[:, 0],
            log_a_AN=a.log(),
            log_b_AM=b.log(),
            pad_a_AN=(a == 0).to(a.dtype),
            pad_b_AM=(b == 0).to(b.dtype),
            u_AN=torch.zeros_like(a),
            v_AM=torch.zeros_like(b),
            du_AN=torch.zeros_like(a),
            dv_AM=torch.zeros_like(b),
            omega_A1=ones,
            cap_A1=ones * _MAX_OMEGA,
            live_A1=ones,
            error_A=ones[:, 0] * math.inf,
            iterations_A=torch.zeros_like(index),
        )
        begun.kernel_ANM, begun.top_A = begun._kernel()
        return begun

    def take(self, rows: Tensor) -> Self:
        """Return a copy of the problems at some indices."""
        return type(self)(**{field.name: getattr(self, field.name).index_select(0, rows) for field in fields(self)})

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """Return the problems of several parts as one."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            **{field.name: torch.cat([getattr(part, field.name) for part in parts]) for field in fields(cls)}
        )

    def absorb(self, rows: Tensor | None = None) -> None:
        """Absorb du and dv of some problems (indices, None for all) into the exponent, and rebuild the kernel."""
        part = self if rows is None else self.take(rows)
        part.exponent_ANM = part.absorbed()
        part.u_AN, part.v_AM = part.u_AN + part.du_AN, part.v_AM + part.dv_AM
        part.du_AN, part.dv_AM = torch.zeros_like(part.du_AN), torch.zeros_like(part.dv_AM)
        part.kernel_ANM, part.top_A = part._kernel()
        if rows is not None:
            for name in ("exponent_ANM", "kernel_ANM", "top_A", "u_AN", "v_AM", "du_AN", "dv_AM"):
                getattr(self, name)[rows] = getattr(part, name)

    def absorbed(self) -> Tensor:
        """Return the exponents including du and dv, (A, N, M)."""
        return (self.exponent_ANM + self.du_AN[:, :, None]).add_(self.dv_AM[:, None, :])

    def plan(self) -> Tensor:
        """Return the plans, (A, N, M)."""
        return (self.kernel_ANM * (self.du_AN + self.top_A[:, None]).exp()[:, :, None]) * self.dv_AM.exp()[
            :, None, :
        ]

    def advance(self, settings: Settings, steps: int, *, last: bool = False) -> tuple[Self, Tensor, int]:
        """Update both potentials ``steps`` times, in the log domain where the scalings would overflow.

        Waits for the device once, for three numbers together, so the common case is computed before it is known to
        apply: that no scaling moved out of the range of the kernel.

        Returns
        -------
        state, done, count
            The state after the updates; this one must not be used any more. ``done`` (A,) is True for ``count``
            finished problems, which are frozen: all of them if ``last``, else all but those that moved too far in these
            updates, which are counted after the next ones.
        """
        state = replace(self)
        if not settings.balanced:
            state._translate(settings)
        before = state.du_AN, state.dv_AM
        omega = 0.5 * self.live_A1 if settings.symmetric else self.omega_A1
        sums = _Scalings(state, settings)
        state.du_AN, state.dv_AM = _update(sums, state, settings, steps, omega)
        furthest = torch.maximum(state.du_AN.abs().amax(1), state.dv_AM.abs().amax(1))
        far, wild = ~(furthest <= _FAR), ~(furthest <= _WILD)  # True for NaN as well
        near = replace(state)
        near._judge(sums.error(near), settings, steps, last=last)
        done = (self.live_A1[:, 0] == 0) | ((near.live_A1[:, 0] == 0) & ~far) | last
        count, far_count, wild_count = torch.stack([done.sum(), far.sum(), wild.sum()]).tolist()
        if not far_count:
            return near, done, count
        if wild_count:
            state._redo(rows_of(wild, wild_count), before, settings, steps, omega)
        state.absorb(rows_of(far, far_count))
        state._judge(_Scalings(state, settings).error(state), settings, steps, last=last)
        return state, done, count

    def _judge(self, error: Tensor, settings: Settings, steps: int, *, last: bool) -> None:
        """Count the updates, adapt to the error, and freeze the problems that are finished."""
        self.iterations_A = self.iterations_A + steps * (self.live_A1[:, 0] > 0)
        self._adapt(error, steps)
        finished = (error <= settings.tol) | ~error.isfinite() | last
        self.live_A1 = (~finished).to(self.omega_A1.dtype)[:, None]
        self.omega_A1 = self.omega_A1 * self.live_A1

    def _redo(
        self, wild: Tensor, before: tuple[Tensor, Tensor], settings: Settings, steps: int, omega: Tensor
    ) -> None:
        """Repeat the last updates of some problems (indices) in the log domain, without over-relaxation."""
        part = self.take(wild)
        part.du_AN, part.dv_AM = before[0][wild], before[1][wild]
        part.absorb()
        plain = omega[wild] if settings.symmetric else part.live_A1
        moved = _update(_Logarithms(part), part, settings, steps, plain)
        for name in ("exponent_ANM", "u_AN", "v_AM"):
            getattr(self, name)[wild] = getattr(part, name)
        self.du_AN[wild], self.dv_AM[wild] = moved

    def _adapt(self, error: Tensor, steps: int) -> None:
        """Set each problem's over-relaxation from the decrease of its error over the last ``steps`` updates.

        Young's relation between the rates of the plain and the over-relaxed iteration gives the best omega.
        Near the solution, any omega below 2 converges. Where the error grows nevertheless, the next updates are
        plain and the upper bound of omega moves halfway to 1, so a difficult problem falls back to the plain
        iteration.
        """
        omega, cap = self.omega_A1[:, 0], self.cap_A1[:, 0]
        rate = (error / self.error_A).clamp(1e-6, 0.9999) ** (1.0 / steps)
        plain_rate = ((rate + omega - 1).square() / (rate * omega.square())).clamp_max(0.9999)
        best = torch.maximum(omega, 2.0 / (1.0 + (1.0 - plain_rate).sqrt()))
        grew = error > _GROWTH * self.error_A
        cap = torch.where(grew, (1.0 + cap) / 2.0, cap)
        omega = torch.where(rate > omega - 1, best, omega).minimum(cap)
        omega = torch.where(grew, 1.0, omega)
        self.omega_A1, self.cap_A1, self.error_A = omega[:, None], cap[:, None], error

    def _kernel(self) -> tuple[Tensor, Tensor]:
        logs = self.exponent_ANM + self.log_a_AN[:, :, None]
        logs += self.log_b_AM[:, None, :]
        top = logs.amax((1, 2))
        # Denormal numbers would slow down every product; the omitted entries stay negligible below _FAR.
        return torch.threshold_(logs.sub_(top[:, None, None]).exp_(), _LEAST, 0.0), top

    def _translate(self, settings: Settings) -> None:
        """Move mass between the potentials, f + t and g - t, to the best t, which is known in closed form.

        The updates alone find it slowly when rho is much larger than epsilon.
        """
        soft_a, soft_b = settings.softness
        log_mass_a = torch.logsumexp(self.log_a_AN - soft_a * (self.u_AN + self.du_AN), 1, keepdim=True)
        log_mass_b = torch.logsumexp(self.log_b_AM - soft_b * (self.v_AM + self.dv_AM), 1, keepdim=True)
        shift = (log_mass_a - log_mass_b) / (soft_a + soft_b) * self.live_A1
        self.du_AN = torch.addcmul(self.du_AN, shift, 1.0 - self.pad_a_AN)
        self.dv_AM = torch.addcmul(self.dv_AM, shift, 1.0 - self.pad_b_AM, value=-1.0)


class _Scalings:
    """Log of the sums over exp(exponent), by multiplying the kernel; 0 at padding.

    ``bmm`` is slower for vectors, would run in TF32 where a trainer allows it, and its rounding may depend on
    the batch size.
    """

    def __init__(self, state: Iterate, settings: Settings) -> None:
        self.kernel, self.pad_a, self.pad_b = state.kernel_ANM, state.pad_a_AN, state.pad_b_AM
        self.soft, _ = settings.softness
        top = state.top_A[:, None]
        self.log_a = torch.where(self.pad_a > 0, 0.0, state.log_a_AN - top)
        self.log_b = torch.where(self.pad_b > 0, 0.0, state.log_b_AM - top)

    def weighted_rows(self, dv: Tensor) -> Tensor:
        return (self.kernel * dv.exp()[:, None, :]).sum(2)

    def rows(self, dv: Tensor) -> Tensor:
        return self.weighted_rows(dv).add_(self.pad_a).log_()  # a padded row sums to 0, and log 1 is 0

    def columns(self, du: Tensor) -> Tensor:
        return (self.kernel * du.exp()[:, :, None]).sum(1).add_(self.pad_b).log_()

    def error(self, state: Iterate) -> Tensor:
        """Return the relative L1 distance of the source marginal from a exp(-f / rho_a).

        That is the mass at which the potentials are optimal: a itself in balanced problems. The target side was
        updated last and is exact. In terms of the next update f', the distance is
        sum_i a_i |exp((f_i - f'_i)(1/eps + 1/rho)) - 1|.
        """
        real = 1.0 - self.pad_a
        mass = wanted = self.log_a.clamp_max(80.0).exp() * real
        if self.soft:
            wanted = (self.log_a - self.soft * (state.u_AN + state.du_AN)).clamp_max(80.0).exp() * real
        distance = (
            torch.addcmul(wanted, self.weighted_rows(state.dv_AM), state.du_AN.exp(), value=-1.0).abs().sum(1)
        )
        # Where almost no mass is worth moving, an empty plan is correct.
        return distance / torch.maximum(wanted.sum(1), torch.finfo(mass.dtype).eps * mass.sum(1))


class _Logarithms:
    """The same sums in the log domain: slower, but correct for scalings of any size."""

    def __init__(self, state: Iterate) -> None:
        self.exponent, self.weight_a, self.weight_b = state.exponent_ANM, state.log_a_AN, state.log_b_AM
        self.pad_a, self.pad_b = state.pad_a_AN, state.pad_b_AM
        self.log_a, self.log_b = torch.zeros_like(self.weight_a), torch.zeros_like(self.weight_b)

    def rows(self, dv: Tensor) -> Tensor:
        sums = torch.logsumexp(self.exponent + (dv + self.weight_b)[:, None, :], 2)
        return torch.where(self.pad_a > 0, 0.0, sums)

    def columns(self, du: Tensor) -> Tensor:
        sums = torch.logsumexp(self.exponent + (du + self.weight_a)[:, :, None], 1)
        return torch.where(self.pad_b > 0, 0.0, sums)


def _update(
    sums: _Scalings | _Logarithms,
    state: Iterate,
    settings: Settings,
    steps: int,
    omega: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return the increments of u and v after ``steps`` updates; the last one of v is not over-relaxed."""
    soft_a, soft_b = settings.softness
    share_a, share_b = 1.0 / (1.0 + soft_a), 1.0 / (1.0 + soft_b)
    # u' = -(log sum) / (1 + soft) for the whole potential, written for its increment.
    base_a = (sums.log_a - soft_a * state.u_AN) * share_a
    base_b = (sums.log_b - soft_b * state.v_AM) * share_b
    du, dv = state.du_AN, state.dv_AM
    for step in range(1, steps + 1):
        du = torch.lerp(du, torch.sub(base_a, sums.rows(dv), alpha=share_a), omega)
        if settings.symmetric:
            dv = du
            continue
        wanted = torch.sub(base_b, sums.columns(du), alpha=share_b)
        dv = torch.lerp(dv, wanted, state.live_A1 if step == steps else omega)
    return du, dv
