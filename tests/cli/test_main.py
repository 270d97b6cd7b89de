"""The root command: help in time, version, exit codes."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from otembed.cli import main as cli
from otembed.cli.console import data_console, error_console, set_up_logging
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
    *([name] for name in ("compare", "presets", "config", "export", "merge", "info")),
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
    assert max(map(len, listed.splitlines())) <= 80
    assert "epsilon: 0.0025" in CliRunner().invoke(app, ["presets", "paper-geomloss"]).stdout


def raising(error):
    def fake():
        raise error

    return fake


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ConfigError("no such thing", "Name another."), 2, "error: no such thing\nName another.\n"),
        (
            PermissionError(13, "Permission denied", "a.json"),
            2,
            "error: a.json: Permission denied\nCheck its permissions.\n",
        ),
        (
            OSError(24, "Too many open files"),
            2,
            "error: Too many open files\nRaise the limit of open files (ulimit -n).\n",
        ),
        (OSError("no reason"), 2, "error: no reason\n"),
        (ConfigError("no \x1b[31m thing\r"), 2, "error: no \\x1b[31m thing \n"),
        (KeyboardInterrupt(), 130, "interrupted; to resume: run the same command again\n"),
    ],
)
def test_exit_codes(monkeypatch, capsys, error, code, message):
    monkeypatch.delenv("OTEMBED_DEBUG", raising=False)
    monkeypatch.setattr(cli, "app", raising(error))
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == code
    assert capsys.readouterr().err == message


def test_current_folder_that_is_gone_is_named(tmp_path):
    code = "import os, sys; os.rmdir(os.getcwd()); from otembed.cli.start import main; main()"
    (tmp_path / "gone").mkdir()
    result = subprocess.run(
        [sys.executable, "-c", code, "config", "init", "x.yaml"],
        cwd=tmp_path / "gone", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 2
    assert (
        result.stderr == "error: the current folder does not exist any more\nChange to another folder: cd FOLDER.\n"
    )


def test_missing_folder_for_temporary_files_is_named(monkeypatch, capsys):
    def none():
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.delenv("OTEMBED_DEBUG", raising=False)
    monkeypatch.setattr(tempfile, "gettempdir", none)
    monkeypatch.setattr(cli, "app", lambda: tempfile.gettempdir())
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert (
        capsys.readouterr().err
        == "error: no folder for temporary files can be written\nSet TMPDIR to one that can.\n"
    )


def test_full_disk_behind_stdout_is_one_error():
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "otembed", "presets"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (result.returncode, result.stderr.count("\n")) == (2, 2)
    assert "No space left" in result.stderr


@pytest.mark.parametrize(
    ("command", "full"),
    [
        (["presets", "nosuch"], ["stderr"]),
        (["presets"], ["stdout", "stderr"]),
        (["presets", "--nosuch"], ["stderr"]),
        (["nosuch"], ["stdout", "stderr"]),
    ],
    ids=str,
)
def test_full_disk_behind_stderr_is_not_a_negative_result(command, full):
    with Path("/dev/full").open("w") as device:
        streams = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE) | dict.fromkeys(full, device)
        result = subprocess.run([sys.executable, "-m", "otembed", *command], **streams, check=False)
    assert (result.returncode, result.stdout or b"", result.stderr or b"") == (2, b"", b"")


def test_error_into_a_closed_pipe_is_not_a_negative_result():
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "otembed", "presets", "nosuch"]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=writer, check=False)
    os.close(writer)
    assert (result.returncode, result.stdout) == (2, b"")


def test_devices_need_no_force():
    for _ in range(2):
        assert CliRunner().invoke(app, ["config", "init", "/dev/null"]).exit_code == 0


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


# A command that says when it runs, and then waits; the second swallows what interrupts it.
WAITS = "time.sleep(60)"
SWALLOWS = "waits()"
STUCK = """
import signal, sys, time
from multiprocessing import get_context
from pathlib import Path
from otembed.cli import main as cli
from otembed.cli.ending import resume_by

# Under nohup or in the background, the tests ignore some of them, and so would this process.
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)

def waits():
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass

def command(app):
    resume_by("go on", once_written=Path(sys.argv[1]))
    Path(sys.argv[1]).write_text("x")
    # Removed by another process if this one does not come to it, without a report.
    semaphore = get_context("spawn").Semaphore()
    print("ready", flush=True)
    {action}

cli.complete = command
cli.main()
"""


@pytest.mark.parametrize(
    ("number", "code", "action"),
    [
        (signal.SIGINT, 130, WAITS),
        (signal.SIGTERM, 143, WAITS),
        (signal.SIGHUP, 129, WAITS),
        (signal.SIGINT, 130, SWALLOWS),
    ],
)
def test_signal_ends_a_command_in_time_with_one_line_that_says_how_to_resume(tmp_path, number, code, action):
    command = [sys.executable, "-c", STUCK.format(action=action), str(tmp_path / "settings")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.wait(timeout=10) == code
        assert process.stderr.read() == "interrupted; to resume: go on\n"


# The command line is still being imported when Ctrl-C comes.
EARLY = """
import os, signal, sys, types
from otembed.cli import start

class Importing(types.ModuleType):
    def __getattr__(self, name):
        os.kill(os.getpid(), signal.SIGINT)
        raise AttributeError(name)

sys.modules["otembed.cli.main"] = Importing("otembed.cli.main")
{before}
start.main()
"""


def test_signal_during_import_ends_without_a_traceback():
    command = [sys.executable, "-c", EARLY.format(before="")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (-signal.SIGINT, "")


def test_ignored_signal_stays_ignored_during_import():
    command = [sys.executable, "-c", EARLY.format(before="signal.signal(signal.SIGINT, signal.SIG_IGN)")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "ImportError: cannot import name 'main'" in result.stderr


@pytest.mark.parametrize("command", [["presets"], ["--help"], ["config", "init"]], ids=" ".join)
def test_closed_pipe_is_not_a_negative_result(command):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "otembed", *command]
    result = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (result.returncode, result.stderr) == (141, b"")


def test_table_into_a_closed_pipe_is_not_a_negative_result(monkeypatch):
    console = data_console()

    def closed(self):
        raise BrokenPipeError

    monkeypatch.setattr(type(console), "_write_buffer", closed)
    with pytest.raises(BrokenPipeError):
        console.print("x")
