"""Planted stretches without a translation: which wrong links an alignment makes of them, and how they score."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from otembed.documents.monotone import CENTER_FROM

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from otembed.documents.monotone import Sides, Step

    Ids = NDArray[np.int64]
    Program = Callable[[Sides], list[Step]]
    Scores = tuple[float, ...]

# Source sentences of a stretch, at most a third of the document; and from the start of one to the start of the next.
STRETCH, SPACING = 6, 30
# Sentences on each side of a stretch that are aligned with it.
AROUND = 20
# Sentences between a stretch and what replaces it, if both are of the same document.
APART = 60


def plant(aligned: Sequence[tuple[Sides, list[Step]]], program: Program, *, seed: int = 0) -> list[Scores]:
    """Replace stretches of the targets by sentences of other documents, one at a time, and align their surroundings again.

    Parameters
    ----------
    aligned
        Pairs of documents, each with its alignment.
    program
        The alignment.
    seed
        Of the places.

    Returns
    -------
    list of tuple of float
        The scores of the links of each stretch whose sentences on one side are all without a translation. There is a
        stretch for every 30 source sentences, at least one for each pair with 10 sentences on both sides. The sentences
        are those of another pair, of a distant part of the same document if there is no other pair.
    """
    draw = np.random.default_rng(seed)
    sides = [each for each, _ in aligned]
    usable = [place for place, each in enumerate(sides) if min(each.shape) >= CENTER_FROM]
    found = []
    for place in usable:
        own, length = aligned[place][1], min(STRETCH, sides[place].shape[0] // 3)
        starts = np.cumsum([0, *(step.source[1] - step.source[0] for step in own)])
        offset = int(draw.integers(0, min(SPACING, sides[place].shape[0] - length + 1)))
        for first in range(offset, starts[-1], SPACING):
            stretch = _stretch(own, int(np.searchsorted(starts, first)), length)
            if stretch is None:
                continue
            spans = _span(own[stretch[0]], own[stretch[1] - 1])
            others = [other for other in usable if other != place]
            decoys = _decoys(sides, place, others, spans[1], draw)
            if decoys is not None:
                found.append(_planted(sides[place], _window(own, *stretch), spans, decoys, program))
    return found


def _decoys(
    sides: Sequence[Sides], place: int, others: list[int], span: tuple[int, int], draw: np.random.Generator
) -> Sides | None:
    """Return as many target sentences as a span has, of one of the other documents, or of a distant part of the same."""
    (start, stop), count = span, span[1] - span[0]
    long = [other for other in others if sides[other].shape[1] >= count]
    chosen = long[int(draw.integers(len(long)))] if long else place
    begins = np.arange(sides[chosen].shape[1] - count + 1)
    if chosen == place:
        begins = begins[(begins >= stop + APART) | (begins + count <= start - APART)]
    if not len(begins):
        return None
    begin = int(draw.choice(begins))
    return sides[chosen].cut(np.arange(1), np.arange(begin, begin + count))


def score_of(step: Step) -> float:
    """Return the score of a link."""
    return round(1.0 - step.cost, 6)


def _span(first: Step, last: Step) -> tuple[tuple[int, int], tuple[int, int]]:
    return (first.source[0], last.source[1]), (first.target[0], last.target[1])


def _follow(one: Step, other: Step) -> bool:
    return one.source[1] == other.source[0] and one.target[1] == other.target[0]


def _stretch(steps: list[Step], first: int, length: int) -> tuple[int, int] | None:
    """Return the steps, by index, that follow each other from one on and have ``length`` source sentences and a target."""
    last = first
    while last < len(steps) and (last == first or _follow(steps[last - 1], steps[last])):
        last += 1
        (start, stop), (begin, end) = _span(steps[first], steps[last - 1])
        if stop - start >= length and end > begin:
            return first, last
    return None


def _window(steps: list[Step], first: int, last: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the source and target sentences of a stretch of steps and of the steps around it that follow each other."""
    (start, stop), (begin, end) = _span(steps[first], steps[last - 1])
    while first and _follow(steps[first - 1], steps[first]):
        if max(start - steps[first].source[0], begin - steps[first].target[0]) >= AROUND:
            break
        first -= 1
    while last < len(steps) and _follow(steps[last - 1], steps[last]):
        if max(steps[last].source[0] - stop, steps[last].target[0] - end) >= AROUND:
            break
        last += 1
    return _span(steps[first], steps[last - 1])


def _planted(
    sides: Sides,
    window: tuple[tuple[int, int], tuple[int, int]],
    stretch: tuple[tuple[int, int], tuple[int, int]],
    decoys: Sides,
    program: Program,
) -> Scores:
    """Align a window in which the target sentences of a stretch are others."""
    (top, bottom), (left, right) = window
    (start, stop), (begin, end) = stretch
    kept = sides.cut(np.arange(top, bottom), np.concatenate([np.arange(left, begin), np.arange(end, right)]))
    place, count = begin - left, decoys.shape[1]
    changed = replace(
        kept,
        y=np.ascontiguousarray(np.concatenate([kept.y[:, :place], decoys.y, kept.y[:, place:]], axis=1)),
        y_far=np.concatenate([kept.y_far[:, :place], decoys.y_far, kept.y_far[:, place:]], axis=1),
        y_lengths=np.concatenate([kept.y_lengths[:place], decoys.y_lengths, kept.y_lengths[place:]]),
    )
    first, last = start - top, stop - top
    wrong = []
    for step in program(changed):
        (i, i_end), (j, j_end) = step.source, step.target
        orphans = first <= i and i_end <= last, place <= j and j_end <= place + count
        if step.is_link and any(orphans):
            wrong.append(score_of(step))
    return tuple(wrong)
