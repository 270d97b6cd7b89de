"""What retrieval with questions gives: one cell of a language matrix, one language's answers, the whole report."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any, Self

from otembed.errors import DataError
from otembed.results import Result
from otembed.results.outcomes import Outcomes, read_outcomes

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class QuestionScores(Result):
    """Questions of one language against the texts of one language, one of them right.

    ``task`` is ``paragraph`` or ``sentence``. ``accuracy`` is the share of questions whose nearest text is right,
    ``mrr`` the mean reciprocal rank, ``ndcg`` nDCG and ``recall`` the share found, all three within the first 10.
    """

    task: str
    question_language: str
    text_language: str
    questions: int
    candidates: int
    accuracy: float
    mrr: float
    ndcg: float
    recall: float

    @property
    def pair(self) -> str:
        """Question language and text language, such as ``ar-en``."""
        return f"{self.question_language}-{self.text_language}"


@dataclass(frozen=True)
class AnswerScores(Result):
    """LAReQA: questions of one language against the sentences of all languages at once, one right in each.

    ``map`` is mean average precision, ``map_20`` the same up to rank 20. ``first_shares`` says of which language the
    best sentence is (shares of the questions), ``top_shares`` the best 20: a model without language bias has the
    shares that the languages have in the pool.
    """

    language: str
    questions: int
    candidates: int
    map: float
    map_20: float
    first_shares: dict[str, float]
    top_shares: dict[str, float]


@dataclass(frozen=True)
class QuestionReport(Result):
    """Retrieval with questions of one model over several languages.

    Parameters
    ----------
    model
        Its name.
    data
        Language to the name of the file or data set.
    scores
        Cells of the matrices, by task, question language, text language.
    answers
        LAReQA's figures by question language; empty where files have no sentences.
    query_prompt, passage_prompt
        Texts put before every question and every paragraph or sentence.
    candidate
        What stands for an answer sentence: ``sentence+paragraph`` or ``sentence``.
    max_seq_length
        Tokens after which texts are cut.
    limit
        Questions asked of each language; None for all. The texts are always all.
    encoding_seconds, scoring_seconds
        Wall time.
    outcomes
        What each question contributed, by task and metric.
    """

    model: str
    data: dict[str, str]
    scores: tuple[QuestionScores, ...]
    answers: tuple[AnswerScores, ...]
    query_prompt: str
    passage_prompt: str
    candidate: str
    max_seq_length: int | None
    limit: int | None
    encoding_seconds: float
    scoring_seconds: float
    outcomes: tuple[Outcomes, ...] = ()

    def cells(self, task: str) -> list[QuestionScores]:
        """Return the cells of one task."""
        return [each for each in self.scores if each.task == task]

    def mean(self, task: str, *, across: bool, figure: str = "accuracy") -> float | None:
        """Return the plain mean over cells of two languages (``across``) or of one; None without such a cell."""
        chosen = [each for each in self.cells(task) if (each.question_language != each.text_language) is across]
        return fmean(getattr(each, figure) for each in chosen) if chosen else None

    @property
    def map(self) -> float | None:
        """LAReQA's mean average precision: the plain mean over the question languages."""
        return _mean(each.map for each in self.answers)

    @property
    def map_20(self) -> float | None:
        """The same up to rank 20."""
        return _mean(each.map_20 for each in self.answers)

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values; scores are documents of their own, and the means are added."""
        means = {
            f"{task}_{'across' if across else 'within'}_accuracy": self.mean(task, across=across)
            for task in ("paragraph", "sentence")
            for across in (False, True)
        } | {"map": self.map, "map_20": self.map_20}
        return {
            **super().to_dict(),
            "scores": [each.to_dict() for each in self.scores],
            "answers": [each.to_dict() for each in self.answers],
            "means": {name: value for name, value in means.items() if value is not None},
        }

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Build the report from :meth:`to_dict`'s output; the means are computed anew."""
        if document.get("kind") != cls.__name__:
            raise DataError(f"not a {cls.__name__}: found kind {document.get('kind')!r}", "Evaluate again.")
        parts = {
            "scores": tuple(QuestionScores.from_dict(each) for each in document.get("scores", ())),
            "answers": tuple(AnswerScores.from_dict(each) for each in document.get("answers", ())),
            "outcomes": read_outcomes(document),
        }
        return super().from_dict({**document, **parts})


def _mean(values: Iterable[float]) -> float | None:
    listed = list(values)
    return fmean(listed) if listed else None
