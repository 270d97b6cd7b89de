"""docs/cli.md is what the help says, whatever the terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from otembed.cli.main import app
from otembed.cli.reference import WIDTH, reference
from typer.testing import CliRunner

DOCUMENT = Path(__file__).parents[2] / "docs" / "cli.md"


def test_document_is_up_to_date():
    assert DOCUMENT.read_text(encoding="utf-8") == reference(), "docs/cli.md is out of date; run: make docs"


def test_document_does_not_depend_on_terminal_or_color():
    environment = {**os.environ, "COLUMNS": "50", "FORCE_COLOR": "1", "TERMINAL_WIDTH": "60"}
    done = subprocess.run(
        [sys.executable, "-m", "otembed.cli.reference"], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout == reference()
    blocks = reference().split("```text\n")[1:]
    assert max(len(line) for block in blocks for line in block.split("```")[0].splitlines()) <= WIDTH


def test_document_has_every_command_and_option():
    text = reference()
    for command in (["train"], ["eval", "mining"], ["config", "show"]):
        block = text.split(f"## otembed {' '.join(command)}\n")[1].split("\n## ")[0]
        shown = CliRunner().invoke(app, [*command, "--help"]).stdout.split()
        assert {word for word in shown if word.startswith("--")} <= set(block.split())
