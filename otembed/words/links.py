"""From a transport plan to word links, and their written form.

Axes: N source words, M target words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from otembed.config.words import THRESHOLDS, Decoding
from otembed.errors import ConfigError, did_you_mean

Matrix = NDArray[np.float32]
Cells = NDArray[np.bool_]


@dataclass(frozen=True, order=True)
class Link:
    """Indices of a source word and a target word, counted from 0, and the probability of the link (0 to 1)."""

    source: int
    target: int
    probability: float = 1.0


@dataclass(frozen=True, eq=False)
class SentenceAlignment:
    """The words of both sides, the links between them, and the probability of every possible link (N, M)."""

    source_words: tuple[str, ...]
    target_words: tuple[str, ...]
    links: tuple[Link, ...]
    probabilities: Matrix

    def to_pharaoh(self, *, probabilities: bool = False, index_base: int = 0) -> str:
        """Write the links as ``0-0 1-2``, or ``0-0:0.9300`` with probabilities.

        >>> links = (Link(0, 1, 0.5), Link(1, 0, 0.25))
        >>> SentenceAlignment(("a", "b"), ("x", "y"), links, np.eye(2, dtype=np.float32)).to_pharaoh(probabilities=True)
        '0-1:0.5000 1-0:0.2500'
        """
        return " ".join(
            f"{link.source + index_base}-{link.target + index_base}"
            + (f":{link.probability:.4f}" if probabilities else "")
            for link in self.links
        )

    def to_dict(self, *, index_base: int = 0) -> dict[str, Any]:
        """Return plain Python values: both sides' words, and links as ``[source, target, probability]``."""
        return {
            "source": list(self.source_words),
            "target": list(self.target_words),
            "links": [
                [link.source + index_base, link.target + index_base, round(link.probability, 4)]
                for link in self.links
            ],
        }


def link_probabilities(plan: NDArray[Any]) -> Matrix:
    r"""Return the probability of each link under a plan, between 0 and 1.

    .. math:: \sqrt{\frac{P_{ij}}{\sum_k P_{ik}} \cdot \frac{P_{ij}}{\sum_k P_{kj}}}

    This is the geometric mean of the two conditional probabilities, and 0 in rows and columns without mass.

    Parameters
    ----------
    plan
        (N, M) transported mass.

    Examples
    --------
    >>> link_probabilities(np.array([[0.3, 0.1], [0.0, 0.0]])).round(3).tolist()
    [[0.8659999966621399, 0.5], [0.0, 0.0]]
    """
    mass = np.asarray(plan, dtype=np.float64)
    scale = np.sqrt(mass.sum(1, keepdims=True) * mass.sum(0, keepdims=True))
    shares: Matrix = np.divide(mass, scale, out=np.zeros_like(mass), where=scale > 0).clip(0, 1).astype(np.float32)
    return shares


