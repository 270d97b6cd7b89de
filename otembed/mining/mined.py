"""What mining hands back: the pairs, and how they came about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from otembed.mining.calibration.calibrate import Calibration
from otembed.mining.output import MinedPair, write_pairs
from otembed.results import Result

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from otembed.embeddings.lines import Lines
    from otembed.mining.pairing.pairing import Candidates
    from otembed.mining.search.sides import Side


@dataclass(frozen=True)
class MiningReport(Result):
    """How a mining run went.

    ``source`` and ``target`` hold what was read and left out, ``candidates`` the number of different ones in
    both directions, ``seconds`` the wall time of each stage. ``search`` is the method; of an approximate one
    ``recall`` is the share of true neighbors that it found among the queries checked. ``rescore`` is ``ot`` where
    words were looked at as well. ``calibration`` says how
    the threshold was chosen, where development pairs were given.
    """

    model: str | None
    source: dict[str, Any]
    target: dict[str, Any]
    dimension: int
    centered: bool
    search: str
    k: int
    margin: str
    match: str
    threshold: float | None
    candidates: int
    pairs: int
    seconds: dict[str, float]
    recall: float | None = None
    rescore: str = "none"
    calibration: Calibration | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, the calibration a document of its own."""
        return {**super().to_dict(), "calibration": self.calibration and self.calibration.to_dict()}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Build the report and its calibration."""
        inner = document.get("calibration")
        return super().from_dict({**document, "calibration": inner and Calibration.from_dict(inner)})


@dataclass(frozen=True, eq=False)
class Collection:
    """One side of a run: its rows, and the lines they are of; None for vectors without text."""

    side: Side
    lines: Lines | None
    counts: dict[str, Any]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.side)

    def id_of(self, row: int) -> int | str:
        """Return the id of a row: the line's, or the row's number in its file, counted from 1."""
        return self.side.vectors.row_number(row) if self.lines is None else self.lines.id_of(row)

    def text_of(self, row: int) -> str:
        """Return the text of a row, '' if there is none."""
        return "" if self.lines is None else self.lines[row]


@dataclass(frozen=True, eq=False)
class MinedPairs:
    """Pairs by score, best first; ties by source, then target.

    Iterating yields :class:`MinedPair`: score, cosine, ids and texts.
    """

    pairs: Candidates
    source: Collection
    target: Collection
    report: MiningReport

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.pairs)

    def __iter__(self) -> Iterator[MinedPair]:
        """Yield the pairs, best first."""
        found = self.pairs
        for score, cosine, source, target in zip(
            found.score.tolist(), found.cosine.tolist(), found.source.tolist(), found.target.tolist(), strict=True
        ):
            yield MinedPair(
                score,
                cosine,
                self.source.id_of(source),
                self.target.id_of(target),
                self.source.text_of(source),
                self.target.text_of(target),
            )

    def above(self, threshold: float) -> MinedPairs:
        """Return the pairs with at least this score."""
        return MinedPairs(self.pairs.take(self.pairs.score >= threshold), self.source, self.target, self.report)

    def write(self, path: str | Path, *, languages: tuple[str, str] | None = None) -> Path:
        """Write the pairs in the format of the suffix; see :func:`otembed.mining.output.write_pairs`."""
        return write_pairs(self, path, languages=languages)


def length_filter(source: Collection, target: Collection, ratio: float, from_characters: int) -> Any:
    """Return a filter on candidates by :func:`lengths_fit`; None for vectors without text."""
    left, right = source.lines, target.lines
    if left is None or right is None:
        return None

    def keep(found: Candidates) -> np.ndarray:
        return lengths_fit(
            left.lengths[found.source], right.lengths[found.target], ratio=ratio, from_characters=from_characters
        )

    return keep


def lengths_fit(
    source: NDArray[np.int32], target: NDArray[np.int32], *, ratio: float, from_characters: int
) -> NDArray[np.bool_]:
    """Return which pairs have a longer over shorter text within ``ratio``, or a longer one that is short itself."""
    lengths = np.stack([source, target])
    short, long = lengths.min(axis=0), lengths.max(axis=0)
    return np.asarray((long < from_characters) | (long <= ratio * short))
