"""Hold out sentence pairs for evaluation."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np

from otembed.data.checks import text_digest
from otembed.data.load import ParallelText
from otembed.data.rows import SPLIT_OFF, PairCounts
from otembed.data.sampling import draw
from otembed.errors import ConfigError, DataError

BATCH_ROWS = 1024


def split_held_out(text: ParallelText, size: int, seed: int) -> tuple[ParallelText, ParallelText]:
    """Split a parallel text into a training part and a held-out part that do not share any sentence.

    ``size`` pairs are drawn at random; pairs that share a source or a target sentence with one of them
    are in neither part, as hard negatives included. Both parts keep the order of the file and map the same Arrow file.

    Parameters
    ----------
    text
        From :func:`load_pairs`.
    size
        Number of pairs to hold out.
    seed
        The same seed on the same text gives the same split.

    Returns
    -------
    train, held_out
        In ``train.counts``, ``split_off`` counts the pairs moved to the held-out part and ``held_out``
        those dropped because they share a sentence with it.

    Raises
    ------
    ConfigError
        ``size`` is below 1 or not below the number of pairs, or the seed is negative.
    DataError
        Nothing is left to train on.
    """
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size < len(text):
        raise ConfigError(
            f"{text.pair}: cannot hold out {size} of {len(text)} pairs",
            f"Use a number from 1 to {len(text) - 1}, or add text.",
        )
    chosen = draw(len(text), size, seed)
    held_out = text.dataset.select(chosen)
    digests = {
        text_digest(sentence)
        for batch in held_out.iter(BATCH_ROWS)
        for sentence in (*batch["source"], *batch["target"])
    }
    clear = np.fromiter(
        (
            digests.isdisjoint(map(text_digest, texts))
            for batch in text.dataset.iter(BATCH_ROWS)
            for texts in zip(*(batch[column] for column in text.dataset.column_names), strict=True)
        ),
        dtype=bool,
        count=len(text),
    )
    if not clear.any():
        raise DataError(
            f"{text.pair}: every pair shares a sentence with the held-out pairs",
            "Hold out fewer pairs, or add text.",
            path=text.path,
        )
    left = np.flatnonzero(clear)
    counts = deepcopy(text.counts)
    counts.withdraw(SPLIT_OFF, size)
    counts.withdraw("held_out", len(text) - size - len(left))
    return (
        replace(text, dataset=text.dataset.select(left), counts=counts),
        replace(text, dataset=held_out, counts=PairCounts(read=size, kept=size)),
    )
