"""Links between the sentences of two documents; torch-free."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from otembed.documents.read import Document
from otembed.mining.output import MinedPair


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
    """Two documents with the links of all their sentences, sentences without a link included, in source order.

    ``ids`` are the ids of the source and the target, if each has its own; otherwise both are those of the pair.
    """

    id: str
    source: Document
    target: Document
    links: tuple[Link, ...]
    ids: tuple[str, str] | None = None

    def __iter__(self) -> Iterator[Link]:
        """Yield the links that have both sides."""
        return (link for link in self.links if link.is_pair)

    def texts(self, link: Link) -> tuple[str, str]:
        """Return the texts of both sides of a link, sentences joined by spaces."""
        source, target = (
            " ".join(map(sentences.__getitem__, numbers))
            for sentences, numbers in zip(self._numbered, (link.source, link.target), strict=True)
        )
        return source, target

    @cached_property
    def _numbered(self) -> tuple[dict[int, str], dict[int, str]]:
        """The sentences of both sides by number, made once for all links."""
        source, target = (
            dict(zip(document.numbers, document.sentences, strict=True)) for document in (self.source, self.target)
        )
        return source, target

    def pairs(self, *, unaligned: bool = False, threshold: float | None = None) -> Iterator[MinedPair]:
        """Yield the links as pairs of texts; ids are the document's id and the sentence numbers, ``"7:0,1"``."""
        ids = self.ids or (self.id, self.id)
        for link in self.chosen(unaligned=unaligned, threshold=threshold):
            source, target = (
                f"{document}:{','.join(map(str, numbers))}" if numbers else ""
                for document, numbers in zip(ids, (link.source, link.target), strict=True)
            )
            yield MinedPair(link.score, link.cosine, source, target, *self.texts(link))

    def chosen(self, *, unaligned: bool = False, threshold: float | None = None) -> Iterator[Link]:
        """Yield the links of at least a score, and with ``unaligned`` each sentence that is in none of them."""
        for link in self.links:
            if link.is_pair and (threshold is None or link.score >= threshold):
                yield link
            elif unaligned:
                yield from (Link((number,), (), 0.0, 0.0) for number in link.source)
                yield from (Link((), (number,), 0.0, 0.0) for number in link.target)


def kinds_of(links: Iterable[Link]) -> Counter[str]:
    """Count links by their numbers of sentences."""
    return Counter(f"{len(link.source)}-{len(link.target)}" for link in links)
