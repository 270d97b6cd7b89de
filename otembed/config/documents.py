"""All settings of aligning documents; torch-free. ``docs/log.md`` gives the reasons for the defaults."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from otembed.config.base import Count, config_dataclass
from otembed.config.encoding import EncodingConfig


@config_dataclass
class DocumentsConfig(EncodingConfig):
    """Settings of sentence alignment: from two documents that translate each other to links between sentences."""

    max_sentences: Annotated[int, Field(ge=2, le=12, strict=True)] = Field(
        default=6,
        description="Maximum number of sentences of a link, both sides together. Every run of up to one sentence less"
        " is encoded.",
    )
    deletion_quantile: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.2,
        description="A sentence without a link costs this quantile of the cost of random pairs of the documents.",
    )
    band: Count = Field(
        default=10,
        description="The finest pass searches this many sentences around the path of the coarser one.",
    )
    threshold: Annotated[float, Field(le=1)] | None = Field(
        default=None, description="Minimum score of a link. null: keep every link."
    )
