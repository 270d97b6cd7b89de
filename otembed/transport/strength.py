"""How strongly a plan is smoothed and held to its marginals, and when to stop: the checked settings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from otembed.errors import ConfigError

Relaxation = float | tuple[float | None, float | None] | None


@dataclass(frozen=True)
class Strength:
    """Epsilon and the relaxations of both sides, infinite where the marginal is a constraint."""

    epsilon: float
    rho_a: float
    rho_b: float

    @property
    def balanced(self) -> bool:
        """Whether both marginals are constraints."""
        return math.isinf(self.rho_a) and math.isinf(self.rho_b)

    @property
    def softness(self) -> tuple[float, float]:
        """Epsilon over rho for both sides, 0 for a constraint."""
        return self.epsilon / self.rho_a, self.epsilon / self.rho_b


def is_relaxed(relaxation: Relaxation) -> bool:
    """Whether a side's marginal is no constraint."""
    pair = relaxation if isinstance(relaxation, tuple) else (relaxation,)
    return any(rho is not None and not math.isinf(rho) for rho in pair)


def make_strength(epsilon: float, relaxation: Relaxation) -> Strength:
    """Check epsilon and relaxation and bring them into one form."""
    epsilon = check_positive("epsilon", epsilon)
    if relaxation is None:
        return Strength(epsilon, math.inf, math.inf)
    pair = relaxation if isinstance(relaxation, tuple) else (relaxation, relaxation)
    if len(pair) != 2:
        raise ConfigError(f"relaxation must be one number or a pair, found {relaxation!r}")
    rho_a, rho_b = (math.inf if rho is None else check_positive("relaxation", rho, infinite=True) for rho in pair)
    return Strength(epsilon, rho_a, rho_b)


def free_side(relaxation: Relaxation) -> Literal["source", "target"] | None:
    """Return the side that a relaxation of 0 sets free, if any; the other side has to be a constraint."""
    if not isinstance(relaxation, tuple) or 0 not in relaxation:
        return None
    if len(relaxation) != 2 or is_relaxed((relaxation[1] if relaxation[0] == 0 else relaxation[0], None)):
        raise ConfigError(
            f"relaxation = {relaxation!r}: one side can be free (0) if the other is a constraint",
            "Give (0, None) or (None, 0).",
        )
    return "source" if relaxation[0] == 0 else "target"


def check_stopping(tol: float, max_iter: int) -> None:
    """Refuse a tolerance or a number of iterations which can never be met."""
    check_positive("tol", tol)
    if isinstance(max_iter, bool) or not isinstance(max_iter, int) or max_iter < 1:
        raise ConfigError(f"max_iter must be a whole number from 1 upwards, found {max_iter!r}")


def check_positive(name: str, value: float, *, infinite: bool = False) -> float:
    """Return ``value`` as a float, or refuse it unless it is above zero and finite (or ``infinite``)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ConfigError(f"{name} must be a number above 0, found {value!r}")
    if math.isinf(value) and not infinite:
        raise ConfigError(f"{name} must be finite, found {value!r}")
    return float(value)
