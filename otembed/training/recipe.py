"""The training recipe: from parallel text and an encoder to a fine-tuned encoder and its evaluation."""

from __future__ import annotations

import json
import logging
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from sentence_transformers import SentenceTransformerTrainer
from sentence_transformers.base.sampler import MultiDatasetBatchSamplers
from transformers import EarlyStoppingCallback, set_seed

from otembed.errors import ConfigError
from otembed.models import (
    check_saveable,
    describe_model,
    has_adapter,
    load_adapter_checkpoint,
    merge_adapter,
    save_adapter,
    save_model,
    sliced,
)
from otembed.models.merge import trained_weights
from otembed.results import write_text
from otembed.results.format import counted
from otembed.results.reading import read_json
from otembed.runtime.run_state import step_of, train_from
from otembed.runtime.trainer import arrange_callbacks, batches_of, resolve_precision
from otembed.tasks.retrieval.report import RetrievalReport
from otembed.training.arguments import check_trainer, training_arguments
from otembed.training.averaging import average_checkpoints
from otembed.training.card import complete_card, describe_in_card, keep_examples_out, restate_log, show_plain_encode
from otembed.training.centering import check_center
from otembed.training.environment import environment, process_count, recorded_processes
from otembed.training.held_out import HeldOutEvaluator
from otembed.training.interpolation import interpolates
from otembed.training.objective import build_loss, refuse_idle_terms
from otembed.training.page import write_report
from otembed.training.preparation import (
    Material,
    input_digests,
    input_paths,
    limit_length,
    load_encoder,
    load_material,
    prompt_of,
)
from otembed.training.release import Released, prepare_release
from otembed.training.result import TrainResult
from otembed.training.run_folder import RunFolder
from otembed.training.run_log import RunLog
from otembed.training.teacher import drop_projection, load_teacher, with_teacher
from otembed.training.upload import check_push, push_finished
from otembed.training.views import Views, add_view
from otembed.training.word_layer import store_alignment_layer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments
    from torch import nn
    from transformers import TrainerCallback

    from otembed.config.train import TrainConfig
    from otembed.words.layer_choice import LayerChoice

logger = logging.getLogger(__name__)


