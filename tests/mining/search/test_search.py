"""A search and its cache: processes that run the same search, and a cache that cannot be written."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, TimeoutError

import numpy as np
import pytest

from otembed.config import MiningConfig
from otembed.embeddings.cache import cache_lock
from otembed.embeddings.rows import scan
from otembed.embeddings.vectors import open_vectors
from otembed.errors import OutputError
from otembed.mining.search import search as module
from otembed.mining.search.search import search


@pytest.fixture
def sides(tmp_path):
    draw = np.random.default_rng(0)
    found = []
    for name in "xy":
        rows = draw.normal(size=(40, 8)).astype(np.float32)
        np.save(tmp_path / f"{name}.npy", rows / np.linalg.norm(rows, axis=1, keepdims=True))
        found.append(scan(open_vectors(tmp_path / f"{name}.npy"))[0])
    return found


def test_the_same_search_waits_for_another_process_and_reads_its_result(sides, tmp_path):
    cache = tmp_path / "cache"
    config = MiningConfig(search="exact")
    expected = search(*sides, config, cache=cache)
    (state,) = (cache / "searches").glob("*.npz")
    with ThreadPoolExecutor(1) as pool:
        with cache_lock(state.parent, state.stem):
            waiting = pool.submit(search, *sides, config, cache=cache)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.3)
        found = waiting.result(timeout=60)
    np.testing.assert_array_equal(found.forward.ids, expected.forward.ids)
    np.testing.assert_array_equal(found.backward.scores, expected.backward.scores)


def test_a_finished_search_is_read_without_a_lock(sides, tmp_path, monkeypatch):
    config = MiningConfig(search="exact")
    expected = search(*sides, config, cache=tmp_path)

    def fail(folder, name):
        raise OutputError("cannot write: Read-only file system", path=folder)

    monkeypatch.setattr(module, "cache_lock", fail)
    found = search(*sides, config, cache=tmp_path)
    np.testing.assert_array_equal(found.forward.ids, expected.forward.ids)
