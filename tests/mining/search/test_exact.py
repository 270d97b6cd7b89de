"""The exact search against faiss and brute force, and the same bytes however it is cut."""

import signal
import subprocess
import sys
from dataclasses import replace

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otembed.embeddings.rows import UnitRows, scan
from otembed.embeddings.vectors import Part, Vectors, array_vectors
from otembed.errors import ConfigError, DataError, NumericsError
from otembed.mining.search import blocks, kernels
from otembed.mining.search.exact import Tiling, exact_neighbors
from otembed.mining.search.neighbors import Neighbors
from otembed.mining.search.screening import SCREENS
from otembed.runtime.executors import LocalExecutor
from otembed.runtime.processors import available_workers


def unit(rows, dimension, seed):
    values = np.random.default_rng(seed).normal(size=(rows, dimension)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def packed(both):
    return b"".join(array.tobytes() for side in both for array in (side.scores, side.ids))


def reference(x, y, k):
    """Brute force in float64, ties by id."""
    scores = (x.astype(np.float64) @ y.astype(np.float64).T).astype(np.float32)
    order = np.lexsort((np.broadcast_to(np.arange(len(y)), scores.shape), -scores), axis=1)[:, :k]
    return np.take_along_axis(scores, order, 1), order


def as_read(side):
    return side.read(0, len(side))


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize(("n", "m", "d", "k"), [(300, 500, 24, 4), (1, 1, 8, 4), (3, 200, 5, 7), (130, 2, 384, 1)])
def test_neighbors_match_faiss_and_brute_force(stored, n, m, d, k, screen):
    source, target = (scan(stored(unit(rows, d, rows), str(rows) + name))[0] for rows, name in ((n, "x"), (m, "y")))
    x, y = as_read(source), as_read(target)
    both = exact_neighbors(source, target, k, tiling=Tiling(64, 128, 256), screen=screen)
    for found, (queries, base) in zip(both, ((x, y), (y, x)), strict=True):
        kept = min(k, len(base))
        scores, ids = faiss.knn(queries, base, kept, metric=faiss.METRIC_INNER_PRODUCT)
        np.testing.assert_allclose(found.scores, scores, atol=1e-6)
        np.testing.assert_array_equal(found.ids, ids)
        np.testing.assert_array_equal(found.ids, reference(queries, base, kept)[1])


@pytest.mark.parametrize("screen", SCREENS)
def test_ties_go_to_the_lowest_id_as_in_brute_force(stored, screen):
    values = np.repeat(np.eye(6, 9, dtype=np.float32), 5, axis=0)[np.random.default_rng(0).permutation(30)]
    source, target = scan(stored(values))[0], scan(stored(values[::-1].copy(), "y"))[0]
    both = exact_neighbors(source, target, 7, tiling=Tiling(4, 8, 8), executor=LocalExecutor(2), screen=screen)
    x, y = as_read(source), as_read(target)
    for found, (queries, base) in zip(both, ((x, y), (y, x)), strict=True):
        scores, ids = reference(queries, base, 7)
        np.testing.assert_array_equal(found.scores, scores)
        np.testing.assert_array_equal(found.ids, ids)
        from_faiss = faiss.knn(queries, base, 7, metric=faiss.METRIC_INNER_PRODUCT)[0]
        np.testing.assert_allclose(found.scores, from_faiss, atol=1e-6)


@pytest.mark.parametrize(("precision", "screen"), [("<f4", "float32"), ("<f2", "float32"), ("<f4", "int8")])
def test_shards_tiles_blocks_workers_and_restarts_do_not_change_bytes(
    tmp_path, stored, precision, screen, monkeypatch
):
    """Every way to cut the work gives the same bytes, with repeated rows so that ties occur."""
    x, y = (unit(rows, 12, rows)[np.r_[0:rows, 0:9]].astype(precision) for rows in (101, 77))
    whole = [replace(scan(stored(values, name))[0], centered=True) for values, name in ((x, "x"), (y, "y"))]
    expected = packed(exact_neighbors(*whole, 4, executor=LocalExecutor(1)))
    monkeypatch.setattr(blocks, "SAVE_SECONDS", -1)
    ways = [(1, Tiling(7, 3, 10), 1, 20), (2, Tiling(7, 3, 10), 4, 33), (4, Tiling(64, 64, 64), 2, 64)]
    ways += [(8, Tiling(7, 3, 10), 2, 1000), (8, Tiling(64, 64, 64), 1, 1000)]
    for number, (shards, tiling, workers, block_rows) in enumerate(ways):
        sides = []
        for name, values in (("x", x), ("y", y)):
            parts = []
            for index, rows in enumerate(np.array_split(values, shards)):
                path = tmp_path / f"{name}-{shards}-{index}"
                rows.tofile(path)
                parts.append(Part(path, len(rows), rows.dtype))
            sides.append(replace(scan(Vectors(name, parts, 12))[0], centered=True))
        assert [side.digest for side in sides] == [side.digest for side in whole]
        options = {
            "tiling": tiling,
            "executor": LocalExecutor(workers),
            "block_rows": block_rows,
            "screen": screen,
        }
        options["state_file"] = tmp_path / f"state-{number}.npz"
        calls = []

        def cut(stage, done, total, calls=calls):
            calls.append((done, total))
            if len(calls) == 9:
                raise KeyboardInterrupt

        if tiling.stripe == 10:
            with pytest.raises(KeyboardInterrupt):
                exact_neighbors(*sides, 4, progress=cut, **options)
        rest = []
        found = exact_neighbors(*sides, 4, progress=lambda *each, rest=rest: rest.append(each[1:]), **options)
        assert packed(found) == expected
        assert rest[-1][0] == rest[-1][1]
        again = []
        found = exact_neighbors(*sides, 4, progress=lambda *each, again=again: again.append(each), **options)
        assert (packed(found), again) == (expected, [])
    in_memory = [replace(scan(array_vectors(values, "x"))[0], centered=True) for values in (x, y)]
    assert packed(exact_neighbors(*in_memory, 4, executor=LocalExecutor(3), block_rows=20)) == expected


KILLED = """
import os, signal, sys
from otembed.embeddings.rows import scan
from otembed.embeddings.vectors import open_vectors
from otembed.mining.search.exact import Tiling, exact_neighbors
from pathlib import Path
def progress(stage, done, total):
    if done >= total // 2:
        os.kill(os.getpid(), signal.SIGKILL)
folder = Path(sys.argv[1])
sides = [scan(open_vectors(folder / f"{name}.npy"))[0] for name in "xy"]
options = {"tiling": Tiling(16, 16, 16), "block_rows": 32, "state_file": folder / "state.npz"}
exact_neighbors(*sides, 4, progress=progress, **options)
"""


@pytest.mark.slow
def test_killed_search_resumes_to_the_same_bytes(stored, tmp_path):
    sides = [scan(stored(unit(rows, 12, rows), name))[0] for rows, name in ((90, "x"), (120, "y"))]
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], check=False, capture_output=True, text=True
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    seen = []
    options = {"tiling": Tiling(16, 16, 16), "block_rows": 32, "state_file": tmp_path / "state.npz"}
    found = exact_neighbors(*sides, 4, progress=lambda *each: seen.append(each), **options)
    assert 0 < len(seen) < 6 * 8
    assert packed(found) == packed(exact_neighbors(*sides, 4))


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_merged_lists_are_the_top_of_their_union_in_any_order(data):
    k = data.draw(st.integers(1, 4))
    pairs = st.tuples(st.sampled_from([0.0, 0.25, 0.5]), st.integers(0, 12))
    entries = data.draw(st.lists(pairs, unique_by=lambda pair: pair[1]))
    lists = Neighbors.none(1, k)
    for score, key in data.draw(st.permutations(entries)) + entries:
        kernels.insert(lists.scores[0], lists.ids[0], np.float32(score), key)
    best = sorted(entries, key=lambda pair: (-pair[0], pair[1]))[:k]
    assert [each for each in lists.ids[0].tolist() if each >= 0] == [key for _, key in best]
    assert lists.scores[0][: len(best)].tolist() == [score for score, _ in best]


