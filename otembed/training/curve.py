"""The curve of an interpolation: figures by share of the way from the start to the trained weights; torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from otembed.results import Result, Table
from otembed.results.format import percent


@dataclass(frozen=True)
class SharePoint(Result):
    """Figures of the weights at one share.

    ``accuracy`` is the mean over held-out pairs and directions; ``low`` and ``high`` are the bounds of the 95 % interval
    of its difference to the best share. ``keeps`` says whether the interval contains 0, that is, whether the share
    keeps held-out retrieval. ``others`` is the accuracy on ``release.other_pairs``. ``mean_cosine`` and
    ``effective_rank`` are means over held-out pairs.
    """

    share: float
    accuracy: float
    low: float
    high: float
    keeps: bool
    others: float | None
    mean_cosine: float
    effective_rank: float


@dataclass(frozen=True)
class InterpolationCurve(Result):
    """Figures at every share that was evaluated, and the share that was released, chosen (``automatic``) or given."""

    share: float
    automatic: bool
    points: tuple[SharePoint, ...]

    def table(self, *, centered_later: bool = False) -> Table:
        """Return one row a share, in percent; the released share is marked.

        With ``centered_later``, a note says that the released model is also centered, unlike the shares measured here.
        """
        others = any(each.others is not None for each in self.points)
        columns = (
            "share",
            "held-out",
            "to the best",
            *(["others"] if others else []),
            "mean cosine",
            "eff. rank",
            "",
        )
        rows = []
        for each in self.points:
            difference = f"{100 * each.low:+.1f} to {100 * each.high:+.1f}"
            rows.append(
                (
                    f"{each.share:g}",
                    percent(each.accuracy),
                    difference if each.low or each.high else "best or equal",
                    *([percent(each.others) if each.others is not None else ""] if others else []),
                    f"{each.mean_cosine:.3f}",
                    f"{each.effective_rank:.1f}",
                    "released" if each.share == self.share else "",
                )
            )
        notes = (
            "Share 0: the starting model, 1: the trained one. Accuracy in percent, mean of pairs and directions;"
            " to the best: 95 % interval of the difference in points."
            + (" Measured before centering." if centered_later else ""),
        )
        return Table(columns, rows, title="Interpolation", notes=notes)

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, each point as a document."""
        return {**super().to_dict(), "points": [each.to_dict() for each in self.points]}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Build the curve and its points."""
        points = tuple(SharePoint.from_dict(each) for each in document["points"])
        return super().from_dict({**document, "points": points})
