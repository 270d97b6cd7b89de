"""From the settings of a run to the arguments of the sentence-transformers trainer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from accelerate import PartialState
from sentence_transformers.base.sampler import BatchSamplers, MultiDatasetBatchSamplers
from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments

from otembed.runtime.trainer import on_one_device, trainer_arguments

if TYPE_CHECKING:
    from otembed.config.train import TrainConfig

QUARTER = 0.25
BEST_METRIC = "eval_sequential_score"


def training_arguments(
    config: TrainConfig, checkpoints: Path, *, prompt: str | None, evaluates: bool, device: torch.device
) -> SentenceTransformerTrainingArguments:
    """Return the trainer's arguments for ``config``; checkpoints are written to ``checkpoints``."""
    settings = config.optimization
    every = config.held_out.eval_steps or QUARTER
    selects = evaluates and config.held_out.load_best_model_at_end
    sampling = MultiDatasetBatchSamplers.PROPORTIONAL
    if config.data.sampling == "round_robin":
        sampling = MultiDatasetBatchSamplers.ROUND_ROBIN
    contrastive = config.loss.sentence == "mnrl" or config.loss.contrastive is not None
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(checkpoints),
        lr_scheduler_type=settings.lr_scheduler_type,
        max_grad_norm=settings.max_grad_norm,
        activation_checkpointing=settings.activation_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False} if settings.activation_checkpointing else None,
        batch_sampler=BatchSamplers.NO_DUPLICATES if contrastive else BatchSamplers.BATCH_SAMPLER,
        multi_dataset_batch_sampler=sampling,
        prompts=prompt,
        eval_strategy="steps" if evaluates else "no",
        eval_steps=every if evaluates else None,
        save_strategy="steps",
        save_steps=settings.save_steps or every,
        load_best_model_at_end=selects,
        metric_for_best_model=BEST_METRIC if selects else None,
        greater_is_better=True if selects else None,
        restore_callback_states_from_checkpoint=config.held_out.early_stopping_patience is not None,
        logging_steps=settings.logging_steps,
        ddp_backend="gloo" if device.type == "cpu" and PartialState().num_processes > 1 else None,
        **trainer_arguments(settings, device),
    )
    return on_one_device(arguments)