def test_rounding_of_the_screening_product_loses_no_neighbor():
    """A tile that is wrong by almost the bound in the worst direction changes nothing."""
    x, y = unit(60, 16, 1), unit(90, 16, 2)
    slack = 20 * 2.0**-24
    found = Neighbors.none(60, 3), Neighbors.none(90, 3)
    noise = np.random.default_rng(0).choice([-0.99, 0.99], (60, 90)).astype(np.float32) * np.float32(slack / 2)
    kernels.screen(
        x @ y.T + noise, x, y, slack, 1.0, found[0].scores, found[0].ids, found[1].scores, found[1].ids, 0, 0
    )
    np.testing.assert_array_equal(found[0].ids, reference(x, y, 3)[1])
    np.testing.assert_array_equal(found[1].ids, reference(y, x, 3)[1])


def test_centering_matches_numpy_and_zero_rows_are_left_out(stored):
    values = unit(40, 6, 3) * np.random.default_rng(1).uniform(1e-30, 1e30, (40, 1)).astype(np.float32)
    values[[4, 9]] = 0
    values[12] = values[2]
    side, counts = scan(stored(values), drop_repeated=True)
    assert (len(side), counts.zero, counts.repeated) == (37, 2, 1)
    kept = np.delete(values, [4, 9, 12], axis=0).astype(np.float64)
    kept /= np.linalg.norm(kept, axis=1, keepdims=True)
    np.testing.assert_allclose(as_read(side), kept, atol=1e-6)
    kept -= kept.mean(axis=0)
    kept /= np.linalg.norm(kept, axis=1, keepdims=True)
    centered = UnitRows(side.vectors, side.mean, side.digest, centered=True)
    np.testing.assert_allclose(as_read(centered), kept, atol=1e-6)
    assert centered.gather(np.array([36, 0, 0, 5])).tobytes() == as_read(centered)[[36, 0, 0, 5]].tobytes()


