"""XQuAD as in the paper: a span head trained on English questions, answers in every language."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from pydantic import TypeAdapter
from transformers import AutoModelForQuestionAnswering, TrainingArguments

from otembed.config.xquad import SpanConfig
from otembed.data.places import Place
from otembed.embeddings.fingerprint import model_fingerprint
from otembed.errors import ConfigError, DataError, NumericsError, check_count
from otembed.models.batches import default_tokens, token_batches
from otembed.models.slices import sliced
from otembed.results import Outcomes, write_text
from otembed.results.outcomes import digest_of
from otembed.results.paths import expand
from otembed.results.temporary import temporary_folder
from otembed.runtime.progress import counting, silent
from otembed.runtime.trainer import (
    build_arguments,
    check_arguments,
    check_fields,
    require_batch,
    resolve_precision,
    trainer_arguments,
)
from otembed.tasks.heads.model import with_head
from otembed.tasks.heads.run import HeadRun, check_run
from otembed.tasks.heads.training import LOG_EVERY, HeadWatch, train_head
from otembed.tasks.xquad.data import QuestionSet
from otembed.tasks.xquad.files import answer_file, place_name, read_questions
from otembed.tasks.xquad.report import FULL_TRAINING, SpanReport, SpanScores
from otembed.tasks.xquad.squad_score import normalizer, score_answers
from otembed.tasks.xquad.windows import Window, best_spans, labels, windows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer
    from transformers import PreTrainedModel

    from otembed.runtime.progress import Progress

SUITE = "xquad"
SQUAD_QUESTIONS = 87_599
# Settings that do not affect training: a finished run can be scored again with other values.
AFTERWARDS = ("normalization", "max_answer_length", "save_steps")


def evaluate_xquad_span(
    model: SentenceTransformer,
    train: QuestionSet | Place | str | Path,
    data: Mapping[str, QuestionSet | Place | str | Path],
    config: SpanConfig | None = None,
    *,
    limit: int | None = None,
    train_limit: int | None = None,
    run: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    predictions: str | Path | None = None,
    progress: Progress = silent,
    name: str = "model",
) -> SpanReport:
    """Fine-tune extractive question answering in one language and score it in others.

    A linear head on the encoder gives each token a start and an end score; encoder and head are trained on ``train``
    in windows of ``max_length`` tokens. The answer to a test question is the valid span with the highest sum over all
    its windows. For F1 and exact match, see :mod:`otembed.tasks.xquad.squad_score`.

    Parameters
    ----------
    model
        The encoder; it is not modified.
    train
        The training part of SQuAD v1.1, or a stand-in, which the report names.
    data
        Language to its test questions or their place.
    config
        Settings; None for the settings of the paper.
    limit, train_limit
        Number of test questions of each language, and of training questions, evenly spaced in the file; None for
        all.
    run
        Run folder for checkpoints and the trained model; None to save nothing.
    resume, overwrite
        Resume the run in that folder, or replace it. A finished run is only evaluated.
    predictions
        Folder for ``XX.json``, the answers of each language by question id, in the format of SQuAD's scripts.
    progress
        Called with a stage, the number of items done and the total.
    name
        The model's name in the report.

    Raises
    ------
    ConfigError
        A setting is out of range, MLQA's rule is not defined for a language, or the run folder contains another run
        or is locked by another process.
    DataError
        There is no data, or it is malformed.
    ModelError
        The architecture has no span head, or the tokenizer is slow.
    NumericsError
        The loss or a score is NaN or infinite.
    """
    config = config or SpanConfig()
    if not data:
        raise DataError("no test questions", "Pass questions of at least one language.")
    folder = None if run is None else HeadRun(expand(run), "span head", "otembed eval xquad --protocol span")
    check_run(folder, trained=True, resume=resume, overwrite=overwrite)
    for code in data if predictions is not None else ():
        if code in ("", ".", "..") or re.search(r"[/\\\0]", code):
            raise ConfigError(f"language {code!r} cannot name a file of answers", "Use a language code such as ar.")
    check_fields(TrainingArguments, config.trainer, SpanConfig)
    rules = {code: normalizer(config.normalization, code) for code in data}
    for what, number in (("limit", limit), ("train_limit", train_limit)):
        if number is not None:
            check_count(what, number)
    tests = {code: read_questions(place).spread(limit) for code, place in data.items()}
    learnt = read_questions(train, unique_ids=False).spread(train_limit)
    config = resolve_precision(config, model.device)
    check_arguments(TrainingArguments, config, config.trainer, model)
    settings = TypeAdapter(SpanConfig).dump_python(config, mode="json")
    begun = perf_counter()
    # Built before the folder is opened: an encoder that cannot have the head leaves an earlier run intact.
    ready = None if resume and folder is not None and folder.finished else trainable(model, learnt, config)

    def train_in(place: HeadRun | None) -> tuple[Trained, dict[str, Any]]:
        made, examples = ready or trainable(model, learnt, config)
        trained = train_spans(made, model.tokenizer, examples, config, run=place, progress=progress)
        return trained, {"windows": trained.windows, "steps": trained.steps, "losses": trained.losses}

    if folder is None:
        trained, _ = train_in(None)
    else:
        with folder.opened(_lasting(settings), _inputs(model, learnt), resume=resume, overwrite=overwrite):
            trained, _ = folder.trained(
                lambda: train_in(folder),
                lambda made, place: _save(made.model, model, place),
                lambda place, summary: _load(place, summary, model),
            )
    trained_at = perf_counter()
    scores: list[SpanScores] = []
    outcomes: list[Outcomes] = []
    for code, test in tests.items():
        answers, count = predict_answers(
            trained.model, model.tokenizer, test, config, stage=f"answering {code}", progress=progress
        )
        if predictions is not None:
            write_text(
                answer_file(Path(predictions), code), json.dumps(answers, ensure_ascii=False, indent=1) + "\n"
            )
        golds = {each.id: [answer.text for answer in each.answers] for each in test.questions}
        found = score_answers(answers, golds, rules[code])
        asked = [each.text for each in test.questions]
        examples = digest_of([config.normalization, json.dumps(golds, ensure_ascii=False), *asked])
        figures = [
            Outcomes(SUITE, f"span/{code}", metric, examples, tuple(getattr(one, metric) for one in found.values()))
            for metric in ("f1", "exact_match")
        ]
        outcomes += figures
        empty = sum(not text for text in answers.values())
        scores.append(SpanScores(code, len(golds), figures[0].value, figures[1].value, count, empty))
    return SpanReport(
        model=name,
        training_data=training_label(learnt),
        training_questions=len(learnt.questions),
        training_windows=trained.windows,
        data={code: place_name(test.where) for code, test in tests.items()},
        scores=tuple(scores),
        settings=settings,
        limit=limit,
        steps=trained.steps,
        losses=trained.losses,
        training_seconds=trained_at - begun,
        prediction_seconds=perf_counter() - trained_at,
        outcomes=tuple(outcomes),
    )


def _lasting(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in AFTERWARDS}


def _inputs(model: SentenceTransformer, train: QuestionSet) -> dict[str, str]:
    texts = [part for each in train.questions for part in (each.id, each.text, *map(str, each.answers))]
    return {
        "encoder": model_fingerprint(model),
        "training data": digest_of([*texts, *(each.text for each in train.paragraphs)]),
    }


def _save(made: PreTrainedModel, model: SentenceTransformer, folder: Path) -> None:
    made.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)


def _load(folder: Path, summary: dict[str, Any], model: SentenceTransformer) -> Trained:
    made: Any = AutoModelForQuestionAnswering.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    return Trained(made.to(model.device).eval(), **summary)


def training_label(data: QuestionSet) -> str:
    """Return ``SQuAD v1.1`` for its whole training part of 87,599 questions, else ``stand-in: NAME``."""
    if len(data.questions) == SQUAD_QUESTIONS and not data.repeated_ids:
        return FULL_TRAINING
    return f"stand-in: {place_name(data.where)}"


def predict_answers(
    model: PreTrainedModel,
    tokenizer: Any,
    data: QuestionSet,
    config: SpanConfig,
    *,
    stage: str = "answering",
    progress: Progress = silent,
) -> tuple[dict[str, str], int]:
    """Return the answer to each question by its id ('' without any valid span), and the number of windows.

    Raises
    ------
    NumericsError
        The model returns NaN or infinity.
    """
    listed = list(windows(data, tokenizer, config, type_count(model)))
    best: dict[int, tuple[float, int, str]] = {}
    # Ties go to the first window.
    lengths = np.array([len(window.spans) for window in listed])
    advance = counting(progress, stage, len(listed))
    advance(0)
    with sliced(model):
        for rows in token_batches(lengths, default_tokens(model)):
            numbers = rows.tolist()
            chosen = [listed[number] for number in numbers]
            start_logits, end_logits, usable = _logits(model, tokenizer, chosen)
            spans = best_spans(start_logits, end_logits, usable, config.max_answer_length)
            for number, window, span in zip(numbers, chosen, spans, strict=True):
                question = data.questions[window.question]
                first, last = window.spans[span.start, 0], window.spans[span.end, 1]
                text = data.paragraphs[question.paragraph].text[first:last].strip()
                entry = (span.score, -number, text if np.isfinite(span.score) else "")
                best[window.question] = max(best.get(window.question, entry), entry)
            advance(len(numbers))
    return {each.id: best[index][2] for index, each in enumerate(data.questions)}, len(listed)


def _padded(tokenizer: Any, examples: list[Any]) -> Any:
    """Return a batch padded on the right, whatever the tokenizer's default, so that positions in a window stay valid."""
    return tokenizer.pad(examples, padding_side="right", return_tensors="pt")


