"""From the optimization settings to the trainer's arguments."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from accelerate import PartialState
from sentence_transformers.base.sampler import BatchSamplers, MultiDatasetBatchSamplers
from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments

if TYPE_CHECKING:
    from otembed.config.train import TrainConfig

QUARTER = 0.25
BEST_METRIC = "eval_sequential_score"


def training_arguments(
    config: TrainConfig, checkpoints: Path, *, prompt: str | None, evaluates: bool, device: torch.device
) -> SentenceTransformerTrainingArguments:
    """Translate ``config`` for the trainer; checkpoints go to ``checkpoints``."""
    settings = config.optimization
    every = config.held_out.every or QUARTER
    selects = evaluates and config.held_out.select_best
    sampling = MultiDatasetBatchSamplers.PROPORTIONAL
    if config.data.sampling == "round_robin":
        sampling = MultiDatasetBatchSamplers.ROUND_ROBIN
    contrastive = config.loss.sentence == "mnrl" or config.loss.contrastive is not None
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=settings.epochs,
        max_steps=settings.max_steps or -1,
        per_device_train_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.accumulate,
        learning_rate=settings.learning_rate,
        warmup_steps=settings.warmup,
        lr_scheduler_type=settings.schedule,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        bf16=settings.precision == "bf16",
        fp16=settings.precision == "fp16",
        gradient_checkpointing=settings.checkpoint_activations,
        gradient_checkpointing_kwargs={"use_reentrant": False} if settings.checkpoint_activations else None,
        seed=settings.seed,
        data_seed=settings.seed,
        batch_sampler=BatchSamplers.NO_DUPLICATES if contrastive else BatchSamplers.BATCH_SAMPLER,
        multi_dataset_batch_sampler=sampling,
        prompts=prompt,
        eval_strategy="steps" if evaluates else "no",
        eval_steps=every if evaluates else None,
        save_strategy="steps",
        save_steps=settings.save_every or every,
        save_total_limit=2,
        load_best_model_at_end=selects,
        metric_for_best_model=BEST_METRIC if selects else None,
        greater_is_better=True if selects else None,
        restore_callback_states_from_checkpoint=config.held_out.patience is not None,
        logging_steps=settings.log_every,
        logging_first_step=True,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to="none",
        use_cpu=device.type == "cpu",
        ddp_backend="gloo" if device.type == "cpu" and PartialState().num_processes > 1 else None,
    )
    # One device a process: with several GPUs and no torchrun, transformers would split batches over them.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments
