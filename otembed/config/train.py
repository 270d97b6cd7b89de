"""Every knob of otembed, defined once: name, type, default, limits, one line of help.

One tree of frozen dataclasses drives Python, YAML (:mod:`otembed.config.io`) and the command line; its
terms of optimal transport stand in :mod:`otembed.config.loss`. Torch-free. ``None`` means off. Reasons
for the defaults stand in ``docs/log.md``.
"""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, model_validator
from pydantic_core import ArgsKwargs

from otembed.config.base import Count, config_dataclass
from otembed.config.loss import AlignmentConfig as AlignmentConfig
from otembed.config.loss import AnchorConfig as AnchorConfig
from otembed.config.loss import ContrastiveConfig as ContrastiveConfig
from otembed.errors import ConfigError

Size = Annotated[int, Field(ge=0, strict=True)]
Share = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32, strict=True)]


@config_dataclass
class LossConfig:
    """The training objective: a sentence-level loss, a term of optimal transport, or both.

    Where alignment is named and contrastive is not, alignment takes its place, beside mnrl unless sentence is named.
    """

    sentence: Literal["mnrl", "none"] = Field(
        default="none", description="Sentence-level loss: mnrl, MultipleNegativesRankingLoss, or none."
    )
    scale: PositiveFloat = Field(default=20.0, description="Inverse temperature of the sentence-level loss.")
    symmetric: bool = Field(default=True, description="Rank in both directions, source to target and back.")
    matryoshka: tuple[Count, ...] = Field(
        default=(), description="Also train these truncated dimensions (MatryoshkaLoss); empty: off."
    )
    alignment: AlignmentConfig | None = Field(
        default=None,
        description="The OT alignment term, a cost; where it is named it replaces contrastive. null: off.",
    )
    contrastive: ContrastiveConfig | None = Field(
        default_factory=lambda: ContrastiveConfig(sentence_weight=1.0),
        description="The OT contrastive term, in place of alignment; null: off.",
    )
    mini_batch_size: Count | None = Field(
        default=None,
        description="Sentences of a column that the encoder takes at a time (GradCache): memory stays the same for any"
        " batch_size, a step takes about a third longer. null: the whole batch.",
    )

    @model_validator(mode="before")
    @classmethod
    def _alignment_in_place_of_contrastive(cls, values: Any) -> Any:
        """Let a named alignment replace the contrastive term of the defaults; alone it would let the space collapse."""
        named = values.kwargs if isinstance(values, ArgsKwargs) else values
        if not isinstance(named, dict) or named.get("alignment") is None or "contrastive" in named:
            return values
        filled = {"sentence": "mnrl", **named, "contrastive": None}
        return ArgsKwargs((), filled) if isinstance(values, ArgsKwargs) else filled

    @model_validator(mode="after")
    def _has_a_term(self) -> LossConfig:
        if self.sentence == "none" and self.alignment is None and self.contrastive is None:
            raise ConfigError(
                "loss: all terms are off (sentence: none, alignment: null, contrastive: null)",
                "Switch one of them on.",
            )
        if self.alignment is not None and self.contrastive is not None:
            raise ConfigError("loss.alignment and loss.contrastive are both on", "Set one of them to null.")
        if self.sentence == "none" and self.matryoshka:
            raise ConfigError("loss.matryoshka needs a sentence-level loss", "Set loss.sentence to mnrl.")
        return self


@config_dataclass
class ModelConfig:
    """The encoder that training starts from."""

    name: str = Field(
        default="offline:multilingual-e5-small",
        description="A hub name, a local folder, or offline:multilingual-e5-small.",
    )
    revision: str | None = Field(default=None, description="Branch, tag or commit of a hub model.")
    local_files_only: bool = Field(default=False, description="Never ask the hub.")
    max_seq_length: Count | None = Field(
        default=128,
        description="Longest sentence in tokens while training, at most the model's own; the released model has its"
        " own limit again. null: the model's own.",
    )
    freeze: tuple[str, ...] = Field(
        default=("embeddings",),
        description="Parts that are not trained: embeddings, layers:N (the first N). Empty: none.",
    )
    prompt_name: str | None = Field(
        default=None,
        description="Prompt put before every sentence, by the model's name for it. null: the model's default.",
    )
    prompt: str | None = Field(
        default=None,
        description="Text put before every sentence; the released model applies it by itself. Instead of prompt_name.",
    )
    device: str | None = Field(default=None, description="cpu, cuda, cuda:1, mps. null: the best there is.")

    @model_validator(mode="after")
    def _one_prompt(self) -> ModelConfig:
        if self.prompt is not None and self.prompt_name is not None:
            raise ConfigError("model.prompt and model.prompt_name are both set", "Keep one of them.")
        return self


