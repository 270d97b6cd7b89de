"""The result of an evaluation of word alignment and its table; torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import Any, Self

from otembed.results import Outcomes, Table
from otembed.results.format import percent
from otembed.tasks.report import Report
from otembed.tasks.word_alignment.scores import AlignmentScores, WordRetrievalScores

ORIGINS = {
    "given": "",
    "stored": ", stored with the model",
    "text": ", chosen from the text",
    "default": ", default",
}


@dataclass(frozen=True)
class AlignmentReport(Report):
    """Word alignment of one model over several gold sets.

    Parameters
    ----------
    model
        Name of the model.
    layer, layer_origin
        The layer, and how it was chosen: given, stored, text or default.
    scores
        One entry per set.
    settings
        Settings of :class:`otembed.config.WordAlignmentConfig`.
    seconds
        Wall time of encoding, choosing the layer and linking.
    unseen
        Number of words that the encoder did not see, usually because of its length limit; they have no links.
    retrieval
        Contextual word retrieval, one entry per set; empty if it was not evaluated.
    outcomes
        Contribution of each sentence pair, for :func:`otembed.compare`.
    """

    model: str
    layer: int
    layer_origin: str
    scores: tuple[AlignmentScores, ...]
    settings: dict[str, Any]
    seconds: float
    unseen: int = 0
    retrieval: tuple[WordRetrievalScores, ...] = ()
    outcomes: tuple[Outcomes, ...] = ()

    @property
    def aer(self) -> float:
        """Plain mean over the sets."""
        return fmean(each.aer for each in self.scores)

    def table(self) -> Table:
        """Return a row for each gold set and, with several sets, the plain mean of their figures."""
        counts, shares = ("sentences", "sure", "possible", "links"), ("precision", "recall", "f1", "aer")
        rows = [
            [one.name, *(str(getattr(one, key)) for key in counts), *(percent(getattr(one, key)) for key in shares)]
            for one in self.scores
        ]
        if len(rows) > 1:
            sums = (sum(getattr(one, key) for one in self.scores) for key in counts)
            means = (fmean(getattr(one, key) for one in self.scores) for key in shares)
            rows.append(["mean", *map(str, sums), *map(percent, means)])
        return Table(
            ("set", "pairs", "sure", "possible", "links", "precision", "recall", "F1", "AER"),
            rows,
            title=self.model,
            notes=(f"Percent; AER: alignment error rate. Layer {self.layer}{ORIGINS[self.layer_origin]}.",),
        )

    @property
    def word_retrieval(self) -> float | None:
        """Mean of both directions and over the sets that have one-to-one links; None if there are none."""
        return self._mean("accuracy")

    @property
    def word_retrieval_centered(self) -> float | None:
        """The same, centered."""
        return self._mean("centered_accuracy")

    def _mean(self, figure: str) -> float | None:
        values = [float(getattr(each, figure)) for each in self.retrieval if each.links]
        return fmean(values) if values else None

    def retrieval_table(self) -> Table:
        """Return the accuracy of word retrieval for each set, and the plain mean over sets with one-to-one links."""
        figures = ("source_to_target", "target_to_source", "accuracy")
        names = (*figures, *(f"centered_{figure}" for figure in figures))
        rows = [
            [
                one.name,
                f"{one.links:,}",
                *(percent(getattr(one, name)) if one.links else "" for name in names),
            ]
            for one in self.retrieval
        ]
        scored = [one for one in self.retrieval if one.links]
        if len(rows) > 1 and scored:
            means = (fmean(getattr(one, name) for one in scored) for name in names)
            rows.append(["mean", f"{sum(one.links for one in scored):,}", *map(percent, means)])
        directions = ("src→tgt", "tgt→src", "mean")
        return Table(
            ("set", "links", *directions, *(f"centered {each}" for each in directions)),
            rows,
            title="Word retrieval",
            notes=(
                "Percent of the sure one-to-one links for which the nearest word of the whole set is the linked word;"
                f" layer {self.layer}. Centered: each side's mean word vector is subtracted.",
            ),
        )

    def tables(self) -> tuple[Table, ...]:
        """Return :meth:`table` and, if it was evaluated, :meth:`retrieval_table`."""
        return (self.table(), self.retrieval_table()) if self.retrieval else (self.table(),)

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, including the means."""
        means = {name: getattr(self, name) for name in ("aer", "word_retrieval", "word_retrieval_centered")}
        lists = {name: [each.to_dict() for each in getattr(self, name)] for name in ("scores", "retrieval")}
        return {**super().to_dict(), **lists, "means": means}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Build the report and its scores from the output of :meth:`to_dict`."""
        scores = tuple(AlignmentScores.from_dict(each) for each in document.get("scores", ()))
        retrieval = tuple(WordRetrievalScores.from_dict(each) for each in document.get("retrieval", ()))
        return super().from_dict({**document, "scores": scores, "retrieval": retrieval})
