"""Results of question retrieval and of extractive question answering, with their tables; torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar, Self

from otembed.errors import DataError
from otembed.results import Outcomes, Result, Table
from otembed.results.format import percent
from otembed.tasks.report import Report, check_same_examples

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FULL_TRAINING = "SQuAD v1.1"
MATRICES = {
    "paragraph": "question → paragraph, top-1 accuracy",
    "sentence": "question → answer sentence, top-1 accuracy",
}
MEANS = {"accuracy": "accuracy", "MRR@10": "mrr", "nDCG@10": "ndcg", "recall@10": "recall"}


@dataclass(frozen=True)
class QuestionScores(Result):
    """Questions of one language against the texts of one language, one of them correct.

    ``task`` is ``paragraph`` or ``sentence``. ``accuracy`` is the share of questions for which the nearest text is correct,
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
    """LAReQA: questions of one language against the sentences of all languages, one correct in each language.

    ``map`` is mean average precision, ``map_20`` the same up to rank 20. ``first_shares`` is the share of each language
    among the best sentences, ``top_shares`` the share among the best 20. Without language bias, the shares equal the
    shares of the languages in the pool.
    """

    language: str
    questions: int
    candidates: int
    map: float
    map_20: float
    first_shares: dict[str, float]
    top_shares: dict[str, float]


