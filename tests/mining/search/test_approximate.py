"""Index search: recall against brute force, shards, full lists, indexes that are kept, faults."""

import faiss
import numpy as np
import pytest

from otembed import mine_bitext
from otembed.config.mining import MiningConfig
from otembed.embeddings.rows import scan
from otembed.errors import ConfigError, OutputError
from otembed.mining.plan import plan_mining
from otembed.mining.search import index, index_work
from otembed.mining.search.approximate import approximate_neighbors, choose_method
from otembed.mining.search.exact import exact_neighbors
from otembed.mining.search.index import cut_shards, index_bytes
from otembed.mining.search.plan import plan_search
from otembed.mining.side import open_sides
from otembed.runtime.executors import LocalExecutor

ROWS, DIMENSION, K = 1500, 16, 3
ONE = LocalExecutor(1)


@pytest.fixture
def sides(stored):
    draw = np.random.default_rng(0)
    centers = draw.normal(size=(40, DIMENSION))
    both = []
    for name in "xy":
        rows = centers[draw.integers(0, 40, ROWS)] + 0.7 * draw.normal(size=(ROWS, DIMENSION))
        both.append(scan(stored(rows.astype(np.float32), name))[0])
    return both


@pytest.mark.parametrize("method", ["hnsw", "pq"])
def test_recall_matches_brute_force_and_scores_are_exact(sides, method):
    forward, backward, recall = approximate_neighbors(*sides, K, method, executor=ONE)
    x, y = (side.read(0, ROWS) for side in sides)
    shares = []
    for found, (queries, base) in ((forward, (x, y)), (backward, (y, x))):
        assert (found.ids >= 0).all()
        exact = np.take_along_axis(queries @ base.T, found.ids, 1)
        np.testing.assert_allclose(found.scores, exact, atol=1e-6)
        assert (np.diff(found.scores, axis=1) <= 0).all()
        assert all(len(set(row)) == K for row in found.ids.tolist())
        rows = np.unique(np.linspace(0, ROWS - 1, 1000).astype(int))
        true = faiss.knn(queries[rows], base, K, metric=faiss.METRIC_INNER_PRODUCT)[1]
        shares.append(np.mean([len(set(a) & set(b)) / K for a, b in zip(true, found.ids[rows], strict=True)]))
    assert recall == pytest.approx(min(shares), abs=1e-9)
    assert recall > 0.9


@pytest.mark.parametrize("method", ["hnsw", "pq"])
def test_shards_find_no_less_and_threads_change_no_byte(sides, method):
    options = {"shard_rows": 600, "executor": LocalExecutor(2)}
    *lists, recall = approximate_neighbors(*sides, K, method, **options)
    assert recall >= approximate_neighbors(*sides, K, method, executor=ONE)[2]
    again = approximate_neighbors(*sides, K, method, **options | {"executor": ONE})
    for found, other in zip(lists, again[:2], strict=True):
        assert (found.ids.tobytes(), found.scores.tobytes()) == (other.ids.tobytes(), other.scores.tobytes())
    assert lists[0].ids.min() >= 0
    assert lists[0].ids.max() >= 1000


def test_index_minus_one_and_too_few_candidates_are_searched_exactly(sides, monkeypatch):
    """An index that finds nothing for half of the queries, and one candidate for the others."""

    class Blind:
        def search(self, rows, wanted):
            ids = np.full((len(rows), wanted), -1)
            ids[::2, 0] = 5
            return np.full(ids.shape, -3.4e38, np.float32), ids

    monkeypatch.setattr(index_work, "build_index", lambda *_: Blind())
    forward, backward, recall = approximate_neighbors(*sides, K, "pq", executor=ONE)
    exact = exact_neighbors(*sides, K)
    assert recall == 1.0
    for found, true in zip((forward, backward), exact, strict=True):
        assert (found.ids >= 0).all()
        assert (found.ids == true.ids).mean() > 0.99


@pytest.mark.parametrize("rows", [1, 30, 200])
@pytest.mark.parametrize("method", ["hnsw", "pq"])
def test_few_rows_and_large_k_are_searched_exactly(stored, sides, rows, method):
    few = scan(stored(sides[0].read(0, rows), "few"))[0]
    for pair in ((few, sides[1]), (sides[1], few)):
        found = approximate_neighbors(*pair, 50, method, executor=ONE)
        assert found[0].ids.shape == (len(pair[0]), min(50, len(pair[1])))
        assert all((each.ids >= 0).all() for each in found[:2])
    assert found[2] > 0.5


