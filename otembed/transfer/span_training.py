"""A span head on the encoder of a sentence-transformers model, trained with transformers' Trainer."""

from __future__ import annotations

import math
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
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from otembed.errors import ConfigError, ModelError, NumericsError
from otembed.models.architecture import position_limit, transformer_of
from otembed.models.freeze import freeze
from otembed.models.run_state import drop_half_written, last_checkpoint
from otembed.transfer.windows import labels, windows

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer
    from transformers import PreTrainedModel, TrainerControl, TrainerState

    from otembed.data.qa import QuestionSet
    from otembed.mining.progress import Progress
    from otembed.transfer.span_config import SpanConfig

STAGE = "fine-tuning"
LOG_EVERY = 10
ABSENT_POOLER = "pooler."


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
    strange = [*missing, *(name for name in unexpected if not name.startswith(ABSENT_POOLER))]
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
    checkpoints: Path | None,
    resume: bool,
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
    checkpoints
        Folder for checkpoints; None for none.
    resume
        Go on after the last whole checkpoint there, if there is one.
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
    on_device = min(config.device_batch_size, config.batch_size)
    watch = _Watch(progress)
    with ExitStack() as stack:
        folder = checkpoints or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        arguments = TrainingArguments(
            output_dir=str(folder),
            learning_rate=config.learning_rate,
            num_train_epochs=config.epochs,
            max_steps=config.max_steps or -1,
            per_device_train_batch_size=on_device,
            gradient_accumulation_steps=config.batch_size // on_device,
            warmup_steps=config.warmup,
            weight_decay=config.weight_decay,
            seed=config.seed,
            data_seed=config.seed,
            save_strategy="no" if checkpoints is None else "steps",
            save_steps=config.save_every,
            save_total_limit=2,
            logging_steps=LOG_EVERY,
            logging_first_step=True,
            logging_nan_inf_filter=False,
            remove_unused_columns=False,
            disable_tqdm=True,
            report_to="none",
            use_cpu=model.device.type == "cpu",
        )
        # One device: with several GPUs, transformers would split batches over them and change the protocol.
        arguments._n_gpu = min(arguments.n_gpu, 1)
        trainer = Trainer(
            model=made,
            args=arguments,
            train_dataset=examples,
            data_collator=DataCollatorWithPadding(tokenizer),
            callbacks=[watch],
        )
        trainer.remove_callback(PrinterCallback)
        last = None
        if resume and checkpoints is not None:
            drop_half_written(checkpoints)
            last = last_checkpoint(checkpoints)
        trainer.train(resume_from_checkpoint=None if last is None else str(last))
        state = trainer.state
    losses = {str(entry["step"]): float(entry["loss"]) for entry in state.log_history if "loss" in entry}
    return Trained(made.eval(), len(examples), int(state.global_step), losses)


def type_count(model: PreTrainedModel) -> int:
    """Return how many token types the model knows; 0 where it has none."""
    return int(getattr(model.config, "type_vocab_size", 0) or 0)


class _Watch(TrainerCallback):
    """Say how far the training is, and stop it on NaN or infinity."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the clock where a resumed run left it."""
        self.progress(STAGE, state.global_step, state.max_steps)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Move on by one optimiser step."""
        self.progress(STAGE, state.global_step, state.max_steps)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Look at the loss."""
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(loss):
            raise NumericsError(f"the loss is {loss} at step {state.global_step}", "Lower learning_rate.")
