"""Stretches in another order are found and aligned, and documents in order stay as they are."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otembed.documents import moved
from otembed.documents.monotone import align_monotone, prepare, unit
from otembed.documents.moved import align_reordered, longest_chain, moved_blocks

OPTIONS = {"max_sentences": 4, "band": 10}


def sides_of(order, count=60, noise=0.5, seed=0):
    """Return sides whose target has the sentences of ``order``."""
    draw = np.random.default_rng(seed)
    x = draw.standard_normal((count, 48))
    y = (x + noise * draw.standard_normal(x.shape))[order]
    return prepare(runs(x), runs(y), deletion_quantile=0.05)


def runs(single):
    found = np.zeros((3, *single.shape))
    for length in range(3):
        for start in range(len(single) - length):
            found[length, start] = single[start : start + length + 1].sum(0)
    return unit(found.astype(np.float32))


SWAPPED = [*range(10), *range(20, 30), *range(10, 20), *range(30, 60)]
MOVED = [*range(50, 56), *range(50), *range(56, 60)]


@pytest.mark.parametrize("order", [SWAPPED, MOVED])
def test_moved_stretches_are_linked(order):
    sides = sides_of(order)
    steps = align_reordered(sides, **OPTIONS)
    links = {
        (step.source[0], step.target[0]) for step in steps if step.is_link and step.source[1] - step.source[0] == 1
    }
    expected = {(source, target) for target, source in enumerate(order)}
    assert len(links & expected) >= 58
    alone = align_monotone(sides, **OPTIONS)
    assert sum((step.source[0], step.target[0]) in expected for step in alone if step.is_link) < 56
    for side, count in (("source", 60), ("target", 60)):
        spans = [getattr(step, side) for step in steps]
        assert sorted(place for span in spans for place in range(*span)) == list(range(count))


def test_documents_in_order_are_aligned_as_without():
    sides = sides_of([*range(20), *range(30, 60)])
    assert moved_blocks(sides) == []
    assert align_reordered(sides, **OPTIONS) == align_monotone(sides, **OPTIONS)


def test_short_documents_are_left_alone():
    assert moved_blocks(sides_of([3, 4, 0, 1, 2], count=5)) == []


def test_long_documents_are_halved_first(monkeypatch):
    sides = sides_of(SWAPPED)
    monkeypatch.setattr(moved, "CELLS", 1000)
    ((source, target),) = moved_blocks(sides)
    assert source in {(10, 20), (20, 30)}
    assert target[1] - target[0] == 10


@given(st.lists(st.integers(0, 20), max_size=9, unique=True))
def test_chain_is_a_longest_ascending_subsequence(columns):
    chain = longest_chain(np.array(columns, np.int64))
    assert chain == sorted(chain)
    values = [columns[place] for place in chain]
    assert values == sorted(values)
    longest = max(
        (
            size
            for size in range(len(columns) + 1)
            for each in combinations(columns, size)
            if list(each) == sorted(each)
        ),
        default=0,
    )
    assert len(chain) == longest
