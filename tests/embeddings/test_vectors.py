import numpy as np
import pytest

from otembed.embeddings.vectors import Part, Vectors, open_vectors
from otembed.errors import ConfigError, DataError, OtembedError

VALUES = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "dtype", "options"),
    [
        ("x.npy", "<f4", {}),
        ("x.npy", "<f2", {"dimension": 6}),
        ("x.npy", ">f8", {}),
        ("x.f32", "<f4", {"dimension": 6}),
        ("x.f16", "<f2", {"dimension": 6}),
        ("x.enc", "<f4", {"dimension": 6}),
        ("x.enc", "<f2", {"dimension": 6, "dtype": "float16"}),
    ],
)
def test_every_format_gives_the_rows_as_float32(tmp_path, name, dtype, options):
    path, values = tmp_path / name, VALUES.astype(dtype)
    if name == "x.npy":
        np.save(path, values)
    else:
        values.tofile(path)
    vectors = open_vectors(path, **options)
    assert (len(vectors), vectors.dimension) == VALUES.shape
    np.testing.assert_array_equal(vectors.read(0, 99), values.astype(np.float32))
    np.testing.assert_array_equal(vectors.read(7, 9), values[7:9].astype(np.float32))


@pytest.mark.parametrize("sizes", [(50,), (1, 49), (20, 0, 25, 5)])
def test_parts_and_selections_read_as_one_matrix(tmp_path, monkeypatch, sizes):
    monkeypatch.setattr("otembed.embeddings.vectors.RAW_ROWS", 7)
    parts, start = [], 0
    for number, rows in enumerate(sizes):
        VALUES[start : start + rows].tofile(tmp_path / str(number))
        parts.append(Part(tmp_path / str(number), rows, np.dtype("<f4")))
        start += rows
    vectors = Vectors("x", parts, 6)
    chosen = np.array([0, 1, 19, 20, 21, 44, 49])
    assert vectors.read(18, 47).tobytes() == VALUES[18:47].tobytes()
    assert vectors.choose(chosen).read(0, 9).tobytes() == VALUES[chosen].tobytes()
    again = vectors.choose(chosen).choose(np.array([2, 6]))
    assert (again.read(1, 2).tobytes(), again.row_number(1)) == (VALUES[49:].tobytes(), 50)


def bad_npy(values):
    return lambda path: np.save(path, values)


def headed(shape):
    """A NumPy file whose header names a shape, or holds any other text in its place."""
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}".ljust(117) + "\n"
    return lambda path: path.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode())


@pytest.mark.parametrize(
    ("name", "make", "options", "named"),
    [
        ("x.npy", bad_npy(VALUES[0]), {}, r"\(6,\) of float32"),
        ("x.npy", bad_npy(VALUES[:0]), {}, r"\(0, 6\)"),
        ("x.npy", bad_npy(VALUES.astype(int)), {}, "int64"),
        ("x.npy", bad_npy(np.array([[object()]])), {}, "object"),
        ("x.npy", bad_npy(np.asfortranarray(VALUES)), {}, "ascontiguousarray"),
        ("x.npy", bad_npy(VALUES), {"dimension": 7}, "6 entries, not 7"),
        ("x", lambda path: path.write_bytes(b"\x93NUMPY\x01\x00"), {}, "NumPy"),
        ("x", headed("(-1, 6)}"), {}, r"\(-1, 6\)"),
        ("x", headed(f"({2**64}, 6)}}"), {}, str(2**64)),
        ("x", headed(f"({'9' * 60}, 6)}}"), {}, "9" * 60),
        ("x", headed("(50, 6"), {}, "NumPy"),
        ("x", headed("(50, '''6)}"), {}, "NumPy"),
        ("x", headed("(" * 60), {}, "NumPy"),
        ("x", lambda path: path.write_bytes(b"abcd"), {}, "vector_dimension"),
        ("x", lambda path: path.write_bytes(b"abcd"), {"dimension": 0}, "dimension is 0"),
        ("x", lambda path: path.write_bytes(b"abcd"), {"dimension": 1, "dtype": "int8"}, "'int8'"),
        ("x", lambda path: path.write_bytes(b"abcde"), {"dimension": 1}, "5 bytes"),
        ("x", lambda path: path.write_bytes(b""), {"dimension": 1}, "0 bytes"),
        ("x", lambda path: path.mkdir(), {"dimension": 1}, "folder"),
        ("x", lambda path: None, {"dimension": 1}, "no such file"),
    ],
)
def test_files_without_a_matrix_are_rejected(tmp_path, name, make, options, named):
    make(tmp_path / name)
    with pytest.raises(OtembedError, match=named):
        open_vectors(tmp_path / name, **options)


def test_truncated_file_is_rejected_when_opened_and_when_it_shrinks(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, VALUES)
    vectors = open_vectors(path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"x\.npy"):
        vectors.read(0, 50)
    with pytest.raises(DataError, match=r"x\.npy"):
        open_vectors(path)
    with pytest.raises(ConfigError, match="dtype"):
        open_vectors(__file__, dimension=3, dtype="f4")