def test_indexes_and_results_are_cached_and_corruption_detected(sides, tmp_path, caplog, monkeypatch):
    state = tmp_path / "state.npz"
    first = approximate_neighbors(*sides, K, "pq", executor=ONE, cache=tmp_path, state_file=state)
    files = sorted(tmp_path.glob("*.faiss"))
    assert len(files) == 2
    monkeypatch.setattr(index, "_empty", None)
    again = approximate_neighbors(*sides, K, "pq", executor=ONE, cache=tmp_path)
    kept = approximate_neighbors(*sides, K, "pq", executor=ONE, state_file=state)
    for other in (again, kept):
        assert all(a.ids.tobytes() == b.ids.tobytes() for a, b in zip(first[:2], other[:2], strict=True))
        assert other[2] == first[2]
    monkeypatch.undo()
    files[0].write_bytes(files[0].read_bytes()[:100])
    approximate_neighbors(*sides, K, "pq", executor=ONE, cache=tmp_path)
    assert files[0].name in caplog.text
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="--cache"):
        approximate_neighbors(*sides, K, "pq", executor=ONE, cache=tmp_path / "file" / "cache")


@pytest.mark.parametrize("kind", ["index", "state"])
def test_flipped_bit_never_gives_other_pairs(sides, tmp_path, caplog, kind):
    state = tmp_path / "state.npz" if kind == "state" else None
    first = approximate_neighbors(*sides, K, "pq", executor=ONE, cache=tmp_path, state_file=state)
    path = state or min(tmp_path.glob("*.faiss"))
    sound = path.read_bytes()
    for place in np.linspace(0, len(sound) - 1, 6).astype(int):
        damaged = bytearray(sound)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        caplog.clear()
        again = approximate_neighbors(*sides, K, "pq", executor=ONE, cache=tmp_path, state_file=state)
        assert all(a.ids.tobytes() == b.ids.tobytes() for a, b in zip(first[:2], again[:2], strict=True))
        assert (f"{path.name}: the " in caplog.text, path.read_bytes() == sound) == (True, True)


def test_low_recall_is_reported_with_a_warning(sides, tmp_path, caplog):
    x, y = (side.read(0, ROWS) for side in sides)
    with caplog.at_level("INFO", "otembed"):
        low = mine_bitext(x, y, search="pq", min_recall=1.0, threshold=None, workers=1)
    assert (low.report.search, low.report.recall < 1) == ("pq", True)
    assert "below 1.000" in caplog.text
    exact = mine_bitext(x, y, threshold=None, workers=1)
    assert (exact.report.search, exact.report.recall) == ("exact", None)
    assert len(set(zip(low.pairs.source, low.pairs.target, strict=True))
               & set(zip(exact.pairs.source, exact.pairs.target, strict=True))) > 0.8 * len(exact)  # fmt: skip


def test_method_is_chosen_by_size_or_by_name():
    sizes = ((10, 10), (500_000, 500_000), (500_000, 500_001), (10**6, 10**6), (10**6, 10**6 + 1))
    assert [choose_method("auto", *each) for each in sizes] == ["exact", "exact", "pq", "pq", "hnsw"]
    assert choose_method("pq", 1, 1) == "pq"
    with pytest.raises(ConfigError, match="'faiss'"):
        choose_method("faiss", 1, 1)


@pytest.mark.parametrize(("dimension", "parts"), [(384, 96), (7, 1), (16, 4), (30, 6), (1, 1), (3, 1)])
def test_product_quantization_supports_any_dimension(dimension, parts):
    assert index._pq_parts(dimension) == parts


@pytest.mark.parametrize("method", ["hnsw", "pq"])
def test_plan_predicts_the_size_of_an_index(sides, tmp_path, method):
    approximate_neighbors(*sides, K, method, executor=ONE, cache=tmp_path)
    size = max(path.stat().st_size for path in tmp_path.glob("*.faiss"))
    planned = index_bytes(method, ROWS, DIMENSION)
    # Centroids and code books come on top; they do not grow with the rows.
    assert planned <= size * 1.15
    assert size <= 1.15 * planned + 4 * DIMENSION * 200 + 3000
    config = MiningConfig(search=method, workers=1)
    opened = open_sides(*(side.read(0, ROWS) for side in sides), None, None, config)
    plan = plan_mining(opened, None, config)
    assert (plan.search, plan.tiles) == (method, 0)
    assert plan.memory_bytes > planned
    assert plan.indexes == 2


def test_indexes_shrink_with_the_memory_limit_and_not_with_workers_or_engine():
    size = {"rows": 400_000, "columns": 300_000, "dimension": 384, "k": 4, "method": "hnsw"}
    free = plan_search(**size, workers=8)
    assert (free.workers, free.shard_rows) == (8, 1 << 18)
    tight = [
        plan_search(**size, workers=n, memory_gb=0.4, remote=remote) for n in (1, 8) for remote in (False, True)
    ]
    assert {each.shard_rows for each in tight} == {tight[0].shard_rows}
    assert tight[0].shard_rows < free.shard_rows
    assert all(each.memory <= 0.4e9 for each in tight)
    assert [len(cut_shards(rows, tight[0].shard_rows)) for rows in (1, tight[0].shard_rows + 1)] == [1, 2]
