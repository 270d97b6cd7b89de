"""The result of an evaluation of sentence alignment and its table; torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from otembed.results import Outcomes, Result, Table
from otembed.results.format import percent
from otembed.tasks.report import Report


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@dataclass(frozen=True)
class DocumentScores(Result):
    """Counts of the links of one pair of documents, or of several, against gold.

    Parameters
    ----------
    name
        Name of the documents.
    links, pairs
        Predicted links, and those with both sides; the others are sentences without a translation.
    gold
        Gold links with both sides.
    correct, correct_pairs
        Predicted links that are gold links, and those of them that have both sides.
    lax_correct
        Predicted links that are gold links, or share a sentence on both sides with one.
    lax_found
        Gold links with both sides that are predicted, or share a sentence on both sides with a predicted one.
    """

    name: str
    links: int
    pairs: int
    gold: int
    correct: int
    correct_pairs: int
    lax_correct: int
    lax_found: int

    @property
    def precision(self) -> float:
        """Share of the predicted links that are gold links; 0 without predicted links."""
        return _share(self.correct, self.links)

    @property
    def recall(self) -> float:
        """Share of the gold links with both sides that are predicted."""
        return _share(self.correct_pairs, self.gold)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall: the strict F1."""
        return _f1(self.precision, self.recall)

    @property
    def link_f1(self) -> float:
        """F1 of the links with both sides alone; unlike the strict F1, a ratio of sums over sentences."""
        return _share(2 * self.correct_pairs, self.pairs + self.gold)

    @property
    def lax_precision(self) -> float:
        """Share of the predicted links that touch a gold link on both sides, or equal one."""
        return _share(self.lax_correct, self.links)

    @property
    def lax_recall(self) -> float:
        """Share of the gold links that touch a predicted link on both sides."""
        return _share(self.lax_found, self.gold)

    @property
    def lax_f1(self) -> float:
        """Harmonic mean of lax precision and lax recall."""
        return _f1(self.lax_precision, self.lax_recall)

    @property
    def figures(self) -> dict[str, float]:
        """All figures by name."""
        return {name: getattr(self, name) for name in (*FIGURES, "link_f1")}

    def __add__(self, other: DocumentScores) -> DocumentScores:
        """Return the sum of the counts."""
        counts = {key: value + getattr(other, key) for key, value in vars(self).items() if key != "name"}
        return DocumentScores(name="all", **counts)

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, including the figures."""
        return {**super().to_dict(), "figures": self.figures}


FIGURES = ("precision", "recall", "f1", "lax_precision", "lax_recall", "lax_f1")


@dataclass(frozen=True)
class DocumentsEvaluation(Report):
    """Sentence alignment by one model over several pairs of documents.

    Parameters
    ----------
    model
        Name of the model.
    scores
        One entry per pair of documents.
    settings
        Settings of :class:`otembed.config.DocumentsConfig`.
    seconds
        Wall time of encoding and aligning.
    outcomes
        Contribution of each source sentence to the F1 of links with both sides, for :func:`otembed.compare`.
    """

    model: str
    scores: tuple[DocumentScores, ...]
    settings: dict[str, Any]
    seconds: float
    outcomes: tuple[Outcomes, ...] = ()

    @property
    def total(self) -> DocumentScores:
        """The counts of all documents together, as published aligners are scored."""
        first, *others = self.scores
        for each in others:
            first = first + each
        return first

    def table(self) -> Table:
        """Return a row for each pair of documents and, with several, one for all links together."""
        several = (self.total,) if len(self.scores) > 1 else ()
        rows = [
            [
                one.name,
                *(str(getattr(one, key)) for key in ("gold", "pairs")),
                *(percent(getattr(one, key)) for key in FIGURES),
            ]
            for one in (*self.scores, *several)
        ]
        return Table(
            ("documents", "gold", "links", "precision", "recall", "F1", "lax precision", "lax recall", "lax F1"),
            rows,
            title=self.model,
            notes=(
                "Percent. Strict: the same sentences on both sides; lax: at least one on both sides. Sentences without "
                "a translation count in precision.",
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, including the figures of all documents together."""
        return {
            **super().to_dict(),
            "scores": [each.to_dict() for each in self.scores],
            "total": self.total.figures,
        }

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Build the report and its scores from the output of :meth:`to_dict`."""
        scores = tuple(DocumentScores.from_dict(each) for each in document.get("scores", ()))
        return super().from_dict({**document, "scores": scores})
