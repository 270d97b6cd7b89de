"""Control characters in names and texts never reach the terminal; help there has colors and panels."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import suppress

import pytest
from otembed.cli.console import say
from otembed.cli.main import app
from otembed.cli.stages import StageProgress
from otembed.cli.terminal_help import COMMANDS, OPTIONS
from typer.main import get_command

ESC = "\x1b]0;x\x07\x1b[31m"
SQUAD = {"data": [{"paragraphs": [{"context": "a", "qas": [{"id": "1", ESC: "q", "answers": []}]}]}]}
UNIT = '<tu><tuv xml:lang="en{0}"><seg>a</seg></tuv><tuv xml:lang="xx{0}"><seg>b</seg></tuv></tu>'


@pytest.mark.parametrize(
    ("name", "content", "command"),
    [
        ("x.tsv", f"en{ESC}\tother\na\tb\n", ["score", "en-sw={}?source=en&target=sw"]),
        ("x.jsonl", json.dumps({f"en{ESC}": "a"}), ["score", "en-sw={}"]),
        ("x.tmx", f"<tmx><body>{UNIT.format('&#x9b;31m')}</body></tmx>", ["score", "en-sw={}"]),
        ("x.po", f'msgid ""\nmsgstr "Language: {ESC}"\n', ["score", "en-sw={}"]),
        ("x.json", json.dumps(SQUAD), ["eval", "xquad", "none", "--data", "ar={}"]),
        ("x.json", json.dumps({"kind": ESC, "outcomes": []}), ["compare", "{}", "{}"]),
        ("x.yaml", f'"{ESC}": 1\n'.replace("\x1b", "\\e").replace("\x07", "\\a"), ["train", "{}"]),
        (f"{ESC}.tsv", "a\n", ["score", "en-sw={}"]),
        ("\udcff.tsv", "a\n", ["score", "en-sw={}"]),
    ],
    ids=["TSV", "JSON lines", "TMX", "PO", "questions", "results", "YAML", "file name", "not UTF-8"],
)
def test_errors(ended, tmp_path, name, content, command) -> None:
    (tmp_path / name).write_text(content)
    code, out, err = ended(*(part.format(tmp_path / name) for part in command))
    assert code == 2
    assert "error" in err
    assert not {"\x1b", "\x07", "\x9b", "\r"} & set(out + err)


@pytest.mark.parametrize(
    "command", [[f"x{ESC}"], ["eval", f"x{ESC}"], ["train", f"--x{ESC}"], ["info", ESC]], ids=len
)
def test_usage_errors(ended, command) -> None:
    code, out, err = ended(*command)
    assert code == 2
    assert "\\x1b[31m" in err
    assert not {"\x1b", "\x07"} & set(out + err)


def test_messages_and_progress(capsys) -> None:
    say(f"{ESC}.txt: 3 read")
    progress = StageProgress()
    for done in (0, 5, 10):
        progress.shown = -1e9
        progress(f"embedding {ESC}", done, 10)
    captured = capsys.readouterr()
    assert "\\x1b]0;x\\x07\\x1b[31m.txt: 3 read" in captured.err
    assert "\x1b" not in captured.out + captured.err


def shown_on_a_terminal(*arguments: str) -> str:
    """Return what the command prints on a pseudo-terminal of 100 columns, without colors."""
    pty = pytest.importorskip("pty")
    reader, writer = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
    command = [sys.executable, "-m", "otembed", *arguments]
    with subprocess.Popen(
        command, stdout=writer, stderr=subprocess.STDOUT, stdin=writer, env=environment
    ) as process:
        os.close(writer)
        found = b""
        with suppress(OSError):  # the end of a pseudo-terminal
            while received := os.read(reader, 65536):
                found += received
    os.close(reader)
    assert process.returncode == 0
    return found.decode()


def test_help_has_panels_and_colors_on_a_terminal_and_is_plain_in_a_pipe() -> None:
    colored = shown_on_a_terminal("mine", "--help")
    assert "\x1b[" in colored
    text = re.sub(r"\x1b\[[0-9;]*m", "", colored)
    for panel in OPTIONS["mine"]:
        assert f"─ {panel} ─" in text
    # Brackets are text, not markup.
    assert "(hub:OWNER/NAME[:CONFIG][@SPLIT]?text=FIELD)" in text
    assert "[default: distance]" in text
    # A flag takes no value.
    assert "<bool>" not in text
    plain = subprocess.run(
        [sys.executable, "-m", "otembed", "mine", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert not {"\x1b", "╭"} & set(plain)


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_and_command_has_its_panel(name: str) -> None:
    commands = get_command(app).commands
    assert sorted(each for names in COMMANDS.values() for each in names) == sorted(commands)
    parameters = {
        each.name for each in commands[name].params if each.opts[0].startswith("-") and each.name != "help"
    }
    assert sorted(each for names in OPTIONS[name].values() for each in names) == sorted(parameters)
