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
    # Maps planted lines, lines of the other side and their similarities to the same.
    Keep = Callable[[Ids, Ids, NDArray[np.float32]], NDArray[np.bool_]]

BLOCK_ROWS = 1024


@dataclass(frozen=True, eq=False)
class MinedSide:
    """One side of a finished run.

    Parameters
    ----------
    found
        The neighbors of its rows.
    partner, cosine
        The row of the other side that each row is paired with, -1 for none; and the similarity of the two.
    """

    found: Neighbors
    partner: Ids
    cosine: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Met:
    """The lines of the other side that d planted lines meet.

    Parameters
    ----------
    lists
        The nearest lines of each planted line, with the similarity from which margins are computed.
    ranks
        (d, k) cosines by which the lists were chosen.
    entering
        Planted lines (e,), the lines that would have them in their lists, and the similarities of both.
    """

    lists: Neighbors
    ranks: NDArray[np.float32]
    entering: tuple[Ids, Ids, NDArray[np.float32]]


def mined_sides(pairs: Candidates, found: tuple[Neighbors, Neighbors]) -> tuple[MinedSide, MinedSide]:
    """Return both sides of a run whose one-to-one pairs, without a threshold, are ``pairs``."""
    made = []
    for own, other, each in ((pairs.source, pairs.target, 0), (pairs.target, pairs.source, 1)):
        count = len(found[each].ids)
        partner, cosine = np.full(count, -1, np.int64), np.zeros(count, np.float32)
        partner[own], cosine[own] = other, pairs.cosine
        made.append(MinedSide(found[each], partner, cosine))
    return made[0], made[1]