def train(
    config: TrainConfig | None = None,
    *,
    resume: str | Path | None = None,
    overwrite: bool = False,
    callbacks: Sequence[TrainerCallback] = (),
) -> TrainResult:
    """Fine-tune an encoder on parallel text and write its run folder.

    Parameters
    ----------
    config
        The settings; see :class:`otembed.config.TrainConfig`.
    resume
        Folder of an interrupted run, instead of ``config``. It continues from its last complete checkpoint
        with its own configuration, to the same result.
    overwrite
        Replace an earlier run in the same folder.
    callbacks
        Additional trainer callbacks, such as a progress bar.

    Returns
    -------
    TrainResult
        Also written to ``results.json``. Resuming a finished run returns its result.

    Raises
    ------
    ConfigError, DataError, ModelError
        Before training starts.
    NumericsError
        The loss becomes NaN or infinite; the last checkpoint is kept.
    HubError
        Before training, if the login does not allow ``hub.push``; at the end, if the push fails. The run is then complete:
        ``train(resume=...)`` pushes again and returns its result.

    Notes
    -----
    Under ``torchrun`` each process trains on its share of the data; the first one evaluates and writes.
    Deterministic on the CPU for a given number of threads and processes.
    """
    if (config is None) == (resume is None):
        raise ConfigError("train() requires either config or resume", "Pass exactly one of them.")
    if config is None:
        config = RunFolder.read_config(str(resume))
    written = config
    check_trainer(config)
    state = PartialState(cpu=config.model.device == "cpu")
    folder = RunFolder(Path(config.output))
    if resume is None:
        folder.refuse_taken(overwrite=overwrite, inputs=input_paths(config))
    elif folder.finished:
        logger.info("%s: already finished", folder.path)
        if state.is_main_process:
            folder.tidy_finished(keep_checkpoints=config.optimization.keep_checkpoints)
            push_finished(folder, config)
        earlier = TrainResult.read(folder.results)
        return replace(earlier, run=str(folder.path), model=str(folder.model))
    if state.is_main_process:
        check_push(config)
    begun = time.monotonic()

    with state.main_process_first():
        material = load_material(config)
        model = load_encoder(config.model, config.optimization.seed)
        check_center(config.release, model, material)
        inputs = input_digests(model, material) if state.is_main_process else {}
        material = with_teacher(material, model, config)
    own_length = limit_length(model, config.model.max_seq_length)
    config = suited(config, model)
    loss = loss_of(config, model)
    refuse_idle_terms(model, loss, next(iter(material.train.values())), prompt_of(model))
    arguments = arguments_of(config, folder, model, material)
    require_batches(material, arguments)
    set_seed(config.optimization.seed)

    # Nothing has been written so far: a failure above leaves an earlier run intact.
    opened: AbstractContextManager[None] = nullcontext()
    if state.is_main_process and resume is None:
        opened = folder.created(config, overwrite=overwrite, inputs=input_paths(config))
    elif state.is_main_process:
        opened = folder.resumed(written)
    with opened:
        if state.is_main_process:
            record_environment(folder, inputs)
        state.wait_for_everyone()
        evaluator = HeldOutEvaluator(material.held_out) if material.held_out else None
        start = trained_weights(model) if interpolates(config.release) and state.is_main_process else {}
        before = _before(folder, model, evaluator, material, state)
        trainer = build_trainer(config, folder, model, material, loss, arguments, callbacks, evaluator=evaluator)
        describe_in_card(model, config)
        training_seconds = run_trainer(trainer, folder, state)
        # Each process writes its part of the last checkpoint.
        state.wait_for_everyone()

        if state.is_main_process:
            progress = trainer.state
            best = progress.best_global_step if progress.best_model_checkpoint else None
            averaged = None
            if config.release.average_checkpoints > 1:
                best, load = None, trainer._load_from_checkpoint
                averaged = average_checkpoints(model, load, folder.checkpoints, config.release.average_checkpoints)
            step = None if averaged else best or progress.global_step
            trained_parameters = describe_model(model).trainable_parameters
            # From here on, the last module is again that of the student: centering is appended to it.
            drop_projection(model)
            released = prepare_release(model, start, config.release, material, evaluator, step, str(folder.model))
            restate_log(model, progress.log_history, evaluator)
            _release(model, own_length, folder, config)
            choice = store_alignment_layer(model, material, folder.model)
            result = TrainResult(
                run=str(folder.path),
                model=str(folder.model),
                steps=progress.global_step,
                epochs=round(float(progress.epoch or 0), 4),
                best_step=best,
                averaged_steps=averaged,
                seconds=round(time.monotonic() - begun, 1),
                training_seconds=round(training_seconds, 1),
                parameters=describe_model(model).parameters,
                trained_parameters=trained_parameters,
                pairs=material.counts,
                last_log=folder.last_training_record(),
                before=before,
                after=released.after,
                interpolation=released.interpolation,
                mean_lengths=released.mean_lengths,
            )
            limit = None if model.max_seq_length == own_length else model.max_seq_length
            complete_card(folder.model, result, config, choice, truncated_at=limit, own_limit=own_length)
            result = _report(folder, result, model, material, released, choice)
            result.to_json(folder.results)
            if not config.optimization.keep_checkpoints:
                folder.drop_checkpoints()
        state.wait_for_everyone()
    # Last and outside of the run: nothing that happens here can harm it.
    if state.is_main_process:
        push_finished(folder, config)
    return TrainResult.read(folder.results)


def run_trainer(trainer: SentenceTransformerTrainer, folder: RunFolder, state: PartialState) -> float:
    """Train from the last complete checkpoint or from the start; return the seconds.

    If training had already ended, no step is taken.
    """
    checkpoint = folder.last_checkpoint()
    if state.is_main_process:
        folder.keep_metrics_up_to(step_of(checkpoint) if checkpoint else -1)
    logger.info("training from %s", checkpoint.name if checkpoint else "the start")
    with sliced(trainer.model, cast("nn.Module", trainer.loss)):
        return train_from(trainer, checkpoint)


def require_batches(material: Material, arguments: SentenceTransformerTrainingArguments) -> None:
    """Raise ConfigError if a pass over the text has fewer batches than there are processes."""
    if material.stream is not None:
        return
    size, processes = arguments.per_device_train_batch_size, PartialState().num_processes
    batches = [batches_of(len(each), size, vars(arguments)) for each in material.train.values()]
    # Language pairs in turn end with the smallest one.
    in_turn = arguments.multi_dataset_batch_sampler == MultiDatasetBatchSamplers.ROUND_ROBIN
    if (min(batches) * len(batches) if in_turn else sum(batches)) < processes:
        full = "full " if arguments.dataloader_drop_last else ""
        raise ConfigError(
            f"not enough training pairs for {counted(processes, f'{full}batch')} of {size}",
            "Lower optimization.per_device_train_batch_size or add training text.",
        )


def loss_of(config: TrainConfig, model: SentenceTransformer) -> nn.Module:
    """Return the loss of a run; the teacher of gist is loaded for it."""
    return build_loss(model, config.loss, load_teacher(config, model) if config.loss.sentence == "gist" else None)


def arguments_of(
    config: TrainConfig, folder: RunFolder, model: SentenceTransformer, material: Material
) -> SentenceTransformerTrainingArguments:
    """Return the arguments of the trainer; ConfigError if ``trainer`` has fields that do not fit."""
    return training_arguments(
        config, folder.checkpoints, model, prompt=prompt_of(model), evaluates=bool(material.held_out)
    )


