"""Settings of word alignment."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator

from otembed.config.base import config_dataclass
from otembed.config.changes import refuse_idle
from otembed.config.plan import Layer, PlanConfig, Unit, check_exact

Words = Literal["auto", "space"]
Decoding = Literal["mutual", "threshold", "grow-diag", "grow-diag-final-and"]
THRESHOLDS: dict[Decoding, float] = {"threshold": 0.3, "grow-diag": 0.2, "grow-diag-final-and": 0.2}
"""Default thresholds per decoding."""


@config_dataclass
class WordAlignmentConfig(PlanConfig):
    """How words of parallel sentences are linked; ``docs/word-alignment.md`` measures the defaults."""

    layer: Layer | Literal["auto"] = Field(
        default="auto",
        description="Hidden layer of the vectors, 0 the embeddings; auto: the one stored with the model, else chosen.",
    )
    unit: Unit = Field(
        default="word",
        description="What is aligned: words or vocabulary pieces (token); given words are linked where pieces are.",
    )
    words: Words = Field(
        default="auto",
        description="auto: split at spaces, and scripts without spaces at vocabulary pieces; space: at spaces only.",
    )
    center: bool = Field(default=True, description="Subtract each side's mean over all words seen so far.")
    epsilon: NonNegativeFloat = Field(
        default=0.1,
        description="Entropic regularization, in units of the cosine cost; 0: exact (without relaxation).",
    )
    relaxation: PositiveFloat | None = Field(
        default=0.2, description="KL penalty on the marginals: words may stay unlinked; null: balanced."
    )
    order_prior: NonNegativeFloat = Field(
        default=0.1, description="Weight of the distance between relative positions, added to the cost."
    )
    decoding: Decoding = Field(
        default="grow-diag",
        description="How links are read from the plan: mutual (the most precise), threshold, or grown from mutual links.",
    )
    threshold: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None,
        description="Minimum probability of non-mutual links; null: 0.3 (threshold), 0.2 (grow-diag ...).",
    )

    @model_validator(mode="after")
    def _threshold_has_a_part(self) -> WordAlignmentConfig:
        if self.decoding == "mutual":
            refuse_idle(self, {"threshold"}, "with decoding = mutual")
        if self.unit == "token":
            refuse_idle(self, {"words"}, "with unit = token")
        return self

    @model_validator(mode="after")
    def _exact_is_balanced(self) -> WordAlignmentConfig:
        check_exact(self.epsilon, self.relaxation)
        return self
