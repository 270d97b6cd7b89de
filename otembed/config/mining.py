"""All settings of mining; torch-free. ``docs/log.md`` gives the reasons for the defaults."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from otembed.config.base import config_dataclass
from otembed.errors import ConfigError

Count = Annotated[int, Field(gt=0, strict=True)]
Margin = Literal["ratio", "distance", "absolute"]
Search = Literal["auto", "exact", "hnsw", "pq"]
Rescore = Literal["none", "ot"]
Engine = Literal["local", "processes", "ray"]

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
# With fewer lines, the mean of a side is dominated by each line itself.
CENTER_FROM = 10


@config_dataclass
class MiningConfig:
    """Settings of mining: from two collections of lines to pairs."""

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
    max_characters: Count | None = Field(
        default=1000, description="Longer lines are dropped and counted. null: no limit."
    )
    vector_dimension: Count | None = Field(
        default=None, description="Dimension of the vectors in headerless files, such as 1024 for LASER."
    )
    vector_dtype: Literal["float32", "float16"] | None = Field(
        default=None, description="Data type of the vectors in headerless files. null: by suffix, .f32 or .f16."
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
    center: bool | None = Field(
        default=None, description="Subtract each side's mean embedding. null: if both sides have at least 10 lines."
    )
    k: Count = Field(
        default=4, description="Neighbors per line: the candidates, and the neighborhood of the margin."
    )
    search: Search = Field(
        default="auto",
        description="exact, or a FAISS index: hnsw, pq. auto: exact up to 200k lines per side, pq up to a million, hnsw"
        " above.",
    )
    min_recall: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.95, description="Warn if an approximate search finds a smaller share of the true neighbors."
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
    min_precision: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None,
        description="With threshold auto: the lowest threshold with this expected precision. null: best expected F1.",
    )
    engine: Engine = Field(
        default="local",
        description="Where to embed and search. local: this process; processes: several on this machine; ray: a cluster.",
    )
    ray_address: str | None = Field(
        default=None, description="Address of a Ray cluster to join. null: this machine only."
    )
    workers: Count | None = Field(
        default=None,
        description="Number of threads of the local search, or of worker processes. null: one per processor.",
    )
    memory_gb: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="Memory limit of the search, in 1e9 bytes. null: no limit."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> MiningConfig:
        if self.prompt is not None and self.prompt_name is not None:
            raise ConfigError("prompt and prompt_name are both set", "Keep one of them.")
        if self.threshold == "auto" and self.rescore != "none":
            raise ConfigError(
                f"threshold auto cannot be combined with rescore {self.rescore}",
                "Set rescore: none, or set threshold to a number.",
            )
        if self.ray_address is not None and self.engine != "ray":
            raise ConfigError(f"ray_address is {self.ray_address}, but engine is {self.engine}", "Set engine: ray.")
        if self.min_precision is not None and self.threshold != "auto":
            raise ConfigError(
                f"min_precision is {self.min_precision}, but threshold is {self.threshold}",
                "Set threshold: auto, and pass development pairs.",
            )
        return self

    def lowest_score(self, *, centered: bool) -> float | None:
        """Return the threshold as a number, or None; ConfigError for ``auto``, which needs development pairs."""
        if self.threshold == "auto":
            raise ConfigError("threshold auto works only in otembed mine", "Set threshold to a number.")
        if self.threshold != "default":
            return self.threshold
        table = DEFAULT_THRESHOLDS if self.rescore == "none" else RESCORED_THRESHOLDS
        return table[centered][self.margin]
