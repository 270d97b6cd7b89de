from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otembed.errors import ModelError
from otembed.models.offline.file import read_offline_file, unpack_four_bit
from tests.models.conftest import HIDDEN, PIECES, ROWS, four_bit, write_tiny_offline_file

if TYPE_CHECKING:
    from pathlib import Path


def test_every_tensor_is_dequantized_exactly(tmp_path: Path) -> None:
    expected = write_tiny_offline_file(tmp_path / "m.bin")
    file = read_offline_file(tmp_path / "m.bin")
    assert set(file.tensors) == set(expected)
    for name, values in expected.items():
        read = file.tensor(name, *values.shape)
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read, values)


def test_header_vocabulary_and_normalization(tmp_path: Path) -> None:
    write_tiny_offline_file(tmp_path / "m.bin")
    file = read_offline_file(tmp_path / "m.bin")
    assert (file.hidden, file.layers, file.heads, file.feed_forward) == (32, 2, 4, 64)
    assert (file.vocabulary_rows, file.positions, file.token_types) == (12, 16, 2)
    assert (file.bos, file.pad, file.eos, file.unknown) == (0, 1, 2, 3)
    assert file.pieces == PIECES
    assert file.scores.tolist() == [-float(i) for i in range(len(PIECES))]
    assert file.normalized == {"Ⅷ": "VIII", "\u200d": ""}
    assert file.layer_norm_epsilon == pytest.approx(1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_unpacking_inverts_packing(seed: int, blocks: int) -> None:
    packed, rounded = four_bit(np.random.default_rng(seed).normal(size=(blocks, 32)).astype(np.float32))
    np.testing.assert_array_equal(unpack_four_bit(np.frombuffer(packed, np.uint8)), rounded.reshape(-1))


def test_foreign_file_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "m.bin").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ModelError, match=r"m\.bin.*starts with b'GGUF'.*\n.*otembed\[offline\]"):
        read_offline_file(tmp_path / "m.bin")


def test_missing_and_empty_files_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="No such file"):
        read_offline_file(tmp_path / "none.bin")
    (tmp_path / "empty.bin").touch()
    with pytest.raises(ModelError, match="empty"):
        read_offline_file(tmp_path / "empty.bin")


def test_another_block_size_is_rejected(tmp_path: Path) -> None:
    write_tiny_offline_file(tmp_path / "m.bin", block=64)
    with pytest.raises(ModelError, match=" 64 "):
        read_offline_file(tmp_path / "m.bin")


@pytest.mark.parametrize("share", [0.005, 0.02, 0.1])
def test_file_truncated_in_its_header_is_rejected(tmp_path: Path, share: float) -> None:
    path = tmp_path / "m.bin"
    write_tiny_offline_file(path)
    content = path.read_bytes()
    path.write_bytes(content[: max(5, int(len(content) * share * 0.3))])
    with pytest.raises(ModelError, match=r"m\.bin"):
        read_offline_file(path)


def test_file_truncated_in_its_tensors_is_rejected_when_read(tmp_path: Path) -> None:
    path = tmp_path / "m.bin"
    write_tiny_offline_file(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"'l1\.oln\.b'.* 28 "):
        read_offline_file(path).tensor("l1.oln.b", HIDDEN)


def test_missing_tensors_and_wrong_shapes_are_rejected(tmp_path: Path) -> None:
    write_tiny_offline_file(tmp_path / "m.bin")
    file = read_offline_file(tmp_path / "m.bin")
    with pytest.raises(ModelError, match=r"'none' .*\(3,\)"):
        file.tensor("none", 3)
    with pytest.raises(ModelError, match=f" {ROWS * HIDDEN} "):
        file.tensor("emb.word", ROWS, HIDDEN + 1)
    entry = replace(file.tensors["emb.word"], format=7)
    with pytest.raises(ModelError, match="format 7"):
        replace(file, tensors={"emb.word": entry}).tensor("emb.word", ROWS, HIDDEN)
