"""Load training text, held-out text and the encoder."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING

from transformers import set_seed

from otembed.data import (
    PairChecks,
    PairStream,
    ParallelText,
    load_pairs,
    parse_pair_spec,
    resample,
    split_held_out,
    streamed,
    temperature_sizes,
    text_digest,
)
from otembed.data.load import refuse_idle_pivot
from otembed.embeddings.fingerprint import model_fingerprint
from otembed.errors import ConfigError, DataError, did_you_mean
from otembed.models import add_lora, check_trainable, freeze, load_model
from otembed.models.center import uncenter
from otembed.results.outcomes import digest_of
from otembed.results.paths import expand
from otembed.runtime.trainer import batches_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from datasets.arrow_dataset import Dataset
    from datasets.iterable_dataset import IterableDataset
    from sentence_transformers import SentenceTransformer

    from otembed.config.train import ModelConfig, TrainConfig

logger = logging.getLogger(__name__)

# Retrieval needs at least two candidates, and centering at least two rows.
FEWEST_HELD_OUT = 2
# Pairs at the beginning of a stream from which pairs are held out, and by which losses and layers are checked.
HEAD = 10_000
Sentences = tuple[list[str], list[str]]


@dataclass(frozen=True)
class Material:
    """Training datasets and held-out sentences by language pair, and the counts of the checks.

    ``others`` are the held-out sentences of ``release.other_pairs``, ``languages`` those of the training columns ``source`` and
    ``target``. With ``data.streaming``, ``stream`` is what is trained on, and the datasets and counts are those of its first
    pairs.
    """

    train: dict[str, Dataset]
    held_out: dict[str, Sentences]
    counts: dict[str, dict[str, object]]
    others: dict[str, Sentences] = field(default_factory=dict)
    languages: dict[str, tuple[str, str]] = field(default_factory=dict)
    stream: IterableDataset | None = None


def input_paths(config: TrainConfig) -> dict[str, Path]:
    """Return every path that a run may read, by the setting that names it; names of models may also be those of the hub."""
    models = {"model.name": config.model.name, "loss.teacher": config.loss.teacher}
    found = {setting: expand(name) for setting, name in models.items() if name is not None}
    for setting, pairs in (
        ("pairs", config.pairs),
        ("held_out.pairs", config.held_out.pairs),
        ("release.other_pairs", config.release.other_pairs),
    ):
        for name, value in pairs.items():
            sides = parse_pair_spec(name, value).paths
            found |= {
                f"{setting}.{name}" + (f" ({side})" if len(sides) > 1 else ""): path
                for side, path in zip(("source", "target"), sides, strict=False)
            }
    return found


def load_material(config: TrainConfig) -> Material:
    """Read, check and split the parallel text of a run.

    For a pair without a held-out file, ``held_out.size`` of its pairs are held out, up to a fifth of them, or none if
    that would be fewer than two. Held-out sentences, of either side and any pair, ``release.other_pairs`` included, are
    removed from all training text.

    Raises
    ------
    DataError
        A file is malformed, or no pairs remain after the checks.
    ConfigError
        A setting requires held-out pairs, and there are none; or streaming would read a pipe, which has its text only once.
    """
    refuse_idle_pivot(
        "data.pivot", config.data.pivot, [parse_pair_spec(name, value) for name, value in config.pairs.items()]
    )
    if config.data.streaming:
        _refuse_pipes(config)
    held_out = {name: _load_held_out(name, value, config) for name, value in config.held_out.pairs.items()}
    others = {name: _load_held_out(name, value, config) for name, value in config.release.other_pairs.items()}
    given = _digests([*held_out.values(), *others.values()])
    train: dict[str, ParallelText] = {}
    for name, value in config.pairs.items():
        text = load_pairs(
            replace(parse_pair_spec(name, value), num_negatives=config.data.num_negatives),
            config.data.checks,
            min(config.data.limit or HEAD, HEAD) if config.data.streaming else config.data.limit,
            exclude=given,
        )
        size = 0 if name in held_out else min(config.held_out.size, len(text) // 5)
        if size >= FEWEST_HELD_OUT:
            text, held_out[name] = split_held_out(text, size, seed=config.optimization.seed)
        train[name] = text.with_pivot(config.data.pivot)
        check_negatives(config, name, len(text.negatives))
    patience = config.held_out.early_stopping_patience
    for setting, used in (
        ("release.interpolate = auto", config.release.interpolate == "auto"),
        ("release.other_pairs", bool(others)),
        (f"held_out.early_stopping_patience = {patience}", patience is not None),
    ):
        if used and not held_out:
            raise ConfigError(
                f"{setting} requires held-out pairs, and none are held out",
                f"Set held_out.pairs, raise held_out.size, or remove {setting.partition(' ')[0]}.",
            )
    fresh = _digests(each for name, each in held_out.items() if name not in config.held_out.pairs)
    datasets = {name: _without(text, fresh) if len(train) > 1 else text.dataset for name, text in train.items()}
    for name, text in train.items():
        head = " at its beginning" if config.data.streaming else ""
        logger.info("%s: %d training pairs%s (%s)", name, len(datasets[name]), head, text.counts.summary())
    if config.data.sampling == "temperature":
        sizes = temperature_sizes({name: len(each) for name, each in datasets.items()}, config.data.temperature)
        datasets = {
            name: resample(each, sizes[name], seed=config.optimization.seed) for name, each in datasets.items()
        }
    trained = {name: len(each) for name, each in datasets.items()}
    if not config.data.streaming:
        trained = _in_one_pass(trained, config)
    return Material(
        train=datasets,
        # In the order of the languages in the key, so that reports agree with ``otembed eval``.
        held_out=_sentences(held_out),
        counts={name: {**text.counts.as_dict(), "trained": trained[name]} for name, text in train.items()},
        others=_sentences(others),
        languages={name: (text.source_language, text.target_language) for name, text in train.items()},
        stream=_stream(config, given, fresh) if config.data.streaming else None,
    )


def input_digests(model: SentenceTransformer, material: Material) -> dict[str, str]:
    """Return a hash of the starting model and of each text, of a stream its first pairs; before a teacher adds to both."""
    found = {"the starting model": model_fingerprint(model)}
    for name, dataset in material.train.items():
        columns = (chain([column], dataset[column]) for column in dataset.column_names)
        found[f"the training text {name}"] = digest_of(chain.from_iterable(columns))
    for kind, texts in (("held-out", material.held_out), ("other", material.others)):
        for name, (source, target) in texts.items():
            found[f"the {kind} text {name}"] = digest_of([*source, *target])
    return found


def _refuse_pipes(config: TrainConfig) -> None:
    """Raise ConfigError if a training text is a pipe: the stream would go on where the beginning was read."""
    for name, value in config.pairs.items():
        for path in parse_pair_spec(name, value).paths:
            if path.is_fifo():
                raise ConfigError(
                    f"pairs.{name} = {path} is a pipe, and data.streaming reads the text again",
                    "Write it to a file, or turn data.streaming off.",
                )


def _in_one_pass(sizes: dict[str, int], config: TrainConfig) -> dict[str, int]:
    """Return how many pairs of each text are in one pass.

    That is all of them, but if language pairs take turns, the pass ends with the smallest text; and with
    ``dataloader_drop_last``, a batch that is not full is left out.
    """
    size = config.optimization.per_device_train_batch_size
    batches = {name: batches_of(each, size, config.trainer) for name, each in sizes.items()}
    in_turn = config.data.sampling == "round_robin"
    if in_turn:
        batches = dict.fromkeys(batches, min(batches.values()))
    trained = {name: min(each, batches[name] * size) for name, each in sizes.items()}
    rest = [f"{name} {each - trained[name]:,}" for name, each in sizes.items() if each > trained[name]]
    if rest and in_turn:
        logger.info(
            "data.sampling = round_robin: a pass ends with the smallest text and leaves out pairs of others (%s)",
            ", ".join(rest),
        )
    return trained


def _stream(config: TrainConfig, held_out: set[int], withheld: set[int]) -> IterableDataset:
    """Return the training text as a stream, without held-out sentences."""
    return streamed(
        [
            PairStream(
                parse_pair_spec(name, value),
                config.data.checks,
                config.data.pivot,
                held_out,
                config.data.limit,
                withheld,
            )
            for name, value in config.pairs.items()
        ],
        batch=config.optimization.per_device_train_batch_size,
        buffer=config.data.shuffle_buffer,
        seed=config.optimization.seed,
    )


def check_negatives(config: TrainConfig, name: str, count: int) -> None:
    """Reject ``count`` hard negatives of a language pair that the objective does not rank.

    Raises
    ------
    ConfigError
        The loss does not support them, or the text is streamed.
    """
    if not count:
        return
    loss = config.loss
    hint = "Set data.num_negatives to 0, or train with loss.sentence = mnrl or loss.contrastive."
    if config.data.streaming:
        reason, hint = "data.streaming reads sources and targets only", "Set data.num_negatives to 0."
    elif loss.sentence in {"mse", "distill"} or (loss.sentence == "none" and loss.contrastive is None):
        reason = f"loss.sentence = {loss.sentence} does not rank them"
    elif loss.sentence == "gist" and count > 1:
        reason, hint = "loss.sentence = gist ranks one at most", "Set data.num_negatives to 1."
    else:
        return
    raise ConfigError(f"{name}: the text has {count} hard negatives for each pair, but {reason}", hint)


def load_encoder(config: ModelConfig, seed: int) -> SentenceTransformer:
    """Load the starting model in float32 without centering; set its prompt, add an adapter, and freeze parts of it.

    The adapter's part in frozen layers stays zero.

    Raises
    ------
    ModelError, ConfigError
        The model or the prompt does not exist, the device is a numbered GPU, or the model has a Router or an adapter.
    """
    if config.device is not None and config.device.startswith("cuda:"):
        raise ConfigError(
            f"model.device = {config.device}: training uses the first visible GPU",
            f"Set CUDA_VISIBLE_DEVICES={config.device[5:]} and device cuda.",
        )
    set_seed(seed)
    model = load_model(
        config.name,
        device=config.device,
        revision=config.revision,
        local_files_only=config.local_files_only or None,
    )
    if uncenter(model):
        logger.info("the centering of %s is removed for training; release.center adds it again", config.name)
    check_trainable(model)
    if config.prompt is not None:
        model.prompts["default"] = config.prompt
        model.default_prompt_name = "default"
    elif config.prompt_name is not None:
        if config.prompt_name not in model.prompts:
            raise ConfigError(
                f"model.prompt_name = {config.prompt_name!r} is not a prompt of the model",
                did_you_mean(config.prompt_name, model.prompts),
            )
        model.default_prompt_name = config.prompt_name
    if config.lora is not None:
        add_lora(model, config.lora)
    summary = freeze(model, config.freeze)
    frozen = ", ".join(f"{part} ({count:,})" for part, count in summary.groups.items()) or "nothing"
    logger.info("training %s parameters; frozen: %s", f"{summary.trained:,}", frozen)
    return model


def limit_length(model: SentenceTransformer, wanted: int | None) -> int | None:
    """Truncate sentences to ``wanted`` tokens, at most the model's own limit, which is returned.

    Raises
    ------
    ConfigError
        The prompt alone reaches the limit.
    """
    own = model.max_seq_length
    if wanted is not None:
        model.max_seq_length = min(wanted, own or wanted)
    prompt = len(model.tokenizer(prompt_of(model) or "")["input_ids"])
    if model.max_seq_length is not None and model.max_seq_length <= prompt:
        raise ConfigError(
            f"model.max_seq_length = {model.max_seq_length}: the prompt alone has {prompt} tokens",
            "Raise max_seq_length or shorten the prompt.",
        )
    return own


def prompt_of(model: SentenceTransformer) -> str | None:
    """Return the model's default prompt, ``None`` if it has none."""
    return (model.prompts.get(model.default_prompt_name) or None) if model.default_prompt_name else None


