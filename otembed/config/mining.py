"""All settings of mining; torch-free. ``docs/log.md`` gives the reasons for the defaults."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from otembed.config.base import Count, config_dataclass
from otembed.config.changes import changed_settings, refuse_idle
from otembed.config.encoding import EncoderConfig, EncodingConfig, SearchConfig
from otembed.config.encoding import Engine as Engine
from otembed.config.encoding import Search as Search
from otembed.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection

Margin = Literal["ratio", "distance", "absolute"]
Rescore = Literal["none", "ot"]
MinPrecision = Annotated[float, Field(gt=0, le=1)] | None
MIN_PRECISION = "With threshold auto: the lowest threshold with this expected precision. null: best expected F1."

# Near the best F1 of the offline encoder on Tatoeba with half of the lines orphaned. With raw vectors they depend
# strongly on the encoder, with centered ones much less.
DEFAULT_THRESHOLDS: dict[bool, dict[str, float]] = {
    True: {"distance": 0.06, "ratio": 1.15, "absolute": 0.5},
    False: {"distance": 0.01, "ratio": 1.015, "absolute": 0.87},
}
# The same with rescoring by words, at the default weight, layer and epsilon.
RESCORED_THRESHOLDS: dict[bool, dict[str, float]] = {
    True: {"distance": 0.06, "ratio": 1.15, "absolute": 0.44},
    False: {"distance": 0.03, "ratio": 1.045, "absolute": 0.69},
}
# Settings without an effect where no encoder runs, and where no vectors are read from files.
ENCODER_SETTINGS = frozenset(each.name for each in fields(EncoderConfig))
VECTOR_SETTINGS = frozenset({"vector_dimension", "vector_dtype"})
# With fewer lines, the mean of a side is dominated by each line itself.
CENTER_FROM = 10


def check_min_precision(min_precision: float | None, threshold: float | str | None, hint: str) -> None:
    """Reject a minimum of the expected precision without the threshold ``auto``."""
    if min_precision is not None and threshold != "auto":
        raise ConfigError(f"min_precision is {min_precision}, but threshold is {threshold}", hint)


@config_dataclass
class MiningConfig(SearchConfig):
    """Settings of mining: from two collections of lines to pairs."""

    max_characters: Count | None = Field(
        default=1000, description="Longer lines are dropped and counted. null: no limit."
    )
    vector_dimension: Count | None = Field(
        default=None, description="Dimension of the vectors in headerless files, such as 1024 for LASER."
    )
    vector_dtype: Literal["float32", "float16"] | None = Field(
        default=None, description="Data type of the vectors in headerless files. null: by suffix, .f32 or .f16."
    )
    languages: tuple[str, str] | None = Field(
        default=None,
        description="Languages of source and target, such as [sw, en], for a model centered by language. null:"
        " source_language and target_language.",
    )
    source_language: str | None = Field(
        default=None, description="Drop source lines in other languages (requires py3langid). null: keep all."
    )
    target_language: str | None = Field(
        default=None, description="Drop target lines in other languages (requires py3langid). null: keep all."
    )
    min_language_probability: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.01, description="Lines with a lower probability of being in their language are dropped."
    )
    k: Count = Field(
        default=4, description="Neighbors per line: the candidates, and the neighborhood of the margin."
    )
    margin: Margin = Field(default="distance", description="How pairs are scored against their neighborhoods.")
    min_cosine: Annotated[float, Field(ge=-1, le=1)] | None = Field(
        default=None, description="Minimum cosine of a pair, after centering. null: no minimum."
    )
    max_length_ratio: Annotated[float, Field(ge=1)] | None = Field(
        default=None,
        description="Maximum ratio of the longer to the shorter text, from 20 characters on. null: no limit.",
    )
    rescore: Rescore = Field(
        default="none",
        description="ot: also compare candidates word by word, by optimal transport; requires the encoder.",
    )
    rescore_weight: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.5, description="Weight of the word similarity; the cosine has weight 1 minus this."
    )
    rescore_layer: Annotated[int, Field(strict=True)] | Literal["auto"] = Field(
        default="auto",
        description="Hidden layer of the word vectors, 0 the embeddings; auto: the one stored with the model, else 7/12"
        " of the depth.",
    )
    rescore_epsilon: Annotated[float, Field(ge=0)] = Field(
        default=0.05, description="Entropic regularization, in units of the cosine cost; 0: exact transport."
    )
    threshold: float | Literal["default", "auto"] | None = Field(
        default="default",
        description="Minimum score of a pair. default: by margin; auto: chosen from development pairs; null: none.",
    )
    min_precision: MinPrecision = Field(default=None, description=MIN_PRECISION)
    html: str | None = Field(
        default=None,
        min_length=1,
        description="File of a page with the scores, pairs around the threshold and pairs of each score. null: none.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> MiningConfig:
        if self.threshold == "auto" and self.rescore != "none":
            raise ConfigError(
                f"threshold auto cannot be combined with rescore {self.rescore}",
                "Set rescore: none, or set threshold to a number.",
            )
        check_min_precision(self.min_precision, self.threshold, "Set threshold: auto, and pass development pairs.")
        if self.rescore == "none":
            refuse_idle(self, {"rescore_weight", "rescore_layer", "rescore_epsilon"}, "with rescore = none")
        if self.source_language is None and self.target_language is None:
            refuse_idle(self, {"min_language_probability"}, "without source_language and target_language")
        return self

    @property
    def side_languages(self) -> tuple[str | None, str | None]:
        """The languages of source and target; None where unknown."""
        return self.languages or (self.source_language, self.target_language)

    def refuse_unused(self, command: str) -> None:
        """Raise ConfigError if a setting that the command does not use differs from its default, or threshold is auto."""
        used = used_settings(command)
        for name, value, _ in changed_settings(self):
            if name not in used:
                takers = [*(each for each in UNUSED if name in used_settings(each)), "otembed mine"]
                raise ConfigError(
                    f"{name} = {value} has no effect in {command}, only in {', '.join(takers)}",
                    f"Leave {name} out.",
                )
        if self.threshold == "auto":
            raise ConfigError("threshold auto works only in otembed mine", "Set threshold to a number or none.")

    def refuse(self, names: Collection[str], reason: str) -> None:
        """Raise ConfigError if one of these settings, without an effect for this reason, differs from its default."""
        refuse_idle(self, names, f"here: {reason}")

    def lowest_score(self, *, centered: bool) -> float | None:
        """Return the threshold as a number, or None; ConfigError for ``auto``, which needs development pairs."""
        if self.threshold == "auto":
            raise ConfigError("threshold auto works only in otembed mine", "Set threshold to a number.")
        if self.threshold != "default":
            return self.threshold
        table = DEFAULT_THRESHOLDS if self.rescore == "none" else RESCORED_THRESHOLDS
        return table[centered][self.margin]


# What a command that takes these settings does not use; otembed mine uses all.
UNUSED: dict[str, frozenset[str]] = {
    "otembed embed": frozenset(each.name for each in fields(MiningConfig))
    - {each.name for each in fields(EncodingConfig)}
    - {"max_characters"},
    "otembed score": VECTOR_SETTINGS | {"min_precision", "html"},
    "otembed eval mining": frozenset({"min_precision", "html"}),
}


def used_settings(command: str) -> list[str]:
    """Return the settings of :class:`MiningConfig` that a command uses.

    >>> used_settings("otembed embed")[-4:]
    ['engine', 'ray_address', 'workers', 'max_characters']
    """
    return [each.name for each in fields(MiningConfig) if each.name not in UNUSED.get(command, ())]
