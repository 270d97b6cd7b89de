"""A span head on the encoder of a sentence-transformers model, trained with transformers' Trainer."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from transformers import (
    AutoModelForQuestionAnswering,
    DataCollatorWithPadding,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    set_seed,
)

from otembed.errors import ConfigError, ModelError
from otembed.models.architecture import position_limit, transformer_of
from otembed.models.freeze import freeze
from otembed.runtime.run_state import train_from
from otembed.runtime.trainer import on_one_device, trainer_arguments
from otembed.tasks.heads.training import LOG_EVERY, POOLER, HeadWatch
from otembed.tasks.xquad.windows import labels, windows

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer
    from transformers import PreTrainedModel

    from otembed.config.xquad import SpanConfig
    from otembed.runtime.progress import Progress
    from otembed.tasks.heads.run import HeadRun
    from otembed.tasks.xquad.data import QuestionSet


class Trained(NamedTuple):
    """A trained span model, and how it came to be."""

    model: PreTrainedModel
    windows: int
    steps: int
    losses: dict[str, float]


def span_model(model: SentenceTransformer, config: SpanConfig) -> PreTrainedModel:
    """Return a question-answering model with the encoder of ``model`` and a fresh head; ``model`` stays as it is.

    Raises
    ------
    ConfigError
        ``max_length`` is beyond the encoder's positions.
    ModelError
        The architecture has no span head in transformers, or a frozen part is unknown.
    """
    encoder = transformer_of(model)
    limit = position_limit(encoder)
    if limit is not None and config.max_length > limit:
        raise ConfigError(
            f"max_length {config.max_length} is beyond the {limit} positions of the encoder", "Lower max_length."
        )
    set_seed(config.seed)
    try:
        made: Any = AutoModelForQuestionAnswering.from_config(encoder.config, dtype=torch.float32)  # type: ignore[no-untyped-call]
    except ValueError as error:
        raise ModelError(
            f"transformers has no span head for {type(encoder).__name__}", "Choose a BERT-like encoder."
        ) from error
    inner = getattr(made, made.base_model_prefix)
    missing, unexpected = inner.load_state_dict(encoder.state_dict(), strict=False)
    strange = [*missing, *(name for name in unexpected if not name.startswith(POOLER))]
    if strange:
        raise ModelError(
            f"the weights of {type(encoder).__name__} do not fit the encoder of {type(made).__name__}: {strange[0]}",
            "Choose a BERT-like encoder.",
        )
    freeze(made, config.freeze)
    placed: PreTrainedModel = made.to(model.device)
    return placed


def training_windows(
    data: QuestionSet, tokenizer: Any, config: SpanConfig, type_count: int
) -> list[dict[str, NDArray[np.int32] | int]]:
    """Return the model's inputs of every window with ``start_positions`` and ``end_positions``."""
    found: list[dict[str, NDArray[np.int32] | int]] = []
    for window in windows(data, tokenizer, config, type_count):
        answer = data.questions[window.question].answers[0]
        start, end = labels(window, answer, tokenizer.cls_token_id)
        found.append({**window.inputs, "start_positions": start, "end_positions": end})
    return found


def train_spans(
    model: SentenceTransformer,
    data: QuestionSet,
    config: SpanConfig,
    *,
    run: HeadRun | None,
    progress: Progress,
) -> Trained:
    """Fine-tune a span head and what is not frozen below it.

    Parameters
    ----------
    model
        The encoder; left as it is.
    data
        Training questions; the first answer of each counts.
    config
        The knobs.
    run
        Folder for checkpoints, None for none. Training goes on after the last whole one there, if there is one.
    progress
        Called with ``fine-tuning``, the step and the number of steps.

    Raises
    ------
    NumericsError
        The loss becomes NaN or infinite.
    ConfigError, ModelError
        As :func:`span_model`.
    """
    made: Any = span_model(model, config)
    tokenizer: Any = model.tokenizer
    examples = training_windows(data, tokenizer, config, type_count(made))
    with ExitStack() as stack:
        folder = run.checkpoints if run else Path(stack.enter_context(tempfile.TemporaryDirectory()))
        arguments = TrainingArguments(
            output_dir=str(folder),
            save_strategy="steps" if run else "no",
            save_steps=config.save_steps,
            remove_unused_columns=False,
            logging_steps=LOG_EVERY,
            **trainer_arguments(config, model.device),
        )
        trainer = Trainer(
            model=made,
            args=on_one_device(arguments),
            train_dataset=examples,
            data_collator=DataCollatorWithPadding(tokenizer),
            callbacks=[HeadWatch(progress)],
        )
        trainer.remove_callback(PrinterCallback)
        train_from(trainer, run.last_checkpoint() if run else None)
        state = trainer.state
    losses = {str(entry["step"]): float(entry["loss"]) for entry in state.log_history if "loss" in entry}
    return Trained(made.eval(), len(examples), int(state.global_step), losses)


def type_count(model: PreTrainedModel) -> int:
    """Return how many token types the model knows; 0 where it has none."""
    return int(getattr(model.config, "type_vocab_size", 0) or 0)
