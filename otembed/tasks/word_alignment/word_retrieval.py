"""Contextual word retrieval: a word looks for its gold translation among all words of the other language."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from otembed.results.outcomes import Outcomes
from otembed.tasks.word_alignment.scores import WordRetrievalScores, gold_digest
from otembed.tasks.xquad.ranking import rank_candidates
from otembed.words.plan import RunningMean, centers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from otembed.tasks.word_alignment.gold import GoldSentence, GoldSet
    from otembed.words.vectors import WordVectors

    Floats = NDArray[np.float32]
    Indices = NDArray[np.int64]
    Right = NDArray[np.bool_]


def one_to_one(gold: GoldSentence) -> list[tuple[int, int]]:
    """Return the sure links whose two words have no other sure link, in order.

    >>> from otembed.tasks.word_alignment.gold import GoldSentence
    >>> sure = frozenset({(0, 0), (1, 1), (1, 2), (3, 3)})
    >>> one_to_one(GoldSentence(sure, sure | {(3, 4)}))
    [(0, 0), (3, 3)]
    """
    sources, targets = ([link[side] for link in gold.sure] for side in (0, 1))
    return sorted(link for link in gold.sure if sources.count(link[0]) == 1 and targets.count(link[1]) == 1)


def score_word_retrieval(
    gold_set: GoldSet,
    source: Sequence[WordVectors],
    target: Sequence[WordVectors],
    layer: int,
    *,
    name: str = "gold",
) -> tuple[WordRetrievalScores, tuple[Outcomes, ...]]:
    r"""Score contextual word retrieval over a gold set.

    For each sure one-to-one link (i, j), word i finds the word with the highest cosine among all words of the other
    side of the whole set, and is correct if that is j; the same from j to i. Centered, each side's mean word vector is
    subtracted first (the joint mean if a side has fewer than 100 words). Ties go to the first word. Words that the
    encoder did not see are errors and no candidates.

    Parameters
    ----------
    gold_set
        Sentences as lists of words, and gold links.
    source, target
        Word vectors of the sentences, with ``layer`` among their layers.
    layer
        Layer of the vectors.
    name
        Name of the set.

    Returns
    -------
    scores
        Figures of both directions, plain and centered; 0 without one-to-one links.
    outcomes
        ``word_retrieval`` and ``word_retrieval_centered``: per sentence pair, the correct links of both directions
        (values) and twice the number of links (weights). Empty without one-to-one links.

    References
    ----------
    Cao, Kitaev and Klein (2020), Multilingual Alignment of Contextual Word Representations, ICLR.
    """
    links = [(pair, *link) for pair, each in enumerate(gold_set[2]) for link in one_to_one(each)]
    rows = np.array(links, np.int64).reshape(-1, 3)
    means = tuple(RunningMean() for _ in range(2))
    sides = []
    for vectors, mean, words in zip((source, target), means, (rows[:, 1], rows[:, 2]), strict=True):
        mean.add(vectors, layer)
        starts = np.concatenate([[0], np.cumsum([len(each.seen) for each in vectors])])
        stacked = torch.cat([each.layers[layer] for each in vectors])
        sides.append((stacked, torch.cat([each.seen for each in vectors]).numpy(), starts[rows[:, 0]] + words))
    right = {}
    zero = torch.zeros(())
    for kind, shifts in (("plain", (zero, zero)), ("centered", centers(*means))):
        x, y = (
            _Side((stacked - shift).numpy(), seen, words)
            for (stacked, seen, words), shift in zip(sides, shifts, strict=True)
        )
        right[kind] = (_found(x, y), _found(y, x))
    scores = WordRetrievalScores(
        name,
        len(rows),
        *(int(seen.sum()) for _, seen, _ in sides),
        *(float(each.mean()) if len(rows) else 0.0 for kind in ("plain", "centered") for each in right[kind]),
    )
    if not len(rows):
        return scores, ()
    pairs = len(gold_set[2])
    weights = tuple((2 * np.bincount(rows[:, 0], minlength=pairs)).tolist())
    examples = gold_digest(zip(gold_set[0], gold_set[1], strict=True), gold_set[2])
    return scores, tuple(
        Outcomes("alignment", name, metric, examples, _by_pair(rows[:, 0], right[kind], pairs), weights)
        for metric, kind in (("word_retrieval", "plain"), ("word_retrieval_centered", "centered"))
    )


def _by_pair(pair: Indices, right: tuple[Right, Right], pairs: int) -> tuple[int, ...]:
    correct = right[0].astype(np.int64) + right[1]
    counts: list[int] = np.bincount(pair, weights=correct, minlength=pairs).astype(np.int64).tolist()
    return tuple(counts)


class _Side:
    """All words of one side: vectors (n, d), usable (n,), and the row of the word of each link."""

    def __init__(self, vectors: Floats, seen: Right, words: Indices) -> None:
        # A word whose vector is the mean itself has no direction once it is centered.
        self.usable = seen & vectors.any(axis=1)
        self.vectors = vectors[self.usable]
        self.words = words
        self.row = np.cumsum(self.usable) - 1


def _found(queries: _Side, candidates: _Side) -> Right:
    """Return for each link whether the word of ``queries`` finds that of ``candidates``."""
    possible = queries.usable[queries.words] & candidates.usable[candidates.words]
    found = np.zeros(len(possible), bool)
    if possible.any():
        asked = queries.vectors[queries.row[queries.words[possible]]]
        wanted = candidates.row[candidates.words[possible]]
        found[possible] = rank_candidates(asked, candidates.vectors, wanted[:, None]).ranks[:, 0] == 1
    return found
