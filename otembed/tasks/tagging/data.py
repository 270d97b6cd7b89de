"""Tagged sentences of one language."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from otembed.data.sampling import draw
from otembed.errors import DataError
from otembed.results.outcomes import digest_of
from otembed.tasks.tagging.conllu import TaggedSentence, check_treebank, read_conllu

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True)
class TaggedSet:
    """Sentences with the universal part-of-speech tag of each word.

    Parameters
    ----------
    where
        The file that they come from.
    sentences
        The sentences in the order of the file, each with at least one word.
    whole
        Number of sentences in the file; more than there are here if they were sampled.
    """

    where: str
    sentences: tuple[TaggedSentence, ...]
    whole: int

    def __len__(self) -> int:
        """Return the number of sentences."""
        return len(self.sentences)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of words of each sentence."""
        return np.array([len(each.words) for each in self.sentences], np.int64)

    def tags(self) -> NDArray[np.int64]:
        """Return the tag of each word of all sentences, as its index in ``TAGS``."""
        return np.array([tag for each in self.sentences for tag in each.tags], np.int64)

    def digest(self) -> str:
        """Return a hash of words and tags in order."""
        return digest_of(text for each in self.sentences for text in (repr(each.words), repr(each.tags)))

    def sample(self, limit: int | None, seed: int = 0) -> TaggedSet:
        """Return ``limit`` sentences sampled uniformly with the seed, in their order; all if there are fewer."""
        if limit is None or limit >= len(self):
            return self
        return replace(self, sentences=tuple(self.sentences[row] for row in draw(len(self), limit, seed)))

    def without(self, other: TaggedSet) -> TaggedSet:
        """Return the sentences that are not in ``other``, compared by their lines."""
        lines = {each.line for each in other.sentences}
        return replace(self, sentences=tuple(each for each in self.sentences if each.line not in lines))

    def spread(self, limit: int | None) -> TaggedSet:
        """Return ``limit`` evenly spaced sentences; all if there are fewer.

        Parallel treebanks, such as PUD, thereby keep the same sentences in every language.

        >>> rows = tuple(TaggedSentence((str(n),), (0,), n) for n in range(10))
        >>> [each.line for each in TaggedSet("x", rows, 10).spread(4).sentences]
        [0, 2, 5, 7]
        """
        count = len(self)
        if limit is None or limit >= count:
            return self
        return replace(self, sentences=tuple(self.sentences[index * count // limit] for index in range(limit)))


def read_tagged(place: TaggedSet | str | Path) -> TaggedSet:
    """Read a treebank in CoNLL-U; a set is returned as it is.

    Raises
    ------
    DataError
        As :func:`otembed.tasks.tagging.conllu.read_conllu`; also if the file has no sentence.
    """
    if isinstance(place, TaggedSet):
        return place
    path = check_treebank(place)
    sentences = tuple(read_conllu(path))
    if not sentences:
        raise DataError("no sentence", "Check that this is a CoNLL-U file.", path=path)
    return TaggedSet(str(place), sentences, len(sentences))
