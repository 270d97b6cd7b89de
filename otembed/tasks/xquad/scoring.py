"""From vectors of questions and texts to figures: one cell of a language matrix, and LAReQA's mixed pool."""

from __future__ import annotations

from math import fsum
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from otembed.errors import DataError
from otembed.results.outcomes import Outcomes, digest_of
from otembed.tasks.xquad.data import QuestionSet
from otembed.tasks.xquad.ranking import ABSENT, average_precision, discounted_gain, rank_candidates, reciprocal_rank
from otembed.tasks.xquad.report import AnswerScores, QuestionScores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

SUITE = "xquad"
CUT = 10
TOP = 20


class Language(NamedTuple):
    """One language: all its texts, the questions asked, and in which text each question's answer stands."""

    code: str
    data: QuestionSet
    asked: QuestionSet
    texts: dict[str, list[str]]
    right: dict[str, dict[str, int]]

    @classmethod
    def of(cls, code: str, data: QuestionSet, limit: int | None, candidate: str, tasks: tuple[str, ...]) -> Self:
        """Lay out the texts that the tasks need, and where each right one is."""
        texts: dict[str, list[str]] = {}
        right: dict[str, dict[str, int]] = {}
        if "paragraph" in tasks:
            # Paragraphs may differ in their sentence breaks alone: as texts they are one.
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
            "Questions of different languages belong together by their ids: give files of one parallel set.",
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
