"""Margins and pairs against a direct reading of their definitions in Python."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otembed.config.mining import DEFAULT_THRESHOLDS, MiningConfig
from otembed.errors import ConfigError
from otembed.mining.pairing.margin import SMALLEST_BASE, margin_scores, mean_similarity
from otembed.mining.pairing.pairing import pair_up
from otembed.mining.search.neighbors import CANDIDATE, Neighbors


def neighbors(similarity, k):
    """Lists of both directions of a full similarity matrix, ties by id."""

    def top(matrix):
        order = np.argsort(-matrix, axis=1, kind="stable")[:, :k]
        return Neighbors(np.take_along_axis(matrix, order, 1).astype(np.float32), order.astype(np.int64))

    return top(similarity), top(similarity.T)


def by_definition(similarity, config, threshold, keep=None):
    """Pairs as (score, cosine, source, target), best first, by loops over lines."""
    n, m = similarity.shape
    k = config.k
    rows = [sorted(range(m), key=lambda y: (-similarity[x, y], y))[:k] for x in range(n)]
    columns = [sorted(range(n), key=lambda x: (-similarity[x, y], x))[:k] for y in range(m)]
    c_x = [sum(float(similarity[x, y]) for y in rows[x]) / len(rows[x]) for x in range(n)]
    c_y = [sum(float(similarity[x, y]) for x in columns[y]) / len(columns[y]) for y in range(m)]

    def score(x, y):
        base, cosine = (c_x[x] + c_y[y]) / 2, float(similarity[x, y])
        return {"ratio": cosine / max(base, SMALLEST_BASE), "distance": cosine - base, "absolute": cosine}[
            config.margin
        ]

    def good(x, y):
        return (
            (threshold is None or score(x, y) >= threshold)
            and (config.min_cosine is None or similarity[x, y] >= config.min_cosine)
            and (keep is None or keep(x, y))
        )

    there = {(x, y) for x in range(n) for y in rows[x] if good(x, y)}
    back = {(x, y) for y in range(m) for x in columns[y] if good(x, y)}

    def order(pair):
        return -score(*pair), *pair

    chosen, lines = set(), set()
    for x, y in sorted(there | back, key=order):
        if not lines & {("x", x), ("y", y)}:
            lines |= {("x", x), ("y", y)}
            chosen.add((x, y))
    every = {(x, y) for x in range(n) for y in rows[x]} | {(x, y) for y in range(m) for x in columns[y]}
    return [(score(*p), float(similarity[p]), *p) for p in sorted(chosen, key=order)], len(every)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_pairs_match_the_definition(data):
    margin = data.draw(st.sampled_from(["ratio", "distance", "absolute"]))
    n, m, k = (data.draw(st.integers(1, high)) for high in (7, 7, 4))
    # Steps of 1/8: sums are exact, so ties are ties in both computations.
    steps = data.draw(st.lists(st.integers(-8, 8), min_size=n * m, max_size=n * m))
    similarity = (np.array(steps, np.float32) / 8).reshape(n, m)
    config = MiningConfig(
        k=k,
        margin=margin,
        min_cosine=data.draw(st.sampled_from([None, 0.25])),
    )
    threshold = data.draw(st.sampled_from([None, -0.5, 0.5]))
    forbidden = data.draw(st.booleans())
    expected = by_definition(similarity, config, threshold, (lambda x, y: (x + y) % 2 == 0) if forbidden else None)
    keep = (lambda found: (found.source + found.target) % 2 == 0) if forbidden else None
    found, candidates = pair_up(*neighbors(similarity, k), config, threshold=threshold, keep=keep)
    pairs = list(zip(found.score, found.cosine, found.source, found.target, strict=True))
    assert [each[2:] for each in pairs] == [each[2:] for each in expected[0]]
    np.testing.assert_allclose([each[:2] for each in pairs], [each[:2] for each in expected[0]], atol=1e-12)
    assert candidates == expected[1]


def test_margins_by_hand():
    """Cosine .6; means (.8 + .4) / 2 and (.4 + 0) / 2, so the base is (.6 + .2) / 2 = .4."""
    lists = (
        Neighbors(np.float32([[0.8, 0.4]]), np.array([[0, 1]])),
        Neighbors(np.float32([[0.4, 0.0]]), np.array([[0, 1]])),
    )
    means = [mean_similarity(each) for each in lists]
    expected = {"ratio": 1.5, "distance": 0.2, "absolute": 0.6}
    for margin, value in expected.items():
        assert margin_scores(np.float32([0.6]), *means, margin)[0] == pytest.approx(value, abs=1e-7)
    assert margin_scores(np.float32([0.5]), np.array([-0.2]), np.array([0.1]), "ratio")[0] == 5.0
    with pytest.raises(ConfigError, match="margin is 'rato'"):
        margin_scores(np.float32([0.6]), *means, "rato")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"match": "union"}, "match"),
        ({"search": "ivf"}, "search = 'ivf'"),
        ({"prompt": "a", "prompt_name": "b"}, "prompt_name"),
        ({"k": 0}, "k = 0"),
        ({"min_cosine": 1.5}, "min_cosine = 1.5"),
        ({"threshold": float("nan")}, "threshold"),
        ({"margin": "rato"}, "margin = 'rato'"),
    ],
)
def test_invalid_settings_are_rejected(settings, message):
    with pytest.raises(ConfigError, match=message):
        MiningConfig(**settings)


def test_default_threshold_follows_the_margin():
    for centered, thresholds in DEFAULT_THRESHOLDS.items():
        for margin, value in thresholds.items():
            assert MiningConfig(margin=margin).lowest_score(centered=centered) == value
    assert MiningConfig(threshold=None).lowest_score(centered=True) is None
    assert MiningConfig(threshold=0.25).lowest_score(centered=True) == 0.25


def test_pairing_stays_within_planned_memory():
    rows, k, draw = 20_000, 4, np.random.default_rng(0)
    lists = [
        Neighbors(draw.random((rows, k), dtype=np.float32), draw.integers(0, rows, (rows, k))) for _ in range(2)
    ]
    pair_up(*lists, MiningConfig())
    tracemalloc.start()
    pair_up(*lists, MiningConfig())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= CANDIDATE * 2 * rows * k
