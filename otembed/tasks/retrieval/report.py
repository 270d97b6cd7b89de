"""Figures of bitext retrieval: one language pair, and one model over several; torch-free."""

from __future__ import annotations

from dataclasses import dataclass, fields
from statistics import fmean
from typing import TYPE_CHECKING, Any, Self

from otembed.errors import DataError
from otembed.results import Outcomes, Result, read_outcomes

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class RetrievalScores(Result):
    """Bitext retrieval of one language pair, source lines against target lines, both directions.

    Shares are between 0 and 1. ``accuracy_*`` is Tatoeba-style top-1 accuracy by cosine, ``f1_*``
    MTEB's weighted F1 of the same nearest neighbors, ``xsim_*`` the xSIM error rate (ratio margin
    over ``margin_k`` neighbors; lower is better).
    """

    pair: str
    sentences: int
    accuracy_source_to_target: float
    accuracy_target_to_source: float
    f1_source_to_target: float
    f1_target_to_source: float
    xsim_source_to_target: float
    xsim_target_to_source: float
    margin_k: int = 4

    @property
    def accuracy(self) -> float:
        """Mean of both directions."""
        return (self.accuracy_source_to_target + self.accuracy_target_to_source) / 2

    @property
    def f1(self) -> float:
        """Mean of both directions."""
        return (self.f1_source_to_target + self.f1_target_to_source) / 2

    @property
    def xsim(self) -> float:
        """Mean of both directions; an error rate, lower is better."""
        return (self.xsim_source_to_target + self.xsim_target_to_source) / 2


def mean_scores(scores: Sequence[RetrievalScores], pair: str = "mean") -> RetrievalScores:
    """Return the plain mean over language pairs, each pair counting alike; ``sentences`` is the sum."""
    if not scores:
        raise DataError("no scores to take the mean of", "Score at least one language pair.")
    shares = [field.name for field in fields(RetrievalScores) if field.name.startswith(("accuracy", "f1", "xsim"))]
    return RetrievalScores(
        pair=pair,
        sentences=sum(one.sentences for one in scores),
        margin_k=min(one.margin_k for one in scores),
        **{name: fmean(getattr(one, name) for one in scores) for name in shares},
    )


@dataclass(frozen=True)
class RetrievalReport(Result):
    """Bitext retrieval of one model over several language pairs.

    Parameters
    ----------
    model
        Name of the model that was scored.
    scores
        One entry a language pair, in the order asked for.
    seconds
        Wall time of encoding and scoring.
    centered_scores
        The same pairs after each side's mean was taken from its vectors; empty if not asked for. This
        gain needs no training, so two models are compared under both.
    outcomes
        What each row contributed, for :func:`otembed.compare`; see :func:`retrieval_outcomes`.
    """

    model: str
    scores: tuple[RetrievalScores, ...]
    seconds: float
    centered_scores: tuple[RetrievalScores, ...] = ()
    outcomes: tuple[Outcomes, ...] = ()

    @property
    def mean(self) -> RetrievalScores:
        """Plain mean over the pairs."""
        return mean_scores(self.scores)

    @property
    def centered_mean(self) -> RetrievalScores | None:
        """Plain mean over the pairs after centering; None if centered scores were not asked for."""
        return mean_scores(self.centered_scores) if self.centered_scores else None

    @property
    def accuracy(self) -> float:
        """Top-1 accuracy, mean over pairs and directions."""
        return self.mean.accuracy

    @property
    def f1(self) -> float:
        """Weighted F1, mean over pairs and directions."""
        return self.mean.f1

    @property
    def xsim(self) -> float:
        """Error rate of xSIM, mean over pairs and directions; lower is better."""
        return self.mean.xsim

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values; each score is a document of its own, and the means are added."""
        means = {"accuracy": self.accuracy, "f1": self.f1, "xsim": self.xsim}
        scores = {name: [one.to_dict() for one in getattr(self, name)] for name in ("scores", "centered_scores")}
        return {**super().to_dict(), **scores, "means": means}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Build the report and its scores from :meth:`to_dict`'s output; the means are computed anew."""
        scores = {
            name: tuple(RetrievalScores.from_dict(one) for one in document.get(name, ()))
            for name in ("scores", "centered_scores")
        }
        return super().from_dict({**document, **scores, "outcomes": read_outcomes(document)})
