"""Estimate of a run's time and memory from three real steps; writes only temporary files."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import torch
from transformers import TrainerCallback

from otembed.models import describe_model, sliced
from otembed.results.temporary import temporary_folder
from otembed.training.arguments import check_trainer
from otembed.training.centering import check_center
from otembed.training.interpolation import evaluated_shares, interpolates
from otembed.training.objective import refuse_idle_terms
from otembed.training.preparation import Material, limit_length, load_encoder, load_material, prompt_of
from otembed.training.recipe import arguments_of, build_trainer, loss_of, require_batches, suited
from otembed.training.result import DryRun
from otembed.training.run_folder import RunFolder
from otembed.training.teacher import with_teacher

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sentence_transformers import SentenceTransformer
    from transformers import TrainerControl, TrainerState, TrainingArguments

    from otembed.config.train import TrainConfig
    from otembed.training.preparation import Sentences

MEASURED_STEPS = 3
SAMPLE = 1000
QUARTER_EVALUATIONS = 4
# Nothing leaves the machine.
_SILENT = {"report_to": "none", "push_to_hub": False}


class _StepClock(TrainerCallback):
    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.ends.append(time.perf_counter())


def dry_run(config: TrainConfig) -> DryRun:
    """Read the text, load the model, run four training steps and estimate the whole run.

    The run folder is neither created nor read; a temporary folder is used and removed. Raises the same
    errors as :func:`otembed.train`.
    """
    check_trainer(config)
    material = load_material(config)
    model = load_encoder(config.model, config.optimization.seed)
    check_center(config.release, model, material)
    material = with_teacher(material, model, config)
    limit_length(model, config.model.max_seq_length)
    config = suited(config, model)
    lengths, truncated = _token_lengths(model, material)
    evaluation = _evaluation_seconds(model, material.held_out)
    loss = loss_of(config, model)
    refuse_idle_terms(model, loss, next(iter(material.train.values())), prompt_of(model))
    clock = _StepClock()
    short = replace(
        config,
        held_out=replace(config.held_out, load_best_model_at_end=False, early_stopping_patience=None),
        optimization=replace(config.optimization, max_steps=MEASURED_STEPS + 1, save_steps=10**9),
        trainer={**config.trainer, **_SILENT},
    )
    with temporary_folder() as folder:
        run, training = RunFolder(folder), replace(material, held_out={})
        arguments = arguments_of(short, run, model, training)
        require_batches(training, arguments)
        trainer = build_trainer(short, run, model, training, loss, arguments, [clock], quiet=True)
        trainer.args.save_strategy = "no"
        steps = _steps(config, 0 if material.stream is not None else len(trainer.get_train_dataloader()))
        with sliced(model, loss):
            trainer.train()
    per_step = float(np.median(np.diff(clock.ends))) if len(clock.ends) > 1 else math.nan
    every = config.held_out.eval_steps or math.ceil(steps / QUARTER_EVALUATIONS)
    # The released model was evaluated before, unless it is that of a last step between two evaluations.
    last = 0 if config.held_out.load_best_model_at_end and steps >= every else bool(steps % every)
    averages = config.release.average_checkpoints > 1
    shares = len(evaluated_shares(config.release)) if interpolates(config.release) else 0
    rounds = 1 + steps // every + (shares == 0 if averages else last)
    # Both ends of the curve, the starting and the trained weights, were evaluated before, but not a mean of checkpoints.
    known = 1 if averages else 2
    seconds = (rounds + max(shares - known, 0)) * evaluation + shares * _evaluation_seconds(model, material.others)
    size = describe_model(model)
    return DryRun(
        pairs=material.counts,
        held_out={name: len(source) for name, (source, _) in material.held_out.items()},
        tokens_mean=round(float(lengths.mean()), 1),
        tokens_p95=round(float(np.quantile(lengths, 0.95)), 1),
        tokens_max=int(lengths.max()),
        truncated=round(truncated, 4),
        steps=steps,
        seconds_per_step=round(per_step, 3),
        evaluation_seconds=round(evaluation, 1),
        total_seconds=round(steps * per_step + seconds, 1),
        peak_memory_gb=round(peak_memory_gb(model.device), 2),
        parameters=size.parameters,
        trained_parameters=size.trainable_parameters,
    )


def _steps(config: TrainConfig, batches: int) -> int:
    """Return the optimizer steps of a run with ``batches`` per epoch and process, counted as the trainer does."""
    settings = config.optimization
    if settings.max_steps:
        return settings.max_steps
    return math.ceil(math.ceil(batches / settings.gradient_accumulation_steps) * settings.num_train_epochs)


def _token_lengths(model: SentenceTransformer, material: Material) -> tuple[np.ndarray, float]:
    share = max(1, SAMPLE // (2 * len(material.train)))
    texts = [
        text for each in material.train.values() for side in ("source", "target") for text in each[:share][side]
    ]
    prompt = prompt_of(model) or ""
    encoded = model.tokenizer([prompt + text for text in texts], truncation=False)
    lengths = np.array([len(ids) for ids in encoded["input_ids"]])
    limit = model.max_seq_length or int(lengths.max())
    return np.minimum(lengths, limit), float((lengths > limit).mean())


def _evaluation_seconds(model: SentenceTransformer, pairs: Mapping[str, Sentences]) -> float:
    """Return the time of one evaluation, extrapolated from a sample of the held-out sentences, each counted once."""
    texts = list(dict.fromkeys(text for sides in pairs.values() for side in sides for text in side))
    if not texts:
        return 0.0
    sample = texts[:: max(1, len(texts) // 64)]
    begun = time.perf_counter()
    model.encode(sample, batch_size=32)
    return (time.perf_counter() - begun) * len(texts) / len(sample)


def peak_memory_gb(device: torch.device) -> float:
    """Return the peak memory so far in 1e9 bytes: of the GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset) / 1e9
    import resource  # only on Unix

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
