"""Planting known pairs: at which score each would be mined, whole or orphaned, were it alone added to the run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from otembed.mining.calibration.mixture import Planted
from otembed.mining.pairing.margin import margin_scores, mean_similarity
from otembed.mining.search import kernels
from otembed.mining.search.exact import exact_neighbors, slack_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from otembed.config.mining import MiningConfig
    from otembed.mining.pairing.pairing import Candidates
    from otembed.mining.search.exact import Tiling
    from otembed.mining.search.neighbors import Neighbors
    from otembed.mining.search.sides import Side

    Doubles = NDArray[np.float64]
    Ids = NDArray[np.int64]
    # Lengths of sources and of targets to which pairs of them are kept.
    Fits = Callable[[NDArray[np.int32], NDArray[np.int32]], NDArray[np.bool_]]

BLOCK_ROWS = 1024


@dataclass(frozen=True, eq=False)
class Mined:
    """One side of a finished run, as planted lines of the other side meet it.

    Parameters
    ----------
    side
        Its rows.
    found
        Their neighbors.
    partner, cosine
        The row of the other side that each is paired with, -1 if with none; the cosine of the two.
    lengths
        Characters of each line; None without text.
    """

    side: Side
    found: Neighbors
    partner: Ids
    cosine: NDArray[np.float32]
    lengths: NDArray[np.int32] | None


@dataclass(frozen=True, eq=False)
class Seeds:
    """One side of the pairs to plant: rows, and the characters of each."""

    side: Side
    lengths: NDArray[np.int32] | None


def mined_sides(
    pairs: Candidates,
    sides: tuple[Side, Side],
    found: tuple[Neighbors, Neighbors],
    lengths: tuple[NDArray[np.int32] | None, NDArray[np.int32] | None],
) -> tuple[Mined, Mined]:
    """Return both sides of a run whose one-to-one pairs, without a threshold, are ``pairs``."""
    made = []
    for own, other, each in ((pairs.source, pairs.target, 0), (pairs.target, pairs.source, 1)):
        partner, cosine = np.full(len(sides[each]), -1, np.int64), np.zeros(len(sides[each]), np.float32)
        partner[own], cosine[own] = other, pairs.cosine
        made.append(Mined(sides[each], found[each], partner, cosine, lengths[each]))
    return made[0], made[1]


def plant(
    source: Mined,
    target: Mined,
    seeds: tuple[Seeds, Seeds],
    config: MiningConfig,
    *,
    fits: Fits | None = None,
    tiling: Tiling | None = None,
) -> Planted:
    """Say at which score each pair, and each of its sides without the other, would be mined.

    A pair is planted alone: its lines meet the collections and each other, never another planted line. The run
    itself is not repeated. Its neighbor lists give what a further line would change: the means of the lines whose
    lists it enters, so the scores of their own pairs as well.

    Parameters
    ----------
    source, target
        Both sides of the run.
    seeds
        Source and target lines of the pairs, row by row, centered as the sides are.
    config
        ``k``, ``margin`` and ``min_cosine``; pairs are one-to-one.
    fits
        The filter on lengths, if there is one.
    tiling
        As for the search.

    Notes
    -----
    What a line that lost its partner to a planted one would do next is not followed.
    """
    left, right = seeds
    mates = np.empty(len(left.side), np.float32)
    rows = np.arange(len(left.side))
    kernels.paired_dots(left.side.gather(rows), right.side.gather(rows), mates)
    own = [
        _Meeting(seed, here, there, mates, config, fits if seed is left else _turned(fits), tiling)
        for seed, here, there in ((left, source, target), (right, target, source))
    ]
    pair = margin_scores(mates, own[0].mean_with_mate, own[1].mean_with_mate, config.margin)
    listed = own[0].lists_mate | own[1].lists_mate
    if config.min_cosine is not None:
        listed &= mates >= config.min_cosine
    if fits is not None and left.lengths is not None and right.lengths is not None:
        listed &= fits(left.lengths, right.lengths)
    rivals = [each.best(with_mate=True) for each in own]
    # Among equal scores the planted pair is the last: its rows come after all others.
    found = listed & (pair > np.maximum(*rivals))
    none = -np.inf
    return Planted(
        pair=np.where(found, pair, none),
        source_wrong=np.where(found, none, rivals[0]),
        target_wrong=np.where(found, none, rivals[1]),
        source_orphan=own[0].best(with_mate=False),
        target_orphan=own[1].best(with_mate=False),
    )


class _Meeting:
    """Planted lines of one side, and the lines of the other side that each could be paired with."""

    def __init__(
        self,
        seeds: Seeds,
        here: Mined,
        there: Mined,
        mates: NDArray[np.float32],
        config: MiningConfig,
        fits: Fits | None,
        tiling: Tiling | None,
    ) -> None:
        k, self.margin, self.mates = config.k, config.margin, mates
        lists, _ = exact_neighbors(seeds.side, there.side, k, tiling=tiling, workers=1)
        planted, width = lists.ids.shape
        self.last, self.full = lists.scores[:, -1], width == k
        self.mean = mean_similarity(lists)
        self.mean_with_mate = _with_one_more(self.mean, self.last, width, k, mates)
        self.lists_mate = (mates > self.last) | (not self.full)
        room = there.found.ids.shape[1]
        entering = _entering(seeds.side, there, everyone=room < k)
        row = np.concatenate([np.repeat(np.arange(planted), width), entering[0]])
        column = np.concatenate([lists.ids.ravel(), entering[1]])
        cosine = np.concatenate([lists.scores.ravel(), entering[2]])
        # The last of a full list makes room for the mate, unless the list of the other line keeps the pair.
        self.leaves = np.zeros(len(row), np.bool_)
        self.leaves[width - 1 : planted * width : width] = self.full
        other = _with_one_more(
            mean_similarity(there.found)[column], there.found.scores[column, -1], room, k, cosine
        )
        partner = there.partner[column]
        taken = margin_scores(there.cosine[column], mean_similarity(here.found)[partner], other, config.margin)
        self.taken = np.where(partner < 0, -np.inf, taken)
        keep = np.ones(len(row), np.bool_) if config.min_cosine is None else cosine >= config.min_cosine
        if fits is not None and seeds.lengths is not None and there.lengths is not None:
            keep &= fits(seeds.lengths[row], there.lengths[column])
        self.row, self.cosine, self.other, self.keep = row, cosine, other, keep

    def best(self, *, with_mate: bool) -> Doubles:
        """Return the best score at which each planted line takes a line that is not its mate; -inf: none."""
        mean = self.mean_with_mate if with_mate else self.mean
        score = margin_scores(self.cosine, mean[self.row], self.other, self.margin)
        free = self.keep & (score > self.taken)
        if with_mate:
            free &= ~(self.leaves & (self.mates > self.last)[self.row])
        best = np.full(len(mean), -np.inf)
        np.maximum.at(best, self.row[free], score[free])
        return best


def _turned(fits: Fits | None) -> Fits | None:
    return None if fits is None else lambda own, other: fits(other, own)


def _with_one_more(
    mean: Doubles, last: NDArray[np.float32], width: int, k: int, cosine: NDArray[np.float32]
) -> Doubles:
    """Return the mean cosine of lists of ``width`` that one more line is offered to."""
    added = cosine.astype(np.float64)
    if width < k:
        return (mean * width + added) / (width + 1)
    grown: Doubles = mean + np.maximum(added - last, 0) / width
    return grown


def _entering(seeds: Side, there: Mined, *, everyone: bool) -> tuple[Ids, Ids, NDArray[np.float32]]:
    """Return planted rows, rows of the other side whose lists they enter, and their cosines."""
    planted = seeds.read(0, len(seeds))
    lowest = there.found.scores[:, -1]
    slack = np.float32(slack_of(seeds.vectors.dimension))
    rows, columns, cosines = [], [], []
    for start in range(0, len(there.side), BLOCK_ROWS):
        block = there.side.read(start, start + BLOCK_ROWS)
        bar = lowest[start : start + len(block)]
        near = np.ones((len(planted), len(block)), bool) if everyone else planted @ block.T >= bar - slack
        row, column = np.nonzero(near)
        cosine = np.empty(len(row), np.float32)
        for first in range(0, len(row), BLOCK_ROWS):
            part = slice(first, first + BLOCK_ROWS)
            kernels.paired_dots(planted[row[part]], block[column[part]], cosine[part])
        enters = np.ones(len(row), bool) if everyone else cosine > bar[column]
        rows.append(row[enters])
        columns.append(column[enters] + start)
        cosines.append(cosine[enters])
    return np.concatenate(rows), np.concatenate(columns), np.concatenate(cosines)
