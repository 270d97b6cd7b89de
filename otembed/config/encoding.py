"""Settings of encoding and searching that several commands share; torch-free."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from otembed.config.base import Count, config_dataclass
from otembed.config.changes import refuse_idle
from otembed.errors import ConfigError

Engine = Literal["local", "processes", "ray"]
Search = Literal["auto", "exact", "hnsw", "pq"]


@config_dataclass
class EncoderConfig:
    """Settings of the encoder."""

    prompt: str | None = Field(
        default=None, description="Text to prepend to every line. null: the model's default."
    )
    prompt_name: str | None = Field(default=None, description="Name of one of the model's prompts, such as query.")
    truncate_dim: Count | None = Field(default=None, description="Number of leading dimensions kept. null: all.")
    precision: Literal["float32", "float16"] = Field(
        default="float32", description="Precision of embeddings on disk; float16 takes half the space."
    )
    arithmetic: Literal["float32", "bf16", "auto"] = Field(
        default="float32",
        description="Arithmetic of the encoder. bf16: autocast; auto: bf16 where the device computes it faster.",
    )
    batch_size: Count = Field(
        default=32, description="Maximum number of lines in a batch on each device; tokens limit it too."
    )

    @model_validator(mode="after")
    def _one_prompt(self) -> EncoderConfig:
        if self.prompt is not None and self.prompt_name is not None:
            raise ConfigError("prompt and prompt_name are both set", "Keep one of them.")
        return self


@config_dataclass
class EncodingConfig(EncoderConfig):
    """Settings of the encoder, and of the engine that runs it."""

    engine: Engine = Field(
        default="local",
        description="Where the work runs. local: this process; processes: several on this machine; ray: a cluster.",
    )
    ray_address: str | None = Field(
        default=None, description="Address of a Ray cluster to join. null: this machine only."
    )
    workers: Count | None = Field(
        default=None,
        description="Number of threads of the local engine, or of worker processes. null: one per processor.",
    )

    @model_validator(mode="after")
    def _engine_has_its_address(self) -> EncodingConfig:
        if self.ray_address is not None and self.engine != "ray":
            raise ConfigError(f"ray_address is {self.ray_address}, but engine is {self.engine}", "Set engine: ray.")
        return self


@config_dataclass
class SearchConfig(EncodingConfig):
    """Settings of the encoder, and of the search for neighbors."""

    center: bool | None = Field(
        default=None, description="Subtract each side's mean embedding. null: if both sides have at least 10 lines."
    )
    search: Search = Field(
        default="auto",
        description="exact, or a FAISS index: hnsw, pq. auto: exact up to 500k lines per side, pq up to a million, hnsw"
        " above.",
    )
    min_recall: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.95, description="Warn if an approximate search finds a smaller share of the true neighbors."
    )
    memory_gb: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="Memory limit of the search, in 1e9 bytes. null: no limit."
    )

    @model_validator(mode="after")
    def _recall_is_measured(self) -> SearchConfig:
        if self.search == "exact":
            refuse_idle(self, {"min_recall"}, "with search = exact, which finds all neighbors")
        return self
