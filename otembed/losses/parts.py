"""What every loss on transport plans does alike: the wrapped loss, and what was seen of the plans."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentence_transformers.base.losses.gradcache import uses_gradient_cache
from torch import Tensor, nn

from otembed.errors import ConfigError
from otembed.losses.encoder import apart, run
from otembed.transport import TransportStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otembed.losses.encoder import Features


def refuse_cached(loss: nn.Module | None) -> None:
    """Refuse a wrapped loss that runs the encoder on its own.

    Raises
    ------
    ConfigError
        If ``loss`` caches gradients.
    """
    if loss is not None and uses_gradient_cache(loss):
        raise ConfigError(
            f"{type(loss).__name__} caches gradients and runs the encoder in chunks that cannot be shared",
            "Wrap the uncached loss of the same name; otembed.GradCacheLoss goes around the whole.",
        )


def wrapped_terms(
    model: nn.Module, loss: nn.Module | None, columns: Sequence[Features], labels: Tensor | None
) -> dict[str, Tensor]:
    """Run the wrapped loss, or only the model where there is none; the terms by name."""
    columns = apart(model, columns)
    if loss is None:
        for place, features in enumerate(columns):
            run(model, features, place)
        return {}
    value = loss(columns, labels)
    if isinstance(value, dict):
        return {f"sentence_{name}": term for name, term in value.items()}
    return {"sentence": value}


class PlanCounts:
    """How many plans there were, how many of them converged, in how many iterations; on the device until asked."""

    def __init__(self) -> None:
        self._counts: dict[str, Tensor] = {}

    def add(self, status: Tensor, iterations: Tensor) -> None:
        """Count plans of any shape; those without mass are none."""
        filled = status != TransportStatus.EMPTY
        seen = {
            "plans": filled.sum(),
            "converged": (status == TransportStatus.CONVERGED).sum(),
            "iterations": (filled * iterations).sum(),
        }
        for name, value in seen.items():
            self._counts[name] = self._counts.get(name, 0) + value

    def pop(self) -> dict[str, float]:
        """Return and reset what was seen since the last call.

        ``plans``: their number; ``converged``: the share of them that reached the tolerance;
        ``iterations``: their mean. Empty without plans. Reads from the device once.
        """
        counts = {name: float(value) for name, value in self._counts.items()}
        self._counts = {}
        plans = counts.get("plans", 0.0)
        if not plans:
            return {}
        return {
            "plans": plans,
            "converged": counts["converged"] / plans,
            "iterations": counts["iterations"] / plans,
        }
