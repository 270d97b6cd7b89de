"""Retrieval with questions, no training needed: to paragraphs, to answer sentences, within and across languages."""

from __future__ import annotations

from itertools import product
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from otembed.data.places import Place
from otembed.embeddings.texts import embed_sides
from otembed.errors import ConfigError, DataError, check_count, did_you_mean
from otembed.runtime.progress import silent
from otembed.tasks.xquad.data import QuestionSet
from otembed.tasks.xquad.files import place_name, read_questions
from otembed.tasks.xquad.report import QuestionReport
from otembed.tasks.xquad.scoring import Language, score_answers, score_cell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from otembed.runtime.progress import Progress

    Vectors = NDArray[np.float32]

TASKS = ("paragraph", "sentence", "answers")
CANDIDATES = ("sentence+paragraph", "sentence")
QUERY_NAMES = ("query",)
PASSAGE_NAMES = ("document", "passage", "corpus")


def evaluate_xquad(
    model: SentenceTransformer,
    data: Mapping[str, QuestionSet | Place | str | Path],
    *,
    tasks: Sequence[str] | None = None,
    query_prompt: str | None = None,
    passage_prompt: str | None = None,
    candidate: str = "sentence+paragraph",
    limit: int | None = None,
    batch_size: int | None = 32,
    cache: str | Path | None = None,
    progress: Progress = silent,
    name: str = "model",
) -> QuestionReport:
    """Score retrieval of paragraphs and answer sentences with the questions of XQuAD, XQuAD-R and their like.

    - ``paragraph`` and ``sentence``: questions of each language against the paragraphs, or sentences, of each
      language, as a matrix; the right one holds the answer to the question of the same id.
    - ``answers``: LAReQA's XQuAD-R [1]_. Questions of each language against the sentences of all languages in one
      pool; right is the answer sentence of every language. See :func:`average_precision`.

    Parameters
    ----------
    model
        The encoder; it is left in evaluation mode.
    data
        Language to its questions or where they are. Questions of different languages belong together by their ids.
    tasks
        Any of ``TASKS``; None for all that the data permits: sentences need XQuAD-R's ``sentence_breaks``.
    query_prompt, passage_prompt
        Text before every question, and before every paragraph or sentence; None for what ``model.encode_query`` and
        ``model.encode_document`` put there.
    candidate
        ``sentence+paragraph``: the sentence, a line break and its paragraph are encoded together, so that the
        sentence is known by its context as in LAReQA; ``sentence``: the sentence alone.
    limit
        Ask this many questions of each language, at equal distances in the file; all texts stay in the pool.
    batch_size
        Most texts encoded at a time; tokens bound it too, see :func:`otembed.embeddings.encode.encode_by_length`.
    cache
        Folder where vectors are kept and found again, as those of mining are; ``None``: they are not.
    progress
        Called with a stage, the texts done and all texts.
    name
        The model's name in the report.

    Raises
    ------
    ConfigError
        A setting is out of range.
    DataError
        No data, malformed data, no sentences where they are needed, or two languages without a common question.
        With a cache: its folder cannot be written.
    NumericsError
        The model returns NaN, infinity or a zero vector.

    References
    ----------
    .. [1] U. Roy et al., "LAReQA: Language-Agnostic Answer Retrieval from a Multilingual Pool", EMNLP 2020.
    """
    if candidate not in CANDIDATES:
        raise ConfigError(f"candidate {candidate!r} is unknown", did_you_mean(candidate, CANDIDATES))
    if limit is not None:
        check_count("limit", limit)
    sets = {
        code: place if isinstance(place, QuestionSet) else read_questions(place) for code, place in data.items()
    }
    chosen = _chosen_tasks(tasks, sets)
    languages = [Language.of(code, one, limit, candidate, chosen) for code, one in sets.items()]
    prompts = (
        _prompt(model, QUERY_NAMES) if query_prompt is None else query_prompt,
        _prompt(model, PASSAGE_NAMES) if passage_prompt is None else passage_prompt,
    )
    started = perf_counter()

    def embed(sides: list[list[str]], prompt: str, names: list[str]) -> list[Vectors]:
        return embed_sides(
            model,
            sides,
            batch_size=batch_size,
            prompt=prompt,
            prompt_name=None,
            truncate_dim=None,
            show_progress_bar=False,
            cache=cache,
            names=names,
            progress=progress,
        )

    asked = [[each.text for each in one.asked.questions] for one in languages]
    questions = embed(asked, prompts[0], [f"questions {one.code}" for one in languages])
    places = [(one.code, kind) for one in languages for kind in one.texts]
    sides = [side for one in languages for side in one.texts.values()]
    names = [f"{kind}s {code}" for code, kind in places]
    texts = dict(zip(places, embed(sides, prompts[1], names), strict=True))
    encoded = perf_counter()
    scores, answers, outcomes = [], [], []
    for task in chosen:
        if task == "answers":
            pool = np.concatenate([texts[one.code, "sentence"] for one in languages])
            for one, queries in zip(languages, questions, strict=True):
                found, figures = score_answers(one, languages, queries, pool)
                answers.append(found)
                outcomes += figures
            continue
        for (one, queries), other in product(zip(languages, questions, strict=True), languages):
            cell, figures = score_cell(task, one, other, queries, texts[other.code, task])
            scores.append(cell)
            outcomes += figures
    return QuestionReport(
        model=name,
        data={code: place_name(one.where) for code, one in sets.items()},
        scores=tuple(scores),
        answers=tuple(answers),
        query_prompt=prompts[0],
        passage_prompt=prompts[1],
        candidate=candidate,
        max_seq_length=model.max_seq_length,
        limit=limit,
        encoding_seconds=encoded - started,
        scoring_seconds=perf_counter() - encoded,
        outcomes=tuple(outcomes),
    )


def _chosen_tasks(tasks: Sequence[str] | None, sets: Mapping[str, QuestionSet]) -> tuple[str, ...]:
    """Return the tasks to do in their order, after checking that the data permits them."""
    if not sets:
        raise DataError("no questions to evaluate", "Give at least one language.")
    bare = [code for code, one in sets.items() if not one.has_sentences]
    if tasks is None:
        return TASKS[:1] if bare else TASKS
    for task in tasks:
        if task not in TASKS:
            raise ConfigError(f"task {task!r} is unknown", did_you_mean(task, TASKS))
    if not tasks:
        raise ConfigError("no task is chosen", f"Choose of: {', '.join(TASKS)}.")
    if bare and set(tasks) != {"paragraph"}:
        raise DataError(
            f"{bare[0]}: no sentence_breaks, so there are no answer sentences",
            "Give XQuAD-R's files, or ask for paragraphs alone.",
            path=sets[bare[0]].where,
        )
    return tuple(task for task in TASKS if task in tasks)


def _prompt(model: SentenceTransformer, names: tuple[str, ...]) -> str:
    """Return the text that ``encode_query`` or ``encode_document`` puts before its inputs."""
    name = next((each for each in names if each in model.prompts), model.default_prompt_name)
    return "" if name is None else str(model.prompts.get(name) or "")