@config_dataclass
class PairChecks:
    """Limits on a pair of sentences; a pair outside them is dropped and counted. ``None``: no such check.

    Pairs with an empty side, or with an unpaired surrogate, which no file can hold, are always dropped.
    """

    min_characters: Count | None = Field(default=None, description="Fewest characters a side may have.")
    max_characters: Count | None = Field(default=1000, description="Most characters a side may have.")
    max_length_ratio: Annotated[float, Field(ge=1)] | None = Field(
        default=9.0,
        description="Longer side over shorter side, in characters; English is about three times as long as its"
        " Chinese translation, so the limit finds misaligned lines, not free translations.",
    )
    ratio_from_characters: Count = Field(
        default=20, description="The ratio is tested if the longer side has at least this many characters."
    )
    drop_identical: bool = Field(default=True, description="Drop pairs whose sides are equal: untranslated text.")
    drop_duplicates: bool = Field(default=True, description="Drop a pair that came before, both sides equal.")
    drop_control_characters: bool = Field(
        default=True,
        description="Drop pairs with control characters (Cc but tab and line breaks), U+FFFD or private-use"
        " characters: traces of a broken conversion.",
    )
    normalize_nfc: bool = Field(default=False, description="Bring text to Unicode normal form C first.")

    @model_validator(mode="after")
    def _ordered(self) -> PairChecks:
        low, high = self.min_characters, self.max_characters
        if low is not None and high is not None and low > high:
            raise ConfigError(
                f"min_characters {low} is above max_characters {high}", "Lower one or raise the other."
            )
        return self

    @classmethod
    def off(cls) -> PairChecks:
        """No check but the one for empty sides: for text that is measured as it is."""
        return cls(
            max_characters=None,
            max_length_ratio=None,
            drop_identical=False,
            drop_duplicates=False,
            drop_control_characters=False,
        )


@config_dataclass
class DataConfig:
    """How parallel text is read, checked and mixed."""

    pivot: str = Field(default="en", description="Language on the target side, the one that is anchored.")
    limit: Count | None = Field(default=None, description="Most pairs kept of each file. null: all.")
    checks: PairChecks = field(default_factory=PairChecks)
    sampling: Literal["proportional", "round_robin", "temperature"] = Field(
        default="proportional", description="How batches are drawn from several language pairs."
    )
    temperature: Annotated[float, Field(ge=1)] = Field(
        default=2.0, description="With sampling: temperature, share of a pair ~ size^(1/temperature)."
    )


@config_dataclass
class HeldOutConfig:
    """Evaluation on pairs that are not trained on: before, during and after training."""

    pairs: dict[str, str] = Field(
        default_factory=dict,
        description="Held-out text by language pair, as in pairs; pairs without one have some of theirs set aside.",
    )
    size: Size = Field(
        default=200, description="Pairs of each training file set aside where it has no held-out file. 0: none."
    )
    limit: Count | None = Field(default=1000, description="Most pairs used of each held-out file. null: all.")
    every: Count | None = Field(default=None, description="Steps between evaluations. null: a quarter of the run.")
    patience: Count | None = Field(
        default=None, description="Stop after so many evaluations without a gain. null: never."
    )
    select_best: bool = Field(default=True, description="Release the best evaluated model, the last one otherwise.")


@config_dataclass
class OptimizationConfig:
    """Steps, batches, learning rate, precision."""

    epochs: PositiveFloat = Field(default=1.0, description="Passes over the training pairs.")
    max_steps: Count | None = Field(default=None, description="Optimizer steps; replaces epochs.")
    batch_size: Annotated[int, Field(ge=2)] = Field(default=32, description="Sentence pairs a batch and process.")
    accumulate: Count = Field(default=1, description="Batches whose gradients make one step.")
    learning_rate: PositiveFloat = Field(default=3e-5, description="Peak learning rate (AdamW).")
    warmup: Share = Field(default=0.1, description="Share of the steps over which the learning rate rises.")
    schedule: Literal["linear", "cosine", "constant_with_warmup"] = Field(
        default="linear", description="Course of the learning rate after the warm-up."
    )
    weight_decay: Annotated[float, Field(ge=0)] = Field(default=0.01, description="AdamW weight decay.")
    max_grad_norm: PositiveFloat = Field(default=1.0, description="Gradients are clipped to this norm.")
    precision: Literal["float32", "bf16", "fp16"] = Field(
        default="float32", description="Arithmetic of the encoder; OT is always float32. fp16 needs a GPU."
    )
    checkpoint_activations: bool = Field(default=False, description="Recompute activations: less memory, slower.")
    seed: Seed = Field(default=42, description="Seed of shuffling, dropout and held-out parts.")
    save_every: Count | None = Field(
        default=None, description="Steps between checkpoints. null: at each evaluation."
    )
    keep_checkpoints: bool = Field(default=False, description="Keep the checkpoints of a finished run.")
    log_every: Count = Field(default=10, description="Steps between lines of the log.")


@config_dataclass
class TrainConfig:
    """Everything that ``otembed train`` and :func:`otembed.train` need."""

    pairs: dict[str, str] = Field(description="Parallel text: language pair (en-sw) to file, folder or hub name.")
    output: str = Field(default="runs/otembed", min_length=1, description="Run folder.")
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    held_out: HeldOutConfig = field(default_factory=HeldOutConfig)
    optimization: OptimizationConfig = field(default_factory=OptimizationConfig)
    examples_in_card: bool = Field(default=False, description="Let the model card quote a few training sentences.")

    @model_validator(mode="before")
    @classmethod
    def _has_pairs(cls, values: Any) -> Any:
        given = values.kwargs if hasattr(values, "kwargs") else values
        if isinstance(given, dict) and not given.get("pairs"):
            raise ConfigError("no parallel text was named", "Give at least one pair, such as --pairs en-sw=FILE.")
        return values

    @model_validator(mode="after")
    def _saves_what_it_selects(self) -> TrainConfig:
        every, save_every = self.held_out.every, self.optimization.save_every
        if self.held_out.select_best and save_every is not None and save_every != every:
            raise ConfigError(
                f"optimization.save_every = {save_every} differs from held_out.every = {every}: the best evaluated"
                " model could not be released if it was not saved",
                "Leave save_every out, set it to held_out.every, or set held_out.select_best to false.",
            )
        if self.held_out.patience and not self.held_out.select_best:
            raise ConfigError("held_out.patience needs held_out.select_best", "Set held_out.select_best to true.")
        return self