def test_centered_single_row_has_no_direction(stored):
    side = scan(stored(unit(1, 6, 3)))[0]
    assert not as_read(UnitRows(side.vectors, side.mean, side.digest, centered=True)).any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_rejected_with_their_row(stored, value):
    values = unit(9, 6, 3)
    values[7, 2] = value
    with pytest.raises(NumericsError, match="row 8"):
        scan(stored(values))
    with pytest.raises(DataError, match="zero"):
        scan(stored(np.zeros((3, 2), np.float32)))


def test_out_of_range_settings_and_dimension_mismatch_are_rejected(stored, tmp_path):
    x, y = (scan(stored(unit(9, d, d), str(d)))[0] for d in (5, 6))
    with pytest.raises(DataError, match=r"of dimension 5, .* of 6"):
        exact_neighbors(x, y, 1)
    with pytest.raises(ConfigError, match="k is 0"):
        exact_neighbors(x, x, 0)
    with pytest.raises(ConfigError, match="workers is 0"):
        LocalExecutor(0)
    with pytest.raises(ConfigError, match="stripe is 0"):
        Tiling(stripe=0)


@pytest.mark.parametrize("damage", ["cut", "text", "other"])
def test_corrupt_state_is_ignored_with_a_warning(stored, tmp_path, caplog, damage):
    x = scan(stored(unit(50, 6, 6)))[0]
    path = tmp_path / "state.npz"
    expected = packed(exact_neighbors(x, x, 2, state_file=path))
    if damage == "other":
        exact_neighbors(x, x, 3, state_file=tmp_path / "other.npz")
        path = tmp_path / "other.npz"
    else:
        path.write_bytes(path.read_bytes()[:-200] if damage == "cut" else b"text")
    assert packed(exact_neighbors(x, x, 2, state_file=path)) == expected
    assert path.name in caplog.text


def test_state_that_cannot_be_written_is_an_error(stored, tmp_path, monkeypatch):
    x = scan(stored(unit(50, 6, 6)))[0]
    (tmp_path / "missing").write_text("a file, not a folder")
    with pytest.raises(DataError, match="missing"):
        exact_neighbors(x, x, 2, state_file=tmp_path / "missing" / "state.npz")


@pytest.mark.parametrize(("limit", "expected"), [("1", 1), ("", None), ("many", None)])
def test_workers_follow_the_processors_and_omp_num_threads(monkeypatch, limit, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", limit)
    assert available_workers() == expected or (expected is None and available_workers() >= 1)
