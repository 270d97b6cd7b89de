"""The Sinkhorn iteration: batched, in increments of the potentials, each problem until its own stop.

Axes: A problems still active (of B), N source units, M target units. Potentials u = f / epsilon and
v = g / epsilon are dimensionless here.

The state keeps the exponent E = u + v - C / epsilon itself and not only u and v. Small differences between
large potentials are then rounded once, when E is built, which amounts to a cost changed in its last digit;
afterwards marginals can be met to single precision at any epsilon.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Self

import torch
from torch import Tensor

from otembed.transport.strength import Strength

CHECK_EVERY = 10
_WILD = 30.0  # log-scalings beyond this leave the range in which the kernel, cut off at e^-87, is faithful
_MAX_OMEGA = 1.9
_GROWTH = 2.0  # over-relaxed errors oscillate a little on their way down


@dataclass(frozen=True, eq=False)
class Iterate:
    """The problems still active. Everything has A rows."""

    index: Tensor  # (A,) place in the batch
    exponent_ANM: Tensor
    kernel_ANM: Tensor  # exp(exponent + log a + log b - top): the plan, scaled to a largest entry of 1
    top_A: Tensor
    log_a_AN: Tensor  # -inf at padding
    log_b_AM: Tensor
    u_AN: Tensor  # 0 at padding
    v_AM: Tensor
    omega_A1: Tensor  # over-relaxation
    cap_A1: Tensor
    error_A: Tensor

    @classmethod
    def start(cls, index: Tensor, cost: Tensor, a: Tensor, b: Tensor, epsilon: float) -> Self:
        """Begin with potentials of zero."""
        ones = cost.new_ones(len(index), 1)
        begun = cls(
            index=index,
            exponent_ANM=cost / -epsilon,
            kernel_ANM=cost,
            top_A=ones[:, 0],
            log_a_AN=a.log(),
            log_b_AM=b.log(),
            u_AN=torch.zeros_like(a),
            v_AM=torch.zeros_like(b),
            omega_A1=ones,
            cap_A1=ones * _MAX_OMEGA,
            error_A=ones[:, 0] * math.inf,
        )
        return begun._with_kernel()

    def take(self, keep: Tensor) -> Self:
        """Return the problems where ``keep`` (A,) is True."""
        return type(self)(**{field.name: getattr(self, field.name)[keep] for field in fields(self)})

    def plan(self) -> Tensor:
        """Return the plans, (A, N, M)."""
        return self.kernel_ANM * self.top_A.exp()[:, None, None]

    def marginal_error(self, strength: Strength) -> Tensor:
        """Return the relative L1 distance of the marginals from a exp(-f / rho_a) and b exp(-g / rho_b).

        These are the masses at which the potentials are optimal: a and b themselves in balanced problems. In
        terms of the next update f', the distance is sum_i w_i |exp((f_i - f'_i)(1/eps + 1/rho)) - 1|.
        """
        soft_a, soft_b = strength.softness
        worst = torch.zeros_like(self.top_A)
        for log_mass, potential, soft, axis in (
            (self.log_a_AN, self.u_AN, soft_a, 2),
            (self.log_b_AM, self.v_AM, soft_b, 1),
        ):
            relative = log_mass - self.top_A[:, None]
            wanted = (relative - soft * potential).clamp_max(80.0).exp()
            distance = (self.kernel_ANM.sum(axis) - wanted).abs().sum(1)
            # Where next to nothing is worth moving, a plan of nothing is right.
            least = torch.finfo(wanted.dtype).eps * relative.clamp_max(80.0).exp().sum(1)
            worst = torch.maximum(worst, distance / torch.maximum(wanted.sum(1), least))
        return worst

    def advance(self, strength: Strength, steps: int, *, symmetric: bool) -> Self:
        """Update both potentials ``steps`` times; in log domain where the scalings would leave the range."""
        state = self if strength.balanced else self._translated(strength)
        omega = torch.full_like(self.omega_A1, 0.5) if symmetric else self.omega_A1
        du, dv = _update(_Scalings(state), state, strength, steps, omega, symmetric=symmetric)
        tame = (du.abs().amax(1) <= _WILD) & (dv.abs().amax(1) <= _WILD)  # False for NaN as well
        if not bool(tame.all()):
            wild = ~tame
            part = state.take(wild)
            plain = omega[wild] if symmetric else torch.ones_like(omega[wild])
            du[wild], dv[wild] = _update(_Logarithms(part), part, strength, steps, plain, symmetric=symmetric)
        moved = replace(
            state,
            exponent_ANM=state.exponent_ANM + du[:, :, None] + dv[:, None, :],
            u_AN=state.u_AN + du,
            v_AM=state.v_AM + dv,
        )
        return moved._with_kernel()

    def adapted(self, error: Tensor, steps: int) -> Self:
        """Choose each problem's over-relaxation from how its error fell over the last ``steps`` updates.

        Young's relation between the rates of the plain and the over-relaxed iteration gives the best omega.
        Near the solution any omega below 2 converges. Where the error grows all the same, the next updates are
        plain and the bound of later ones moves halfway to 1, so that trouble ends in the plain iteration.
        """
        omega, cap = self.omega_A1[:, 0], self.cap_A1[:, 0]
        rate = (error / self.error_A).clamp(1e-6, 0.9999) ** (1.0 / steps)
        plain_rate = ((rate + omega - 1).square() / (rate * omega.square())).clamp_max(0.9999)
        best = torch.maximum(omega, 2.0 / (1.0 + (1.0 - plain_rate).sqrt()))
        grew = error > _GROWTH * self.error_A
        cap = torch.where(grew, (1.0 + cap) / 2.0, cap)
        omega = torch.where(rate > omega - 1, best, omega).minimum(cap)
        omega = torch.where(grew, 1.0, omega)
        return replace(self, omega_A1=omega[:, None], cap_A1=cap[:, None], error_A=error)

    def _with_kernel(self) -> Self:
        logs = self.exponent_ANM + self.log_a_AN[:, :, None] + self.log_b_AM[:, None, :]
        top = logs.amax((1, 2))
        return replace(self, kernel_ANM=logs.sub_(top[:, None, None]).exp_(), top_A=top)

    def _translated(self, strength: Strength) -> Self:
        """Move mass between the potentials, f + t and g - t, to the best t, which is known in closed form.

        The updates alone find it slowly where rho is large beside epsilon.
        """
        soft_a, soft_b = strength.softness
        log_mass_a = torch.logsumexp(self.log_a_AN - soft_a * self.u_AN, 1, keepdim=True)
        log_mass_b = torch.logsumexp(self.log_b_AM - soft_b * self.v_AM, 1, keepdim=True)
        shift = (log_mass_a - log_mass_b) / (soft_a + soft_b)
        return replace(
            self,
            u_AN=torch.where(self.log_a_AN.isfinite(), self.u_AN + shift, 0.0),
            v_AM=torch.where(self.log_b_AM.isfinite(), self.v_AM - shift, 0.0),
        )


class _Scalings:
    """Log of the sums over exp(exponent), by multiplying the kernel.

    Not by ``bmm``: it is no faster for vectors, would run in TF32 where a trainer allows that, and may round
    by the size of the batch.
    """

    def __init__(self, state: Iterate) -> None:
        self.kernel = state.kernel_ANM
        self.log_a = state.log_a_AN - state.top_A[:, None]
        self.log_b = state.log_b_AM - state.top_A[:, None]

    def rows(self, dv: Tensor) -> Tensor:
        return (self.kernel * dv.exp()[:, None, :]).sum(2).log() - self.log_a

    def columns(self, du: Tensor) -> Tensor:
        return (self.kernel * du.exp()[:, :, None]).sum(1).log() - self.log_b


class _Logarithms:
    """The same sums without leaving the log domain: slower, and right for scalings of any size."""

    def __init__(self, state: Iterate) -> None:
        self.exponent, self.log_a, self.log_b = state.exponent_ANM, state.log_a_AN, state.log_b_AM

    def rows(self, dv: Tensor) -> Tensor:
        return torch.logsumexp(self.exponent + (dv + self.log_b)[:, None, :], 2)

    def columns(self, du: Tensor) -> Tensor:
        return torch.logsumexp(self.exponent + (du + self.log_a)[:, :, None], 1)


def _update(
    sums: _Scalings | _Logarithms,
    state: Iterate,
    strength: Strength,
    steps: int,
    omega: Tensor,
    *,
    symmetric: bool,
) -> tuple[Tensor, Tensor]:
    """Return the increments of u and v after ``steps`` updates; the last one of v is not over-relaxed."""
    soft_a, soft_b = strength.softness
    real_a, real_b = state.log_a_AN.isfinite(), state.log_b_AM.isfinite()
    # u' = -(log sum) / (1 + soft) for the whole potential, written for its increment.
    rest_a, rest_b = soft_a * state.u_AN, soft_b * state.v_AM
    du, dv = torch.zeros_like(state.u_AN), torch.zeros_like(state.v_AM)
    for step in range(1, steps + 1):
        wanted = torch.where(real_a, (sums.rows(dv) + rest_a) / -(1.0 + soft_a), 0.0)
        du = torch.lerp(du, wanted, omega)
        if symmetric:
            dv = du
            continue
        wanted = torch.where(real_b, (sums.columns(du) + rest_b) / -(1.0 + soft_b), 0.0)
        dv = wanted if step == steps else torch.lerp(dv, wanted, omega)
    return du, dv
