"""Settings of the optimal-transport terms of the training loss. Torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator

from otembed.config.base import Count, config_dataclass
from otembed.config.changes import refuse_idle
from otembed.config.plan import Layer, PlanConfig
from otembed.errors import ConfigError


@config_dataclass
class AnchorConfig:
    """Keep the units of the target side near those of the starting model: ``weight * |c - c0|^2``."""

    weight: PositiveFloat = Field(default=0.1, description="Weight of the anchor term.")
    reduction: Literal["mean", "sum"] = Field(
        default="mean", description="mean over the units of the batch, or sum as in the paper."
    )


@config_dataclass
class TermConfig(PlanConfig):
    """Settings that both terms share."""

    layer: Layer | Literal["middle"] = Field(
        default=-1,
        description="Hidden layer: 0 the embeddings, 1 the first layer; negative counts from the end; middle: at 7/12 of"
        " the depth (7 of 12).",
    )
    cost: Literal["cosine", "sqeuclidean", "half_sqeuclidean", "euclidean"] = Field(
        default="cosine",
        description="Ground cost between two units; half_sqeuclidean is |x-y|^2/2 (GeomLoss, p=2).",
    )
    weight: PositiveFloat = Field(default=0.1, description="Weight of the term in the loss.")
    tol: PositiveFloat = Field(default=1e-4, description="Marginal error below which a plan has converged.")
    max_iter: Count = Field(default=2000, description="Maximum number of Sinkhorn iterations per plan.")

    @model_validator(mode="after")
    def _stops_what_iterates(self) -> TermConfig:
        if isinstance(self.relaxation, tuple) and 0 in self.relaxation:
            refuse_idle(self, {"tol", "max_iter"}, "with a free side (relaxation 0), whose plan is a formula")
        elif not self.epsilon:
            refuse_idle(self, {"tol", "max_iter"}, "with epsilon = 0, which is solved exactly")
        return self


@config_dataclass
class AlignmentConfig(TermConfig):
    """The OT alignment term between the units of both sides."""

    objective: Literal["cost", "ranking"] = Field(
        default="cost",
        description="cost: minimize the cost of the plan. ranking: each unit ranks its counterpart in the plan first, before"
        " the other units of that side.",
    )
    temperature: PositiveFloat = Field(
        default=0.1, description="Divides the costs before the softmax (objective: ranking)."
    )
    candidates: Literal["batch", "pair"] = Field(
        default="batch",
        description="What each unit ranks: the units of all sentences of the batch, or of its translation alone (objective:"
        " ranking).",
    )
    label_layer: Layer | Literal["middle"] | None = Field(
        default=None,
        description="Hidden layer whose plans label the ranking, as in layer; null: that of layer (objective: ranking).",
    )
    max_cells: Count = Field(
        default=2**24,
        description="Costs computed at once for the ranking: limits memory, does not change the result (candidates: batch).",
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
    debiased: bool = Field(default=False, description="Sinkhorn divergence: subtract each side's cost to itself.")
    anchor: AnchorConfig | None = Field(
        default=None, description="Keep the target side near the starting model; null: no anchor."
    )

    @model_validator(mode="after")
    def _ranks_with_a_plan(self) -> AlignmentConfig:
        if self.objective == "cost":
            refuse_idle(self, {"temperature", "candidates", "label_layer", "max_cells"}, "with objective = cost")
            return self
        if self.debiased:
            raise ConfigError(
                "objective = ranking and debiased are mutually exclusive: debiasing changes the value, not the plan",
                "Set debiased to false, or objective to cost.",
            )
        if self.candidates == "pair":
            refuse_idle(self, {"max_cells"}, "with candidates = pair")
            if self.scope == "batch":
                raise ConfigError(
                    "candidates = pair requires scope = pair", "Set scope to pair, or candidates to batch."
                )
        return self


@config_dataclass
class ContrastiveConfig(TermConfig):
    """The contrastive term: translations ranked by the OT score between the units of all sentences of a batch."""

    epsilon: PositiveFloat = Field(default=0.05, description="Entropic regularization, in units of the cost.")
    temperature: PositiveFloat = Field(
        default=0.1, description="Divides the scores before the softmax; use half of it without sentence_weight."
    )
    sentence_weight: PositiveFloat | None = Field(
        default=1.0,
        description="Weight of the cosine of the sentence embeddings, added to the OT score. null: words only.",
    )
    weight: PositiveFloat = Field(default=1.0, description="Weight of the term in the loss.")
    gather_across_devices: bool = Field(
        default=False, description="Also rank the sentences of the other processes' batches (several devices)."
    )
    max_cells: Count = Field(
        default=2**21, description="Cost matrix cells solved at once: limits memory, does not change the result."
    )