def _logits(model: PreTrainedModel, tokenizer: Any, chosen: list[Window]) -> tuple[Any, Any, Any]:
    padded = _padded(tokenizer, [window.inputs for window in chosen])
    with torch.inference_mode():
        output: Any = model(**{name: values.to(model.device) for name, values in padded.items()})
    start, end = (each.float().cpu().numpy() for each in (output.start_logits, output.end_logits))
    usable = np.zeros(start.shape, dtype=bool)
    for row, window in enumerate(chosen):
        usable[row, : len(window.spans)] = window.usable
    if not (np.isfinite(start) & np.isfinite(end)).all():
        raise NumericsError("the span head returns NaN or infinity", "Retrain with a lower learning_rate.")
    return start, end, usable


class Trained(NamedTuple):
    """A trained span model and the record of its training."""

    model: PreTrainedModel
    windows: int
    steps: int
    losses: dict[str, float]


def span_model(model: SentenceTransformer, config: SpanConfig) -> PreTrainedModel:
    """Return a question-answering model with a copy of the encoder of ``model`` and a new head.

    Raises
    ------
    ConfigError
        ``max_length`` exceeds the number of positions of the encoder.
    ModelError
        The architecture has no span head in transformers, or a frozen part is unknown.
    """
    return with_head(
        model,
        AutoModelForQuestionAnswering,
        head="span head",
        max_length=config.max_length,
        seed=config.seed,
        frozen=config.freeze,
    )


