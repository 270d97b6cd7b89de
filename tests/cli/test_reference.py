"""docs/cli.md is what the help says, whatever the terminal."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from otembed.cli.main import app
from otembed.cli.reference import WIDTH, reference
from typer.testing import CliRunner

from otembed.config import OptimizationConfig

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


def test_lists_of_commands_are_whole_at_80_columns():
    for group in ([], ["eval"], ["documents"], ["config"]):
        shown = CliRunner().invoke(app, [*group, "--help"], env={"COLUMNS": "80"}).stdout.split("Commands:")[1]
        assert "..." not in shown, group


def test_defaults_in_the_help_of_train_are_those_of_its_settings():
    text = reference().split("## otembed train\n")[1].split("\n## ")[0]
    settings = OptimizationConfig()
    for option, name in (
        ("--epochs", "num_train_epochs"),
        ("--batch-size", "per_device_train_batch_size"),
        ("--learning-rate", "learning_rate"),
        ("--seed", "seed"),
    ):
        shown = re.split(rf"^  {option}\b", text, flags=re.MULTILINE)[1].split("\n  -")[0]
        assert float(re.search(r"\[default:\s+(\S+)\]", shown)[1]) == getattr(settings, name)
