"""Failures to write: one kind of error, whichever library reports them; and what is never replaced."""

from __future__ import annotations

import errno
import os
import resource
import socket
import threading
from collections.abc import Iterator

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models

from otembed.errors import OutputError
from otembed.results import whole_file, write_text, writing
from otembed.results.files import is_stream

LIMIT = 100_000
NUMBERS = np.arange(LIMIT, dtype=np.float32)


@pytest.fixture
def limited() -> Iterator[None]:
    """Limit the size of a file: what the system then says differs from a full disk only in its words."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def faiss_index(path):
    index = faiss.IndexFlatIP(100)
    index.add(NUMBERS.reshape(-1, 100))
    faiss.write_index(index, str(path))


WRITERS = {
    "open": lambda path: path.write_bytes(bytes(2 * LIMIT)),
    "numpy": lambda path: np.savez(path, NUMBERS),
    "safetensors": lambda path: save_file({"x": torch.from_numpy(NUMBERS)}, path),
    "torch": lambda path: torch.save(torch.from_numpy(NUMBERS), path),
    "tokenizers": lambda path: Tokenizer(models.WordLevel({f"w{n}": n for n in range(LIMIT)}, "w0")).save(
        str(path)
    ),
    "faiss": faiss_index,
    "pyarrow": lambda path: pq.write_table(pa.table({"x": NUMBERS}), path),
}


@pytest.mark.parametrize("library", WRITERS)
def test_each_library_is_understood(limited, tmp_path, library):
    path = tmp_path / "out" / "x.npz"
    path.parent.mkdir()
    with pytest.raises(OutputError) as caught, writing(path, option="--cache FOLDER", kept="Run again."):
        WRITERS[library](path)
    assert str(path) in caught.value.message
    assert caught.value.path == path
    assert caught.value.hint.endswith("choose another place with --cache FOLDER. Run again.")


def test_full_disk_is_named_with_the_space_left_and_needed(tmp_path):
    expected = r"x: .*No space left.*\(3\.0 MB needed, [\d,.]+ MB free\)\nFree"
    with pytest.raises(OutputError, match=expected), writing(tmp_path / "x", needed=3_000_000):
        raise OSError(28, "No space left on device")
    with pytest.raises(OutputError, match=r"x: .*Read-only"), writing(tmp_path / "x"):
        raise Exception("Read-only file system (os error 30)")  # as tokenizers does


def test_innermost_file_is_named_and_the_outer_block_says_how_to_go_on(tmp_path):
    with (
        pytest.raises(OutputError, match=r"inner: .*\n.* Go on\.$"),
        writing(tmp_path, kept="Go on."),
        writing(tmp_path / "inner"),
    ):
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    "error", [FileNotFoundError(2, "No such file", "input.tsv"), ValueError("x"), OSError("x")]
)
def test_other_errors_pass(tmp_path, error):
    with pytest.raises(type(error)) as caught, whole_file(tmp_path / "x"):
        raise error
    assert caught.value is error
    assert list(tmp_path.iterdir()) == []


def test_file_in_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "x", tmp_path / "file" / "deep" / "x"):
        with pytest.raises(OutputError, match="Not a directory") as caught:
            write_text(place, "")
        assert caught.value.path == place


def test_link_stays_and_its_target_is_replaced(tmp_path):
    target, link = tmp_path / "there" / "target", tmp_path / "link"
    link.symlink_to(target)
    for text in ("first", "second"):
        write_text(link, text)
        assert (link.is_symlink(), target.read_text()) == (True, text)
    assert [each.name for each in target.parent.iterdir()] == ["target"]
    (tmp_path / "round").symlink_to("round")
    with pytest.raises(OutputError, match="round"):
        write_text(tmp_path / "round", "")


def test_permissions_of_an_earlier_file_stay(tmp_path):
    path = write_text(tmp_path / "x", "first")
    path.chmod(0o600)
    write_text(path, "second")
    assert path.stat().st_mode & 0o777 == 0o600


def test_pipes_and_devices_are_written_through(tmp_path):
    pipe, found = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: found.append(pipe.read_text()))
    reader.start()
    write_text(pipe, "text")
    reader.join()
    write_text("/dev/null", "text")
    assert (found, pipe.is_fifo(), is_stream(pipe), is_stream("/dev/null")) == (["text"], True, True, True)
    with pytest.raises(OutputError, match=r"/dev/full: .*No space left"):
        write_text("/dev/full", "text")


def test_file_behind_a_descriptor_keeps_what_is_written_before_and_after(tmp_path):
    path = tmp_path / "x"
    with path.open("w") as file:
        file.write("before\n")
        file.flush()
        write_text(f"/dev/fd/{file.fileno()}", "text\n")
        file.write("after\n")
    assert (path.read_text(), len(list(tmp_path.iterdir()))) == ("before\ntext\nafter\n", 1)


def test_sockets_and_folders_are_rejected(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        for place, named in (("socket", "a socket"), (tmp_path, "a folder")):
            with pytest.raises(OutputError, match=named):
                write_text(place, "")


def test_an_inner_failure_gets_the_option_that_chooses_another_place(tmp_path):
    with (
        pytest.raises(OutputError, match=r"x\.json: .*\n.*choose another place with --cache FOLDER\. Run again\.$"),
        writing(tmp_path, option="--cache FOLDER", kept="Run again."),
        writing(tmp_path / "x.json"),
    ):
        raise OSError(errno.ENOSPC, "full")
    with (
        pytest.raises(OutputError, match=r"choose another place with TMPDIR=FOLDER\.$"),
        writing(tmp_path, option="--cache FOLDER"),
        writing(tmp_path / "x.json", option="TMPDIR=FOLDER"),
    ):
        raise OSError(errno.ENOSPC, "full")
