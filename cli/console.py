"""Consoles and logging of the command line: data on stdout, everything else on stderr."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rich.console import Console

    from otembed.results import Table

# Modules whose functions are compiled beside the imports of a command that calls them.
SOLVER = ("otembed.transport.kernels.compiled",)
SEARCH = ("otembed.embeddings.row_kernels", "otembed.mining.search.kernels", "otembed.mining.pairing.kernels")
DOCUMENTS = ("otembed.embeddings.row_kernels", "otembed.documents.kernels", *SOLVER)
LIBRARIES = ("sentence_transformers", "transformers", "datasets", "huggingface_hub", "accelerate", "httpx", "torch")
EVALUATORS = ("retrieval.evaluate", "word_alignment.evaluate", "mining.evaluator")


def error_console() -> Console:
    """Return a console on stderr; ``NO_COLOR`` and non-terminals are respected."""
    return _console(stderr=True, soft_wrap=True)


def data_console() -> Console:
    """Return a console on stdout, 100 columns wide if it is not a terminal."""
    console = _console()
    return console if console.is_terminal else _console(width=100)


def _console(**options: Any) -> Console:
    from rich.console import Console

    class OurConsole(Console):
        def on_broken_pipe(self) -> None:
            # rich would exit with 1, a negative result.
            raise

    return OurConsole(highlight=False, **options)


def start_logging(*modules: str) -> None:
    """Send log messages to stderr; before that, start compiling the functions of ``modules`` in another process."""
    if modules:
        from otembed.runtime.compiling import compile_beside

        compile_beside(*modules)
    set_up_logging(error_console())


def set_up_logging(console: Console) -> None:
    """Send otembed's log messages to ``console``, and only errors of other libraries."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    rank = os.environ.get("RANK", "0")
    logger = logging.getLogger("otembed")
    logger.setLevel(logging.INFO if rank == "0" else logging.ERROR)
    logger.handlers = [_ConsoleHandler(console)]
    logger.propagate = False
    for module in EVALUATORS:  # the training log shows the scores of evaluators
        logging.getLogger(f"otembed.tasks.{module}").setLevel(logging.WARNING)
    if os.environ.get("OTEMBED_DEBUG") == "1":
        return
    warnings.simplefilter("ignore")
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.ERROR)
    silence_progress_bars()


def say(text: str) -> None:
    """Print a message on stderr; control characters in names and texts are shown as escapes."""
    from otembed.results.format import printable_lines

    typer.echo(printable_lines(text), err=True)


def say_unseen(words: int) -> None:
    """Say how many words the model did not see, if any."""
    from otembed.results.format import counted

    if words:
        say(
            f"{counted(words, 'word')} without a link: beyond the length limit of the model, or empty after tokenization"
        )


def print_lines(lines: Iterable[str]) -> None:
    """Write lines to stdout in UTF-8, whatever its encoding."""
    for line in lines:
        sys.stdout.buffer.write(line.encode())
    sys.stdout.buffer.flush()


def print_report(tables: Callable[[], Sequence[Table]], document: str, *, as_json: bool) -> None:
    """Print the tables of a report, or its JSON document."""
    if as_json:
        typer.echo(document, nl=False)
        return
    from otembed.results.table import stacked

    data_console().print(stacked(tables()))


def silence_progress_bars() -> None:
    """Disable the progress bars of other libraries; otembed shows its own."""
    from datasets.utils.tqdm import disable_progress_bars
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bars()
    disable_progress_bar()  # type: ignore[no-untyped-call]


class _ConsoleHandler(logging.Handler):
    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        from otembed.results.format import printable_lines

        text = self.format(record)
        if record.levelno >= logging.WARNING:
            text = f"{record.levelname.lower()}: {text}"
        self.console.print(printable_lines(text), markup=False)
