"""Settings of the optimal transport losses; part of the tree in :mod:`otembed.config`. Torch-free."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, NonNegativeFloat, PositiveFloat, Tag

from otembed.config.base import Count, config_dataclass, union_tag


@config_dataclass
class AnchorConfig:
    """Keep the units of the target side near those of the starting model: ``weight * |c - c0|^2``."""

    weight: PositiveFloat = Field(default=0.1, description="Weight of the anchor term.")
    reduction: Literal["mean", "sum"] = Field(
        default="mean", description="mean over the units of the batch, or sum as in the paper."
    )


def _constraint_is_none(rho: float) -> float | None:
    return None if math.isinf(rho) else rho


def _balanced_is_none(relaxation: Any) -> Any:
    return None if relaxation == (None, None) else relaxation


def _kind(relaxation: Any) -> str:
    return union_tag("pair" if isinstance(relaxation, list | tuple) else "number")


Side = Annotated[float, Field(ge=0, allow_inf_nan=True), AfterValidator(_constraint_is_none)] | None
Number = Annotated[PositiveFloat | None, Tag(union_tag("number"))]
Pair = Annotated[tuple[Side, Side], Tag(union_tag("pair"))]
Relaxation = Annotated[Number | Pair, Discriminator(_kind), AfterValidator(_balanced_is_none)]


@config_dataclass
class UnitPlanConfig:
    """What both OT losses share: which units are transported, at which cost, and how the plans are solved."""

    unit: Literal["word", "token"] = Field(
        default="word", description="Unit that is transported: words or subword tokens."
    )
    word_pooling: Literal["mean", "first", "last"] = Field(
        default="mean", description="How tokens are pooled into a word (unit: word); the paper uses last."
    )
    layer: Annotated[int, Field(strict=True)] = Field(
        default=-1,
        description="Hidden layer of the vectors: 0 the embeddings, 1 the first layer; negative from the end.",
    )
    cost: Literal["cosine", "sqeuclidean", "half_sqeuclidean", "euclidean"] = Field(
        default="cosine",
        description="Ground cost between two units; half_sqeuclidean is |x-y|^2/2 (GeomLoss, p=2).",
    )
    center: bool = Field(
        default=True, description="Subtract the batch mean of each side before computing the cost."
    )
    epsilon: PositiveFloat = Field(default=0.05, description="Entropic regularization, in units of the cost.")
    relaxation: Relaxation = Field(
        default=None,
        description="KL penalty on the marginals (unbalanced OT): units may stay unmatched. null: balanced. A pair"
        " [source, target] sets each side: null or .inf for a constraint, 0 for a free side if the other side is a"
        " constraint.",
    )
    tol: PositiveFloat = Field(default=1e-4, description="Marginal error at which a plan counts as converged.")
    max_iter: Count = Field(default=2000, description="Maximum number of Sinkhorn iterations per plan.")


@config_dataclass
class AlignmentConfig(UnitPlanConfig):
    """The OT alignment term between the units of both sides."""

    epsilon: NonNegativeFloat = Field(
        default=0.05,
        description="Entropic regularization, in units of the (scaled) cost; 0: exact, by POT on the CPU.",
    )
    scope: Literal["pair", "batch"] = Field(
        default="pair",
        description="One OT problem per sentence pair, or one over all units of the batch as in the paper.",
    )
    cost_scale: Literal["std", "max"] | None = Field(
        default=None,
        description="Divide the cost by its spread, so that epsilon has the same meaning for every encoder.",
    )
    order_prior: NonNegativeFloat = Field(
        default=0.0,
        description="Weight of the distance between relative positions, added to the (scaled) cost (scope: pair).",
    )
    debiased: bool = Field(
        default=False, description="Sinkhorn divergence: subtract the transport cost of each side to itself."
    )
    weight: PositiveFloat = Field(default=0.1, description="Weight of the alignment term.")
    anchor: AnchorConfig | None = Field(
        default=None, description="Keep the target side near the starting model; null: no anchor."
    )


@config_dataclass
class ContrastiveConfig(UnitPlanConfig):
    """The contrastive term: rank translations by the OT score between the units of all sentences of a batch."""

    temperature: PositiveFloat = Field(default=0.05, description="Divisor of the scores before they are ranked.")
    sentence_weight: PositiveFloat | None = Field(
        default=None,
        description="Weight of the sentence vectors' cosine, added to the OT score; null: words only.",
    )
    weight: PositiveFloat = Field(default=1.0, description="Weight of the contrastive term.")
    max_cells: Count = Field(
        default=2**21, description="Cost cells solved at a time: bounds memory, not the result."
    )
