"""What the losses on transport plans have in common: their base, checks, the wrapped loss, and plan statistics."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from sentence_transformers.base.losses.gradcache import uses_gradient_cache
from torch import Tensor, nn
from torch.nn.functional import normalize

from otembed.errors import ConfigError
from otembed.losses.citations import citations_of
from otembed.losses.encoder import apart, run
from otembed.losses.units import UnitReader
from otembed.transport import TransportStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from otembed.config.loss import AlignmentConfig, ContrastiveConfig
    from otembed.losses.encoder import Encoder, Features


def pair_columns(sentence_features: Iterable[Features]) -> list[Features]:
    """Return the columns of a batch.

    Raises
    ------
    ConfigError
        There are fewer than two.
    """
    columns = list(sentence_features)
    if len(columns) < 2:
        raise ConfigError(
            f"expected at least two columns of sentences, got {len(columns)}", "Pass source and target."
        )
    return columns


def cosines(x: Tensor, y: Tensor) -> Tensor:
    """Return the cosine (B, K) of each vector of x (B, D) and each of y (K, D), 0 for a zero vector; at least float32."""
    dtype = torch.promote_types(torch.promote_types(x.dtype, y.dtype), torch.float32)
    x, y = (normalize(each.to(dtype), dim=1, eps=1e-8) for each in (x, y))
    return x @ y.mT


def check_loss(loss: Any) -> None:
    """Reject what is not a loss, such as the class in place of an instance.

    Raises
    ------
    ConfigError
        ``loss`` cannot be called on a batch.
    """
    if isinstance(loss, type) or not callable(loss):
        name = f"the class {loss.__name__}" if isinstance(loss, type) else repr(loss)
        raise ConfigError(
            f"loss is {name}, not a loss", "Create it first: loss=MultipleNegativesRankingLoss(model)."
        )


def refuse_cached(loss: nn.Module | None) -> None:
    """Reject a wrapped loss that runs the encoder itself.

    Raises
    ------
    ConfigError
        ``loss`` caches gradients.
    """
    if loss is not None and uses_gradient_cache(loss):
        raise ConfigError(
            f"{type(loss).__name__} caches gradients and cannot share an encoder pass",
            "Wrap the loss without a cache, and wrap the result in otembed.GradCacheLoss.",
        )


def wrapped_terms(
    model: nn.Module, loss: nn.Module | None, columns: Sequence[Features], labels: Tensor | None
) -> dict[str, Tensor]:
    """Run the wrapped loss, or the model alone if there is none; return the terms by name."""
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
    """Count plans, converged plans and iterations; the counts stay on the device until they are read."""

    def __init__(self) -> None:
        self._counts: dict[str, Tensor] = {}

    def add(self, status: Tensor, iterations: Tensor) -> None:
        """Count plans of any shape; plans without mass are ignored."""
        filled = status != TransportStatus.EMPTY
        seen = {
            "plans": filled.sum(),
            "converged": (status == TransportStatus.CONVERGED).sum(),
            "iterations": (filled * iterations).sum(),
        }
        for name, value in seen.items():
            self._counts[name] = self._counts.get(name, 0) + value

    def pop(self) -> dict[str, float]:
        """Return and reset the statistics since the last call.

        ``plans``: number of plans; ``converged``: share of plans within the tolerance; ``iterations``: their mean.
        Empty without plans. Synchronizes with the device once.
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


class PlanLoss(nn.Module):
    """Base of the losses on transport plans: units of the encoder, a wrapped loss, statistics of the plans.

    Parameters
    ----------
    model
        The encoder.
    loss
        The wrapped loss, or None.
    config
        The settings.

    Raises
    ------
    ConfigError
        ``loss`` is no loss or caches gradients, or the model does not have the layer.
    """

    config: AlignmentConfig | ContrastiveConfig

    def __init__(self, model: Encoder, loss: nn.Module | None, config: AlignmentConfig | ContrastiveConfig) -> None:
        super().__init__()
        if loss is not None:
            check_loss(loss)
            refuse_cached(loss)
        self.config = config
        self.model = model
        self.loss = loss
        self._reader = UnitReader(model, unit=config.unit, word_pooling=config.word_pooling, layer=config.layer)
        self._counts = PlanCounts()

    def pop_statistics(self) -> dict[str, float]:
        """Return and reset the statistics of the plans; see :meth:`otembed.losses.parts.PlanCounts.pop`."""
        return self._counts.pop()

    def get_config_dict(self) -> dict[str, Any]:
        """Return the settings and the wrapped loss for the model card."""
        return {**asdict(self.config), "loss": self.loss}

    @property
    def citation(self) -> str:
        """BibTeX entries of the method and of the solvers in use."""
        return citations_of(self.config)
