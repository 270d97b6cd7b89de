"""The root command: help in time, version, exit codes."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest
from otembed.cli import main as cli
from otembed.cli.console import error_console, set_up_logging
from otembed.cli.main import app, main
from typer.testing import CliRunner

import otembed
from otembed.config.io import preset_names
from otembed.errors import ConfigError

EVALUATIONS = [["eval", name] for name in ("retrieval", "alignment", "mining", "xnli", "xquad")]
CONFIGS = [["config", name] for name in ("init", "show", "schema")]
COMMANDS = [
    [],
    *([name] for name in ("train", "align", "mine", "embed", "score", "eval")),
    *([name] for name in ("compare", "presets", "config", "export", "info")),
    *EVALUATIONS,
    *CONFIGS,
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_names_every_option(command):
    result = CliRunner().invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: otembed")


def test_help_loads_no_heavy_library():
    code = (
        "import sys\n"
        "from otembed.cli.main import app\n"
        "heavy = {'torch', 'transformers', 'sentence_transformers', 'datasets', 'ot', 'faiss', 'numba', 'numpy'}\n"
        f"for command in {COMMANDS!r}:\n"
        "    try:\n        app([*command, '--help'])\n    except SystemExit:\n        pass\n"
        "    assert not heavy & set(sys.modules), (command, heavy & set(sys.modules))\n"
    )
    subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)


def test_import_of_the_package_loads_no_torch():
    code = "import sys, otembed, otembed.config, otembed.results; print('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
    )


def test_version():
    assert CliRunner().invoke(app, ["--version"]).stdout == f"otembed {otembed.__version__}\n"


def test_presets_are_listed_and_printed():
    listed = CliRunner().invoke(app, ["presets"]).stdout
    assert [line.split()[0] for line in listed.splitlines()] == preset_names()
    assert "epsilon: 0.0025" in CliRunner().invoke(app, ["presets", "paper-geomloss"]).stdout


def raising(error):
    def fake():
        raise error

    return fake


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ConfigError("no such thing", "Name another."), 2, "error: no such thing\nName another.\n"),
        (PermissionError(13, "Permission denied", "a.json"), 2, "error: [Errno 13] Permission denied: 'a.json'\n"),
        (ConfigError("no \x1b[31m thing\r"), 2, "error: no \\x1b[31m thing \n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_exit_codes(monkeypatch, capsys, error, code, message):
    monkeypatch.delenv("OTEMBED_DEBUG", raising=False)
    monkeypatch.setattr(cli, "app", raising(error))
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == code
    assert capsys.readouterr().err == message


def test_log_messages_are_printed_without_control_characters(capsys, monkeypatch):
    monkeypatch.setattr("otembed.cli.console.silence_progress_bars", lambda: None)
    logger = logging.getLogger("otembed")
    for name, value in (("handlers", []), ("propagate", True)):
        monkeypatch.setattr(logger, name, value)
    set_up_logging(error_console())
    logger.warning("%s:\ntwo  spaces", "a\x1b]0;title\x07\tb\u202e")
    assert capsys.readouterr().err == "warning: a\\x1b]0;title\\x07 b\\u202e:\ntwo  spaces\n"


def test_debug_keeps_the_traceback(monkeypatch):
    monkeypatch.setenv("OTEMBED_DEBUG", "1")
    monkeypatch.setattr(cli, "app", raising(ConfigError("no such thing")))
    with pytest.raises(ConfigError):
        main()


def test_unknown_options_are_usage_errors():
    environment = {**os.environ, "NO_COLOR": "1"}
    command = [sys.executable, "-m", "otembed.cli", "train", "--epsilom", "1"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 2
    assert "--epsilom" in result.stderr
