"""Plant the noise of mined text in training pairs: sides that do not belong together, and sides that are cut in half."""

from __future__ import annotations

import random
from argparse import ArgumentTypeError
from collections.abc import Mapping, Sequence
from typing import NamedTuple

KINDS = ("misaligned", "truncated")


class NoisyPairs(NamedTuple):
    """Both sides of a text with noise, and the sorted places of its misaligned and of its truncated pairs."""

    source: list[str]
    target: list[str]
    misaligned: list[int]
    truncated: list[int]


def parse_noise(text: str) -> dict[str, float]:
    """Return the share of pairs of each kind of noise; ArgumentTypeError or ValueError for anything else.

    >>> parse_noise("misaligned=0.3,truncated=0.2")
    {'misaligned': 0.3, 'truncated': 0.2}
    """
    shares = {name: float(share) for name, _, share in (part.partition("=") for part in text.split(","))}
    if not shares.keys() <= set(KINDS) or not all(0 <= each <= 1 for each in shares.values()):
        raise ArgumentTypeError(f"{text!r}: give shares between 0 and 1 of {' and '.join(KINDS)}")
    if sum(shares.values()) > 1:
        raise ArgumentTypeError(f"{text!r}: no pair has both kinds of noise, so the shares add up to 1 at most")
    return shares


def with_noise(source: Sequence[str], target: Sequence[str], noise: Mapping[str, float], seed: str) -> NoisyPairs:
    """Misalign and truncate shares of the pairs; the same seed chooses the same pairs.

    ``round(share * n)`` pairs are misaligned: they exchange their targets, so that each has the target of another one,
    with another text. Of the others, as many as their share says lose the second half of one side, drawn by lot.

    Raises
    ------
    ValueError
        Too few pairs have different targets to exchange, or sides that are long enough to be cut.
    """
    draw = random.Random(seed)
    # Of equal targets only the first takes part, so that no target is replaced by its like.
    distinct = {text: place for place, text in reversed(list(enumerate(target)))}
    moved = _chosen(draw, sorted(distinct.values()), noise.get("misaligned", 0.0), len(target))
    if len(moved) == 1:
        raise ValueError("one pair alone cannot be misaligned: give a larger share or more pairs")
    sides = list(source), list(target)
    for place, other in zip(moved, moved[1:] + moved[:1], strict=True):
        sides[1][place] = target[other]
    kept = set(range(len(target))).difference(moved)
    long = [place for place in sorted(kept) if min(len(source[place]), len(target[place])) > 1]
    cut = _chosen(draw, long, noise.get("truncated", 0.0), len(target))
    for place in cut:
        side = draw.choice(sides)
        side[place] = first_half(side[place])
    return NoisyPairs(*sides, sorted(moved), sorted(cut))


def first_half(text: str) -> str:
    """Return the text up to the space nearest to its middle, or up to its middle if it has none.

    >>> first_half("one three five"), first_half("three")
    ('one three', 'thr')
    """
    middle = (len(text) + 1) // 2
    spaces = [place for place, character in enumerate(text.strip()) if character.isspace()]
    return text[: min(spaces, key=lambda place: abs(place - middle), default=middle)]


def _chosen(draw: random.Random, places: Sequence[int], share: float, total: int) -> list[int]:
    count = round(share * total)
    if count > len(places):
        raise ValueError(f"noise is to be planted in {count} of {total} pairs, but only {len(places)} are suited")
    return draw.sample(places, count)