def decode_links(
    plan: NDArray[Any], decoding: Decoding = "mutual", *, threshold: float | None = None
) -> tuple[Link, ...]:
    """Choose links from a plan, in the order of their source and target words.

    ========================  ==============================================================================
    ``mutual``                cells that are the largest in their row and in their column
    ``threshold``             cells whose probability is at least ``threshold``
    ``grow-diag``             mutual links, grown over neighboring cells that are the largest in their row
                              or column, while one of the two words is still unlinked
    ``grow-diag-final-and``   the same, then any cells whose two words are both unlinked: first the largest
                              in their row, then the largest in their column
    ========================  ==============================================================================

    Apart from the mutual links, a link must have a probability of at least ``threshold``, since even the row of a word
    without a counterpart has a largest cell.

    Parameters
    ----------
    plan
        (N, M) transported mass, non-negative.
    decoding
        As above.
    threshold
        Minimum probability, see :func:`link_probabilities`; ``None``: .3 for ``threshold``, .2 for the ``grow-diag``
        decodings.

    Raises
    ------
    ConfigError
        The decoding is unknown, or the plan is not a matrix.

    References
    ----------
    Koehn, Och and Marcu, Statistical phrase-based translation, NAACL 2003 (the growing heuristics).

    Examples
    --------
    >>> plan = np.array([[0.4, 0.2], [0.2, 0.0]])
    >>> [(link.source, link.target) for link in decode_links(plan)]
    [(0, 0)]
    >>> [(link.source, link.target) for link in decode_links(plan, "grow-diag")]
    [(0, 0), (0, 1), (1, 0)]
    """
    if decoding not in get_args(Decoding):
        raise ConfigError(f"unknown decoding {decoding!r}", did_you_mean(str(decoding), get_args(Decoding)))
    mass = np.asarray(plan)
    if mass.ndim != 2:
        raise ConfigError(
            f"plan has shape {mass.shape}, not (N, M)", "Pass the plan of one pair: plan[0] of a batch."
        )
    probabilities = link_probabilities(mass)
    if not mass.size:
        return ()
    enough = (probabilities >= (THRESHOLDS.get(decoding, 0.0) if threshold is None else threshold)) & (mass > 0)
    if decoding == "threshold":
        chosen = enough
    else:
        forward = (mass == mass.max(1, keepdims=True)) & (mass > 0)
        backward = (mass == mass.max(0, keepdims=True)) & (mass > 0)
        chosen = forward & backward
        if decoding != "mutual":
            chosen = _grown(chosen, (forward | backward) & enough)
        if decoding == "grow-diag-final-and":
            chosen = _completed(_completed(chosen, forward & enough), backward & enough)
    return tuple(Link(int(i), int(j), float(probabilities[i, j])) for i, j in np.argwhere(chosen))


def links_of_wholes(
    links: Sequence[Link],
    probabilities: Matrix,
    rows: Sequence[int],
    columns: Sequence[int],
    shape: tuple[int, int],
) -> tuple[tuple[Link, ...], Matrix]:
    """Convert links between parts to links between their wholes, with the highest probability of the parts.

    Parameters
    ----------
    links, probabilities
        Between parts.
    rows, columns
        The whole of each source and target part.
    shape
        Number of source and target wholes.

    Examples
    --------
    >>> parts = np.array([[0.75], [0.5]], dtype=np.float32)
    >>> links, whole = links_of_wholes([Link(0, 0, 0.75), Link(1, 0, 0.5)], parts, [1, 1], [0], (2, 1))
    >>> links, whole.tolist()
    ((Link(source=1, target=0, probability=0.75),), [[0.0], [0.75]])
    """
    whole = np.zeros(shape, dtype=np.float32)
    np.maximum.at(whole, np.ix_(rows, columns), probabilities)
    linked = sorted({(rows[link.source], columns[link.target]) for link in links})
    return tuple(Link(i, j, float(whole[i, j])) for i, j in linked), whole


def _grown(links: Cells, union: Cells) -> Cells:
    """Add neighbors from the union, row by row, until no pass adds one."""
    links = links.copy()
    rows, columns = _linked(links)
    added = True
    while added:
        added = False
        for i, j in np.argwhere(links):
            for x in range(max(i - 1, 0), min(i + 2, links.shape[0])):
                for y in range(max(j - 1, 0), min(j + 2, links.shape[1])):
                    if union[x, y] and not links[x, y] and not (rows[x] and columns[y]):
                        links[x, y] = rows[x] = columns[y] = added = True
    return links


def _completed(links: Cells, candidates: Cells) -> Cells:
    """Add candidates with two unlinked words, row by row."""
    links = links.copy()
    rows, columns = _linked(links)
    for i, j in np.argwhere(candidates):
        if not rows[i] and not columns[j]:
            links[i, j] = rows[i] = columns[j] = True
    return links


def _linked(links: Cells) -> tuple[Cells, Cells]:
    """Return which source words and which target words have a link."""
    return np.asarray(links.any(1)), np.asarray(links.any(0))
