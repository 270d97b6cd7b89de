"""Word links of a few short example sentences, for pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from otembed.words.aligner import WordAligner

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

FEWEST_WORDS, MOST_WORDS = 4, 12


@dataclass(frozen=True)
class LinkedExample:
    """One sentence pair: its row, the layer, words, (source words, target words) probabilities, and predicted links."""

    row: int
    layer: int
    source: tuple[str, ...]
    target: tuple[str, ...]
    probabilities: tuple[tuple[float, ...], ...]
    links: tuple[tuple[int, int], ...]


def linked_examples(
    model: SentenceTransformer,
    source: Sequence[Any],
    target: Sequence[Any],
    *,
    count: int,
    rows: Sequence[int] | None = None,
    layer: int | Literal["auto"] = "auto",
    batch_size: int = 32,
) -> list[LinkedExample]:
    """Align parallel sentences and return a few of them.

    Parameters
    ----------
    model
        As for :class:`otembed.words.WordAligner`.
    source, target
        Parallel sentences or lists of words; all are aligned and used to center.
    count
        Maximum number of examples: the longest with 4 to 12 words on both sides.
    rows
        The examples, in place of ``count``; for a second model, the rows of the first.
    layer, batch_size
        As for :class:`otembed.words.WordAligner`.

    Raises
    ------
    ModelError, NumericsError
        As for :class:`otembed.words.WordAligner`.
    """
    aligner = WordAligner(model, layer=layer)
    aligned = list(aligner.align(zip(source, target, strict=True), batch_size=batch_size))
    if rows is None:
        fits = [
            row
            for row, each in enumerate(aligned)
            if all(FEWEST_WORDS <= len(side) <= MOST_WORDS for side in (each.source_words, each.target_words))
        ]
        fits.sort(key=lambda row: -len(aligned[row].source_words) - len(aligned[row].target_words))
        rows = sorted(fits[:count])
    used = 0 if aligner.choice is None else aligner.choice.layer
    return [
        LinkedExample(
            row,
            used,
            aligned[row].source_words,
            aligned[row].target_words,
            tuple(tuple(line) for line in np.round(aligned[row].probabilities, 4).tolist()),
            tuple((link.source, link.target) for link in aligned[row].links),
        )
        for row in rows
    ]