@dataclass(frozen=True)
class QuestionReport(Report):
    """Retrieval with questions of one model over several languages.

    Parameters
    ----------
    model
        Name of the model.
    data
        Language to the name of the file or dataset.
    scores
        Cells of the matrices, by task, question language, text language.
    answers
        LAReQA's figures by question language; empty if files have no sentences.
    query_prompt, passage_prompt
        Text prepended to every question, and to every paragraph or sentence.
    candidate
        How an answer sentence is encoded: ``sentence+paragraph`` or ``sentence``.
    max_seq_length
        Number of tokens at which texts are truncated.
    limit
        Number of questions of each language; None for all. All texts are always used.
    encoding_seconds, scoring_seconds
        Wall time.
    outcomes
        Contribution of each question, by task and metric.
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

    def table(self) -> Table:
        """Return the means of all cells within a language and across languages, one row each."""
        rows = []
        for task in MATRICES:
            for across in (False, True):
                if self.mean(task, across=across) is not None:
                    means = (self.mean(task, across=across, figure=figure) or 0 for figure in MEANS.values())
                    rows.append([f"{task}, {'across' if across else 'within'} languages", *map(percent, means)])
        return Table(("mean", *MEANS), rows, title=f"{self.model}: means over the cells", notes=self._notes())

    def matrix(self, task: str) -> Table:
        """Return top-1 accuracy of one task: languages of the questions in rows, of the texts in columns."""
        cells = {(each.question_language, each.text_language): each for each in self.cells(task)}
        codes = list(self.data)
        rows = [[code, *(percent(cells[code, other].accuracy) for other in codes)] for code in codes]
        return Table(("question", *codes), rows, title=f"{self.model}: {MATRICES[task]}")

    def answer_table(self) -> Table:
        """Return LAReQA's mAP of each question language, and the languages of the best 20 answers."""
        codes = list(self.data)
        rows = [
            [
                one.language,
                percent(one.map),
                percent(one.map_20),
                *(percent(one.top_shares[code]) for code in codes),
            ]
            for one in self.answers
        ]
        if len(rows) > 1:
            rows.append(["mean", percent(self.map or 0), percent(self.map_20 or 0), *[""] * len(codes)])
        pool = self.answers[0].candidates if self.answers else 0
        return Table(
            ("question", "mAP", "mAP@20", *(f"in {code}" for code in codes)),
            rows,
            title=f"{self.model}: answers in one pool of {pool:,} sentences; shares of the top 20 by language",
            notes=() if self.scores else self._notes(),
        )

    def tables(self) -> tuple[Table, ...]:
        """Return the available tables: matrices, LAReQA's figures and means."""
        found = [self.matrix(task) for task in MATRICES if self.cells(task)]
        if self.answers:
            found.append(self.answer_table())
        if self.scores:
            found.append(self.table())
        return tuple(found)

    def _notes(self) -> list[str]:
        """Return what the figures depend on."""
        seconds = self.scoring_seconds + self.encoding_seconds
        parts = [
            f"Percent. Question prompt {self.query_prompt!r}, text prompt {self.passage_prompt!r}",
            "not truncated" if self.max_seq_length is None else f"truncated at {self.max_seq_length} tokens",
        ]
        if any(each.task == "sentence" for each in self.scores) or self.answers:
            parts.append(f"answers encoded as {self.candidate}")
        if self.limit is not None:
            parts.append(f"{self.limit} questions per language")
        return [f"{', '.join(parts)}. Scoring took {self.scoring_seconds / max(seconds, 1e-9):.1%} of the time."]

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, including each score as a document and the means."""
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
        """Build the report from the output of :meth:`to_dict`; the means are recomputed."""
        if document.get("kind") != cls.__name__:
            raise DataError(f"not a {cls.__name__}: found kind {document.get('kind')!r}", "Evaluate again.")
        parts = {
            "scores": tuple(QuestionScores.from_dict(each) for each in document.get("scores", ())),
            "answers": tuple(AnswerScores.from_dict(each) for each in document.get("answers", ())),
        }
        return super().from_dict({**document, **parts})


@dataclass(frozen=True)
class SpanScores(Result):
    """Predicted answers of one language against the gold answers; shares between 0 and 1.

    ``windows`` is the number of windows of all questions, ``empty`` the number of empty answers.
    """

    language: str
    questions: int
    f1: float
    exact_match: float
    windows: int
    empty: int


@dataclass(frozen=True)
class SpanReport(Report):
    """Extractive question answering of one model: trained in English, tested in several languages.

    Parameters
    ----------
    model
        Name of the model.
    training_data
        ``SQuAD v1.1`` for its whole training part, otherwise ``stand-in: NAME``. Figures of stand-ins compare
        models with each other, not with published figures.
    training_questions, training_windows
        Number of training questions and windows.
    data
        Language to the name of the test file or dataset.
    scores
        One entry per language.
    settings
        Every setting of :class:`otembed.config.xquad.SpanConfig`.
    limit
        Number of questions of each language; None for all.
    steps, losses
        Number of optimizer steps, and step to mean loss since the previous entry.
    training_seconds, prediction_seconds
        Wall time; for a resumed run, of the last process.
    outcomes
        Contribution of each question, by task and metric.
    """

    schema: ClassVar[int] = 2

    model: str
    training_data: str
    training_questions: int
    training_windows: int
    data: dict[str, str]
    scores: tuple[SpanScores, ...]
    settings: dict[str, Any]
    limit: int | None
    steps: int
    losses: dict[str, float]
    training_seconds: float
    prediction_seconds: float
    outcomes: tuple[Outcomes, ...] = ()

    @property
    def stand_in(self) -> bool:
        """Whether the training data is not the whole of SQuAD v1.1."""
        return self.training_data != FULL_TRAINING

    @property
    def f1(self) -> float:
        """Plain mean over the languages."""
        return fmean(each.f1 for each in self.scores)

    @property
    def exact_match(self) -> float:
        """Plain mean over the languages."""
        return fmean(each.exact_match for each in self.scores)

    def table(self, *others: SpanReport) -> Table:
        """Return F1 and exact match by language and the mean of several, with other reports in further columns.

        Raises
        ------
        DataError
            A report is of other languages, questions or answers.
        """
        reports = (self, *others)
        for report in others:
            _check_comparable(self, report)
        found = [{each.language: each for each in report.scores} for report in reports]
        names = [f"{report.model} " if others else "" for report in reports]

        def shares(scores: Sequence[SpanScores | SpanReport]) -> list[str]:
            return [percent(share) for each in scores for share in (each.f1, each.exact_match)]

        rows = [
            [one.language, str(one.questions), *shares([scores[one.language] for scores in found])]
            for one in self.scores
        ]
        if len(rows) > 1:
            rows.append(["mean", str(sum(one.questions for one in self.scores)), *shares(reports)])
        return Table(
            ("language", "questions", *(f"{name}{figure}" for name in names for figure in ("F1", "exact match"))),
            rows,
            title=f"{self.model}: spans, trained on {self.training_data}",
            notes=self._notes(),
        )

    def _notes(self) -> list[str]:
        """Return what the figures depend on."""
        chosen = self.settings
        notes = [
            f"Percent; {chosen['normalization']} normalization. {self.training_questions:,} training questions, "
            f"{self.steps:,} steps of {chosen['per_device_train_batch_size'] * chosen['gradient_accumulation_steps']}, learning rate {chosen['learning_rate']:g}, windows of "
            f"{chosen['max_length']} tokens."
        ]
        if self.stand_in:
            notes.append("The training questions are a stand-in for SQuAD: not comparable with published figures.")
        return notes

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, including each score as a document and the means."""
        return {
            **super().to_dict(),
            "stand_in": self.stand_in,
            "scores": [each.to_dict() for each in self.scores],
            "means": {"f1": self.f1, "exact_match": self.exact_match},
        }

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Build the report from the output of :meth:`to_dict`; the means are recomputed."""
        scores = tuple(SpanScores.from_dict(each) for each in document.get("scores", ()))
        return super().from_dict({**document, "scores": scores})


def _mean(values: Iterable[float]) -> float | None:
    listed = list(values)
    return fmean(listed) if listed else None


def _check_comparable(first: SpanReport, second: SpanReport) -> None:
    asked = [{(each.language, each.questions) for each in report.scores} for report in (first, second)]
    if asked[0] != asked[1]:
        raise DataError(
            f"cannot compare reports on different data: {first.model} and {second.model}",
            "Evaluate both models on the same questions.",
        )
    check_same_examples(first, second)
