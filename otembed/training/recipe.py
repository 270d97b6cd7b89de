"""The recipe: parallel text and an encoder in, an aligned encoder and its figures out."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from accelerate import PartialState
from sentence_transformers import SentenceTransformerTrainer
from sentence_transformers.base.evaluation import SequentialEvaluator
from transformers import EarlyStoppingCallback, PrinterCallback

from otembed.errors import ConfigError
from otembed.evaluation import BitextRetrievalEvaluator, evaluate_retrieval
from otembed.models import check_saveable, save_model
from otembed.results import RetrievalReport, TrainResult, write_text
from otembed.training.arguments import training_arguments
from otembed.training.card import describe_in_card, keep_examples_out
from otembed.training.environment import environment
from otembed.training.objective import build_loss
from otembed.training.preparation import Material, load_encoder, load_material, prompt_of
from otembed.training.run_folder import RunFolder
from otembed.training.run_log import RunLog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentence_transformers import SentenceTransformer
    from transformers import TrainerCallback

    from otembed.config import TrainConfig

logger = logging.getLogger(__name__)

IDF_SENTENCES = 20_000


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
        What to do; see :class:`otembed.TrainConfig`.
    resume
        Folder of an earlier run that was cut; it goes on from its last complete checkpoint with its own
        configuration, to the same result. Instead of ``config``.
    overwrite
        Replace the folder of an earlier run.
    callbacks
        Further callbacks of the trainer, such as a progress bar.

    Returns
    -------
    TrainResult
        Also written to ``results.json``. A finished run that is resumed gives its result again.

    Raises
    ------
    ConfigError, DataError, ModelError
        Before anything is trained.
    NumericsError
        If the loss becomes NaN or infinite; the run folder keeps the last checkpoint.

    Notes
    -----
    Under ``torchrun`` each process trains on its share and the first one evaluates and writes.
    Deterministic on the CPU for a given number of threads and processes.
    """
    if (config is None) == (resume is None):
        raise ConfigError("train() takes a configuration or a run to resume", "Give one of the two.")
    if config is None:
        config = RunFolder.read_config(str(resume))
    state = PartialState(cpu=config.model.device == "cpu")
    folder = RunFolder(Path(config.output))
    if state.is_main_process:
        _open(folder, config, resume=resume is not None, overwrite=overwrite)
    state.wait_for_everyone()
    if folder.finished:
        logger.info("%s: already finished", folder.path)
        return TrainResult.from_json(folder.results.read_text(encoding="utf-8"))
    begun = time.monotonic()

    with state.main_process_first():
        material = load_material(config)
        model = load_encoder(config.model, config.optimization.seed)
    check_saveable(model)
    loss = build_loss(model, config.loss, idf_sentences(material))
    before = _before(folder, model, material, state)

    trainer, log = build_trainer(config, folder, model, material, loss, callbacks)
    describe_in_card(model, config)
    checkpoint = folder.last_checkpoint()
    if state.is_main_process:
        folder.keep_metrics_up_to(int(checkpoint.name.split("-")[1]) if checkpoint else -1)
    logger.info("training: %s", f"from {checkpoint.name}" if checkpoint else "from the start")
    outcome = trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)

    result: TrainResult | None = None
    if state.is_main_process:
        progress = trainer.state
        after = _evaluate(model, material, str(folder.model))
        if trainer.evaluator is not None and progress.best_global_step not in (None, progress.global_step):
            trainer.evaluator(model)  # the card holds the figures of the last step, not of the released one
        save_model(model, folder.model, overwrite=True)
        result = TrainResult(
            run=str(folder.path),
            model=str(folder.model),
            steps=progress.global_step,
            epochs=round(float(progress.epoch or 0), 4),
            best_step=progress.best_global_step if progress.best_metric is not None else None,
            seconds=round(time.monotonic() - begun, 1),
            training_seconds=round(outcome.metrics["train_runtime"], 1),
            parameters=sum(each.numel() for each in model.parameters()),
            trained_parameters=sum(each.numel() for each in model.parameters() if each.requires_grad),
            pairs=material.counts,
            last_log=log.last,
            before=before,
            after=after,
        )
        result.to_json(folder.results)
        if not config.optimization.keep_checkpoints:
            folder.drop_checkpoints()
    state.wait_for_everyone()
    if result is None:
        result = TrainResult.from_json(folder.results.read_text(encoding="utf-8"))
    return result


def build_trainer(
    config: TrainConfig,
    folder: RunFolder,
    model: SentenceTransformer,
    material: Material,
    loss: Any,
    callbacks: Sequence[TrainerCallback] = (),
    *,
    quiet: bool = False,
) -> tuple[SentenceTransformerTrainer, RunLog]:
    """Set up the sentence-transformers trainer; ``quiet`` writes no records."""
    keep_examples_out(model, config)
    evaluator = _evaluator(config, material)
    log = RunLog(None if quiet else folder, loss)
    extra: list[TrainerCallback] = [log, *callbacks]
    if config.held_out.patience and evaluator is not None:
        if not config.held_out.select_best:
            raise ConfigError("held_out.patience needs held_out.select_best", "Set select_best to true.")
        extra.append(EarlyStoppingCallback(early_stopping_patience=config.held_out.patience))
    trainer = SentenceTransformerTrainer(
        model=model,
        args=training_arguments(
            config,
            folder.checkpoints,
            prompt=prompt_of(model),
            evaluates=evaluator is not None,
            device=model.device,
        ),
        train_dataset=material.train,
        loss=loss,
        evaluator=evaluator,
        callbacks=extra,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer, log


def idf_sentences(material: Material) -> list[str]:
    """Return the first sentences of every pair, both sides, to count document frequencies in."""
    share = IDF_SENTENCES // (2 * len(material.train))
    return [
        text for each in material.train.values() for side in ("source", "target") for text in each[:share][side]
    ]


def _open(folder: RunFolder, config: TrainConfig, *, resume: bool, overwrite: bool) -> None:
    if resume:
        folder.drop_half_written()
    else:
        folder.create(config, overwrite=overwrite)
        write_text(folder.environment, json.dumps(environment(), indent=2) + "\n")


def _before(
    folder: RunFolder, model: SentenceTransformer, material: Material, state: PartialState
) -> RetrievalReport | None:
    """Evaluate the starting model once; a resumed run reads what the first one found."""
    if state.is_main_process and not folder.before.exists():
        logger.info("evaluating the starting model")
        report = _evaluate(model, material, "before")
        if report is not None:
            report.to_json(folder.before)
    state.wait_for_everyone()
    if not folder.before.exists():
        return None
    return RetrievalReport.from_json(folder.before.read_text(encoding="utf-8"))


def _evaluate(model: SentenceTransformer, material: Material, name: str) -> RetrievalReport | None:
    return evaluate_retrieval(model, material.held_out, name=name, centred=True) if material.held_out else None


def _evaluator(config: TrainConfig, material: Material) -> SequentialEvaluator | None:
    if not material.held_out:
        return None
    evaluators = [
        BitextRetrievalEvaluator(source, target, pair=pair, write_csv=False)
        for pair, (source, target) in material.held_out.items()
    ]
    return SequentialEvaluator(evaluators, main_score_function=lambda scores: float(np.mean(scores)))
