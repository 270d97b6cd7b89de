"""The result of mining: the pairs and the report of the run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from otembed.mining.calibration.calibrate import CalibratedReport, Calibration
from otembed.mining.output import MinedPair, write_pairs

if TYPE_CHECKING:
    from otembed.mining.pairing.pairing import Candidates
    from otembed.mining.side import Side


@dataclass(frozen=True)
class MiningReport(CalibratedReport):
    """The report of a mining run.

    ``source`` and ``target`` count the lines that were read and left out, ``candidates`` the distinct candidates of
    both directions, and ``seconds`` is the wall time of each stage. ``search`` is the method; for an approximate one,
    ``recall`` is the share of true neighbors found, measured on a sample of queries. ``rescore`` is ``ot`` if words
    were also compared. ``calibration`` describes how development pairs determined the threshold.
    """

    schema: ClassVar[int] = 2

    model: str | None
    source: dict[str, Any]
    target: dict[str, Any]
    dimension: int
    centered: bool
    search: str
    k: int
    margin: str
    threshold: float | None
    candidates: int
    pairs: int
    seconds: dict[str, float]
    recall: float | None = None
    rescore: str = "none"
    calibration: Calibration | None = None


@dataclass(frozen=True, eq=False)
class MinedPairs:
    """Pairs by score, best first; ties by source, then target.

    Iterating yields :class:`MinedPair`: score, cosine, ids and texts.
    """

    pairs: Candidates
    source: Side
    target: Side
    report: MiningReport

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.pairs)

    def __iter__(self) -> Iterator[MinedPair]:
        """Yield the pairs, best first."""
        return self._rows(self.pairs)

    def at(self, places: Sequence[int]) -> list[MinedPair]:
        """Return the pairs with these indices, 0 the best."""
        return list(self._rows(self.pairs.take(np.asarray(places, np.int64))))

    def _rows(self, found: Candidates) -> Iterator[MinedPair]:
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
        """Return the pairs with at least this score; their report has no calibration if the threshold is another one."""
        lowest = self.report.threshold
        if lowest is not None and threshold <= lowest:
            return self
        pairs = self.pairs.take(self.pairs.score >= threshold)
        report = replace(self.report, threshold=threshold, pairs=len(pairs), calibration=None)
        return replace(self, pairs=pairs, report=report)

    def write(self, path: str | Path, *, languages: tuple[str, str] | None = None) -> Path:
        """Write the pairs in the format of the suffix; see :func:`otembed.mining.output.write_pairs`.

        Raises
        ------
        ConfigError
            Also for TMX if a side has vectors without text.
        """
        texts = self.source.lines is not None and self.target.lines is not None
        named = tuple(
            side.lines is not None and side.lines.labels is not None for side in (self.source, self.target)
        )
        return write_pairs(self, path, languages=languages, texts=texts, text_ids=(named[0], named[1]))
