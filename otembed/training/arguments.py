"""From the settings of a run to the arguments of the sentence-transformers trainer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from accelerate import PartialState
from sentence_transformers.base.sampler import BatchSamplers, MultiDatasetBatchSamplers
from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments

from otembed.config.train import TrainConfig
from otembed.runtime.trainer import build_arguments, check_fields, trainer_arguments
from otembed.training.averaging import checkpoints_kept

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

QUARTER = 0.25
BEST_METRIC = "eval_sequential_score"


def check_trainer(config: TrainConfig) -> None:
    """Check the fields that ``trainer`` passes on; ConfigError as in :func:`otembed.runtime.trainer.check_fields`."""
    check_fields(SentenceTransformerTrainingArguments, config.trainer, TrainConfig)


def training_arguments(
    config: TrainConfig, checkpoints: Path, model: SentenceTransformer, *, prompt: str | None, evaluates: bool
) -> SentenceTransformerTrainingArguments:
    """Return the trainer's arguments for ``config``; checkpoints are written to ``checkpoints``.

    Raises
    ------
    ConfigError
        Fields of ``trainer`` are not valid; see :func:`otembed.runtime.trainer.build_arguments`.
    """
    device = model.device
    settings = config.optimization
    every = config.held_out.eval_steps or QUARTER
    selects = evaluates and config.held_out.load_best_model_at_end
    sampling = MultiDatasetBatchSamplers.PROPORTIONAL
    if config.data.sampling == "round_robin":
        sampling = MultiDatasetBatchSamplers.ROUND_ROBIN
    # A stream has its own batches without duplicates.
    contrastive = not config.data.streaming and (
        config.loss.sentence in {"mnrl", "gist"} or config.loss.contrastive is not None
    )
    ours = dict(
        output_dir=str(checkpoints),
        run_name=checkpoints.resolve().parent.name,
        lr_scheduler_type=settings.lr_scheduler_type,
        max_grad_norm=settings.max_grad_norm,
        activation_checkpointing=settings.activation_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False} if settings.activation_checkpointing else None,
        batch_sampler=BatchSamplers.NO_DUPLICATES if contrastive else BatchSamplers.BATCH_SAMPLER,
        # Each process reads the stream and takes its batches: one process would have to pad the batches of all alike.
        accelerator_config={"dispatch_batches": False} if config.data.streaming else None,
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
        **trainer_arguments(settings, device, checkpoints_kept(config.release.average_checkpoints)),
    )
    return build_arguments(SentenceTransformerTrainingArguments, ours, config.trainer, TrainConfig, model)