def training_windows(
    data: QuestionSet, tokenizer: Any, config: SpanConfig, type_count: int
) -> list[dict[str, NDArray[np.int32] | int]]:
    """Return the model inputs of every window with ``start_positions`` and ``end_positions``."""
    found: list[dict[str, NDArray[np.int32] | int]] = []
    for window in windows(data, tokenizer, config, type_count):
        answer = data.questions[window.question].answers[0]
        start, end = labels(window, answer, tokenizer.cls_token_id)
        found.append({**window.inputs, "start_positions": start, "end_positions": end})
    return found


def trainable(
    model: SentenceTransformer, data: QuestionSet, config: SpanConfig
) -> tuple[PreTrainedModel, list[dict[str, NDArray[np.int32] | int]]]:
    """Return a new :func:`span_model`, and :func:`training_windows` for it.

    Errors as there; ConfigError if the windows do not fill a batch.
    """
    made = span_model(model, config)
    windows = training_windows(data, model.tokenizer, config, type_count(made))
    require_batch(len(windows), config.per_device_train_batch_size, config.trainer)
    return made, windows


def train_spans(
    made: PreTrainedModel,
    tokenizer: Any,
    examples: list[dict[str, NDArray[np.int32] | int]],
    config: SpanConfig,
    *,
    run: HeadRun | None,
    progress: Progress,
) -> Trained:
    """Fine-tune a span head and the parts of the encoder that are not frozen, in place.

    Parameters
    ----------
    made, examples
        From :func:`trainable`.
    tokenizer
        The tokenizer of the encoder.
    config
        Settings.
    run
        Folder for checkpoints; None to save none. Training resumes from the last complete checkpoint.
    progress
        Called with ``fine-tuning``, the step and the number of steps.

    Raises
    ------
    NumericsError
        The loss becomes NaN or infinite.
    """
    with ExitStack() as stack:
        folder = run.checkpoints if run else stack.enter_context(temporary_folder())
        ours = dict(
            output_dir=str(folder),
            save_strategy="steps" if run else "no",
            save_steps=config.save_steps,
            remove_unused_columns=False,
            logging_steps=LOG_EVERY,
            **trainer_arguments(config, made.device),
        )
        state = train_head(
            made,
            examples,
            partial(_padded, tokenizer),
            build_arguments(TrainingArguments, ours, config.trainer, SpanConfig, made),
            HeadWatch(progress),
            folder=run.path if run else None,
            checkpoint=run.last_checkpoint() if run else None,
        )
    losses = {str(entry["step"]): float(entry["loss"]) for entry in state.log_history if "loss" in entry}
    return Trained(made, len(examples), int(state.global_step), losses)


def type_count(model: PreTrainedModel) -> int:
    """Return the number of token types of the model; 0 if it has none."""
    return int(getattr(model.config, "type_vocab_size", 0) or 0)
