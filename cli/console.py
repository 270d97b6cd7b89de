"""Where the command line speaks: data on stdout, all else on stderr."""

from __future__ import annotations

import logging
import os
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

LIBRARIES = ("sentence_transformers", "transformers", "datasets", "huggingface_hub", "accelerate", "httpx", "torch")


def error_console() -> Console:
    """Return a console on stderr; ``NO_COLOR`` and non-terminals are respected."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def data_console() -> Console:
    """Return a console on stdout, 100 columns wide where it is no terminal."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=100)
    return console


def set_up_logging(console: Console) -> None:
    """Send otembed's log lines to ``console``; of the libraries below it only errors."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    rank = os.environ.get("RANK", "0")
    logger = logging.getLogger("otembed")
    logger.setLevel(logging.INFO if rank == "0" else logging.ERROR)
    logger.handlers = [_ConsoleHandler(console)]
    logger.propagate = False
    logging.getLogger("otembed.evaluation").setLevel(logging.WARNING)
    if os.environ.get("OTEMBED_DEBUG") == "1":
        return
    warnings.simplefilter("ignore")
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.ERROR)
    silence_progress_bars()


def silence_progress_bars() -> None:
    """Switch off the libraries' own bars: otembed shows one of its own."""
    from datasets.utils.tqdm import disable_progress_bars
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bars()
    disable_progress_bar()  # type: ignore[no-untyped-call]


class _ConsoleHandler(logging.Handler):
    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if record.levelno >= logging.WARNING:
            text = f"{record.levelname.lower()}: {text}"
        self.console.print(text, markup=False)
