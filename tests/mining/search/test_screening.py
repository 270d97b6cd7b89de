"""The int8 product: its bound against exact errors, on random and adversarial rows, and the same bytes as float32."""

import threading

import numpy as np
import pytest
import torch

from otembed.embeddings.row_kernels import scale_to_unit
from otembed.embeddings.rows import UnitRows, scan
from otembed.errors import ConfigError, NumericsError
from otembed.mining.search import exact, kernels, screening
from otembed.mining.search.exact import Tiling, exact_neighbors
from otembed.mining.search.neighbors import Neighbors
from otembed.mining.search.screening import Operand, choose_screen, mixing, multiply
from otembed.runtime import int8
from otembed.runtime.executors import LocalExecutor, ProcessPool


def scaled(rows):
    rows = np.ascontiguousarray(rows, np.float32)
    scale_to_unit(rows, np.empty(len(rows), np.uint8))
    return rows


def packed(both):
    return b"".join(array.tobytes() for side in both for array in (side.scores, side.ids))


def draw_rows(kind, count, dimension, seed):
    """Rows of a kind that is hard for rounding to few bits."""
    draw = np.random.default_rng(seed)
    noise = draw.standard_normal((count, dimension))
    if kind == "one entry":
        noise = np.eye(dimension)[draw.integers(0, dimension, count)] * draw.choice([-1, 1], (count, 1))
    elif kind == "huge range":
        noise *= 10.0 ** draw.uniform(-18, 18, (count, dimension))
    elif kind == "tiny norms":
        noise *= 10.0 ** draw.uniform(-36, -30, (count, 1))
    elif kind == "near ties":
        noise = noise[:1] + 1e-6 * noise
    elif kind == "large common part":
        noise = 30 * np.random.default_rng(0).standard_normal((1, dimension)) + noise
    elif kind == "one large dimension":
        noise[:, 0] += 40
    elif kind == "constant":
        noise = np.ones((count, dimension)) * draw.choice([-1, 1], (count, 1))
    elif kind == "on the limits":
        # The largest error: every entry half a step from a code, with the largest one at 127 steps.
        noise = draw.integers(0, 127, (count, dimension)) + 0.4999
        noise[:, -1] = 127
    elif kind == "with zeros":
        noise[::3] = 0
    elif kind == "repeated":
        noise = np.repeat(noise[: max(count // 6, 1)], 6, axis=0)[:count]
        noise = np.concatenate([noise, noise])[:count]
    return noise


KINDS = ["normal", "one entry", "huge range", "tiny norms", "near ties", "large common part", "one large dimension"]
KINDS += ["constant", "on the limits", "with zeros", "repeated"]


@pytest.mark.parametrize("dimension", [1, 2, 7, 16, 33, 384, 1040])
@pytest.mark.parametrize("kind", KINDS)
def test_int8_products_are_within_their_bound_of_the_exact_ones(kind, dimension):
    x, y = (scaled(draw_rows(kind, count, dimension, count)) for count in (40, 50))
    left, right = Operand.of(x, coded=True), Operand.of(y, coded=True)
    product = multiply(left, right, np.empty(40 * 50, np.float32))
    exact_products = x.astype(np.longdouble) @ y.T.astype(np.longdouble)
    error = np.abs(product.unit * product.cells.astype(np.longdouble) - exact_products).max()
    assert error <= product.slack - 2 * product.unit - 2.0**-23
    # The sums are exact, whatever computed them.
    np.testing.assert_array_equal(product.cells, left.codes.astype(np.int64) @ right.codes.T.astype(np.int64))
    floats = multiply(Operand.of(x, coded=False), right, np.empty(40 * 50, np.float32))
    assert np.abs(floats.unit * floats.cells.astype(np.longdouble) - exact_products).max() <= floats.slack


@pytest.mark.parametrize("dimension", [1, 5, 48, 384])
def test_mixing_is_orthogonal_and_codes_are_as_close_as_stated(dimension):
    rows = scaled(np.random.default_rng(3).standard_normal((30, dimension)))
    signs, runs = mixing(dimension)
    width = len(signs)
    assert width % 4 == 0
    assert 0 <= width - dimension < 16
    matrix = np.empty((width, width), np.float32)
    for number, row in enumerate(np.eye(width, dtype=np.float32)):
        kernels.mix(row, signs, runs, matrix[number])
    matrix = matrix.astype(np.float64) * 2.0 ** (-len(runs) / 2)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(width), atol=1e-14)
    operand = Operand.of(rows, coded=True)
    distance = np.linalg.norm(rows @ matrix[:dimension] - operand.step * operand.codes, axis=1).max()
    assert distance <= operand.error <= distance + 1e-5
    assert np.abs(operand.codes.astype(int)).max() == 127


def test_large_entries_are_spread_before_they_are_rounded():
    """Without mixing, one large entry in each row would make the error ten times as large."""
    rows = np.random.default_rng(0).standard_normal((200, 384))
    plain = Operand.of(scaled(rows), coded=True).error
    rows[:, 7] = 60
    assert Operand.of(scaled(rows), coded=True).error < 2 * plain


@pytest.mark.parametrize("dimension", [1, 5, 64])
@pytest.mark.parametrize("kind", KINDS)
def test_int8_finds_the_bytes_of_float32(stored, kind, dimension):
    sides = [scan(stored(draw_rows(kind, n, dimension, n).astype(np.float32), str(n)))[0] for n in (90, 70)]
    for centered in (False, True):
        rows = [UnitRows(side.vectors, side.mean, side.digest, centered=centered) for side in sides]
        for k, tiling in ((3, Tiling(16, 64, 128)), (100, Tiling(90, 7, 30))):
            options = {"tiling": tiling, "executor": LocalExecutor(1)}
            expected = packed(exact_neighbors(*rows, k, screen="float32", **options))
            assert packed(exact_neighbors(*rows, k, screen="int8", **options)) == expected


def test_int8_in_processes_finds_the_bytes_of_float32(stored, tmp_path):
    sides = [scan(stored(draw_rows("normal", n, 20, n).astype(np.float32), str(n)))[0] for n in (150, 120)]
    options = {"tiling": Tiling(16, 64, 64), "block_rows": 64}
    expected = packed(exact_neighbors(*sides, 4, screen="float32", **options))
    options |= {"executor": ProcessPool(2), "state_file": tmp_path / "state.npz"}
    assert packed(exact_neighbors(*sides, 4, screen="int8", **options)) == expected


def test_no_neighbor_is_lost_where_the_product_is_wrong_by_its_bound():
    x, y = (scaled(draw_rows("normal", n, 16, n)) for n in (60, 90))
    product = multiply(Operand.of(x, coded=True), Operand.of(y, coded=True), np.empty(60 * 90, np.float32))
    most = product.slack - 2 * product.unit - 2.0**-22
    exact_products = x.astype(np.float64) @ y.T.astype(np.float64)
    wrong = np.random.default_rng(0).choice([-1, 1], exact_products.shape) * most
    cells = np.trunc((exact_products + wrong) / product.unit).astype(np.int32)
    found = Neighbors.none(60, 3), Neighbors.none(90, 3)
    lists = [array for side in found for array in (side.scores, side.ids)]
    computed = kernels.screen(cells, x, y, product.slack, product.unit, *lists, 0, 0)
    assert computed < cells.size
    for side, products in zip(found, (exact_products, exact_products.T), strict=True):
        best = np.argsort(-products.astype(np.float32), axis=1, kind="stable")[:, :3]
        np.testing.assert_array_equal(side.ids, best)


def test_rows_that_int8_cannot_tell_apart_are_screened_in_float32(stored, monkeypatch):
    products = []

    def counted(x, y, scratch):
        products.append(x.codes is not None)
        return multiply(x, y, scratch)

    monkeypatch.setattr(exact, "multiply", counted)
    monkeypatch.setattr(exact, "choose_screen", lambda *shape: "int8")
    # Cosines between .9999 and 1 in a random order.
    close = draw_rows("normal", 600, 32, 1)[:1] + 0.01 * draw_rows("normal", 600, 32, 1)
    for values, in_int8 in ((close, False), (draw_rows("normal", 600, 32, 1), True)):
        products.clear()
        sides = [
            scan(stored(values[rows].astype(np.float32), f"{in_int8}{name}"))[0] for name, rows in PARTS.items()
        ]
        options = {"tiling": Tiling(100, 600, 600), "executor": LocalExecutor(1)}
        found = exact_neighbors(*sides, 2, **options)
        assert packed(found) == packed(exact_neighbors(*sides, 2, screen="float32", **options))
        assert products[:2] == [True, True]
        assert products[5] is in_int8


PARTS = {"x": slice(None), "y": slice(None, None, -1)}


def test_int8_is_chosen_for_large_searches_where_it_is_faster(monkeypatch):
    monkeypatch.setattr(int8, "int8_is_faster", lambda dimension: True)
    assert choose_screen(20_000, 20_000, 384) == "int8"
    assert choose_screen(1000, 1000, 384) == "float32"
    assert choose_screen(20_000, 20_000, 100_001) == "float32"
    monkeypatch.delitem(screening.sys.modules, "torch")
    assert choose_screen(20_000, 20_000, 384) == "float32"
    assert choose_screen(100_000, 100_000, 384) == "int8"
    monkeypatch.undo()
    monkeypatch.setattr(int8, "int8_is_faster", lambda dimension: False)
    assert choose_screen(20_000, 20_000, 384) == "float32"


@pytest.fixture
def probe():
    int8.int8_is_faster.cache_clear()
    yield int8.int8_is_faster
    int8.int8_is_faster.cache_clear()


def test_probe_refuses_a_product_that_is_slow_wrong_or_missing(probe, monkeypatch):
    def wrong(x, y, out):
        real(x, y, out)
        out[5, 7] += 1

    def slow(x, y, out):
        out[:] = x.astype(np.float64) @ y.T.astype(np.float64)
        threading.Event().wait(0.05)

    def fast(x, y, out):
        if (out != expected).any():
            out[:] = expected

    def missing(x, y, out):
        raise RuntimeError("not implemented")

    real, computed = int8.multiply_int8, []
    monkeypatch.setattr(int8, "multiply_int8", lambda x, y, out: (real(x, y, out), computed.append(out)))
    probe(32)
    expected = computed[-1]
    for product, answer in ((wrong, False), (slow, False), (missing, False), (fast, True)):
        monkeypatch.setattr(int8, "multiply_int8", product)
        monkeypatch.setattr(int8, "LEAST_SPEEDUP", 1e-3 if product is not slow else 1.5)
        probe.cache_clear()
        assert probe(32) is answer


def test_threads_of_torch_are_one_per_worker_and_restored(stored, monkeypatch):
    seen = []

    def counted(x, y, scratch):
        seen.append((threading.current_thread() is threading.main_thread(), torch.get_num_threads()))
        return multiply(x, y, scratch)

    monkeypatch.setattr(exact, "multiply", counted)
    sides = [scan(stored(draw_rows("normal", n, 20, n).astype(np.float32), str(n)))[0] for n in (150, 120)]
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        exact_neighbors(
            *sides, 4, executor=LocalExecutor(2), tiling=Tiling(16, 16, 16), block_rows=32, screen="int8"
        )
        assert set(seen) == {(False, 1)}
        assert torch.get_num_threads() == 3
        inside = []
        later = threading.Thread(target=lambda: inside.append(torch.get_num_threads()))
        later.start()
        later.join()
        assert inside == [3]
    finally:
        torch.set_num_threads(before)


def test_unknown_screens_are_rejected_and_nan_is_refused_as_before(stored):
    values = draw_rows("normal", 9, 6, 3).astype(np.float32)
    side = scan(stored(values))[0]
    with pytest.raises(ConfigError, match="'bf16'") as caught:
        exact_neighbors(side, side, 2, screen="bf16")
    assert "int8" in caught.value.hint
    values[4, 1] = np.nan
    with pytest.raises(NumericsError, match="row 5"):
        scan(stored(values, "bad"))
