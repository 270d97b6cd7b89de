"""Planting known pairs: the score at which each pair, or each of its lines alone, would be mined in a finished run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from otembed.embeddings import row_kernels
from otembed.embeddings.rows import paired_cosines
from otembed.mining.calibration.mixture import Planted
from otembed.mining.pairing.margin import margin_scores, mean_similarity
from otembed.mining.search.exact import exact_neighbors
from otembed.mining.search.screening import slack_of
from otembed.runtime.executors import LocalExecutor

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from otembed.config.mining import MiningConfig
    from otembed.embeddings.rows import UnitRows
    from otembed.mining.pairing.pairing import Candidates
    from otembed.mining.search.exact import Tiling
    from otembed.mining.search.neighbors import Neighbors
    from otembed.mining.side import Side

    Doubles = NDArray[np.float64]
    Ids = NDArray[np.int64]
    # Maps the lengths of sources and targets to a mask of the pairs that are kept.
    Fits = Callable[[NDArray[np.int32], NDArray[np.int32]], NDArray[np.bool_]]

BLOCK_ROWS = 1024


@dataclass(frozen=True, eq=False)
class MinedSide:
    """One side of a finished run.

    Parameters
    ----------
    side
        Its rows and lines.
    found
        Their neighbors.
    partner, cosine
        The row of the other side that each row is paired with, -1 for none; and the cosine of the two.
    """

    side: Side
    found: Neighbors
    partner: Ids
    cosine: NDArray[np.float32]


def mined_sides(
    pairs: Candidates, sides: tuple[Side, Side], found: tuple[Neighbors, Neighbors]
) -> tuple[MinedSide, MinedSide]:
    """Return both sides of a run whose one-to-one pairs, without a threshold, are ``pairs``."""
    made = []
    for own, other, each in ((pairs.source, pairs.target, 0), (pairs.target, pairs.source, 1)):
        partner, cosine = np.full(len(sides[each]), -1, np.int64), np.zeros(len(sides[each]), np.float32)
        partner[own], cosine[own] = other, pairs.cosine
        made.append(MinedSide(sides[each], found[each], partner, cosine))
    return made[0], made[1]


def plant(
    source: MinedSide,
    target: MinedSide,
    planted: tuple[Side, Side],
    config: MiningConfig,
    *,
    fits: Fits | None = None,
    tiling: Tiling | None = None,
) -> Planted:
    """Return the scores at which each pair, and each of its lines without the other, would be mined.

    Pairs are planted one at a time: the lines of a pair are compared with the collections and with each other, but not
    with other planted lines. The run is not repeated: its neighbor lists determine the effect of one additional line,
    which changes the mean of every line that has it as a neighbor, and thereby the scores of the pairs of that line.

    Parameters
    ----------
    source, target
        Both sides of the run.
    planted
        Source and target of the pairs, row by row, centered as the sides are.
    config
        ``k``, ``margin`` and ``min_cosine``.
    fits
        The filter on lengths, if any.
    tiling
        As for the search.

    Notes
    -----
    A line that loses its partner to a planted line is not paired again.
    """
    left, right = planted
    rows = np.arange(len(left))
    mates = paired_cosines(left.rows, right.rows, rows, rows)
    own = [
        _Meeting(each, here, there, mates, config, fits if each is left else _turned(fits), tiling)
        for each, here, there in ((left, source, target), (right, target, source))
    ]
    pair = margin_scores(mates, own[0].mean_with_mate, own[1].mean_with_mate, config.margin)
    listed = own[0].lists_mate | own[1].lists_mate
    if config.min_cosine is not None:
        listed &= mates >= config.min_cosine
    if fits is not None and left.lines is not None and right.lines is not None:
        listed &= fits(left.lines.lengths, right.lines.lengths)
    rivals = [each.best(with_mate=True) for each in own]
    # Among equal scores the planted pair comes last, because its rows come after all others.
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
    """Planted lines of one side, and the lines of the other side with which each could be paired."""

    def __init__(
        self,
        own: Side,
        here: MinedSide,
        there: MinedSide,
        mates: NDArray[np.float32],
        config: MiningConfig,
        fits: Fits | None,
        tiling: Tiling | None,
    ) -> None:
        k, self.margin, self.mates = config.k, config.margin, mates
        lists, _ = exact_neighbors(own.rows, there.side.rows, k, tiling=tiling, executor=LocalExecutor(1))
        planted, width = lists.ids.shape
        self.last, self.full = lists.scores[:, -1], width == k
        self.mean = mean_similarity(lists)
        self.mean_with_mate = _with_one_more(self.mean, self.last, width, k, mates)
        self.lists_mate = (mates > self.last) | (not self.full)
        room = there.found.ids.shape[1]
        entering = _entering(own.rows, there, everyone=room < k)
        row = np.concatenate([np.repeat(np.arange(planted), width), entering[0]])
        column = np.concatenate([lists.ids.ravel(), entering[1]])
        cosine = np.concatenate([lists.scores.ravel(), entering[2]])
        # The last of a full list is replaced by the mate, unless the list of the other line keeps the pair.
        self.leaves = np.zeros(len(row), np.bool_)
        self.leaves[width - 1 : planted * width : width] = self.full
        other = _with_one_more(
            mean_similarity(there.found)[column], there.found.scores[column, -1], room, k, cosine
        )
        partner = there.partner[column]
        taken = margin_scores(there.cosine[column], mean_similarity(here.found)[partner], other, config.margin)
        self.taken = np.where(partner < 0, -np.inf, taken)
        keep = np.ones(len(row), np.bool_) if config.min_cosine is None else cosine >= config.min_cosine
        if fits is not None and own.lines is not None and there.side.lines is not None:
            keep &= fits(own.lines.lengths[row], there.side.lines.lengths[column])
        self.row, self.cosine, self.other, self.keep = row, cosine, other, keep

    def best(self, *, with_mate: bool) -> Doubles:
        """Return the best score at which each planted line is paired with a line that is not its mate; -inf: none."""
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
    """Return the mean cosine of lists of ``width`` after one additional candidate for each."""
    added = cosine.astype(np.float64)
    if width < k:
        return (mean * width + added) / (width + 1)
    grown: Doubles = mean + np.maximum(added - last, 0) / width
    return grown


def _entering(own: UnitRows, there: MinedSide, *, everyone: bool) -> tuple[Ids, Ids, NDArray[np.float32]]:
    """Return planted rows, the rows of the other side that have them as neighbors, and their cosines."""
    planted = own.read(0, len(own))
    lowest = there.found.scores[:, -1]
    slack = np.float32(slack_of(own.vectors.dimension))
    rows, columns, cosines = [], [], []
    for start in range(0, len(there.side), BLOCK_ROWS):
        block = there.side.rows.read(start, start + BLOCK_ROWS)
        bar = lowest[start : start + len(block)]
        near = np.ones((len(planted), len(block)), bool) if everyone else planted @ block.T >= bar - slack
        row, column = np.nonzero(near)
        cosine = np.empty(len(row), np.float32)
        for first in range(0, len(row), BLOCK_ROWS):
            part = slice(first, first + BLOCK_ROWS)
            row_kernels.paired_dots(planted[row[part]], block[column[part]], cosine[part])
        enters = np.ones(len(row), bool) if everyone else cosine > bar[column]
        rows.append(row[enters])
        columns.append(column[enters] + start)
        cosines.append(cosine[enters])
    return np.concatenate(rows), np.concatenate(columns), np.concatenate(cosines)
