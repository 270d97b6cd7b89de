"""Retrieval of paragraphs and answer sentences with questions, within and across languages; without training."""

from __future__ import annotations

from itertools import product
from math import fsum
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from otembed.data.places import Place
from otembed.embeddings.texts import embed_sides
from otembed.errors import ConfigError, DataError, check_count, did_you_mean
from otembed.models.architecture import length_limit
from otembed.results import Outcomes
from otembed.results.outcomes import digest_of
from otembed.runtime.progress import silent
from otembed.tasks.xquad.data import QuestionSet
from otembed.tasks.xquad.files import place_name, read_questions
from otembed.tasks.xquad.ranking import ABSENT, average_precision, discounted_gain, rank_candidates, reciprocal_rank
from otembed.tasks.xquad.report import AnswerScores, QuestionReport, QuestionScores

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from otembed.runtime.progress import Progress

    Vectors = NDArray[np.float32]

SUITE = "xquad"
CUT = 10
TOP = 20
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
    """Score retrieval of paragraphs and answer sentences with the questions of XQuAD, XQuAD-R and similar datasets.

    - ``paragraph`` and ``sentence``: questions of each language against the paragraphs, or sentences, of each
      language, as a matrix; the correct one contains the answer to the question with the same id.
    - ``answers``: LAReQA's XQuAD-R [1]_. Questions of each language against the sentences of all languages in one
      pool; the answer sentence of every language is correct. See :func:`average_precision`.

    Parameters
    ----------
    model
        The encoder; it is left in evaluation mode.
    data
        Language to its questions or their place. Questions of different languages are matched by their ids.
    tasks
        Any of ``TASKS``; None for all that the data allows: sentences require XQuAD-R's ``sentence_breaks``.
    query_prompt, passage_prompt
        Text to prepend to every question, and to every paragraph or sentence; None for the prompts of
        ``model.encode_query`` and ``model.encode_document``.
    candidate
        ``sentence+paragraph`` encodes the sentence, a line break and its paragraph together, for context as in
        LAReQA; ``sentence`` encodes the sentence alone.
    limit
        Number of questions of each language, evenly spaced in the file; the pool contains all texts.
    batch_size
        Maximum batch size; also limited by tokens, see :func:`otembed.embeddings.encode.encode_by_length`.
    cache
        Folder that caches embeddings, shared with mining; ``None``: no cache.
    progress
        Called with a stage, the number of texts done and the total.
    name
        The model's name in the report.

    Raises
    ------
    ConfigError
        A setting is out of range.
    DataError
        There is no data, it is malformed, required sentences are missing, or two languages have no question in
        common. With a cache: its folder is not writable.
    NumericsError
        The model returns NaN, infinity or a zero embedding.

    References
    ----------
    .. [1] U. Roy et al., "LAReQA: Language-Agnostic Answer Retrieval from a Multilingual Pool", EMNLP 2020.
    """
    if candidate not in CANDIDATES:
        raise ConfigError(f"candidate {candidate!r} is unknown", did_you_mean(candidate, CANDIDATES))
    if limit is not None:
        check_count("limit", limit)
    sets = {code: read_questions(place) for code, place in data.items()}
    chosen = _chosen_tasks(tasks, sets)
    languages = [Language.of(code, one, limit, candidate, chosen) for code, one in sets.items()]
    prompts = (
        _prompt(model, QUERY_NAMES) if query_prompt is None else query_prompt,
        _prompt(model, PASSAGE_NAMES) if passage_prompt is None else passage_prompt,
    )
    started = perf_counter()

    def embed(sides: list[list[str]], prompt: str, names: list[str], codes: list[str]) -> list[Vectors]:
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
            languages=codes,
            progress=progress,
        )

    asked = [[each.text for each in one.asked.questions] for one in languages]
    codes = [one.code for one in languages]
    questions = embed(asked, prompts[0], [f"questions {code}" for code in codes], codes)
    places = [(one.code, kind) for one in languages for kind in one.texts]
    sides = [side for one in languages for side in one.texts.values()]
    names = [f"{kind}s {code}" for code, kind in places]
    texts = dict(zip(places, embed(sides, prompts[1], names, [code for code, _ in places]), strict=True))
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
        max_seq_length=length_limit(model),
        limit=limit,
        encoding_seconds=encoded - started,
        scoring_seconds=perf_counter() - encoded,
        outcomes=tuple(outcomes),
    )


def _chosen_tasks(tasks: Sequence[str] | None, sets: Mapping[str, QuestionSet]) -> tuple[str, ...]:
    """Return the tasks in order, after checking that the data allows them."""
    if not sets:
        raise DataError("no questions to evaluate", "Pass questions of at least one language.")
    bare = [code for code, one in sets.items() if not one.has_sentences]
    if tasks is None:
        return TASKS[:1] if bare else TASKS
    for task in tasks:
        if task not in TASKS:
            raise ConfigError(f"task {task!r} is unknown", did_you_mean(task, TASKS))
    if not tasks:
        raise ConfigError("no tasks", f"Choose from: {', '.join(TASKS)}.")
    if bare and set(tasks) != {"paragraph"}:
        raise DataError(
            f"{bare[0]}: no sentence_breaks, which answer sentences require",
            "Use the files of XQuAD-R, or only the task paragraph.",
            path=sets[bare[0]].where,
        )
    return tuple(task for task in TASKS if task in tasks)


