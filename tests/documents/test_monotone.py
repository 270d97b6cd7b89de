"""The shortest path is that of a search over all alignments, whatever the documents."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otembed.documents import monotone
from otembed.documents.monotone import align_monotone, kinds_of_links, prepare, unit

OPTIONS = {"max_sentences": 4, "band": 10}


def sides_of(x, y, *lengths, quantile=0.2, **settings):
    return prepare(x, y, *lengths, deletion_quantile=quantile, **{"center": False, **settings})


def random_runs(draw, lengths, count, dimension=8):
    return unit(draw.standard_normal((lengths, count, dimension)).astype(np.float32))


def translated(draw, count, lengths=3, noise=0.3, dimension=32):
    """Single sentences of both sides, and their runs as sums."""
    x = draw.standard_normal((count, dimension))
    return (summed(each, lengths) for each in (x, x + noise * draw.standard_normal(x.shape)))


def summed(single, lengths):
    single = single.astype(np.float32)
    runs = np.zeros((lengths, *single.shape), np.float32)
    for length in range(lengths):
        for start in range(len(single) - length):
            runs[length, start] = single[start : start + length + 1].sum(0)
    return unit(runs)


def least_cost(x, y, lengths, weight, max_sentences, quantile):
    """Return the cost of the best alignment by recursion, and that of a deletion, from the definition."""
    rows, columns = x.shape[1], y.shape[1]
    scaled = lengths[0], lengths[1] * lengths[0].sum() / lengths[1].sum()

    def cost(m, i, n, j):
        a, b = x[m - 1, i].astype(float), y[n - 1, j].astype(float)
        far = distance_to_others(x[m - 1, i], y[0]) + distance_to_others(y[n - 1, j], x[0])
        long, wide = scaled[0][i : i + m].sum(), scaled[1][j : j + n].sum()
        return 2 * max(1 - a @ b, 0) / far + weight * abs(long - wide) / (long + wide)

    deletion = np.quantile([cost(1, i, 1, j) for i in range(rows) for j in range(columns)], quantile)

    @functools.cache
    def best(i, j):
        if i == j == 0:
            return 0.0
        found = [
            best(i - m, j - n) + weight_of(m, n) * cost(m, i - m, n, j - n)
            for m in range(1, max_sentences)
            for n in range(1, max_sentences - m + 1)
            if m <= i and n <= j
        ]
        found += [best(i - 1, j) + deletion] if i else []
        found += [best(i, j - 1) + deletion] if j else []
        return min(found)

    return best(rows, columns), deletion


def distance_to_others(run, others):
    if len(others) == 1:
        return 1.0
    cosines = others.astype(float) @ run.astype(float)
    return max(1 - (cosines.sum() - cosines.max()) / (len(others) - 1), 0)


def weight_of(m, n):
    return m + n - 1 + 0.2 * (m - 1) * (n - 1)


def cost_of(steps, deletion):
    return sum(
        weight_of(step.source[1] - step.source[0], step.target[1] - step.target[0]) * step.cost
        if step.is_link
        else deletion
        for step in steps
    )


def assert_complete(steps, rows, columns):
    """Every sentence is in one step, in order."""
    i = j = 0
    for step in steps:
        assert (step.source[0], step.target[0]) == (i, j)
        i, j = step.source[1], step.target[1]
    assert (i, j) == (rows, columns)


@given(st.integers(1, 7), st.integers(1, 7), st.integers(2, 5), st.sampled_from([0.0, 0.4]), st.integers(0, 2**16))
@settings(max_examples=40, deadline=None)
def test_path_is_the_best_of_all_alignments(rows, columns, max_sentences, weight, seed):
    draw = np.random.default_rng(seed)
    x, y = (random_runs(draw, max_sentences - 1, count) for count in (rows, columns))
    lengths = [draw.integers(1, 90, count).astype(float) for count in (rows, columns)]
    sides = sides_of(x, y, *lengths, quantile=0.3, length_weight=weight)
    steps = align_monotone(sides, max_sentences=max_sentences, band=10)
    assert_complete(steps, rows, columns)
    expected, deletion = least_cost(x, y, lengths, weight, max_sentences, 0.3)
    assert sides.deletion == pytest.approx(deletion, abs=1e-5)
    assert cost_of(steps, deletion) == pytest.approx(expected, abs=1e-4)


def test_planted_links_are_found():
    draw = np.random.default_rng(0)
    single = draw.standard_normal((30, 64))
    # Target: sentences 4 to 15 are missing, 20 and 21 are one, and 25 is two.
    half = draw.standard_normal((1, 64))
    target = np.concatenate(
        [
            single[:4],
            single[16:20],
            single[20:21] + single[21:22],
            single[22:25],
            2 * half,
            2 * (single[25:26] - half),
            single[26:],
        ]
    )
    source = single.copy()
    source[25] = 2 * single[25]
    steps = align_monotone(sides_of(summed(source, 3), summed(target, 3)), **OPTIONS)
    links = {(step.source, step.target) for step in steps if step.is_link}
    one_to_one = [(0, 0), (1, 1), (2, 2), (18, 6), (19, 7), (22, 9), (24, 11), (27, 15), (29, 17)]
    assert {((i, i + 1), (j, j + 1)) for i, j in one_to_one} | {((20, 22), (8, 9)), ((25, 26), (12, 14))} <= links
    assert sum(not step.is_link for step in steps) >= 8


def test_documents_of_ten_sentences_are_centered():
    draw = np.random.default_rng(6)
    x, y = (unit(3 + draw.standard_normal((2, 12, 8)).astype(np.float32)) for _ in "xy")
    sides = prepare(x, y, deletion_quantile=0.2)
    expected = x - x[0].mean(0)
    np.testing.assert_allclose(sides.x, expected / np.linalg.norm(expected, axis=2, keepdims=True), atol=1e-5)
    few = prepare(x[:, :9], y, deletion_quantile=0.2)
    np.testing.assert_array_equal(few.x, x[:, :9])


def test_cut_forbids_runs_of_sentences_that_were_apart():
    draw = np.random.default_rng(7)
    sides = sides_of(random_runs(draw, 3, 8), random_runs(draw, 3, 5))
    cut = sides.cut(np.array([0, 1, 4, 5, 6]), np.arange(5))
    assert np.isnan(cut.x_far).tolist() == [
        [False] * 5,
        [False, True, False, False, True],
        [True, True, False, True, True],
    ]
    assert [cut.cut(np.arange(n), np.arange(2)).shape for n in range(3)] == [(0, 2), (1, 2), (2, 2)]
    assert_complete(align_monotone(cut.cut(np.arange(0), np.arange(2)), **OPTIONS), 0, 2)
    steps = align_monotone(cut, **OPTIONS)
    assert_complete(steps, 5, 5)
    assert not any(step.source[0] < 2 < step.source[1] for step in steps)


def test_identical_documents_are_linked_one_to_one():
    draw = np.random.default_rng(1)
    x = summed(draw.standard_normal((30, 16)), 3)
    steps = align_monotone(sides_of(x, x), **OPTIONS)
    assert [(step.source, step.target) for step in steps] == [((i, i + 1), (i, i + 1)) for i in range(30)]
    assert max(step.cost for step in steps) < 1e-6


def test_repeated_sentences_and_constant_documents_give_no_nan():
    x = np.tile(unit(np.ones((1, 1, 4), np.float32)), (3, 5, 1))
    steps = align_monotone(sides_of(x, x[:, :3], center=True), **OPTIONS)
    assert_complete(steps, 5, 3)
    assert all(np.isfinite(step.cost) for step in steps)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1000), (1000, 1), (1, 1), (2, 300)])
def test_very_different_lengths(rows, columns):
    draw = np.random.default_rng(2)
    x, y = (random_runs(draw, 3, count) for count in (rows, columns))
    steps = align_monotone(sides_of(x, y), **OPTIONS)
    assert_complete(steps, rows, columns)


def test_coarse_to_fine_finds_the_path_of_the_whole_program(monkeypatch):
    draw = np.random.default_rng(3)
    x, y = translated(draw, 300, noise=1.0)
    y = np.concatenate([y[:, :100], y[:, 160:]], 1)  # a chapter is missing
    y[1:, 98:100] = 0
    sides = sides_of(x, y)
    whole = align_monotone(sides, **OPTIONS)
    monkeypatch.setattr(monotone, "FULL_CELLS", 500)
    assert align_monotone(sides, **OPTIONS) == whole


def test_cells_grow_linearly(monkeypatch):
    counted = []

    def count(costs, *rest):
        counted.append(len(costs))
        original(costs, *rest)

    original = monotone.shortest
    monkeypatch.setattr(monotone, "shortest", count)
    monkeypatch.setattr(monotone, "FULL_CELLS", 2**10)
    sizes = []
    for rows in (400, 800, 1600):
        counted.clear()
        align_monotone(sides_of(*translated(np.random.default_rng(4), rows)), **OPTIONS)
        sizes.append(sum(counted))
    assert sizes[1] < 2.2 * sizes[0]
    assert sizes[2] < 2.2 * sizes[1]


def test_deletion_cost_is_a_quantile_of_random_costs():
    draw = np.random.default_rng(5)
    for count in (60, 500):
        x, y = (random_runs(draw, 1, count) for _ in "xy")
        sides = sides_of(x, y)
        assert sides.x_far[0] == pytest.approx(1 - x[0] @ y[0].mean(0), abs=1e-6)
        costs = 2 * (1 - x[0] @ y[0].T) / (sides.x_far[0][:, None] + sides.y_far[0])
        assert sides.deletion == pytest.approx(np.quantile(costs, 0.2), abs=1e-6 if count == 60 else 0.02)


def test_kinds_of_links_are_counted_by_hand():
    assert kinds_of_links(4).tolist() == [[1, 1], [1, 2], [2, 1], [1, 3], [2, 2], [3, 1]]
