"""Fine-tuning as in the paper: encoder and classifier trained together on English pairs, with sentence-transformers."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from datasets.arrow_dataset import Dataset
from sentence_transformers.cross_encoder import CrossEncoder, CrossEncoderTrainer, CrossEncoderTrainingArguments
from sentence_transformers.cross_encoder.evaluation import CrossEncoderClassificationEvaluator
from sentence_transformers.cross_encoder.losses import CrossEntropyLoss
from transformers import set_seed

from otembed.config.xnli import FinetuneConfig
from otembed.errors import ModelError, NumericsError
from otembed.models import freeze, sliced
from otembed.models.architecture import count_parameters, position_limit, transformer_of
from otembed.models.batches import default_tokens, token_batches
from otembed.results import writing
from otembed.results.temporary import temporary_folder
from otembed.runtime.run_state import train_from
from otembed.runtime.trainer import arrange_callbacks, build_arguments, trainer_arguments
from otembed.tasks.heads.finetuning import Head, finetune_head
from otembed.tasks.heads.training import POOLER, SelectingWatch, free_memory, selecting_arguments
from otembed.tasks.xnli.formats import LABELS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from otembed.runtime.progress import Progress
    from otembed.tasks.heads.run import HeadRun
    from otembed.tasks.xnli.data import NliSet

logger = logging.getLogger(__name__)

# The library's evaluator has no accuracy; with one label per pair, micro F1 is equal to accuracy.
METRIC = "eval_dev_f1_micro"


def build_classifier(model: SentenceTransformer, max_length: int, seed: int) -> CrossEncoder:
    """Return a classifier of sentence pairs on a copy of the model's transformer, with a head initialized by the seed.

    Pooling and later modules, prompts, and adapters in other modules are not included. Pairs are truncated to
    ``max_length`` tokens, or to the number of positions of the model. ModelError if transformers does not load the
    weights.
    """
    transformer = transformer_of(model)
    limit = position_limit(transformer)
    set_seed(seed)
    with temporary_folder() as folder, writing(folder, option="TMPDIR=FOLDER"):
        transformer.save_pretrained(folder)
        model.tokenizer.save_pretrained(folder)
        with _without_loading_report():
            classifier: CrossEncoder = CrossEncoder(
                str(folder),
                num_labels=len(LABELS),
                max_length=max_length if limit is None else min(max_length, limit),
                device=str(model.device),
                local_files_only=True,
                model_kwargs={"dtype": torch.float32},
            )
    _check_encoder(transformer, transformer_of(classifier))
    head = transformer_of(classifier).config
    head.label2id = {name: index for index, name in enumerate(LABELS)}
    head.id2label = dict(enumerate(LABELS))
    return classifier


@contextmanager
def _without_loading_report() -> Iterator[None]:
    """Suppress the report of the new head, which is intended; :func:`_check_encoder` finds other missing weights."""
    told = logging.getLogger("transformers.modeling_utils")
    level = told.level
    told.setLevel(logging.ERROR)
    try:
        yield
    finally:
        told.setLevel(level)


def _check_encoder(encoder: torch.nn.Module, classifier: Any) -> None:
    own, taken = encoder.state_dict(), classifier.base_model.state_dict()
    for name, value in taken.items():
        if not name.startswith(POOLER) and not (name in own and torch.equal(value, own[name].to(value))):
            raise ModelError(
                f"{type(classifier).__name__} does not load {name} of {type(encoder).__name__}",
                "Choose another encoder, or use --protocol probe.",
            )


def finetune(
    load: Callable[[], SentenceTransformer],
    train: NliSet,
    dev: NliSet,
    config: FinetuneConfig,
    run: HeadRun,
    *,
    resume: bool,
    overwrite: bool,
    progress: Progress,
) -> tuple[CrossEncoder, dict[str, Any]]:
    """Fine-tune in a run folder; return the classifier that is best on the development pairs, and a summary.

    See :func:`otembed.tasks.heads.finetuning.finetune_head` for ``load``, the summary and the errors.
    """

    def trained(classifier: CrossEncoder, config: FinetuneConfig) -> dict[str, Any]:
        return _train(classifier, train, dev, config, run, progress)

    return finetune_head(
        Head(CrossEncoderTrainingArguments, _build, lambda _: len(train), trained, _save, _load),
        load,
        config,
        run,
        {"training data": train.digest(), "development data": dev.digest()},
        resume=resume,
        overwrite=overwrite,
    )


def _build(model: SentenceTransformer, config: FinetuneConfig) -> CrossEncoder:
    classifier = build_classifier(model, config.max_length, config.seed)
    freeze(classifier, config.freeze)
    return classifier


def _save(classifier: CrossEncoder, folder: Path) -> None:
    classifier.save_pretrained(str(folder), create_model_card=False)


def _load(folder: Path, summary: dict[str, Any], model: SentenceTransformer) -> CrossEncoder:
    classifier: CrossEncoder = CrossEncoder(
        str(folder), device=str(model.device), local_files_only=True, model_kwargs={"dtype": torch.float32}
    )
    return classifier


def classify(
    classifier: CrossEncoder, pairs: NliSet, progress: Callable[[int], object] | None = None
) -> NDArray[np.int64]:
    """Return the label of each pair; NumericsError if the classifier returns NaN or infinity.

    Batches group pairs of similar length, up to :func:`otembed.models.batches.default_tokens` tokens; ``progress``
    is called with the number of pairs after each batch.
    """
    texts = _texts(pairs)
    found = np.empty(len(texts), dtype=np.int64)
    with sliced(classifier):
        for rows in token_batches(_token_counts(classifier, texts), default_tokens(classifier)):
            chosen = [texts[row] for row in rows]
            scores: Any = classifier.predict(chosen, batch_size=len(chosen), show_progress_bar=False)
            bad = ~np.isfinite(scores).all(axis=1)
            if bad.any():
                line = pairs.examples[int(rows[bad].min())].line
                raise NumericsError(
                    f"{pairs.where}:{line}: the classifier returns NaN or infinity", "Lower learning_rate."
                )
            found[rows] = scores.argmax(axis=1)
            if progress is not None:
                progress(len(chosen))
    return found


def _token_counts(classifier: CrossEncoder, texts: list[tuple[str, str]]) -> NDArray[np.int64]:
    tokenizer: Any = classifier.tokenizer
    first, second = zip(*texts, strict=True)
    encoded = tokenizer(list(first), list(second), truncation=True, max_length=classifier.max_seq_length)
    return np.array([len(each) for each in encoded["input_ids"]])


def _texts(pairs: NliSet) -> list[tuple[str, str]]:
    return [(each.premise, each.hypothesis) for each in pairs.examples]


def _train(
    classifier: CrossEncoder,
    train: NliSet,
    dev: NliSet,
    config: FinetuneConfig,
    run: HeadRun,
    progress: Progress,
) -> dict[str, Any]:
    columns = {
        "premise": [each.premise for each in train.examples],
        "hypothesis": [each.hypothesis for each in train.examples],
        "label": [each.label for each in train.examples],
    }
    labels = [each.label for each in dev.examples]
    evaluator = CrossEncoderClassificationEvaluator(
        [list(pair) for pair in _texts(dev)], labels, name="dev", show_progress_bar=False, write_csv=False
    )
    classifier.model_card_data.generate_widget_examples = False
    trainer = CrossEncoderTrainer(
        model=classifier,
        args=_arguments(config, run, classifier, len(train)),
        train_dataset=Dataset.from_dict(columns),
        loss=CrossEntropyLoss(classifier),
        evaluator=evaluator,
        callbacks=[SelectingWatch(progress, METRIC)],
    )
    arrange_callbacks(trainer, run.path if run.lasting else None)
    checkpoint = run.last_checkpoint()
    if checkpoint is not None:
        logger.info("resuming from %s", checkpoint.name)
    with sliced(classifier):
        train_from(trainer, checkpoint)
    state = trainer.state
    del trainer
    free_memory()
    return {
        "steps": state.global_step,
        "best_step": state.best_global_step,
        "dev_accuracy": state.best_metric,
        "trained_parameters": count_parameters(classifier, trainable_only=True),
        "max_length_used": classifier.max_seq_length,
    }


def _arguments(
    config: FinetuneConfig, run: HeadRun, classifier: CrossEncoder, pairs: int
) -> CrossEncoderTrainingArguments:
    ours = dict(
        **selecting_arguments(config, run.checkpoints, METRIC, pairs, config.evaluations),
        **trainer_arguments(config, classifier.device),
    )
    return build_arguments(CrossEncoderTrainingArguments, ours, config.trainer, FinetuneConfig, classifier)