def _prompt(model: SentenceTransformer, names: tuple[str, ...]) -> str:
    """Return the prompt of ``encode_query`` or ``encode_document``."""
    name = next((each for each in names if each in model.prompts), model.default_prompt_name)
    return "" if name is None else str(model.prompts.get(name) or "")


class Language(NamedTuple):
    """One language: all its texts, its questions, and the text that contains the answer to each question."""

    code: str
    data: QuestionSet
    asked: QuestionSet
    texts: dict[str, list[str]]
    right: dict[str, dict[str, int]]

    @classmethod
    def of(cls, code: str, data: QuestionSet, limit: int | None, candidate: str, tasks: tuple[str, ...]) -> Self:
        """Collect the texts for the tasks, and the position of each correct one."""
        texts: dict[str, list[str]] = {}
        right: dict[str, dict[str, int]] = {}
        if "paragraph" in tasks:
            # Paragraphs that differ only in their sentence breaks are the same text.
            places: dict[str, int] = {}
            rows = [places.setdefault(each.text, len(places)) for each in data.paragraphs]
            texts["paragraph"] = list(places)
            right["paragraph"] = {each.id: rows[each.paragraph] for each in data.questions}
        if tasks != ("paragraph",):
            first = np.cumsum([0, *(len(each.sentences) for each in data.paragraphs)])
            whole = candidate == "sentence+paragraph"
            texts["sentence"] = [
                f"{each.text[start:end]}\n{each.text}" if whole else each.text[start:end]
                for each in data.paragraphs
                for start, end in each.sentences
            ]
            right["sentence"] = {
                each.id: int(first[each.paragraph]) + data.sentence_of(each) for each in data.questions
            }
        return cls(code, data, data.spread(limit), texts, right)


def score_cell(
    task: str, one: Language, other: Language, queries: Vectors, texts: Vectors
) -> tuple[QuestionScores, list[Outcomes]]:
    """Score questions of one language against the texts of one language; DataError if they share no question."""
    rows = other.right[task]
    asked = [index for index, each in enumerate(one.asked.questions) if each.id in rows]
    if not asked:
        raise DataError(
            f"{one.code} and {other.code} have no question in common",
            "Use files of one parallel dataset: questions of different languages are matched by id.",
            path=other.data.where,
        )
    chosen = [one.asked.questions[index] for index in asked]
    ranks = rank_candidates(queries[asked], texts, [[rows[each.id]] for each in chosen]).ranks
    values = {"accuracy": (ranks[:, 0] == 1).astype(float), "mrr": reciprocal_rank(ranks, CUT)}
    examples = digest_of([*(each.id for each in chosen), *(each.text for each in chosen), *other.texts[task]])
    outcomes = [
        Outcomes(SUITE, f"{task}/{one.code}-{other.code}", metric, examples, tuple(map(float, each)))
        for metric, each in values.items()
    ]
    cell = QuestionScores(
        task=task,
        question_language=one.code,
        text_language=other.code,
        questions=len(chosen),
        candidates=len(texts),
        accuracy=outcomes[0].value,
        mrr=outcomes[1].value,
        ndcg=fsum(discounted_gain(ranks, CUT)) / len(chosen),
        recall=float(np.mean(ranks[:, 0] <= CUT)),
    )
    return cell, outcomes


def score_answers(
    one: Language, languages: Sequence[Language], queries: Vectors, pool: Vectors
) -> tuple[AnswerScores, list[Outcomes]]:
    """Score questions of one language against the sentences of all languages in one pool."""
    sizes = [len(each.texts["sentence"]) for each in languages]
    offsets = np.cumsum([0, *sizes])
    asked = one.asked.questions
    right = [
        [
            int(offsets[place]) + each.right["sentence"][question.id]
            if question.id in each.right["sentence"]
            else ABSENT
            for place, each in enumerate(languages)
        ]
        for question in asked
    ]
    groups = np.repeat(np.arange(len(languages)), sizes)
    ranking = rank_candidates(queries, pool, right, groups=groups, tops=(1, TOP))
    examples = digest_of(
        [
            *(each.id for each in asked),
            *(each.text for each in asked),
            *(text for each in languages for text in each.texts["sentence"]),
        ]
    )
    outcomes = [
        Outcomes(
            SUITE,
            f"answers/{one.code}",
            metric,
            examples,
            tuple(map(float, average_precision(ranking.ranks, cut))),
        )
        for metric, cut in (("map", None), ("map_20", TOP))
    ]
    shares = [
        dict(zip((each.code for each in languages), map(float, counts.sum(axis=0) / counts.sum()), strict=True))
        for counts in ranking.groups
    ]
    found = AnswerScores(one.code, len(asked), len(pool), outcomes[0].value, outcomes[1].value, *shares)
    return found, outcomes
