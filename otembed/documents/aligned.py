"""The result of aligning documents: links between sentences, pair by pair, and the report of the run; torch-free."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from otembed.documents.read import Document
from otembed.mining.output import MinedPair
from otembed.results import Result

if TYPE_CHECKING:
    from otembed.documents.output import Languages


@dataclass(frozen=True)
class Link:
    """Sentences that translate each other, as numbers of lines from 0; ascending, usually consecutive.

    Parameters
    ----------
    source, target
        Numbers of the sentences. One is empty for a sentence without a translation.
    score
        1 - cost: 0 as close as random sentences of the documents, 1 identical in meaning. 0 without a translation.
    cosine
        Cosine of both texts; 0 without a translation.
    """

    source: tuple[int, ...]
    target: tuple[int, ...]
    score: float
    cosine: float

    @property
    def is_pair(self) -> bool:
        """Whether both sides have sentences."""
        return bool(self.source and self.target)


@dataclass(frozen=True)
class AlignedPair:
    """Two documents with the links of all their sentences, sentences without a link included, in source order."""

    id: str
    source: Document
    target: Document
    links: tuple[Link, ...]

    def __iter__(self) -> Iterator[Link]:
        """Yield the links that have both sides."""
        return (link for link in self.links if link.is_pair)

    def texts(self, link: Link) -> tuple[str, str]:
        """Return the texts of both sides of a link, sentences joined by spaces."""
        joined = []
        for document, numbers in ((self.source, link.source), (self.target, link.target)):
            places = {number: place for place, number in enumerate(document.numbers)}
            joined.append(" ".join(document.sentences[places[number]] for number in numbers))
        return joined[0], joined[1]

    def pairs(self, *, unaligned: bool = False, threshold: float | None = None) -> Iterator[MinedPair]:
        """Yield the links as pairs of texts; ids are the document's id and the sentence numbers, ``"7:0,1"``."""
        for link in self.chosen(unaligned=unaligned, threshold=threshold):
            ids = (
                "" if not each else f"{self.id}:{','.join(map(str, each))}" for each in (link.source, link.target)
            )
            yield MinedPair(link.score, link.cosine, *ids, *self.texts(link))

    def chosen(self, *, unaligned: bool = False, threshold: float | None = None) -> Iterator[Link]:
        """Yield the links of at least a score, and with ``unaligned`` each sentence that is in none of them."""
        for link in self.links:
            if link.is_pair and (threshold is None or link.score >= threshold):
                yield link
            elif unaligned:
                yield from (Link((number,), (), 0.0, 0.0) for number in link.source)
                yield from (Link((), (number,), 0.0, 0.0) for number in link.target)


@dataclass(frozen=True)
class DocumentsReport(Result):
    """The report of a run.

    ``sentences`` counts both sides, blank lines excluded; ``links`` those with both sides and at least the threshold,
    ``unaligned`` the sentences in none of them; ``kinds`` counts the links by their numbers of sentences, such as
    ``"1-2"``; ``empty`` counts pairs with a document without sentences, ``resumed`` those whose links were in the cache.
    """

    schema: ClassVar[int] = 1

    model: str
    documents: int
    sentences: int
    links: int
    unaligned: int
    empty: int
    resumed: int
    kinds: dict[str, int]
    threshold: float | None
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
        from otembed.documents.output import write_links

        return write_links(self, path, languages=languages, unaligned=unaligned)


def kinds_of(links: Iterator[Link]) -> Counter[str]:
    """Count links by their numbers of sentences."""
    return Counter(f"{len(link.source)}-{len(link.target)}" for link in links)
