"""Settings of a transport plan between words or tokens; losses and word alignment build on them. Torch-free."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, NonNegativeFloat, PositiveFloat, Tag, model_validator

from otembed.config.base import config_dataclass, union_tag
from otembed.config.changes import refuse_idle
from otembed.errors import ConfigError

Unit = Literal["word", "token"]
Layer = Annotated[int, Field(strict=True)]


def _constraint_is_none(rho: float) -> float | None:
    return None if math.isinf(rho) else rho


def _balanced_is_none(relaxation: Any) -> Any:
    return None if relaxation == (None, None) else relaxation


def _free_beside_a_constraint(pair: tuple[float | None, float | None]) -> tuple[float | None, float | None]:
    if 0 in pair and None not in pair:
        raise ValueError("a side can be free (0) only if the other keeps its marginal (null)")
    return pair


def _kind(relaxation: Any) -> str:
    return union_tag("pair" if isinstance(relaxation, list | tuple) else "number")


Side = Annotated[float, Field(ge=0, allow_inf_nan=True), AfterValidator(_constraint_is_none)] | None
Number = Annotated[PositiveFloat | None, Tag(union_tag("number"))]
Pair = Annotated[tuple[Side, Side], AfterValidator(_free_beside_a_constraint), Tag(union_tag("pair"))]
Relaxation = Annotated[Number | Pair, Discriminator(_kind), AfterValidator(_balanced_is_none)]


def check_exact(epsilon: float, relaxation: float | None) -> None:
    """Reject exact transport (``epsilon`` 0) with relaxed marginals, which no solver computes."""
    if not epsilon and relaxation is not None:
        raise ConfigError(
            f"epsilon = 0 with relaxation = {relaxation:g}: relaxation requires epsilon > 0",
            "Set relaxation to null (None), or epsilon above 0.",
        )


@config_dataclass
class PlanConfig:
    """Which units are transported, and how the plan is regularized; subclasses override defaults."""

    unit: Unit = Field(default="word", description="What is transported: words or subword tokens.")
    word_pooling: Literal["mean", "first", "last"] = Field(
        default="mean", description="How a word's vector is computed from its tokens (unit: word)."
    )
    center: bool = Field(default=True, description="Subtract the batch mean of each side before the cost.")
    epsilon: NonNegativeFloat = Field(
        default=0.05,
        description="Entropic regularization, in units of the (scaled) cost; 0: exact, by POT on the CPU.",
    )
    relaxation: Relaxation = Field(
        default=None,
        description="KL penalty on the marginals (unbalanced OT): units may stay unmatched. null: balanced. A pair"
        " [source, target] sets each side: null or .inf keeps its marginal, 0 leaves it free (one side only).",
    )

    @model_validator(mode="after")
    def _words_are_pooled(self) -> PlanConfig:
        if self.unit == "token":
            refuse_idle(self, {"word_pooling"}, "with unit = token")
        return self
