"""All settings of aligning and matching documents; torch-free. ``docs/log.md`` gives the reasons for the defaults."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from otembed.config.base import Count, config_dataclass
from otembed.config.encoding import EncodingConfig
from otembed.config.mining import MIN_PRECISION, Margin, MinPrecision, check_min_precision
from otembed.config.plan import check_exact
from otembed.errors import ConfigError

Runs = Literal["text", "mean"]
# Minimum score of the links of otembed documents mine, unless another one is set.
MINED_THRESHOLD = 0.3


@config_dataclass
class ReadingConfig(EncodingConfig):
    """Settings of reading documents, and of encoding them."""

    split_source: str | None = Field(
        default=None,
        description="Language of the source, such as de: its text is split into sentences (requires sentencex). null: one"
        " sentence per line.",
    )
    split_target: str | None = Field(default=None, description="The same for the target.")


@config_dataclass
class DocumentsConfig(ReadingConfig):
    """Settings of sentence alignment: from two documents that translate each other to links between sentences."""

    max_sentences: Annotated[int, Field(ge=2, le=12, strict=True)] = Field(
        default=5,
        description="Maximum number of sentences of a link, both sides together. Every run of up to one sentence less"
        " is encoded.",
    )
    runs: Runs = Field(
        default="text",
        description="How runs of several sentences are encoded. text: as one text; mean: the mean of their vectors, which"
        " encodes every sentence only once.",
    )
    center: bool | None = Field(
        default=None,
        description="Subtract the mean of each document. null: if both have at least 10 sentences.",
    )
    length_weight: Annotated[float, Field(ge=0)] = Field(
        default=0.4,
        description="Weight of the relative difference of the lengths of both sides in the cost of a link.",
    )
    reorder: bool = Field(
        default=True,
        description="Also find stretches that are in another order on the other side, by unbalanced optimal transport.",
    )
    deletion_quantile: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.05,
        description="A sentence without a link costs this quantile of the cost of random pairs of the documents.",
    )
    band: Count = Field(
        default=10,
        description="The finest pass searches this many sentences around the path of the coarser one.",
    )
    threshold: Annotated[float, Field(le=1)] | Literal["auto"] | None = Field(
        default=None,
        description="Minimum score of a link. auto: chosen from planted stretches without a translation; null: keep every"
        " link.",
    )
    min_precision: MinPrecision = Field(default=None, description=MIN_PRECISION)

    @model_validator(mode="after")
    def _precision_has_its_threshold(self) -> DocumentsConfig:
        check_min_precision(self.min_precision, self.threshold, "Set threshold: auto.")
        return self


@config_dataclass
class MatchConfig(ReadingConfig):
    """Settings of matching documents: from two collections to pairs of documents."""

    center: bool | None = Field(
        default=None,
        description="Subtract the mean of the sentences of each side. null: if both have at least 10 sentences.",
    )
    k: Count = Field(
        default=8,
        description="Nearest documents by mean vector that are compared, and the neighborhood of the margin.",
    )
    epsilon: Annotated[float, Field(ge=0)] = Field(
        default=0.05,
        description="Entropic regularization of the transport between sentences, in units of the cosine cost.",
    )
    relaxation: Annotated[float, Field(gt=0)] | None = Field(
        default=0.1,
        description="Penalty for sentences without a counterpart, in units of the cost. null: all must have one.",
    )
    memory_gb: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="Memory limit of matching, in 1e9 bytes: the vectors of all sentences, and the comparison of the longest"
        " two documents. null: no limit.",
    )
    margin: Margin = Field(default="distance", description="How pairs are scored against their neighborhoods.")
    threshold: float | Literal["auto"] | None = Field(
        default=None,
        description="Minimum score of a pair. auto: chosen from known pairs of documents; null: keep every pair.",
    )
    min_precision: MinPrecision = Field(default=None, description=MIN_PRECISION)

    @model_validator(mode="after")
    def _exact_is_balanced(self) -> MatchConfig:
        check_exact(self.epsilon, self.relaxation)
        return self

    @model_validator(mode="after")
    def _precision_has_its_threshold(self) -> MatchConfig:
        check_min_precision(
            self.min_precision, self.threshold, "Set threshold: auto, and pass known pairs of documents."
        )
        return self


@config_dataclass
class DocumentMiningConfig:
    """Settings of mining documents: from two collections of documents to sentence pairs."""

    match: MatchConfig = Field(default_factory=MatchConfig, description="Which documents translate which.")
    align: DocumentsConfig = Field(
        default_factory=lambda: DocumentsConfig(threshold=MINED_THRESHOLD),
        description="Alignment of the sentences of each pair.",
    )
    html: str | None = Field(
        default=None,
        min_length=1,
        description="File of a page with the scores, links around the threshold and links of each score. null: none.",
    )

    @model_validator(mode="after")
    def _split_once(self) -> DocumentMiningConfig:
        for name in ("split_source", "split_target"):
            if (value := getattr(self.align, name)) is not None:
                raise ConfigError(
                    f"align.{name} is {value}, but documents are split before they are matched",
                    f"Set match.{name}.",
                )
        return self
