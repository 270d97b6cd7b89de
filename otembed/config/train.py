"""Settings of training: name, type, default, limits and a one-line description of each.

One tree of frozen dataclasses drives Python, YAML (:mod:`otembed.config.io`) and the command line.
Torch-free. ``None`` means off. ``docs/log.md`` gives the reasons for the defaults.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, PositiveFloat, Tag, model_validator

from otembed.config.base import Count, config_dataclass, expand_home, union_tag
from otembed.config.changes import refuse_idle
from otembed.config.hub import HubConfig
from otembed.config.loss import AlignmentConfig, ContrastiveConfig
from otembed.config.trainer import TrainerConfig, TrainerFields
from otembed.errors import ConfigError

Size = Annotated[int, Field(ge=0, strict=True)]
Share = Annotated[float, Field(ge=0, le=1, strict=True)]


def _language(code: str) -> str:
    if re.fullmatch("[A-Za-z]{2,3}([_-][A-Za-z0-9]+)*", code) is None:
        raise ValueError("not a language code, such as en or zh_Hant")
    return code


Language = Annotated[str, AfterValidator(_language)]


def _interpolation_kind(value: Any) -> str:
    return union_tag("word" if isinstance(value, str) else "number")


Interpolation = Annotated[
    Annotated[Literal["auto"], Tag(union_tag("word"))] | Annotated[Share, Tag(union_tag("number"))],
    Discriminator(_interpolation_kind),
]


@config_dataclass
class LossConfig:
    """The training objective: a sentence-level loss, an optimal-transport term, or both."""

    sentence: Literal["mnrl", "mse", "gist", "distill", "none"] = Field(
        default="mnrl",
        description="Sentence-level loss: mnrl, MultipleNegativesRankingLoss; gist, the same without negatives that the"
        " teacher finds too similar (GISTEmbedLoss); mse, both sides at the teacher's vector of the target side;"
        " distill, similarities within the batch as in the teacher; or none.",
    )
    teacher: str | None = Field(
        default=None,
        description="Teacher of mse, gist and distill: a hub name, a local folder, or offline:multilingual-e5-small.",
    )
    temperature: PositiveFloat = Field(
        default=0.05, description="Divides the cosine similarities of the sentence-level loss before the softmax."
    )
    symmetric: bool = Field(
        default=True, description="Rank in both directions, source to target and back (mnrl, distill)."
    )
    gather_across_devices: bool = Field(
        default=False,
        description="The sentence-level loss also ranks the sentences of the other processes' batches (several devices).",
    )
    matryoshka_dims: tuple[Count, ...] = Field(
        default=(), description="Also train these truncated dimensions (MatryoshkaLoss). Empty: off."
    )
    alignment: AlignmentConfig | None = Field(
        default=None,
        description="The OT alignment term, added to the sentence-level loss. null: off.",
    )
    contrastive: ContrastiveConfig | None = Field(
        default=None,
        description="The OT contrastive term, an alternative to alignment; alone with sentence: none. null: off.",
    )
    mini_batch_size: Count | None = Field(
        default=None,
        description="Sentences per column encoded at once (GradCache): memory no longer depends on the batch size,"
        " and a step takes about a third longer. null: the whole batch.",
    )

    @model_validator(mode="after")
    def _has_a_term(self) -> LossConfig:
        if self.sentence == "none" and self.alignment is None and self.contrastive is None:
            raise ConfigError(
                "loss: all terms are off (sentence: none, alignment: null, contrastive: null)",
                "Set one of them.",
            )
        if self.alignment is not None and self.contrastive is not None:
            raise ConfigError("loss.alignment and loss.contrastive are both on", "Set one of them to null.")
        taught = self.sentence in {"mse", "gist", "distill"}
        if taught and self.teacher is None:
            raise ConfigError(f"loss.sentence = {self.sentence} requires a teacher", "Set loss.teacher to a model.")
        if self.teacher is not None and not taught:
            raise ConfigError(
                f"loss.teacher has no effect with loss.sentence = {self.sentence}",
                "Set loss.sentence to mse, gist or distill, or remove loss.teacher.",
            )
        if self.sentence != "mnrl" and self.matryoshka_dims:
            raise ConfigError("loss.matryoshka_dims requires a ranking loss", "Set loss.sentence to mnrl.")
        if self.sentence not in {"mnrl", "gist"} and self.gather_across_devices:
            raise ConfigError(
                "loss.gather_across_devices requires a ranking loss",
                "Set loss.sentence to mnrl or gist; the contrastive term has loss.contrastive.gather_across_devices.",
            )
        kind = f"with loss.sentence = {self.sentence}"
        if self.sentence in {"mse", "none"}:
            refuse_idle(self, {"temperature"}, kind, section="loss.")
        if self.sentence not in {"mnrl", "distill"}:
            refuse_idle(self, {"symmetric"}, kind, section="loss.")
        return self


@config_dataclass
class LoraConfig:
    """Low-rank adapters: only they are trained, and they are merged into the saved model (requires otembed[peft])."""

    r: Count = Field(default=16, description="Rank of the adapters.")
    alpha: Count = Field(default=32, description="The adapters are scaled by alpha / r.")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="Dropout of the adapters' inputs during training."
    )
    target_modules: tuple[str, ...] | Literal["all-linear"] | None = Field(
        default=None,
        description="Names of the linear layers that get an adapter, or all-linear. null: PEFT's choice for the"
        " architecture, for BERT and XLM-R query and value.",
    )
    keep_adapter: bool = Field(
        default=False, description="Also write the adapter in PEFT's format, to RUN/adapter."
    )


@config_dataclass
class ModelConfig:
    """The encoder that training starts from."""

    name: str = Field(
        default="offline:multilingual-e5-small",
        description="A hub name, a local folder, or offline:multilingual-e5-small.",
    )
    revision: str | None = Field(default=None, description="Branch, tag or commit of a hub model.")
    local_files_only: bool = Field(default=False, description="Load only local files; never contact the hub.")
    max_seq_length: Count | None = Field(
        default=128,
        description="Maximum sentence length in tokens in training and its evaluations, up to the model's own limit, which the saved"
        " model keeps. null: the model's own.",
    )
    freeze: tuple[str, ...] = Field(
        default=("embeddings",),
        description="Parts to freeze: embeddings, layers:N (the first N). Empty: none.",
    )
    lora: LoraConfig | None = Field(
        default=None, description="Train low-rank adapters instead of the weights. null: off."
    )
    prompt_name: str | None = Field(
        default=None,
        description="Name of the model's prompt to prepend to every sentence. null: the model's default.",
    )
    prompt: str | None = Field(
        default=None,
        description="Text to prepend to every sentence, stored as the saved model's default prompt. Not with prompt_name.",
    )
    device: str | None = Field(default=None, description="cpu, cuda, cuda:1, mps. null: the best available device.")

    @model_validator(mode="after")
    def _one_prompt(self) -> ModelConfig:
        if self.prompt is not None and self.prompt_name is not None:
            raise ConfigError("model.prompt and model.prompt_name are mutually exclusive", "Set only one of them.")
        return self


@config_dataclass
class PairChecks:
    """Limits on a pair of sentences; pairs outside them are dropped and counted. null (``None``) disables a check.

    Pairs with an empty side, or with an unpaired surrogate (not valid in UTF-8), are always dropped.
    """

    min_characters: Count | None = Field(default=None, description="Minimum number of characters per side.")
    max_characters: Count | None = Field(default=1000, description="Maximum number of characters per side.")
    max_length_ratio: Annotated[float, Field(ge=1)] | None = Field(
        default=9.0,
        description="Maximum ratio of the longer to the shorter side, in characters. English is about three times as"
        " long as its Chinese translation, so the limit catches misaligned lines, not free translations.",
    )
    ratio_from_characters: Count = Field(
        default=20, description="Check the ratio only if the longer side has at least this many characters."
    )
    drop_identical: bool = Field(default=True, description="Drop pairs with identical sides (untranslated text).")
    drop_duplicates: bool = Field(default=True, description="Drop repeated pairs (both sides equal).")
    drop_control_characters: bool = Field(
        default=True,
        description="Drop pairs with control characters (Cc except tab and line breaks), U+FFFD or private-use"
        " characters, which indicate a broken conversion.",
    )
    normalize_nfc: bool = Field(default=False, description="Normalize text to Unicode NFC first.")

    @model_validator(mode="after")
    def _ordered(self) -> PairChecks:
        low, high = self.min_characters, self.max_characters
        if low is not None and high is not None and low > high:
            raise ConfigError(f"min_characters = {low} exceeds max_characters = {high}", "Lower min_characters.")
        if self.max_length_ratio is None:
            refuse_idle(self, {"ratio_from_characters"}, "without max_length_ratio")
        return self

    @classmethod
    def off(cls) -> PairChecks:
        """Return checks that drop only pairs with an empty side, for evaluation text."""
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

    pivot: Language = Field(
        default="en", description="Language on the target side, the one that the anchor term keeps in place."
    )
    limit: Count | None = Field(default=None, description="Maximum number of pairs per file. null: all.")
    num_negatives: Size | None = Field(
        default=None,
        description="Hard negatives of each pair, from the columns negative_1, negative_2, ... (otembed negatives). null: all"
        " that the file has; 0: none.",
    )
    checks: PairChecks = field(default_factory=PairChecks)
    streaming: bool = Field(
        default=False,
        description="Read the text during training instead of before it; requires optimization.max_steps. Language pairs"
        " take turns.",
    )
    shuffle_buffer: Count = Field(
        default=10_000,
        description="With streaming: pairs of each language pair in memory, from which the next one is drawn.",
    )
    sampling: Literal["proportional", "round_robin", "temperature"] = Field(
        default="proportional",
        description="How batches are drawn from several language pairs. proportional: by size; round_robin: in turn until the smallest"
        " one ends, so an epoch leaves out the rest of the others (with streaming, nothing is left out); temperature: by size^(1/temperature).",
    )
    temperature: Annotated[float, Field(ge=1)] = Field(
        default=2.0,
        description="With sampling: temperature, a pair is drawn in proportion to size^(1/temperature).",
    )

    @model_validator(mode="after")
    def _draws_as_set(self) -> DataConfig:
        if self.sampling != "temperature":
            refuse_idle(self, {"temperature"}, f"with data.sampling = {self.sampling}", section="data.")
        if not self.streaming:
            refuse_idle(self, {"shuffle_buffer"}, "without data.streaming", section="data.")
        return self


@config_dataclass
class HeldOutConfig:
    """Evaluation on pairs that are not trained on: before, during and after training."""

    pairs: dict[str, str] = Field(
        default_factory=dict,
        description="Held-out text by language pair, as in pairs. Without it, some pairs of the training text are held out.",
    )
    size: Size = Field(
        default=200, description="Pairs held out from each training file without held-out text. 0: none."
    )
    limit: Count | None = Field(default=1000, description="Maximum number of pairs per held-out file. null: all.")
    eval_steps: Count | None = Field(
        default=None, description="Steps between evaluations. null: a quarter of the run."
    )
    early_stopping_patience: Count | None = Field(
        default=None, description="Stop after this many evaluations without improvement. null: never."
    )
    load_best_model_at_end: bool = Field(
        default=True, description="Save the model of the best evaluation; false: of the last step."
    )


@config_dataclass
class OptimizationConfig(TrainerConfig):
    """Steps, batches, learning rate, precision."""

    per_device_train_batch_size: Annotated[int, Field(ge=2)] = Field(
        default=32, description="Sentence pairs per batch on each device (each process)."
    )
    lr_scheduler_type: Literal[
        "linear",
        "cosine",
        "constant_with_warmup",
        "cosine_with_restarts",
        "polynomial",
        "inverse_sqrt",
        "cosine_with_min_lr",
        "warmup_stable_decay",
    ] = Field(
        default="linear",
        description="Learning rate schedule after the warm-up; trainer.lr_scheduler_kwargs has the arguments of those"
        " that take or require any.",
    )
    max_grad_norm: PositiveFloat = Field(default=1.0, description="Gradients are clipped to this norm.")
    activation_checkpointing: bool = Field(
        default=False, description="Recompute activations in the backward pass: less memory, slower."
    )
    save_steps: Count | None = Field(
        default=None, description="Steps between checkpoints. null: at each evaluation."
    )
    keep_checkpoints: bool = Field(default=False, description="Keep the checkpoints of a finished run.")
    logging_steps: Count = Field(default=10, description="Steps between log lines.")


@config_dataclass
class ReleaseConfig:
    """How the trained weights are processed before they are saved."""

    average_checkpoints: Count = Field(
        default=1,
        description="Number of last checkpoints whose weights are averaged, instead of using the best or the last one; applied before"
        " interpolate. 1: off.",
    )
    interpolate: Interpolation = Field(
        default=1.0,
        description="Released weights: start + interpolate * (trained - start). auto: the best of shares that keeps held-out"
        " retrieval. 1: the trained weights.",
    )
    shares: tuple[Annotated[float, Field(gt=0, le=1, strict=True)], ...] = Field(
        default=(0.25, 0.5, 0.75, 1.0), min_length=1, description="Shares among which interpolate: auto chooses."
    )
    other_pairs: dict[str, str] = Field(
        default_factory=dict,
        description="Held-out text of languages that are not trained, as in held_out.pairs: interpolate: auto prefers the"
        " share that is best for them.",
    )
    center: Literal["none", "global", "language"] = Field(
        default="none",
        description="Subtract the mean sentence vector of the training text in the released model. global: one mean for all"
        " text; language: also one for each language, with encode(..., task=LANGUAGE).",
    )

    @model_validator(mode="after")
    def _chooses_among_shares(self) -> ReleaseConfig:
        if self.interpolate != "auto":
            refuse_idle(self, {"shares"}, f"with release.interpolate = {self.interpolate}", section="release.")
        return self


@config_dataclass
class TrainConfig:
    """Settings of ``otembed train`` and :func:`otembed.train`, one section for each part of a run.

    Only ``pairs`` is required. :func:`otembed.config.train_config` builds the settings from a preset or a YAML file.

    Raises
    ------
    ConfigError
        An unknown setting, a value out of range, or settings that contradict each other.

    Examples
    --------
    >>> TrainConfig(pairs={"en-sw": "starter:en-sw"}).loss.sentence
    'mnrl'
    """

    pairs: dict[str, str] = Field(
        description="Parallel text: language pair (en-sw) to file, folder or hub dataset."
    )
    output: Annotated[str, AfterValidator(expand_home)] = Field(
        default="runs/otembed", min_length=1, description="Run folder."
    )
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    held_out: HeldOutConfig = field(default_factory=HeldOutConfig)
    optimization: OptimizationConfig = field(default_factory=OptimizationConfig)
    release: ReleaseConfig = field(default_factory=ReleaseConfig)
    hub: HubConfig = field(default_factory=HubConfig)
    trainer: TrainerFields = field(default_factory=dict)
    examples_in_card: bool = Field(default=False, description="Include a few training sentences in the model card.")

    @model_validator(mode="before")
    @classmethod
    def _has_pairs(cls, values: Any) -> Any:
        given = values.kwargs if hasattr(values, "kwargs") else values
        if isinstance(given, dict) and not given.get("pairs"):
            raise ConfigError(
                "no parallel text given: pairs is empty", "Set at least one pair, such as --pairs en-sw=FILE."
            )
        return values

    @model_validator(mode="after")
    def _can_stream(self) -> TrainConfig:
        if not self.data.streaming:
            return self
        if self.optimization.max_steps is None:
            raise ConfigError("data.streaming requires optimization.max_steps", "Set the number of steps.")
        if len(self.pairs) > 1 and self.data.sampling != "round_robin":
            raise ConfigError(
                f"data.sampling = {self.data.sampling} requires the sizes of all texts, which streaming does not know",
                "Set data.sampling to round_robin.",
            )
        if self.loss.sentence in {"mse", "distill"}:
            raise ConfigError(
                f"loss.sentence = {self.loss.sentence} computes the teacher's vectors of all text first",
                "Turn data.streaming off, or set loss.sentence to gist.",
            )
        return self

    @model_validator(mode="after")
    def _interpolates_weights(self) -> TrainConfig:
        # Half of both factors of an adapter is a quarter of what it adds, and the product of means is not the mean of products.
        if self.model.lora is not None and self.release.average_checkpoints > 1:
            raise ConfigError(
                f"release.average_checkpoints = {self.release.average_checkpoints} cannot be combined with model.lora",
                "Leave it out: checkpoints of an adapter have no mean.",
            )
        if self.model.lora is not None and self.release.interpolate != 1:
            raise ConfigError(
                f"release.interpolate = {self.release.interpolate} cannot be combined with model.lora",
                "Leave it out, and merge the released model with the starting model by otembed merge.",
            )
        return self

    @model_validator(mode="after")
    def _keeps_what_it_averages(self) -> TrainConfig:
        count, limit = self.release.average_checkpoints, self.trainer.get("save_total_limit")
        if count > 1 and isinstance(limit, int) and limit <= count:
            raise ConfigError(
                f"trainer.save_total_limit = {limit} does not keep the {count} checkpoints of release.average_checkpoints and the"
                " best one",
                "Leave trainer.save_total_limit out.",
            )
        return self

    @model_validator(mode="after")
    def _reports_what_it_measures(self) -> TrainConfig:
        for pair in self.hub.benchmarks:
            if pair not in self.held_out.pairs:
                raise ConfigError(
                    f"hub.benchmarks.{pair}: {pair} is not in held_out.pairs",
                    "Set held_out.pairs to the text of the benchmark.",
                )
        return self

    @model_validator(mode="after")
    def _saves_what_it_selects(self) -> TrainConfig:
        evaluates, saves = self.held_out.eval_steps, self.optimization.save_steps
        if self.held_out.load_best_model_at_end and saves is not None and saves != evaluates:
            raise ConfigError(
                f"optimization.save_steps = {saves} differs from held_out.eval_steps = {evaluates}: the best model"
                " may not have been saved",
                "Leave save_steps out, set it to held_out.eval_steps, or set held_out.load_best_model_at_end to false.",
            )
        if self.held_out.early_stopping_patience and not self.held_out.load_best_model_at_end:
            raise ConfigError(
                "held_out.early_stopping_patience requires held_out.load_best_model_at_end",
                "Set held_out.load_best_model_at_end to true.",
            )
        return self
