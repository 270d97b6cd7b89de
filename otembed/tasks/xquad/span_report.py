"""What extractive question answering gives: one language's scores and the whole report."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import Any, Self

from otembed.results import Result
from otembed.results.outcomes import Outcomes, read_outcomes

FULL_TRAINING = "SQuAD v1.1"


@dataclass(frozen=True)
class SpanScores(Result):
    """Predicted answers of one language against the right ones; shares between 0 and 1.

    ``windows`` counts those that the questions were cut into, ``empty`` the questions answered with nothing.
    """

    language: str
    questions: int
    f1: float
    exact_match: float
    windows: int
    empty: int


@dataclass(frozen=True)
class SpanReport(Result):
    """Extractive question answering of one model: trained in English, tested in several languages.

    Parameters
    ----------
    model
        Its name.
    training_data
        ``SQuAD v1.1`` if it is the whole of that training part, otherwise ``stand-in: NAME``: figures of stand-ins
        compare models with each other, and with nothing that was published.
    training_questions, training_windows
        What was trained on.
    data
        Language to the name of the test file or data set.
    scores
        One entry a language.
    settings
        Every knob of :class:`SpanConfig`.
    limit
        Questions asked of each language; None for all.
    steps, losses
        Optimizer steps, and the mean loss since the last entry at the step of each.
    training_seconds, prediction_seconds
        Wall time; of a resumed run, that of the last process.
    outcomes
        What each question contributed, by task and metric.
    """

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
        """Whether it was trained on anything else than SQuAD v1.1."""
        return self.training_data != FULL_TRAINING

    @property
    def f1(self) -> float:
        """Plain mean over the languages."""
        return fmean(each.f1 for each in self.scores)

    @property
    def exact_match(self) -> float:
        """Plain mean over the languages."""
        return fmean(each.exact_match for each in self.scores)

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values; each score is a document of its own, and the means are added."""
        return {
            **super().to_dict(),
            "stand_in": self.stand_in,
            "scores": [each.to_dict() for each in self.scores],
            "means": {"f1": self.f1, "exact_match": self.exact_match},
        }

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Build the report from :meth:`to_dict`'s output; the means are computed anew."""
        scores = tuple(SpanScores.from_dict(each) for each in document.get("scores", ()))
        return super().from_dict({**document, "scores": scores, "outcomes": read_outcomes(document)})
