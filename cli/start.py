"""Starts the command line. Ctrl-C while its modules are imported ends the process without a traceback."""

from __future__ import annotations

import signal
from typing import NoReturn


def main() -> NoReturn:
    """Import the command line and run it."""
    # An ignored signal stays ignored. The command line installs its own handler.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    from .main import main as run

    run()
