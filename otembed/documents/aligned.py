"""The result of a run: the aligned pairs of documents and the report; torch-free."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

from otembed.documents.link_threshold import LinkCalibration
from otembed.documents.links import AlignedPair
from otembed.documents.output import write_links
from otembed.mining.calibration.calibrate import CalibratedReport
from otembed.mining.output import Languages, MinedPair
from otembed.results import Result


@dataclass(frozen=True)
class DocumentsReport(CalibratedReport):
    """The report of a run.

    ``sentences`` counts both sides, blank lines excluded; ``links`` those with both sides and at least the threshold,
    ``unaligned`` the sentences in none of them; ``kinds`` counts the links by their numbers of sentences, such as
    ``"1-2"``; ``empty`` counts pairs with a document without sentences, ``resumed`` those whose links were in the cache.
    ``calibration`` describes how the threshold ``auto`` was chosen.
    """

    schema: ClassVar[int] = 2
    calibrated: ClassVar[type[Result]] = LinkCalibration

    model: str
    documents: int
    sentences: int
    links: int
    unaligned: int
    empty: int
    resumed: int
    kinds: dict[str, int]
    threshold: float | None
    calibration: LinkCalibration | None
    settings: dict[str, Any]
    seconds: float


@dataclass(frozen=True, eq=False)
class AlignedDocuments:
    """All pairs of a run, in the order of the input; each iteration reads them again from the cache.

    Iterating yields :class:`AlignedPair`.
    """

    report: DocumentsReport
    threshold: float | None
    _read: Callable[[], Iterator[AlignedPair]] = field(repr=False)

    def __len__(self) -> int:
        """Return the number of pairs of documents."""
        return self.report.documents

    def __iter__(self) -> Iterator[AlignedPair]:
        """Yield the pairs."""
        return self._read()

    def pairs(self, *, unaligned: bool = False) -> Iterator[MinedPair]:
        """Yield the links of all documents as pairs of texts, with ``unaligned`` also sentences without a link."""
        return chain.from_iterable(each.pairs(unaligned=unaligned, threshold=self.threshold) for each in self)

    def write(self, path: str | Path, *, languages: Languages = None, unaligned: bool = False) -> Path:
        """Write the links in the format of the suffix; see :func:`otembed.documents.output.write_links`."""
        return write_links(self, path, languages=languages, unaligned=unaligned, threshold=self.threshold)
