"""Sentence vectors on disk: shards, NumPy files and headerless files, read block by block as float32."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import IO, TYPE_CHECKING, Any, TypeGuard

import numpy as np

from otembed.errors import ConfigError, DataError
from otembed.results.format import counted
from otembed.results.paths import expand
from otembed.results.reading import read_failure, require_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Ids = NDArray[np.int64]

VECTOR_SUFFIX = ".npy"
NPY_MAGIC = b"\x93NUMPY"
DTYPES: dict[str, np.dtype[Any]] = {"float32": np.dtype("<f4"), "float16": np.dtype("<f2")}
HEADERLESS = {".f32": "float32", ".f16": "float16"}
# Selected rows within this range are read together with the rows between them, instead of one seek for each.
RAW_ROWS = 4096
# Rows of a file in memory before they are converted.
PIECE_ROWS = 1024


@dataclass(frozen=True, eq=False)
class Part:
    """Consecutive rows of one file, starting at byte ``offset``; or the rows of ``array``, in memory."""

    path: Path
    rows: int
    dtype: np.dtype[Any]
    offset: int = 0
    array: NDArray[Any] | None = None


class Vectors:
    """A matrix of sentence vectors that is stored in one or more files and not kept in memory.

    Parameters
    ----------
    name
        Name in messages.
    parts
        The files, in the order of the rows.
    dimension
        Entries of a row.
    rows
        Rows of the files to use, ascending; None: all.

    Raises
    ------
    DataError
        A file is shorter than its part; also while reading, if a file has changed.
    """

    def __init__(self, name: str, parts: Sequence[Part], dimension: int, rows: Ids | None = None) -> None:
        self.name = name
        self.parts = list(parts)
        self.dimension = dimension
        self.rows = rows
        for part in (each for each in self.parts if each.array is None):
            needed = part.offset + part.rows * dimension * part.dtype.itemsize
            if part.path.stat().st_size < needed:
                raise DataError(
                    f"{counted(part.path.stat().st_size, 'byte', 'd')}, but {counted(part.rows, 'row', 'd')} of {dimension} need {needed}",
                    "The file is truncated; write it again.",
                    path=part.path,
                )
        self._ends = np.cumsum([part.rows for part in self.parts], dtype=np.int64)

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.raw_rows if self.rows is None else len(self.rows)

    @property
    def raw_rows(self) -> int:
        """Number of rows in the files, including rows that are not selected."""
        return int(self._ends[-1]) if len(self._ends) else 0

    def choose(self, rows: Ids) -> Vectors:
        """Return a view of a subset of the rows, given in ascending order."""
        return Vectors(self.name, self.parts, self.dimension, rows if self.rows is None else self.rows[rows])

    def row_number(self, row: int) -> int:
        """Return the number of a row in its files, counted from 1, for messages."""
        return row + 1 if self.rows is None else int(self.rows[row]) + 1

    def read(self, start: int, stop: int) -> Floats:
        """Return the rows from ``start`` to before ``stop`` as a new (n, d) float32 array."""
        stop = min(stop, len(self))
        out = np.empty((max(stop - start, 0), self.dimension), np.float32)
        if self.rows is None:
            self._read_raw(start, out)
            return out
        done = 0
        wanted = self.rows[start:stop]
        while done < len(wanted):
            first = int(wanted[done])
            many = int(np.searchsorted(wanted[done:], first + RAW_ROWS))
            block = np.empty((int(wanted[done + many - 1]) + 1 - first, self.dimension), np.float32)
            self._read_raw(first, block)
            out[done : done + many] = block[wanted[done : done + many] - first]
            done += many
        return out

    def gather(self, rows: Ids) -> Floats:
        """Return rows in any order, duplicates included, as a new float32 array."""
        raw = rows if self.rows is None else self.rows[rows]
        out = np.empty((len(raw), self.dimension), np.float32)
        index = np.searchsorted(self._ends, raw, side="right")
        for number in np.unique(index):
            part, here = self.parts[number], index == number
            mapped = part.array
            if mapped is None:
                mapped = np.memmap(part.path, part.dtype, "r", part.offset, (part.rows, self.dimension))
            with np.errstate(over="ignore"):
                out[here] = mapped[raw[here] - (int(self._ends[number]) - part.rows)]
        return out

    def _read_raw(self, start: int, out: Floats) -> None:
        done = 0
        while done < len(out):
            index = int(np.searchsorted(self._ends, start + done, side="right"))
            part = self.parts[index]
            within = start + done - (int(self._ends[index]) - part.rows)
            many = min(part.rows - within, len(out) - done, PIECE_ROWS)
            values = (
                part.array[within : within + many]
                if part.array is not None
                else self._from_file(part, within, many)
            )
            # A float64 beyond the float32 range becomes infinity here and is rejected when rows are checked.
            with np.errstate(over="ignore"):
                out[done : done + many] = values.reshape(many, self.dimension)
            done += many

    def _from_file(self, part: Part, start: int, rows: int) -> NDArray[Any]:
        offset = part.offset + start * self.dimension * part.dtype.itemsize
        values: NDArray[Any] = np.fromfile(part.path, part.dtype, rows * self.dimension, offset=offset)
        if len(values) < rows * self.dimension:
            raise DataError("the file became shorter while it was read", "Run again.", path=part.path)
        return values


def are_vectors(place: object) -> TypeGuard[str | Path | NDArray[Any]]:
    """Return whether a side is vectors without text: an array, or a file of the suffix ``.npy``."""
    return isinstance(place, np.ndarray) or (
        isinstance(place, str | Path) and str(place).lower().endswith(VECTOR_SUFFIX)
    )


def is_headerless(vectors: Vectors) -> bool:
    """Return whether given vectors are a file without a NumPy header."""
    return any(part.array is None and part.offset == 0 for part in vectors.parts)


def check_dimensions(first: tuple[str, int], second: tuple[str, int]) -> None:
    """Raise DataError if the vectors of two sides, given as name and dimension, cannot be compared."""
    if first[1] != second[1]:
        raise DataError(
            f"{first[0]} has vectors of dimension {first[1]}, {second[0]} of {second[1]}",
            "Embed both sides with the same model.",
        )


def array_vectors(values: NDArray[Any], name: str) -> Vectors:
    """Return a matrix in memory as vectors; DataError if it is not a matrix of floats."""
    _check_matrix(values.shape, values.dtype, name)
    return Vectors(name, [Part(Path(name), len(values), values.dtype, array=values)], values.shape[1])


def _check_matrix(shape: tuple[int, ...], dtype: np.dtype[Any], name: str | Path) -> None:
    if len(shape) != 2 or min(shape) < 1 or dtype.kind != "f":
        raise DataError(
            f"shape {shape} of {dtype} is not a matrix of sentence vectors",
            "Pass floats of shape (sentences, dimensions), both at least 1.",
            path=name,
        )


def open_vectors(path: str | Path, *, dimension: int | None = None, dtype: str | None = None) -> Vectors:
    """Open ready embeddings: a ``.npy`` matrix, or LASER's headerless format, float32 or float16.

    Parameters
    ----------
    path
        The file. NumPy files are recognized by their first bytes, not by their name.
    dimension
        Entries of a row; required for headerless files, checked for others.
    dtype
        ``float32`` or ``float16`` for a headerless file; by default chosen by the suffix ``.f32`` or ``.f16``, else
        float32.

    Raises
    ------
    DataError
        The file is missing, is not a matrix of floats with at least one row, or has a size that does not match.
    ConfigError
        ``dimension`` is missing or out of range, or ``dtype`` is unknown.
    """
    path = expand(path)
    require_file(path)
    if path.is_dir():
        raise DataError("a folder, not a file of vectors", "Use the path of a file.", path=path)
    if not path.is_file():
        raise DataError(
            "a pipe, not a file of vectors",
            "Write the vectors to a regular file: they are read several times.",
            path=path,
        )
    if dimension is not None and dimension < 1:
        raise ConfigError(f"dimension is {dimension}", "Use an integer >= 1.")
    try:
        with path.open("rb") as file:
            is_npy = file.read(len(NPY_MAGIC)) == NPY_MAGIC
    except OSError as error:
        raise read_failure(error, path) from error
    if is_npy:
        return _open_npy(path, dimension)
    kind = dtype or HEADERLESS.get(path.suffix.lower(), "float32")
    if kind not in DTYPES:
        raise ConfigError(f"dtype is {kind!r}", f"Choose one of: {', '.join(DTYPES)}.")
    if dimension is None:
        raise ConfigError(
            f"{path} has no NumPy header, so its dimension is unknown",
            "Set vector_dimension, such as vector_dimension=1024 for LASER.",
        )
    size, width = path.stat().st_size, dimension * DTYPES[kind].itemsize
    if size == 0 or size % width:
        raise DataError(
            f"the size of {counted(size, 'byte', 'd')} is not a multiple of a row of {dimension} {kind} ({width} bytes)",
            "Check vector_dimension and vector_dtype; write a truncated file again.",
            path=path,
        )
    return Vectors(str(path), [Part(path, size // width, DTYPES[kind])], dimension)


def write_npy_header(file: IO[bytes], shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
    """Write the header of a matrix in NumPy's format; its rows follow.

    Unlike ``numpy.save``, this works for files that cannot seek, and a full disk is an error that names its reason.
    """
    head = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, head)


def _open_npy(path: Path, dimension: int | None) -> Vectors:
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read(file)
            offset = file.tell()
    # The header is Python source, which numpy tokenizes and evaluates as a literal.
    except (
        ValueError,
        EOFError,
        OSError,
        SyntaxError,
        TypeError,
        RecursionError,
        MemoryError,
        TokenError,
    ) as error:
        raise DataError(f"not a valid NumPy file: {error}", "Save it again with numpy.save.", path=path) from error
    _check_matrix(shape, dtype, path)
    if fortran:
        raise DataError(
            "the matrix is stored in column-major order", "Save numpy.ascontiguousarray(matrix) instead.", path=path
        )
    if dimension is not None and dimension != shape[1]:
        raise DataError(f"rows have {shape[1]} entries, not {dimension}", "Remove vector_dimension.", path=path)
    return Vectors(str(path), [Part(path, shape[0], dtype, offset)], shape[1])
