"""Starts the command line. Ctrl-C while its modules are imported ends the process without a traceback."""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Import the command line and run it."""
    # An ignored signal stays ignored. The command line installs its own handler.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    _read_arguments_as_utf8()

    from .main import main as run

    run()


def _read_arguments_as_utf8() -> None:
    """Start again in Python's UTF-8 mode if the locale is ASCII and arguments are not, as they could not be read."""
    if sys.getfilesystemencoding() != "ascii" or all(map(str.isascii, sys.argv)):
        return
    if sys.flags.ignore_environment or os.environ.get("PYTHONUTF8") == "1":
        return
    variables = {**os.environ, "PYTHONUTF8": "1"}
    if sys.stdout is not None:  # a terminal in ASCII cannot show UTF-8
        variables.setdefault("PYTHONIOENCODING", f"{sys.stdout.encoding}:{sys.stdout.errors}")
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], variables)
