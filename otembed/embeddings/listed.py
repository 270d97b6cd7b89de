"""Texts that can be embedded into the cache: lines of a file, or texts in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from otembed.results.outcomes import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


class TextRows(Protocol):
    """A sequence of texts, each with a number for messages."""

    @property
    def name(self) -> str:
        """Origin of the texts."""

    @property
    def ids(self) -> NDArray[np.int64]:
        """(n,) numbers for messages."""

    def __len__(self) -> int:
        """Return the number of texts."""

    def texts(self, start: int, stop: int) -> list[str]:
        """Return the texts from ``start`` to before ``stop``."""

    def digest(self) -> str:
        """Return a hash of all texts in order."""


class ListedTexts:
    """The distinct texts of a list, shortest first, so that the digest does not depend on their order.

    Examples
    --------
    >>> rows = ListedTexts("some", ["bbb", "a", "bbb"])
    >>> rows.texts(0, 9), rows.ids.tolist()
    (['a', 'bbb'], [2, 1])
    """

    def __init__(self, name: str, texts: Iterable[str]) -> None:
        first: dict[str, int] = {}
        for number, text in enumerate(texts, start=1):
            first.setdefault(text, number)
        self.name = name
        self._texts = sorted(first, key=lambda text: (len(text), text))
        self.ids: NDArray[np.int64] = np.array([first[text] for text in self._texts], np.int64)

    def __len__(self) -> int:
        """Return the number of distinct texts."""
        return len(self._texts)

    def texts(self, start: int, stop: int) -> list[str]:
        """Return the texts from ``start`` to before ``stop``."""
        return self._texts[start:stop]

    def digest(self) -> str:
        """Return a hash of all texts in order, as in :class:`otembed.embeddings.lines.Lines`."""
        return digest_of(self._texts)
