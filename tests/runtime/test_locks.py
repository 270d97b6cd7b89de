"""Locks that cannot be taken: in a folder of another user, and on file systems without locks."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from filelock import FileLock

from otembed.embeddings.embed import embed_lines
from otembed.embeddings.lines import read_side
from otembed.errors import ConfigError, OutputError
from otembed.runtime.cache import entry_lock
from otembed.runtime.run_state import LOCK, locked

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from otembed.embeddings.lines import Lines


@pytest.fixture
def filled(tiny_model: SentenceTransformer, tmp_path: Path) -> tuple[Lines, Path, NDArray[np.float32]]:
    """Lines, the cache with their vectors, and these."""
    lines = read_side(["the cat", "a dog"])
    return lines, tmp_path, embed_lines(lines, tiny_model, cache=tmp_path).read(0, 2)


@pytest.fixture(params=[errno.EACCES, errno.ENOLCK, errno.EOPNOTSUPP], ids=errno.errorcode.get)
def refused(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let every lock fail as the system does; return its reason."""
    code = request.param

    def fail(self: FileLock, *_args: Any, **_kwargs: Any) -> None:
        # Opening names the file, locking does not.
        raise OSError(code, os.strerror(code), *([self.lock_file] if code == errno.EACCES else []))

    monkeypatch.setattr(FileLock, "acquire", fail)
    return os.strerror(code)


def test_lock_of_a_cache_is_an_error_with_a_way_out(refused: str, tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=f"cannot write: {refused}") as caught,
        entry_lock(tmp_path, "entry", option="--cache FOLDER"),
    ):
        pass
    assert str(tmp_path) in str(caught.value)
    assert "choose another place with --cache FOLDER" in caught.value.hint


def test_lock_of_a_run_is_an_error_with_a_way_out(refused: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=f"cannot write: {refused}") as caught, locked(tmp_path):
        pass
    assert str(tmp_path / LOCK) in str(caught.value)
    assert "choose another place" in caught.value.hint


def test_lock_taken_as_soon_as_it_is_free_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process that waits for the end of a run has the lock, so a third one is refused."""
    release, other = FileLock.release, FileLock(tmp_path / LOCK)

    def released(self: FileLock, *args: Any, **kwargs: Any) -> None:
        release(self, *args, **kwargs)
        if self is not other:
            other.acquire(timeout=0)

    with monkeypatch.context() as patch:
        patch.setattr(FileLock, "release", released)
        with locked(tmp_path):
            pass
    with pytest.raises(ConfigError, match="another process"), locked(tmp_path):
        pass
    other.release()


def test_complete_vectors_are_read_without_a_lock(
    filled: tuple[Lines, Path, NDArray[np.float32]], refused: str, tiny_model: SentenceTransformer
) -> None:
    lines, cache, expected = filled
    np.testing.assert_array_equal(embed_lines(lines, tiny_model, cache=cache).read(0, 2), expected)
