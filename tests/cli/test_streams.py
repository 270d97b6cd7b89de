"""Streams of any encoding, and closed ones: nothing is lost, and nothing ends in a traceback."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stdout

import pytest
import typer
from otembed.cli.console import data_console
from otembed.cli.streams import prepare_streams

from otembed.results.table import Table

ENCODINGS = ["ascii", "cp1252", "utf-8"]
TEXT = "é 猫 😀 \udcff →"


def written(encoding, show):
    """Return what ``show`` writes to a stdout of an encoding."""
    made = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    with redirect_stdout(made):
        prepare_streams()
        show()
    made.flush()
    return made.buffer.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_document_has_the_same_content_in_every_encoding(encoding):
    document = json.dumps({"text": TEXT}, ensure_ascii=False)
    for show in (lambda: typer.echo(document), lambda: sys.stdout.write(document)):
        assert json.loads(written(encoding, show)) == {"text": TEXT}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_tables_stay_aligned(encoding):
    table = Table(("src→tgt", "x"), (("1→2", "é"), ("x", "y")))
    lines = written(encoding, lambda: data_console().print(table)).splitlines()
    assert len({len(line.rstrip()) for line in lines}) == 1
    assert lines[1].startswith("1→2" if encoding == "utf-8" else "1->2")


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


@pytest.mark.skipif(sys.platform == "win32", reason="Windows gives arguments in Unicode")
def test_arguments_are_utf8_in_a_locale_of_ascii(tmp_path):
    """Python's own correction of the C locale is off, so arguments arrive as bytes."""
    off = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONIOENCODING"} | off
    place = tmp_path / "猫.yaml"
    place.write_text("pairs: {en-de: Öl.tsv}\n", encoding="utf-8")
    command = [sys.executable, "-m", "otembed.cli", "config", "show", str(place), "--set", "model.name=猫"]
    done = subprocess.run(command, env=variables, capture_output=True, check=False)
    shown = done.stdout.decode("ascii")
    assert (done.returncode, done.stderr) == (0, b"")
    assert "name: \\u732b" in shown
    assert "\\udc" not in shown
