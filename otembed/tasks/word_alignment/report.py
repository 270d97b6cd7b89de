"""The result of an evaluation of word alignment and its table; torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import Any, Self

from otembed.results import Outcomes, Table
from otembed.results.format import percent
from otembed.tasks.report import Report
from otembed.tasks.word_alignment.scores import AlignmentScores

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

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, including the mean error rate."""
        return {**super().to_dict(), "scores": [each.to_dict() for each in self.scores], "means": {"aer": self.aer}}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Build the report and its scores from the output of :meth:`to_dict`."""
        scores = tuple(AlignmentScores.from_dict(each) for each in document.get("scores", ()))
        return super().from_dict({**document, "scores": scores})
