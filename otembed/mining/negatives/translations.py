"""Which texts are, as far as a bitext tells, translations or copies of each other."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from otembed.embeddings.vectors import Ids


def text_key(text: str) -> str:
    """Return what two texts that count as the same have in common: letters, digits and marks, without case.

    >>> text_key("The cat,  sat!") == text_key("the cat sat")
    True
    >>> text_key("?!")
    '?!'
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(letter for letter in folded if unicodedata.category(letter)[0] in "LNM")
    return kept or text


def translation_groups(
    sources: Sequence[str], targets: Sequence[str], rows: Ids, columns: Ids
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the group of each source and of each target; texts of one group are not negatives of each other.

    A pair puts its two texts into one group, and so do equal texts (:func:`text_key`), on either side. So a group holds
    the translations of a text, other sentences with the same translation, and theirs.

    Parameters
    ----------
    sources, targets
        The n and m texts.
    rows, columns
        (p,) int64 source and target of each pair.

    Returns
    -------
    source_groups, target_groups
        (n,) and (m,) int64.

    Examples
    --------
    >>> translation_groups(["yes", "yeah", "no"], ["Ja", "Nein"], np.array([0, 1, 2]), np.array([0, 0, 1]))
    (array([0, 0, 1]), array([0, 1]))
    """
    numbers: dict[str, int] = {}
    texts = [numbers.setdefault(text_key(text), len(numbers)) for side in (sources, targets) for text in side]
    parents = list(range(len(numbers)))

    def root(node: int) -> int:
        while parents[node] != node:
            parents[node] = node = parents[parents[node]]
        return node

    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        first, second = root(texts[row]), root(texts[len(sources) + column])
        parents[max(first, second)] = min(first, second)
    roots = np.array([root(node) for node in texts], np.int64)
    groups = np.unique(roots, return_inverse=True)[1].astype(np.int64)
    return groups[: len(sources)], groups[len(sources) :]


def largest_overlap(source_groups: Ids, candidate_groups: Ids) -> int:
    """Return the largest number of candidates in the group of any source."""
    counts = np.bincount(candidate_groups, minlength=int(source_groups.max()) + 1)
    return int(counts[source_groups].max())
