"""Preparation before solving: checked shapes, one float dtype, clean padding, unsolvable problems marked.

Axes: B problems, N source units, M target units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from otembed.errors import ConfigError, NumericsError
from otembed.transport.plan import TransportStatus

MASS_TOLERANCE = 1e-4
"""Relative difference of the total masses that balanced transport treats as rounding."""


@dataclass(frozen=True, eq=False)
class Problem:
    """A batch of transport problems, detached, in float32 or float64, zero wherever there is no mass.

    ``cost`` (B, N, M), ``a`` (B, N) and ``b`` (B, M) are 0 throughout in problems whose ``status`` (B,) is
    EMPTY or NON_FINITE; all others, at the indices ``solvable`` (A,), are marked CONVERGED.
    """

    cost: Tensor
    a: Tensor
    b: Tensor
    status: Tensor
    solvable: Tensor

    def take(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return cost, a and b of the problems of ``index``, which is sorted; without a copy if it holds all of them."""
        tensors = self.cost, self.a, self.b
        return tensors if len(index) == len(self.cost) else (self.cost[index], self.a[index], self.b[index])


def _kinds(values: Sequence[object]) -> str:
    """Return what to name arguments by in an error: the dtype of a tensor, else the class."""
    *others, last = (str(each.dtype) if isinstance(each, Tensor) else type(each).__name__ for each in values)
    return f"{', '.join(others)} and {last}"


def check_floating(names: str, *tensors: Tensor) -> None:
    """Check the two or more arguments called ``names``.

    Raises
    ------
    ConfigError
        If one is not a floating point tensor.
    """
    if not all(isinstance(tensor, Tensor) and tensor.is_floating_point() for tensor in tensors):
        raise ConfigError(
            f"{names} must be floating point tensors, got {_kinds(tensors)}",
            "Convert arrays with torch.from_numpy(), and other tensors with .float().",
        )


def check_real(names: str, *tensors: Tensor) -> None:
    """Check the two or more arguments called ``names``, which may be of whole numbers or masks.

    Raises
    ------
    ConfigError
        If one is no real tensor.
    """
    if not all(isinstance(tensor, Tensor) and not tensor.is_complex() for tensor in tensors):
        raise ConfigError(
            f"{names} must be real tensors, got {_kinds(tensors)}", "Convert arrays with torch.from_numpy()."
        )


def check_vectors(x: Tensor, y: Tensor) -> None:
    """Check that vectors are real tensors; ConfigError as :func:`check_real`."""
    check_real("source and target vectors", x, y)


def common_dtype(*tensors: Tensor) -> torch.dtype:
    """Return the widest float dtype among the tensors, at least float32."""
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return dtype


def clean(z: Tensor, masses: Tensor) -> tuple[Tensor, Tensor]:
    """Zero vectors without mass; a cloud with NaN, infinity or norms that overflow gets finite vectors and NaN masses."""
    wide = z.detach().to(torch.promote_types(z.dtype, torch.float32))
    finite = torch.linalg.vecdot(wide, wide).isfinite()
    broken = (~finite & (masses != 0)).any(1, keepdim=True)
    z = torch.where(((masses != 0) & finite)[:, :, None], z, 0.0)
    return z, masses.masked_fill(broken, torch.nan)


def mass_slack(a: Tensor, b: Tensor) -> float:
    """Return the relative difference of total masses that is rounding in the dtypes of both sides."""
    return max(MASS_TOLERANCE, *(4 * torch.finfo(masses.dtype).eps for masses in (a, b)))


def prepare(cost: Tensor, a: Tensor, b: Tensor, *, balanced: bool) -> Problem:
    """Check the masses of a batch of problems that :func:`check_tensors` accepts, and clean it.

    With ``balanced``, ``b`` is rescaled if the totals differ by rounding only.

    Raises
    ------
    ConfigError
        If a mass is negative.
    NumericsError
        If ``balanced`` and the total masses of a problem differ.
    """
    dtype = common_dtype(cost, a, b)
    slack = mass_slack(a, b)
    cost, a, b = (tensor.detach().to(dtype) for tensor in (cost, a, b))
    cells = (a != 0)[:, :, None] & (b != 0)[:, None, :]
    cost = torch.where(cells, cost, 0.0)
    # A sum is finite only if every term is; a sum may also overflow, so check the terms in that case.
    finite = cost.sum((1, 2)).isfinite() & a.isfinite().all(1) & b.isfinite().all(1)
    mass_a, mass_b = a.sum(1), b.sum(1)
    filled = (mass_a > 0) & (mass_b > 0)
    differ = ((mass_a - mass_b).abs() > slack * torch.maximum(mass_a, mass_b)) & balanced
    negative = (a < 0).any(1) | (b < 0).any(1)
    solvable = finite & filled
    whole = bool((solvable & ~differ & ~negative).all())  # on other devices than a CPU, each bool() waits
    if not whole:
        finite = cost.isfinite().flatten(1).all(1) & a.isfinite().all(1) & b.isfinite().all(1)
        solvable = finite & filled
        unequal = solvable & differ
        if bool((negative | unequal).any()):
            _refuse(negative, unequal, a, b)
        whole = bool(solvable.all())
    status = torch.where(filled, int(TransportStatus.CONVERGED), int(TransportStatus.EMPTY))
    status = torch.where(finite, status, int(TransportStatus.NON_FINITE)).to(torch.int8)
    if balanced:
        b = b * torch.where(solvable, mass_a / mass_b, 1.0)[:, None]
    if not whole:
        cost.masked_fill_(~solvable[:, None, None], 0.0)
    return Problem(
        cost=cost,
        a=torch.where(solvable[:, None], a, 0.0),
        b=torch.where(solvable[:, None], b, 0.0),
        status=status,
        solvable=torch.arange(len(cost), device=cost.device) if whole else solvable.nonzero()[:, 0],
    )


def check_tensors(cost: Tensor, a: Tensor, b: Tensor) -> None:
    """Check the tensors of a batch of problems.

    Raises
    ------
    ConfigError
        If shapes, devices or dtypes do not match.
    """
    check_floating("cost, a and b", cost, a, b)
    if cost.ndim != 3 or a.shape != cost.shape[:2] or b.shape != (cost.shape[0], cost.shape[2]):
        raise ConfigError(
            f"cost, a and b do not match: shapes {tuple(cost.shape)}, {tuple(a.shape)} and {tuple(b.shape)}",
            "Pass shapes (B, N, M), (B, N) and (B, M), with zero mass at padding.",
        )
    if not cost.device == a.device == b.device:
        raise ConfigError(
            f"cost, a and b are on different devices: {cost.device}, {a.device} and {b.device}",
            "Move them to the same device.",
        )


def _refuse(negative: Tensor, unequal: Tensor, a: Tensor, b: Tensor) -> None:
    """Raise an error that names the first invalid problem."""
    if bool(negative.any()):
        row = int(negative.nonzero()[0])
        least = torch.cat([a[row], b[row]])
        raise ConfigError(
            f"problem {row} has a negative mass: {least[least < 0][0].item():g}",
            "Masses must be at least 0; zero marks padding.",
        )
    row = int(unequal.nonzero()[0])
    raise NumericsError(
        f"the total masses of problem {row} differ: {a[row].sum().item():g} and {b[row].sum().item():g}",
        "Balanced transport requires equal totals: normalize both sides, or set relaxation.",
    )