def _load_held_out(name: str, value: str, config: TrainConfig) -> ParallelText:
    """Load held-out pairs unfiltered, except for pairs with an empty side; in the normal form of the training text."""
    checks = replace(PairChecks.off(), normalize_nfc=config.data.checks.normalize_nfc)
    text = load_pairs(parse_pair_spec(name, value), checks, config.held_out.limit)
    if len(text) < FEWEST_HELD_OUT:
        raise DataError(
            f"{name}: found {len(text)} held-out pairs, but at least {FEWEST_HELD_OUT} are required",
            "Add held-out pairs.",
            path=text.path,
        )
    return text


def _sentences(texts: dict[str, ParallelText]) -> dict[str, Sentences]:
    return {name: (list(each.dataset["source"]), list(each.dataset["target"])) for name, each in texts.items()}


def _digests(texts: Iterable[ParallelText]) -> set[int]:
    return {
        text_digest(sentence) for text in texts for side in ("source", "target") for sentence in text.dataset[side]
    }


def _without(text: ParallelText, digests: set[int]) -> Dataset:
    """Remove pairs with a side or a hard negative in ``digests``."""
    rows = zip(*(text.dataset[column] for column in text.dataset.column_names), strict=True)
    kept = [row for row, texts in enumerate(rows) if digests.isdisjoint(map(text_digest, texts))]
    if not kept:
        raise DataError(
            f"{text.pair}: all training pairs are held out for evaluation",
            "Lower held_out.size, or set held-out files with held_out.pairs.",
            path=text.path,
        )
    return text.dataset if len(kept) == len(text.dataset) else text.dataset.select(kept)
