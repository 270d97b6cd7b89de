"""All settings of aligning documents; torch-free. ``docs/log.md`` gives the reasons for the defaults."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from otembed.config.base import Count, config_dataclass
from otembed.config.encoding import EncodingConfig

Runs = Literal["text", "mean"]


@config_dataclass
class DocumentsConfig(EncodingConfig):
    """Settings of sentence alignment: from two documents that translate each other to links between sentences."""

    max_sentences: Annotated[int, Field(ge=2, le=12, strict=True)] = Field(
        default=6,
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
        default=False,
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
    threshold: Annotated[float, Field(le=1)] | None = Field(
        default=None, description="Minimum score of a link. null: keep every link."
    )
