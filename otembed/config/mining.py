"""Every knob of mining, defined once; torch-free. Reasons for the defaults stand in ``docs/log.md``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from otembed.config.base import config_dataclass
from otembed.errors import ConfigError

Count = Annotated[int, Field(gt=0, strict=True)]
Margin = Literal["ratio", "distance", "absolute"]
Search = Literal["auto", "exact", "hnsw", "ivf", "pq"]
Rescore = Literal["none", "ot"]
Engine = Literal["local", "processes", "ray"]
Match = Literal["one-to-one", "intersection", "union", "forward", "backward"]

# Near the best F1 of the offline encoder on Tatoeba with half of the lines orphaned. Of raw vectors they depend on
# the encoder through and through, of centered ones much less.
DEFAULT_THRESHOLDS: dict[bool, dict[str, float]] = {
    True: {"distance": 0.06, "ratio": 1.15, "absolute": 0.5},
    False: {"distance": 0.01, "ratio": 1.015, "absolute": 0.87},
}
# The same where words are looked at; for the default weight, layer and epsilon.
RESCORED_THRESHOLDS: dict[bool, dict[str, float]] = {
    True: {"distance": 0.06, "ratio": 1.15, "absolute": 0.44},
    False: {"distance": 0.03, "ratio": 1.045, "absolute": 0.69},
}
# With fewer lines on a side its mean is mostly the line itself.
CENTER_FROM = 10


@config_dataclass
class MiningConfig:
    """From two collections of lines to pairs."""

    prompt: str | None = Field(default=None, description="Text put before every line. null: the model's default.")
    prompt_name: str | None = Field(default=None, description="The same by the model's name for it.")
    truncate_dim: Count | None = Field(default=None, description="Leading dimensions kept. null: all.")
    precision: Literal["float32", "float16"] = Field(
        default="float32", description="Embeddings on disk; float16 halves them."
    )
    batch_size: Count = Field(default=32, description="Most lines encoded at a time; tokens bound it too.")
    max_characters: Count | None = Field(
        default=1000, description="Longer lines are left out and counted. null: no limit."
    )
    source_language: str | None = Field(
        default=None, description="Leave out source lines in another language (needs py3langid). null: none."
    )
    target_language: str | None = Field(default=None, description="The same of the target.")
    min_language_probability: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.01, description="A line less likely than this to be in its language is in another one."
    )
    center: bool | None = Field(
        default=None, description="Take each side's mean away. null: if both sides have 10 lines or more."
    )
    k: Count = Field(default=4, description="Neighbors of the margin, and candidates of each line.")
    search: Search = Field(
        default="auto",
        description="exact; or by a FAISS index: hnsw, ivf, pq. auto: exact up to 200k lines a side, pq up to a"
        " million, hnsw above.",
    )
    min_recall: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.95, description="Warn if an approximate search finds a smaller share of the true neighbors."
    )
    margin: Margin = Field(default="distance", description="Score of a pair against the neighbors of its lines.")
    match: Match = Field(default="one-to-one", description="Which candidates become pairs.")
    top_k: Count | None = Field(
        default=None, description="Candidates of a line that are kept; not with one-to-one. null: the best one."
    )
    min_cosine: Annotated[float, Field(ge=-1, le=1)] | None = Field(
        default=None, description="Lowest cosine of a pair (of centered vectors if they are centered). null: none."
    )
    max_length_ratio: Annotated[float, Field(ge=1)] | None = Field(
        default=None, description="Longer over shorter side, in characters, from 20 characters on. null: no limit."
    )
    rescore: Rescore = Field(
        default="none",
        description="ot: candidates are compared word by word too, by optimal transport; needs the encoder.",
    )
    rescore_weight: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.5, description="Share of the words in the similarity of a pair; the cosine has the rest."
    )
    rescore_layer: Annotated[int, Field(strict=True)] | Literal["auto"] = Field(
        default="auto",
        description="Hidden layer of the word states, 0 the embeddings; auto: the one stored with the model, else 7/12"
        " of the depth.",
    )
    rescore_epsilon: Annotated[float, Field(ge=0)] = Field(
        default=0.05, description="Entropic strength, in units of the cosine cost; 0: exact transport."
    )
    threshold: float | Literal["default", "auto"] | None = Field(
        default="default",
        description="Lowest score of a pair. default: that of the margin; auto: chosen by development pairs; null:"
        " none.",
    )
    min_precision: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None,
        description="auto: the least threshold of this expected precision. null: the best expected F1.",
    )
    engine: Engine = Field(
        default="local",
        description="What embeds and searches exactly: local, this process; processes of this machine; ray, a cluster.",
    )
    ray_address: str | None = Field(default=None, description="Ray cluster to join. null: this machine alone.")
    workers: Count | None = Field(
        default=None,
        description="Threads of the search, or worker processes of another engine. null: all processors.",
    )
    memory_gb: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="Most memory of the search, in 1e9 bytes. null: no limit."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> MiningConfig:
        if self.prompt is not None and self.prompt_name is not None:
            raise ConfigError("prompt and prompt_name are both set", "Keep one of them.")
        if self.top_k is not None and self.match == "one-to-one":
            raise ConfigError(
                "top_k keeps several candidates of a line, one-to-one a single one",
                "Choose match: forward, backward, union or intersection.",
            )
        if self.top_k is not None and self.top_k > self.k:
            raise ConfigError(f"top_k is {self.top_k}, but only k = {self.k} are found", "Raise k.")
        if self.threshold == "auto" and self.match != "one-to-one":
            raise ConfigError(
                f"threshold is auto, match is {self.match}: the pairs of a line cannot be expected but one by one",
                "Choose match: one-to-one, or a number as threshold.",
            )
        if self.threshold == "auto" and self.rescore != "none":
            raise ConfigError(
                f"threshold is auto, rescore is {self.rescore}: what words would say of planted pairs is not known",
                "Set rescore: none, or a number as threshold.",
            )
        if self.ray_address is not None and self.engine != "ray":
            raise ConfigError(
                f"a Ray address is given, {self.ray_address}, but the engine is {self.engine}", "Set engine: ray."
            )
        if self.min_precision is not None and self.threshold != "auto":
            raise ConfigError(
                f"min_precision is {self.min_precision}, but threshold is {self.threshold}",
                "Set threshold: auto, and give development pairs.",
            )
        return self

    def lowest_score(self, *, centered: bool) -> float | None:
        """Return the threshold as a number, None if there is none; ConfigError if pairs have to choose it."""
        if self.threshold == "auto":
            raise ConfigError("threshold is auto: development pairs choose it, in mining alone", "Give a number.")
        if self.threshold != "default":
            return self.threshold
        table = DEFAULT_THRESHOLDS if self.rescore == "none" else RESCORED_THRESHOLDS
        return table[centered][self.margin]