def build_trainer(
    config: TrainConfig,
    folder: RunFolder,
    model: SentenceTransformer,
    material: Material,
    loss: Any,
    arguments: SentenceTransformerTrainingArguments,
    callbacks: Sequence[TrainerCallback] = (),
    *,
    evaluator: HeldOutEvaluator | None = None,
    quiet: bool = False,
) -> SentenceTransformerTrainer:
    """Create the sentence-transformers trainer; with ``quiet``, no metrics are written."""
    show_plain_encode(model)
    keep_examples_out(model, config)
    extra: list[TrainerCallback] = [RunLog(None if quiet else folder, loss), *callbacks]
    patience = config.held_out.early_stopping_patience
    if patience and evaluator is not None:
        extra.append(EarlyStoppingCallback(early_stopping_patience=patience))
    trainer = SentenceTransformerTrainer(
        model=model,
        args=arguments,
        train_dataset=material.train if material.stream is None else material.stream,
        loss=loss,
        evaluator=evaluator,
        callbacks=extra,
    )
    arrange_callbacks(trainer, folder.path)
    if has_adapter(model):
        trainer._load_from_checkpoint = lambda checkpoint_path: load_adapter_checkpoint(model, checkpoint_path)  # type: ignore[method-assign]
    return trainer


def suited(config: TrainConfig, model: SentenceTransformer) -> TrainConfig:
    """Check the settings against the model, and return them with the precision in use; shared with the dry run."""
    check_saveable(model)
    optimization = resolve_precision(config.optimization, model.device)
    # The first process decides: a probe on a busy machine may differ.
    precision = broadcast_object_list([optimization.precision])[0]
    return replace(config, optimization=replace(optimization, precision=precision))


def record_environment(folder: RunFolder, inputs: dict[str, str]) -> None:
    """Write ``environment.json`` with the digests of what the run starts from; a resumed run must have the same.

    Raises
    ------
    ConfigError
        The starting model or a text is not the one that the run started from, or the number of processes differs.
    """
    if not folder.environment.exists():
        write_text(folder.environment, json.dumps({**environment(), "inputs": inputs}, indent=2) + "\n")
        return
    known = read_json(folder.environment, "Start again with --overwrite.")
    processes = recorded_processes(known)
    # A step takes a batch from each process, so others would train on other batches, for another number of steps.
    if processes != process_count():
        raise ConfigError(
            f"{folder.path}: started with {counted(processes, 'process')}, resumed with {process_count()}",
            f"Resume it with as many: {folder.resume_with}",
        )
    earlier = known.get("inputs") if isinstance(known, dict) else None
    if isinstance(earlier, dict) and (
        differ := [name for name in {**earlier, **inputs} if earlier.get(name) != inputs.get(name)]
    ):
        raise ConfigError(
            f"{folder.path}: changed since the run started: {', '.join(differ)}",
            "Restore it (another version of a library can change the model, too), or start again with --overwrite.",
        )


def _release(model: SentenceTransformer, own_length: int | None, folder: RunFolder, config: TrainConfig) -> None:
    """Save the model with its own length limit, an adapter merged into its weights."""
    if config.model.lora is not None:
        if config.model.lora.keep_adapter:
            save_adapter(model, folder.adapter)
        merge_adapter(model)
    trained_at = model.max_seq_length
    model.max_seq_length = own_length
    save_model(model, folder.model, overwrite=True)
    model.max_seq_length = trained_at


def _before(
    folder: RunFolder,
    model: SentenceTransformer,
    evaluator: HeldOutEvaluator | None,
    material: Material,
    state: PartialState,
) -> RetrievalReport | None:
    """Evaluate the starting model once; a resumed run reads the stored report."""
    if evaluator is not None and state.is_main_process and not folder.before.exists():
        logger.info("evaluating the starting model")
        found = evaluator.start(model)
        # The view first: a run that has the report does not evaluate its starting model again.
        add_view(folder.views, "before", model, material.held_out, found)
        evaluator.report_of(found, "before").to_json(folder.before)
    state.wait_for_everyone()
    if not folder.before.exists():
        return None
    return RetrievalReport.read(folder.before)


def _report(
    folder: RunFolder,
    result: TrainResult,
    model: SentenceTransformer,
    material: Material,
    released: Released,
    choice: LayerChoice | None,
) -> TrainResult:
    """Write ``report.html``, and return the result with the figures of words that the views of both models give.

    A failure is a warning, because the run is done and ``otembed report`` can render it again.
    """
    try:
        if released.evaluation is not None:
            layer = None if choice is None else choice.layer
            add_view(folder.views, "after", model, material.held_out, released.evaluation, layer)
            result = replace(result, words=Views.known(folder.views).word_figures())
        write_report(folder.path, result)
    except Exception as error:
        logger.warning("report.html was not written: %s (otembed report %s writes it)", error, folder.path)
    return result
