"""Planted lines against runs in which they were really added, one at a time."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from otembed import mine_bitext
from otembed.config.mining import MiningConfig
from otembed.embeddings.vectors import array_vectors
from otembed.mining.calibration.planting import mined_sides, plant
from otembed.mining.pairing.pairing import pair_up
from otembed.mining.search.exact import Tiling, exact_neighbors
from otembed.mining.side import Side
from otembed.runtime.executors import LocalExecutor

# Of 125 scores.
MOST_DIFFER = 2


def collections(sources, targets, planted, noise=0.4, dimension=16):
    """Vectors of both sides, half of the smaller one in pairs, and of the pairs to plant."""
    draw = np.random.default_rng(0)
    shared = draw.normal(size=(min(sources, targets) // 2, dimension))
    seeds = draw.normal(size=(planted, dimension))

    def side(rows):
        alone = draw.normal(size=(rows - len(shared), dimension))
        return [
            (each + noise * draw.normal(size=each.shape)).astype(np.float32)
            for each in (np.concatenate([shared, alone]), seeds)
        ]

    (x, a), (y, b) = side(sources), side(targets)
    return x, y, a, b


def plant_in(x, y, a, b, config, lengths=(None,) * 4, **options):
    *sides, first, second = (
        replace(
            Side(None, array_vectors(rows, "x")).scanned(),
            lines=None if size is None else SimpleNamespace(name="x", lengths=size),
        )
        for rows, size in zip((x, y, a, b), lengths, strict=True)
    )
    found = exact_neighbors(*(side.rows for side in sides), config.k, executor=LocalExecutor(1))
    pairs, _ = pair_up(*found, config)
    return plant(sides, mined_sides(pairs, found), (first, second), config, **options)


def really(x, y, config, source=None, target=None):
    """Return partner and score of the last row of each side after adding these lines."""
    x = x if source is None else np.concatenate([x, source[None]])
    y = y if target is None else np.concatenate([y, target[None]])
    mined = mine_bitext(x, y, config=replace(config, center=False, threshold=None, workers=1))
    by_source = {pair.source_id: (pair.target_id, pair.score) for pair in mined}
    by_target = {pair.target_id: (pair.source_id, pair.score) for pair in mined}
    none = None, -np.inf
    return by_source.get(len(x), none), by_target.get(len(y), none), len(x), len(y)


@pytest.mark.parametrize("margin", ["distance", "ratio", "absolute"])
@pytest.mark.parametrize(
    ("sources", "targets", "k", "min_cosine", "noise"),
    [
        (60, 50, 3, None, 0.4),
        (60, 50, 3, None, 0.9),
        (30, 90, 4, 0.3, 0.9),
        (5, 40, 8, None, 0.9),
        (40, 4, 6, None, 0.9),
    ],
)
def test_scores_match_runs_with_the_lines_added(margin, sources, targets, k, min_cosine, noise):
    x, y, a, b = collections(sources, targets, 25, noise=noise)
    config = MiningConfig(margin=margin, k=k, min_cosine=min_cosine)
    planted = plant_in(x, y, a, b, config)
    expected = {name: [] for name in vars(planted)}
    for source, target in zip(a, b, strict=True):
        own, other, last, end = really(x, y, config, source, target)
        paired = own[0] == end
        assert paired == (other[0] == last)
        expected["pair"].append(own[1] if paired else -np.inf)
        expected["source_wrong"].append(-np.inf if paired else own[1])
        expected["target_wrong"].append(-np.inf if paired else other[1])
        expected["source_orphan"].append(really(x, y, config, source=source)[0][1])
        expected["target_orphan"].append(really(x, y, config, target=target)[1][1])
    differ = sum(
        int((~np.isclose(getattr(planted, name), values, rtol=1e-6, atol=1e-6)).sum())
        for name, values in expected.items()
    )
    # What a line does that lost its partner to a planted one is not followed.
    assert differ <= MOST_DIFFER
    if noise > 0.5:
        assert 0 < np.isfinite(planted.pair).sum() < len(a)


def test_length_and_piece_filters_apply_to_planted_lines(monkeypatch):
    x, y, a, b = collections(60, 50, 25, noise=0.9)
    config = MiningConfig(k=3)
    whole = plant_in(x, y, a, b, config)
    monkeypatch.setattr("otembed.mining.calibration.planting.BLOCK_ROWS", 7)
    pieces = plant_in(x, y, a, b, config, tiling=Tiling(16, 8, 16))
    for name, values in vars(whole).items():
        np.testing.assert_array_equal(getattr(pieces, name), values)
    sides, lengths = (x, y, a, b), [np.full(len(each), 5, np.int32) for each in (x, y, a, b)]
    lengths[2][:10] = 50

    def fits(source, target):
        return source <= 2 * target

    filtered = plant_in(*sides, config, fits=fits, lengths=lengths)
    for name in ("pair", "source_wrong", "source_orphan"):
        assert not np.isfinite(getattr(filtered, name)[:10]).any()
        np.testing.assert_array_equal(getattr(filtered, name)[10:], getattr(whole, name)[10:])
    lengths[3][10:], lengths[2][:10] = 1, 5
    turned = plant_in(*sides, config, fits=fits, lengths=lengths)
    assert not np.isfinite(np.concatenate([turned.pair[10:], turned.target_orphan[10:]])).any()
    np.testing.assert_array_equal(turned.target_orphan[:10], whole.target_orphan[:10])
    np.testing.assert_array_equal(turned.source_orphan, whole.source_orphan)
