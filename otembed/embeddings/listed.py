"""What can be embedded into the cache: lines of a file, or texts that a program holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from otembed.results.outcomes import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


class TextRows(Protocol):
    """Texts in an order, each with the number under which messages know it."""

    @property
    def name(self) -> str:
        """Where they come from."""

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
    """Different texts of a list, shortest first: the same set has the same digest whatever its order.

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
        """Return the number of different texts."""
        return len(self._texts)

    def texts(self, start: int, stop: int) -> list[str]:
        """Return the texts from ``start`` to before ``stop``."""
        return self._texts[start:stop]

    def digest(self) -> str:
        """Return a hash of all texts in order, as that of :class:`otembed.embeddings.lines.Lines`."""
        return digest_of(self._texts)
