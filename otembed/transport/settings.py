"""The settings of a transport problem, validated once per call."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal, get_args

from otembed.errors import ConfigError, did_you_mean

Relaxation = float | tuple[float | None, float | None] | list[float | None] | None
Backend = Literal["native", "pot"]


@dataclass(frozen=True)
class Settings:
    """Checked settings; build them with :func:`check_settings` or :func:`check_entropic`.

    ``rho_a`` and ``rho_b`` are the relaxations of both sides: infinite where the marginal is a constraint, 0 where
    the side is free. ``symmetric`` asserts equal sides and symmetric costs, and averages the updates.
    """

    epsilon: float
    rho_a: float = math.inf
    rho_b: float = math.inf
    share: float | None = None
    tol: float = 1e-4
    max_iter: int = 2000
    plan_gradients: bool = False
    backend: Backend = "native"
    threads: int | None = None
    symmetric: bool = False

    @property
    def balanced(self) -> bool:
        """Whether both marginals are constraints, so that the totals have to be equal."""
        return math.isinf(self.rho_a) and math.isinf(self.rho_b) and self.share is None

    @property
    def has_free_side(self) -> bool:
        """Whether one side is free."""
        return 0 in (self.rho_a, self.rho_b)

    @property
    def softness(self) -> tuple[float, float]:
        """Epsilon / rho for both sides, 0 for a constraint."""
        return self.epsilon / self.rho_a, self.epsilon / self.rho_b


def check_settings(
    *,
    epsilon: float,
    relaxation: Relaxation = None,
    share: float | None = None,
    tol: float = 1e-4,
    max_iter: int = 2000,
    plan_gradients: bool = False,
    backend: Backend = "native",
    threads: int | None = None,
) -> Settings:
    """Check the settings of :func:`otembed.transport.solve` before there is a problem to solve.

    Raises
    ------
    ConfigError
        If a setting is out of range or two of them are mutually exclusive.
    """
    if backend not in get_args(Backend):
        raise ConfigError(f"unknown backend {backend!r}", did_you_mean(str(backend), get_args(Backend)))
    if share is not None:
        if not check_positive("share", share) < 1:
            raise ConfigError(f"share = {share:g} must be below 1", "Omit share to transport all mass.")
        if relaxation is not None:
            raise ConfigError(
                "share and relaxation are mutually exclusive", "Set one of them: both leave mass untransported."
            )
    rho_a, rho_b = _sides(relaxation)
    free = 0 in (rho_a, rho_b)
    relaxed = not (math.isinf(rho_a) and math.isinf(rho_b))
    if isinstance(epsilon, bool) or epsilon != 0:
        epsilon = check_positive("epsilon", epsilon)
    elif relaxed and not free:
        raise ConfigError(
            f"epsilon = 0 with relaxation = {relaxation!r}: relaxation requires epsilon > 0",
            "Set epsilon above 0, or use share.",
        )
    _check_stopping(tol, max_iter)
    if plan_gradients and (not epsilon or share is not None or free):
        raise ConfigError(
            "plan_gradients requires epsilon > 0, no share and no relaxation of 0",
            "Set plan_gradients to False, or change epsilon, share or relaxation.",
        )
    if backend == "pot" and (relaxed or share is not None or not epsilon):
        raise ConfigError("backend = 'pot' solves balanced entropic problems only", "Set backend to 'native'.")
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise ConfigError(f"threads must be a positive integer or None, got {threads!r}")
    return Settings(float(epsilon), rho_a, rho_b, share, tol, max_iter, plan_gradients, backend, threads)


def check_entropic(
    *, epsilon: float, relaxation: Relaxation = None, tol: float = 1e-4, max_iter: int = 2000
) -> Settings:
    """Check the settings of :func:`otembed.transport.sinkhorn`.

    Raises
    ------
    ConfigError
        If a setting is out of range.
    """
    epsilon = check_positive("epsilon", epsilon)
    rho_a, rho_b = _sides(relaxation)
    if 0 in (rho_a, rho_b):
        raise ConfigError(f"relaxation must be above 0, got {relaxation!r}", "solve() takes 0 for a free side.")
    _check_stopping(tol, max_iter)
    return Settings(epsilon, rho_a, rho_b, tol=tol, max_iter=max_iter)


def check_positive(name: str, value: Any, *, infinite: bool = False) -> float:
    """Return ``value`` as a float.

    Raises
    ------
    ConfigError
        Unless it is a number above zero, and finite unless ``infinite`` is set.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not float(value) > 0:
        raise ConfigError(f"{name} must be a number above 0, got {value!r}")
    if math.isinf(value) and not infinite:
        raise ConfigError(f"{name} must be finite, got {value!r}")
    return float(value)


def _sides(relaxation: Relaxation) -> tuple[float, float]:
    """Return the relaxation of both sides: infinite for a constraint, 0 for a free side beside a constraint."""
    if not isinstance(relaxation, list | tuple):
        both = math.inf if relaxation is None else check_positive("relaxation", relaxation, infinite=True)
        return both, both
    if len(relaxation) != 2:
        raise ConfigError(f"relaxation must be a number or a pair, got {relaxation!r}", "Use (source, target).")
    rho_a, rho_b = (
        math.inf if rho is None else 0.0 if _is_zero(rho) else check_positive("relaxation", rho, infinite=True)
        for rho in relaxation
    )
    if 0 in (rho_a, rho_b) and not math.isinf(rho_a + rho_b):
        raise ConfigError(
            f"relaxation = {relaxation!r}: a side can be free (0) only if the other side is a constraint (None)",
            "Use (0, None) or (None, 0).",
        )
    return rho_a, rho_b


def _is_zero(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, Real) and float(value) == 0


def _check_stopping(tol: float, max_iter: int) -> None:
    check_positive("tol", tol)
    if isinstance(max_iter, bool) or not isinstance(max_iter, int) or max_iter < 1:
        raise ConfigError(f"max_iter must be a positive integer, got {max_iter!r}")
