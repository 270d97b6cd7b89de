"""The knobs of the terms of optimal transport; part of the tree in :mod:`otembed.config`. Torch-free."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, NonNegativeFloat, PositiveFloat, Tag

from otembed.config.base import Count, config_dataclass, union_tag


@config_dataclass
class AnchorConfig:
    """Keep the target side's units near where the starting model put them: ``weight * |c - c0|^2``."""

    weight: PositiveFloat = Field(default=0.1, description="Weight of the anchor term.")
    reduction: Literal["mean", "sum"] = Field(
        default="mean", description="mean over the units of the batch, or their sum as in the paper."
    )


@config_dataclass
class NullUnitConfig:
    """A null unit on each side that takes the units without a counterpart."""

    cost: PositiveFloat = Field(
        description="Cost of leaving a unit without a counterpart, in units of the (scaled) cost: two units are"
        " matched where theirs is below twice this."
    )
    share: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1.0, description="Largest share of a side that may stay without a counterpart."
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
class AlignmentConfig:
    """The OT alignment term between the units of both sides."""

    unit: Literal["word", "token"] = Field(
        default="word", description="What is transported: words or sub-word tokens."
    )
    word_pooling: Literal["mean", "first", "last"] = Field(
        default="mean", description="How a word is made of its tokens (unit: word); the paper takes the last."
    )
    layer: Annotated[int, Field(strict=True)] = Field(
        default=-1,
        description="Hidden layer that is aligned: 0 the embeddings, 1 the first layer; negative from the end.",
    )
    scope: Literal["pair", "batch"] = Field(
        default="pair",
        description="One OT problem a sentence pair, or one over all units of the batch as in the paper.",
    )
    cost: Literal["cosine", "sqeuclidean", "half_sqeuclidean", "euclidean"] = Field(
        default="cosine",
        description="Ground cost between two units; half_sqeuclidean is |x-y|^2/2 (GeomLoss, p=2).",
    )
    center: bool = Field(default=True, description="Subtract the batch mean of each side before the cost.")
    cost_scale: Literal["std", "max"] | None = Field(
        default=None, description="Divide the cost by its spread, so that epsilon means the same for every encoder."
    )
    epsilon: NonNegativeFloat = Field(
        default=0.05,
        description="Entropic regularization, in units of the (scaled) cost; 0: exact, by POT on the CPU.",
    )
    marginals: Literal["uniform", "norm", "idf"] = Field(default="uniform", description="Mass of each unit.")
    relaxation: Relaxation = Field(
        default=None,
        description="KL penalty on the marginals (unbalanced OT): units may stay unmatched. null: balanced. A pair"
        " [source, target] sets the sides apart: null or .inf a constraint, 0 free beside a constraint.",
    )
    share: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None, description="Share of the mass that is carried, the cheapest (partial OT). null: all of it."
    )
    null_unit: NullUnitConfig | None = Field(
        default=None, description="A null unit for units without a counterpart; null: none."
    )
    order_prior: NonNegativeFloat = Field(
        default=0.0,
        description="Weight of the distance between relative positions, added to the (scaled) cost (scope: pair).",
    )
    debiased: bool = Field(default=False, description="Sinkhorn divergence: subtract each side's cost to itself.")
    weight: PositiveFloat = Field(default=0.1, description="Weight of the alignment term.")
    tol: PositiveFloat = Field(default=1e-4, description="Marginal error at which a plan counts as converged.")
    max_iter: Count = Field(default=2000, description="Most Sinkhorn iterations a plan may take.")
    anchor: AnchorConfig | None = Field(
        default=None, description="Anchor to the starting model on the target side; null: none."
    )


@config_dataclass
class ContrastiveConfig:
    """The contrastive term: translations ranked by the OT score between the units of all sentences of a batch."""

    unit: Literal["word", "token"] = Field(
        default="word", description="What is transported: words or sub-word tokens."
    )
    word_pooling: Literal["mean", "first", "last"] = Field(
        default="mean", description="How a word is made of its tokens (unit: word)."
    )
    layer: Annotated[int, Field(strict=True)] = Field(
        default=-1, description="Hidden layer that is scored; as in loss.alignment.layer."
    )
    cost: Literal["cosine", "sqeuclidean", "half_sqeuclidean", "euclidean"] = Field(
        default="cosine", description="Ground cost between two units."
    )
    center: bool = Field(default=True, description="Subtract the batch mean of each side before the cost.")
    epsilon: PositiveFloat = Field(default=0.05, description="Entropic regularization, in units of the cost.")
    marginals: Literal["uniform", "norm", "idf"] = Field(default="uniform", description="Mass of each unit.")
    relaxation: Relaxation = Field(
        default=None, description="KL penalty on the marginals, as in loss.alignment.relaxation. null: balanced."
    )
    temperature: PositiveFloat = Field(default=0.05, description="Scores are divided by it before they are ranked.")
    sentence_weight: PositiveFloat | None = Field(
        default=None,
        description="Weight of the sentence vectors' cosine, added to the OT score; null: words alone.",
    )
    weight: PositiveFloat = Field(default=1.0, description="Weight of the contrastive term.")
    max_cells: Count = Field(
        default=2**21, description="Cost cells solved at a time: bounds memory, not the result."
    )
    tol: PositiveFloat = Field(default=1e-4, description="Marginal error at which a plan counts as converged.")
    max_iter: Count = Field(default=2000, description="Most Sinkhorn iterations a plan may take.")
