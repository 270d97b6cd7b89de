"""Training of heads by transformers' Trainer, with progress and a check for NaN."""

from __future__ import annotations

import gc
import logging
import math
from typing import TYPE_CHECKING, Any

import torch
from transformers import Trainer

from otembed.errors import NumericsError
from otembed.models.slices import sliced
from otembed.runtime.run_state import SamplerEpochs, train_from
from otembed.runtime.trainer import arrange_callbacks, batches_of

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel, TrainerControl, TrainerState, TrainingArguments

    from otembed.config.tagging import TaggingFinetuneConfig
    from otembed.config.xnli import FinetuneConfig
    from otembed.runtime.progress import Progress

logger = logging.getLogger(__name__)

STAGE = "fine-tuning"
LOG_EVERY = 10
# Not every head keeps the pooler on the first token, and encoders are often saved without it.
POOLER = "pooler."


def free_memory() -> None:
    """Free unreferenced memory: the trainer keeps optimizer states alive in reference cycles."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class HeadWatch(SamplerEpochs):
    """Report progress, and stop on NaN or infinity before a checkpoint stores it."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Report the step that a resumed run starts from."""
        self.progress(STAGE, state.global_step, state.max_steps)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Report a step; force logging before each checkpoint, so that its loss is checked first."""
        self.progress(STAGE, state.global_step, state.max_steps)
        control.should_log = control.should_log or control.should_save
        return control

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Check the loss."""
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            raise NumericsError(f"the loss is {loss} at step {state.global_step}", "Lower learning_rate.")


class SelectingWatch(HeadWatch):
    """Also report the accuracy on the development examples, the figure ``metric`` of the log."""

    def __init__(self, progress: Progress, metric: str) -> None:
        super().__init__(progress)
        self.metric = metric

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Check the loss and report the accuracy."""
        values = logs or {}
        if self.metric in values:
            accuracy = 100 * values[self.metric]
            logger.info("step %d of %d: development accuracy %.1f%%", state.global_step, state.max_steps, accuracy)
        super().on_log(args, state, control, logs, **kwargs)


def selecting_arguments(
    config: FinetuneConfig | TaggingFinetuneConfig, checkpoints: Path, metric: str, examples: int, evaluations: int
) -> dict[str, Any]:
    """Return the Trainer's arguments for evenly spaced evaluations, of which the one with the best ``metric`` is kept."""
    batches = batches_of(examples, config.per_device_train_batch_size, config.trainer)
    per_epoch = math.ceil(batches / config.gradient_accumulation_steps)
    steps = config.max_steps or math.ceil(per_epoch * config.num_train_epochs)
    every = max(math.ceil(steps / evaluations), 1)
    return {
        "output_dir": str(checkpoints),
        "eval_strategy": "steps",
        "eval_steps": every,
        "save_strategy": "steps",
        "save_steps": every,
        "load_best_model_at_end": True,
        "metric_for_best_model": metric,
        "greater_is_better": True,
        "logging_steps": LOG_EVERY,
    }


def train_head(
    made: PreTrainedModel,
    examples: list[dict[str, Any]],
    collator: Any,
    arguments: TrainingArguments,
    watch: HeadWatch,
    *,
    folder: Path | None,
    checkpoint: Path | None,
    **options: Any,
) -> TrainerState:
    """Train a model with its head in place, and return the trainer's state.

    Parameters
    ----------
    made
        The model; afterwards in evaluation mode.
    examples, collator
        Inputs with labels, and what joins them to a batch.
    arguments
        Settings of the trainer, from :func:`otembed.runtime.trainer.build_arguments`.
    watch
        Reports progress and checks the loss.
    folder
        The run folder, for TensorBoard; None if there is none.
    checkpoint
        Checkpoint to resume from; None to start.
    options
        Further arguments of ``Trainer``, such as ``eval_dataset``.

    Raises
    ------
    NumericsError
        The loss becomes NaN or infinite.
    """
    trainer = Trainer(
        model=made,
        args=arguments,
        train_dataset=examples,
        data_collator=collator,
        callbacks=[watch],
        **options,
    )
    arrange_callbacks(trainer, folder)
    with sliced(made):
        train_from(trainer, checkpoint)
    state = trainer.state
    del trainer
    free_memory()
    made.eval()  # type: ignore[no-untyped-call]
    return state
