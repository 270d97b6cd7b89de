"""Stretches that are in another order on the other side, found by unbalanced optimal transport between sentences."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

import numpy as np
import torch

from otembed.documents.monotone import Sides, Step, align_monotone, halved
from otembed.transport import order_prior, solve

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Ids = NDArray[np.int64]
    Block = tuple[tuple[int, int], tuple[int, int]]

# Cells of the transport problem; longer documents are halved first.
CELLS = 2**21
# In units of the cost of random sentences.
EPSILON, RELAXATION, ORDER_WEIGHT = 0.05, 0.3, 0.1
# A sentence and its translation are closer than this.
CLOSE = 0.7
# Sentences that may be without a match between two matches of one stretch, and matches that make a stretch.
GAP, FEWEST = 3, 3


def align_reordered(sides: Sides, *, max_sentences: int, band: int) -> list[Step]:
    """Return the best alignment in which stretches may be in another order, by source, then target.

    Unbalanced transport between the sentences of both documents, with a small cost for a change of the relative
    position, matches sentences that prefer each other. Most matches are in order; three or more that are not, but
    are in order among themselves, are a moved stretch. Moved stretches and the rest are aligned separately by
    :func:`otembed.documents.monotone.align_monotone`.

    Parameters
    ----------
    sides, max_sentences, band
        As for :func:`otembed.documents.monotone.align_monotone`.
    """
    blocks = moved_blocks(sides)
    if not blocks:
        return align_monotone(sides, max_sentences=max_sentences, band=band)
    rest = [np.ones(count, np.bool_) for count in sides.shape]
    for block in blocks:
        for side, (start, stop) in zip(rest, block, strict=True):
            side[start:stop] = False
    areas = [tuple(np.flatnonzero(side) for side in rest)]
    areas += [tuple(np.arange(*span) for span in block) for block in blocks]
    steps: list[Step] = []
    for rows, columns in areas:
        found = align_monotone(sides.cut(rows, columns), max_sentences=max_sentences, band=band)
        steps += [Step(_span(step.source, rows), _span(step.target, columns), step.cost) for step in found]
    return sorted(steps, key=lambda step: (step.source, step.target))


def _span(span: tuple[int, int], chosen: Ids) -> tuple[int, int]:
    """Return a span of chosen sentences in the whole document; an empty one lies after the sentence before it."""
    start, stop = span
    if start < stop:
        return int(chosen[start]), int(chosen[stop - 1]) + 1
    place = int(chosen[start - 1]) + 1 if start else 0
    return place, place


def moved_blocks(sides: Sides) -> list[Block]:
    """Return the stretches of both documents that match, but are not in the order of most matches."""
    scale, level = 1, sides
    while level.shape[0] * level.shape[1] > CELLS:
        scale, level = 2 * scale, halved(level)
    if min(level.shape) < 2 * FEWEST:
        return []
    rows, columns = matches(level)
    chain = longest_chain(columns)
    off = np.ones(len(rows), np.bool_)
    off[chain] = False
    blocks: list[Block] = []
    for group in _stretches(rows[off], columns[off]):
        block = tuple(
            (int(side.min()) * scale, min((int(side.max()) + 1) * scale, limit))
            for side, limit in zip(group, sides.shape, strict=True)
        )
        # Stretches that overlap on either side compete: the first by source stays.
        if not any(_overlap(one, other) for earlier in blocks for one, other in zip(earlier, block, strict=True)):
            blocks.append((block[0], block[1]))
    return blocks


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def matches(sides: Sides) -> tuple[Ids, Ids]:
    """Return source and target sentences (p,) that prefer each other in the transport plan and are close."""
    costs = 2.0 * (1.0 - sides.x[0] @ sides.y[0].T)
    costs /= np.maximum(sides.x_far[0][:, None] + sides.y_far[0], 1e-6)
    # The neighbors of a translation in one document are translated by its neighbors in the other.
    costs = smoothed(costs.astype(np.float32))
    cost = torch.from_numpy(costs)[None]
    a, b = (torch.full((1, count), 1.0 / count) for count in sides.shape)
    cost = cost + ORDER_WEIGHT * order_prior(a, b)
    plan = solve(cost, a, b, epsilon=EPSILON, relaxation=RELAXATION).plan[0].numpy()
    rows = np.arange(len(plan))
    best = plan.argmax(1)
    mutual = (plan.argmax(0)[best] == rows) & (costs[rows, best] < CLOSE) & (plan[rows, best] > 0)
    return rows[mutual], best[mutual]


def smoothed(costs: Floats) -> Floats:
    """Return the mean of each cell and its neighbors along the diagonal.

    >>> smoothed(np.array([[0.0, 9.0], [9.0, 2.0]], np.float32)).tolist()
    [[1.0, 9.0], [9.0, 1.0]]
    """
    total, count = costs.copy(), np.ones_like(costs)
    total[1:, 1:] += costs[:-1, :-1]
    count[1:, 1:] += 1
    total[:-1, :-1] += costs[1:, 1:]
    count[:-1, :-1] += 1
    return total / count


def longest_chain(columns: Ids) -> list[int]:
    """Return the places of a longest ascending subsequence of distinct numbers.

    >>> longest_chain(np.array([5, 0, 1, 7, 2]))
    [1, 2, 4]
    """
    tops: list[int] = []
    places: list[int] = []
    before = np.full(len(columns), -1)
    for place, column in enumerate(columns.tolist()):
        length = bisect_left(tops, column)
        before[place] = places[length - 1] if length else -1
        tops[length : length + 1] = [column]
        places[length : length + 1] = [place]
    chain = []
    place = places[-1] if places else -1
    while place >= 0:
        chain.append(place)
        place = int(before[place])
    return chain[::-1]


def _stretches(rows: Ids, columns: Ids) -> list[tuple[Ids, Ids]]:
    """Return the groups of matches that follow each other in both documents, with small gaps."""
    groups: list[list[int]] = []
    for place in range(len(rows)):
        last = groups[-1][-1] if groups else None
        if last is not None and rows[place] - rows[last] <= GAP and 0 < columns[place] - columns[last] <= GAP:
            groups[-1].append(place)
        else:
            groups.append([place])
    return [(rows[group], columns[group]) for group in groups if len(group) >= FEWEST]
