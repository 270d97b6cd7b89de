"""Streams of any encoding, and closed ones: nothing is lost, and nothing ends in a traceback."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest
import typer
from otembed.cli.console import data_console
from otembed.cli.streams import prepare_streams

from otembed.results.table import Table

TEXT = "é 猫 😀 \udcff →"


@pytest.fixture(params=["ascii", "cp1252", "utf-8"])
def stream(request, monkeypatch):
    """Replace stdout by a stream of an encoding; return a function that reads what was written."""
    made = io.TextIOWrapper(io.BytesIO(), encoding=request.param, errors="strict")
    monkeypatch.setattr(sys, "stdout", made)
    prepare_streams()

    def written():
        made.flush()
        return made.buffer.getvalue().decode(request.param)

    return written


def test_a_document_has_the_same_content_in_every_encoding(stream):
    document = json.dumps({"text": TEXT}, ensure_ascii=False)
    typer.echo(document)
    sys.stdout.write(document + "\n")
    first, second = map(json.loads, stream().splitlines())
    assert first == second == {"text": TEXT}


def test_tables_stay_aligned(stream):
    data_console().print(Table(("src→tgt", "猫"), (("1→2", "é"), ("x", "y"))))
    lines = stream().splitlines()
    second = lines[0].index("猫" if "猫" in lines[0] else r"\u732b")
    assert {line[second - 1] for line in lines} == {" "}
    assert lines[1].startswith("1→2" if "→" in lines[0] else "1->2")


CODE = """
from otembed.cli.streams import prepare_streams
prepare_streams()
import os, sys
with open(sys.argv[1], "w") as file:
    assert file.fileno() > 2
    print("lost")
    print("lost", file=sys.stderr)
    os.write(1, b"lost")
    assert sys.stdin.read() == ""
    file.write("kept")
"""


def test_closed_streams_take_no_file(tmp_path):
    command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", CODE, str(tmp_path / "file")]
    assert subprocess.run(command, check=False).returncode == 0
    assert (tmp_path / "file").read_text() == "kept"
