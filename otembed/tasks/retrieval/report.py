"""Figures of bitext retrieval: one language pair, and one model over several, with their table; torch-free."""

from __future__ import annotations

from dataclasses import dataclass, fields
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar, Self

from otembed.errors import DataError
from otembed.results import Outcomes, Result, Table
from otembed.results.format import change
from otembed.tasks.report import Report, check_same_examples

if TYPE_CHECKING:
    from collections.abc import Sequence

FIGURES = {
    "src→tgt": "accuracy_source_to_target",
    "tgt→src": "accuracy_target_to_source",
    "F1": "f1",
    "xSIM": "xsim",
}
"""Column headings and the attributes of :class:`RetrievalScores` below them."""


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


def mean_scores(scores: Sequence[RetrievalScores]) -> RetrievalScores:
    """Return the plain mean over language pairs, with equal weights; ``sentences`` is the sum."""
    if not scores:
        raise DataError("cannot average zero scores", "Score at least one language pair.")
    shares = [field.name for field in fields(RetrievalScores) if field.name.startswith(("accuracy", "f1", "xsim"))]
    return RetrievalScores(
        pair="mean",
        sentences=sum(one.sentences for one in scores),
        margin_k=min(one.margin_k for one in scores),
        **{name: fmean(getattr(one, name) for one in scores) for name in shares},
    )


@dataclass(frozen=True)
class RetrievalReport(Report):
    """Bitext retrieval of one model over several language pairs.

    Parameters
    ----------
    model
        Name of the model.
    scores
        One entry per language pair, in the requested order.
    seconds
        Wall time of encoding and scoring.
    centered_scores
        The same pairs with centered embeddings: each side's mean embedding is subtracted. Empty if not
        requested. Centering needs no training, so compare two models under both.
    outcomes
        Contribution of each row, for :func:`otembed.compare`; see :func:`retrieval_outcomes`.
    """

    schema: ClassVar[int] = 2

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
        """Plain mean over the pairs after centering; None if centered scores were not requested."""
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

    def table(self, after: RetrievalReport | None = None, *, centered: bool = False) -> Table:
        """Return a row for each language pair and the mean of several, or the change to a second report.

        Figures are in percent: top-1 accuracy in both directions, and F1 and xSIM as means of both directions. The
        table of one or two reports fits in 80 columns.

        Parameters
        ----------
        after
            A second report; every figure then reads ``before→after change``, with the change in points.
        centered
            Show the centered scores instead of the plain ones.

        Raises
        ------
        DataError
            A report has no centered scores, or the reports differ in language pairs, sentences or neighbors of the xSIM
            margin, so their figures cannot be compared.
        """
        first = _with_mean(self, centered=centered)
        second: Sequence[RetrievalScores | None] = [None] * len(first)
        if after is not None:
            later = _with_mean(after, centered=centered)
            _check_comparable(first, later)
            check_same_examples(self, after)
            second = later
        rows = []
        for one, two in zip(first, second, strict=True):
            size = [str(one.sentences)] if two is None else []
            figures = (
                change(getattr(one, key), None if two is None else getattr(two, key)) for key in FIGURES.values()
            )
            rows.append([one.pair, *size, *figures])
        title = self.model if after is None else f"{self.model} → {after.model}"
        return Table(
            ("pair", *(["sentences"] if after is None else []), *FIGURES),
            rows,
            title=f"{title}, centered" if centered else title,
            notes=(
                "Percent. src→tgt, tgt→src: top-1 accuracy. xSIM: error rate, lower is better.",
                "F1 and xSIM are means of both directions.",
            ),
        )

    def tables(self) -> tuple[Table, ...]:
        """Return the table, and a table of the centered scores if there are any."""
        return (self.table(), *((self.table(centered=True),) if self.centered_scores else ()))

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, including each score as a document and the means."""
        means = {"accuracy": self.accuracy, "f1": self.f1, "xsim": self.xsim}
        scores = {name: [one.to_dict() for one in getattr(self, name)] for name in ("scores", "centered_scores")}
        return {**super().to_dict(), **scores, "means": means}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Build the report and its scores from the output of :meth:`to_dict`; the means are recomputed."""
        scores = {
            name: tuple(RetrievalScores.from_dict(one) for one in document.get(name, ()))
            for name in ("scores", "centered_scores")
        }
        return super().from_dict({**document, **scores})


def _with_mean(report: RetrievalReport, *, centered: bool) -> list[RetrievalScores]:
    scores = report.centered_scores if centered else report.scores
    if not scores:
        raise DataError(
            f"{report.model}: the report has no {'centered ' if centered else ''}scores",
            "Evaluate again with centered=True (--center)." if centered else "Evaluate at least one language pair.",
        )
    return [*scores, mean_scores(scores)] if len(scores) > 1 else list(scores)


def _check_comparable(first: list[RetrievalScores], second: list[RetrievalScores]) -> None:
    kinds = [[(one.pair, one.sentences, one.margin_k) for one in scores] for scores in (first, second)]
    if kinds[0] != kinds[1]:
        described = [", ".join(f"{pair} ({count} sentences, k={k})" for pair, count, k in kind) for kind in kinds]
        raise DataError(
            f"cannot compare reports on different data: {described[0]} and {described[1]}",
            "Evaluate both models on the same pairs with the same k.",
        )
