"""All settings of mining hard negatives; torch-free. Names and defaults as in sentence-transformers where it has them."""

from __future__ import annotations

from dataclasses import field, fields
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from otembed.config.base import Count, Seed, config_dataclass
from otembed.config.encoding import SearchConfig
from otembed.config.mining import MiningConfig
from otembed.config.train import Language, PairChecks, Size
from otembed.errors import ConfigError

Candidates = Literal["target", "source", "both"]
SamplingStrategy = Literal["top", "random"]
Similarity = Annotated[float, Field(ge=-1, le=1)]

# Candidates for each negative, of which the margins may rule out most.
RANGE_FACTOR = 10


@config_dataclass
class NegativesConfig(SearchConfig):
    """Settings of hard negatives: from parallel text to rows of source, target and negatives."""

    pivot: Language | None = Field(
        default="en", description="Language on the target side, as data.pivot in training. null: as in the key."
    )
    limit: Count | None = Field(default=None, description="Maximum number of pairs. null: all.")
    checks: PairChecks = field(default_factory=PairChecks)
    side: Candidates = Field(
        default="target",
        description="Where negatives come from: the other target sentences; the other source sentences, which are in the"
        " language of the source; or both.",
    )
    num_negatives: Count = Field(
        default=3, description="Negatives of each pair; pairs with fewer are left out and counted."
    )
    range_min: Size = Field(default=0, description="Skip this many of the nearest candidates.")
    range_max: Count | None = Field(
        default=None,
        description="Consider this many of the nearest candidates, translations not counted. null: range_min + 10 x"
        " num_negatives.",
    )
    max_score: Similarity | None = Field(default=None, description="Maximum score of a negative. null: no maximum.")
    min_score: Similarity | None = Field(default=None, description="Minimum score of a negative. null: no minimum.")
    absolute_margin: Annotated[float, Field(ge=0, le=2)] | None = Field(
        default=None, description="A negative scores at least this much below the pair. null: off."
    )
    relative_margin: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=0.05,
        description="A negative scores at least this share of the pair's score below the pair. null: off.",
    )
    sampling_strategy: SamplingStrategy = Field(
        default="top", description="top: the nearest candidates that are left; random: a random choice of them."
    )
    seed: Seed = Field(default=0, description="Random seed of sampling_strategy: random.")
    output_scores: bool = Field(
        default=False, description="Also write the score of the pair, and of each negative: score, score_1, ..."
    )

    @model_validator(mode="after")
    def _range_holds_the_negatives(self) -> NegativesConfig:
        if self.range_min + self.num_negatives > self.candidates:
            raise ConfigError(
                f"range_max is {self.range_max}, but range_min {self.range_min} and num_negatives {self.num_negatives} "
                f"require {self.range_min + self.num_negatives} candidates",
                "Raise range_max, or lower one of the others.",
            )
        if self.min_score is not None and self.max_score is not None and self.min_score > self.max_score:
            raise ConfigError(
                f"min_score is {self.min_score}, above max_score {self.max_score}", "Lower min_score."
            )
        return self

    @property
    def candidates(self) -> int:
        """The number of candidates of each source: ``range_max``, or its default."""
        return self.range_max or self.range_min + RANGE_FACTOR * self.num_negatives

    def searching(self, k: int) -> MiningConfig:
        """Return the settings of embedding and of the search for ``k`` neighbors."""
        shared: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(SearchConfig)}
        return MiningConfig(k=k, max_characters=None, **shared)