def plant(
    sides: tuple[Side, Side],
    mined: tuple[MinedSide, MinedSide],
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
    sides, mined
        Both sides of the run, and what it found.
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
    first, second = (
        meet(own.rows, sides[there].rows, mined[there].found, config.k, tiling=tiling)
        for own, there in ((left, 1), (right, 0))
    )
    keeps = (
        _keep(left, sides[1], config, fits),
        _keep(right, sides[0], config, None if fits is None else _turned(fits)),
    )
    listed = np.ones(len(left), np.bool_) if config.min_cosine is None else mates >= config.min_cosine
    if fits is not None and left.lines is not None and right.lines is not None:
        listed &= fits(left.lines.lengths, right.lines.lengths)
    lowest = mined[0].found.scores[:, -1], mined[1].found.scores[:, -1]
    return planted_scores(mined, lowest, (first, second), (mates, mates), config, keeps, listed)


def planted_scores(
    sides: tuple[MinedSide, MinedSide],
    lowest: tuple[NDArray[np.float32], NDArray[np.float32]],
    met: tuple[Met, Met],
    mates: tuple[NDArray[np.float32], NDArray[np.float32]],
    config: MiningConfig,
    keeps: tuple[Keep | None, Keep | None] = (None, None),
    kept: NDArray[np.bool_] | None = None,
) -> Planted:
    """Return the scores of :func:`plant` from the lines that planted lines meet.

    Parameters
    ----------
    sides
        Both sides of the run; ``found`` has the similarity from which margins are computed.
    lowest
        Cosine of the last neighbor of each line of both sides.
    met
        What the planted sources meet among the targets, and the planted targets among the sources.
    mates
        (d,) similarity and cosine of the pairs.
    config
        ``k`` and ``margin``.
    keeps, kept
        Filters, if any: on what is met by both sides, as a function of planted line, line and similarity; and on the pairs.
    """
    own = [
        _Meeting(met[each], sides[each].found, sides[1 - each], lowest[1 - each], mates, config, keeps[each])
        for each in (0, 1)
    ]
    pair = margin_scores(mates[0], own[0].mean_with_mate, own[1].mean_with_mate, config.margin)
    listed = own[0].lists_mate | own[1].lists_mate
    if kept is not None:
        listed &= kept
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


def meet(own: UnitRows, there: UnitRows, found: Neighbors, k: int, *, tiling: Tiling | None = None) -> Met:
    """Return what planted rows meet among the rows of the other side, which have the neighbors ``found``, by cosine."""
    lists, _ = exact_neighbors(own, there, k, tiling=tiling, executor=LocalExecutor(1))
    entering = _entering(own, there, found.scores[:, -1], everyone=found.ids.shape[1] < k)
    return Met(lists, lists.scores, entering)


class _Meeting:
    """Planted lines of one side, and the lines of the other side with which each could be paired."""

    def __init__(
        self,
        met: Met,
        here: Neighbors,
        there: MinedSide,
        lowest: NDArray[np.float32],
        mates: tuple[NDArray[np.float32], NDArray[np.float32]],
        config: MiningConfig,
        keep: Keep | None,
    ) -> None:
        k, self.margin = config.k, config.margin
        lists = met.lists
        planted, width = lists.ids.shape
        full = width == k
        self.mean = mean_similarity(lists)
        self.lists_mate = (mates[1] > met.ranks[:, -1]) | (not full)
        self.mean_with_mate = _with_one_more(self.mean, lists.scores[:, -1], width, k, mates[0], self.lists_mate)
        room = there.found.ids.shape[1]
        row = np.concatenate([np.repeat(np.arange(planted), width), met.entering[0]])
        column = np.concatenate([lists.ids.ravel(), met.entering[1]])
        similarity = np.concatenate([lists.scores.ravel(), met.entering[2]])
        enters = np.concatenate(
            [met.ranks.ravel() > lowest[lists.ids.ravel()], np.ones(len(met.entering[0]), bool)]
        )
        # The last of a full list is replaced by the mate, unless the list of the other line keeps the pair.
        self.leaves = np.zeros(len(row), np.bool_)
        self.leaves[width - 1 : planted * width : width] = full
        other = _with_one_more(
            mean_similarity(there.found)[column], there.found.scores[column, -1], room, k, similarity, enters
        )
        partner = there.partner[column]
        taken = margin_scores(there.cosine[column], mean_similarity(here)[partner], other, config.margin)
        self.taken = np.where(partner < 0, -np.inf, taken)
        self.keep = np.ones(len(row), np.bool_) if keep is None else keep(row, column, similarity)
        self.row, self.similarity, self.other = row, similarity, other

    def best(self, *, with_mate: bool) -> Doubles:
        """Return the best score at which each planted line is paired with a line that is not its mate; -inf: none."""
        mean = self.mean_with_mate if with_mate else self.mean
        score = margin_scores(self.similarity, mean[self.row], self.other, self.margin)
        free = self.keep & (score > self.taken)
        if with_mate:
            free &= ~(self.leaves & self.lists_mate[self.row])
        best = np.full(len(mean), -np.inf)
        np.maximum.at(best, self.row[free], score[free])
        return best


def _keep(own: Side, there: Side, config: MiningConfig, fits: Fits | None) -> Keep:
    def keep(row: Ids, column: Ids, cosine: NDArray[np.float32]) -> NDArray[np.bool_]:
        kept = np.ones(len(row), np.bool_) if config.min_cosine is None else cosine >= config.min_cosine
        if fits is not None and own.lines is not None and there.lines is not None:
            kept &= fits(own.lines.lengths[row], there.lines.lengths[column])
        return kept

    return keep


def _turned(fits: Fits) -> Fits:
    return lambda own, other: fits(other, own)


def _with_one_more(
    mean: Doubles,
    last: NDArray[np.float32],
    width: int,
    k: int,
    similarity: NDArray[np.float32],
    enters: NDArray[np.bool_],
) -> Doubles:
    """Return the mean similarity of lists of ``width``, the last one ``last``, after one more candidate for each."""
    added = similarity.astype(np.float64)
    if width < k:
        return (mean * width + added) / (width + 1)
    grown: Doubles = mean + np.where(enters, added - last, 0) / width
    return grown


def _entering(
    own: UnitRows, there: UnitRows, lowest: NDArray[np.float32], *, everyone: bool
) -> tuple[Ids, Ids, NDArray[np.float32]]:
    """Return planted rows, the rows of the other side that have them as neighbors, and their cosines."""
    planted = own.read(0, len(own))
    slack = np.float32(slack_of(own.vectors.dimension))
    rows, columns, cosines = [], [], []
    for start in range(0, len(there), BLOCK_ROWS):
        block = there.read(start, start + BLOCK_ROWS)
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
