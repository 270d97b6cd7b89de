"""What killed writers leave is removed, and nothing that a living process uses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from otembed.results import write_text
from otembed.results.temporary import beside, fresh_folder, held, is_leftover, remove_leftovers, temporary_folder

KILLED = """
import os, signal, sys, tempfile
from pathlib import Path
from otembed.models.folders import whole_folder
from otembed.results import whole_file
from otembed.results.temporary import temporary_folder
tempfile.tempdir = sys.argv[1]
with whole_file(Path(sys.argv[1], "a.json")) as file, whole_folder(Path(sys.argv[1], "model")) as folder, temporary_folder():
    (folder / "weights").touch()
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def names(tmp_path):
    return lambda: sorted(each.name for each in tmp_path.iterdir())


def test_leftovers_of_a_killed_writer_go_with_the_next_write_and_those_of_a_living_one_stay(
    tmp_path, names, monkeypatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"ready\n"
        living = names()
        assert len(living) == 3
        write_text(tmp_path / "a.json", "{}")
        remove_leftovers(tmp_path / "model")
        with temporary_folder():
            pass
        assert names() == sorted(["a.json", *living])
        writer.send_signal(signal.SIGKILL)
    write_text(tmp_path / "a.json", "{}")
    remove_leftovers(tmp_path / "model")
    with temporary_folder() as folder:
        assert names() == sorted(["a.json", folder.name])
    assert names() == ["a.json"]


def test_folder_moved_aside_is_put_back_only_if_nothing_has_replaced_it(tmp_path, names):
    (tmp_path / ".model.0a1b2c3d.old").mkdir()
    remove_leftovers(tmp_path / "model")
    assert names() == ["model"]
    (tmp_path / ".model.0a1b2c3d.old").mkdir()
    with held(tmp_path / ".model.0a1b2c3d.old"):
        remove_leftovers(tmp_path / "model")
        assert names() == [".model.0a1b2c3d.old", "model"]
    remove_leftovers(tmp_path / "model")
    assert names() == ["model"]


def test_only_names_of_our_own_are_leftovers(tmp_path, names):
    others = [
        ".model.a.tmp",
        ".model.b.12345678.tmp",
        ".model.12345678.txt",
        "model.12345678.tmp",
        ".x[.12345678.tmp",
    ]
    assert not any(is_leftover(name, ["model"]) for name in others)
    for name in others:
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / ".model.12345678.tmp")
    (tmp_path / ".model.87654321.tmp").symlink_to("model")
    remove_leftovers(tmp_path / "model")
    assert set(names()) >= {*others, ".model.87654321.tmp"}
    remove_leftovers(tmp_path / "x[")
    assert ".x[.12345678.tmp" not in names()


@pytest.mark.parametrize("name", ["x" * 255, "ä" * 127, "x" * 242])
def test_names_as_long_as_the_file_system_takes_can_be_written(tmp_path, names, name):
    left, other = beside(tmp_path / name), beside(tmp_path / (name[:-1] + "y"))
    left.touch()
    other.touch()
    write_text(tmp_path / name, "{}")
    with fresh_folder(tmp_path / name) as folder:
        assert folder.is_dir()
    assert names() == sorted([name, folder.name, other.name])
