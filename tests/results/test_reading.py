"""Whole files: what is not a file, not text or not JSON is refused, with a way to fix it."""

from __future__ import annotations

import errno
import os

import pytest

from otembed.comparison.sources import open_source
from otembed.config.io import read_yaml
from otembed.data import read_pairs
from otembed.data.texts import parse_text_place, read_texts
from otembed.embeddings.vectors import open_vectors
from otembed.errors import DataError, OtembedError
from otembed.results.reading import failure, read_json, read_text, require_file


def raising(error):
    def stat(self, **options):
        raise error

    return stat


READERS = {
    "x.tsv": lambda path: list(read_pairs(f"en-sw={path}")),
    "x.txt": lambda path: list(read_texts(parse_text_place(path))),
    "x.npy": open_vectors,
    "x.yaml": read_yaml,
    "x.json": lambda path: open_source(str(path), evaluated=False),
}


@pytest.mark.parametrize("name", READERS)
def test_what_is_not_a_file_is_rejected_at_once(tmp_path, name):
    path = tmp_path / name
    for put, what in (
        (os.mkfifo, "named pipe"),
        (lambda path: path.symlink_to("/dev/zero"), "device"),
        (lambda path: path.symlink_to(path.name), "symbolic link"),
        (lambda path: path.symlink_to("gone"), "link to gone"),
    ):
        put(path)
        with pytest.raises(OtembedError, match=f"(?i){what}") as caught:
            READERS[name](path)
        assert caught.value.hint
        # A link that leads nowhere must not be proposed as its own correction.
        assert "mean" not in caught.value.hint
        path.unlink()


def test_folder_that_cannot_be_entered_is_named(tmp_path, monkeypatch):
    """For root, every folder can be entered: its answer is replaced."""
    locked = tmp_path / "locked"
    monkeypatch.setattr(os, "access", lambda path, mode: path not in (locked, locked / "inner"))
    error = PermissionError(errno.EACCES, "Permission denied", str(locked / "inner" / "a.tsv"))
    found = failure(error)
    assert found.message == f"{locked / 'inner' / 'a.tsv'}: Permission denied"
    assert found.hint.startswith(f"The folder {locked} cannot be entered")
    monkeypatch.setattr("pathlib.Path.stat", raising(error))
    with pytest.raises(DataError, match=rf"a\.tsv: cannot read the file: Permission denied\n.*{locked} cannot"):
        require_file(locked / "inner" / "a.tsv")


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (errno.ENAMETOOLONG, "shorter"),
        (errno.ELOOP, "circle"),
        (errno.ENOTDIR, "is a file"),
        (errno.EACCES, "permissions"),
        (errno.EISDIR, "path"),
    ],
)
def test_errors_of_the_system_have_a_file_and_a_hint(tmp_path, code, hint):
    for name in (str(tmp_path / "x"), os.fsencode(tmp_path / "x")):
        found = failure(OSError(code, os.strerror(code), name))
        assert found.message == f"{tmp_path / 'x'}: {os.strerror(code)}"
        assert hint in found.hint


def test_open_pipe_is_a_file():
    ours, theirs = os.pipe()
    os.write(theirs, b"one\ntwo")
    os.close(theirs)
    assert [each.text for each in read_texts(parse_text_place(f"/dev/fd/{ours}"))] == ["one", "two"]
    os.close(ours)


def test_nearest_name_is_proposed(tmp_path):
    (tmp_path / "news.tsv").touch()
    with pytest.raises(DataError, match=r"news\.tsv'\?"):
        require_file(tmp_path / "new.tsv")


@pytest.mark.parametrize("name", ["a\0b", "x" * 300])
def test_names_that_no_file_can_have(tmp_path, name):
    with pytest.raises(DataError) as caught:
        require_file(tmp_path / name)
    assert caught.value.hint


def test_bytes_that_are_not_utf8_have_a_line(tmp_path):
    (tmp_path / "x").write_bytes(b"one\ntwo \xff\n")
    with pytest.raises(DataError, match="0xff") as caught:
        read_text(tmp_path / "x", "Convert it.")
    assert (caught.value.line, caught.value.hint) == (2, "Convert it.")


@pytest.mark.parametrize(
    ("text", "problem", "line"),
    [
        ('{"a":\n 1 2}', "column 4", 2),
        ("[" * 100_000, "levels", None),
        ("1" * 5000, "5000 digits", None),
    ],
)
def test_malformed_json(tmp_path, text, problem, line):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataError, match=problem) as caught:
        read_json(tmp_path / "x.json", "Write it again.")
    assert (caught.value.line, caught.value.hint) == (line, "Write it again.")


def test_an_object_with_a_key_twice_is_rejected(tmp_path):
    (tmp_path / "x.json").write_text('{"a": [{"b": 1, "c": 2, "b": 1}]}')
    with pytest.raises(DataError, match="the key 'b' twice"):
        read_json(tmp_path / "x.json", "Write it again.")


def test_a_byte_order_mark_is_not_content(tmp_path):
    (tmp_path / "x.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(tmp_path / "x.json", "Write it again.") == {"a": 1}
