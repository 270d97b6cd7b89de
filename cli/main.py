"""Entry point of the ``otembed`` command."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import tempfile
from contextlib import suppress
from typing import Annotated, NoReturn

import typer

from otembed import __version__
from otembed.errors import OtembedError

from . import (
    align,
    compare,
    config,
    documents,
    embed,
    evaluate,
    export,
    info,
    merge,
    mine,
    negatives,
    presets,
    push,
    report,
    score,
    train,
)
from .completion import complete
from .ending import EXIT_CLOSED_PIPE, ClosedPipe, Commands, interruptions, leave_broken_streams
from .mining_options import EmbedCommand, MiningCommand, ScoreCommand
from .negatives import NegativesCommand
from .streams import prepare_streams
from .terminal_help import with_terminal_help

EXIT_BAD_INPUT = 2

app = typer.Typer(
    name="otembed",
    cls=Commands,
    help="Align multilingual sentence encoders with Optimal Transport: train, align words, mine, evaluate.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("train", help=train.HELP)(train.train_command)
app.command("report", help=report.HELP, no_args_is_help=True)(report.report_command)
app.command("align", help=align.HELP, no_args_is_help=True)(align.align_command)
app.add_typer(evaluate.app, name="eval", help="Evaluate any model that SentenceTransformer loads.")
app.command("compare", help=compare.HELP, no_args_is_help=True)(compare.compare_command)
app.command("mine", cls=MiningCommand, help=mine.HELP, no_args_is_help=True)(mine.mine_command)
app.add_typer(documents.app, name="documents", help=documents.HELP)
app.command("embed", cls=EmbedCommand, help=embed.HELP, no_args_is_help=True)(embed.embed_command)
app.command("score", cls=ScoreCommand, help=score.HELP, no_args_is_help=True)(score.score_command)
app.command("negatives", cls=NegativesCommand, help=negatives.HELP, no_args_is_help=True)(
    negatives.negatives_command
)
app.command("presets", help=presets.HELP)(presets.presets_command)
app.add_typer(config.app, name="config", help="Write, show and describe settings files.")
app.command("export", help=export.HELP, no_args_is_help=True)(export.export_command)
app.command("merge", help=merge.HELP, no_args_is_help=True)(merge.merge_command)
app.command("push", help=push.HELP, no_args_is_help=True)(push.push_command)
app.command("info", help=info.HELP)(info.info_command)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"otembed {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> NoReturn:
    """Run the command line.

    Exit codes: 0 success, 1 negative result, 2 bad input or failure, 130, 143 and 129 interrupted by SIGINT (Ctrl-C),
    SIGTERM and SIGHUP (closed terminal), 141 stdout or stderr closed by its reader. With ``OTEMBED_DEBUG=1`` errors show their traceback.
    """
    prepare_streams()
    if os.environ.get("OTEMBED_DEBUG") == "1":
        complete(with_terminal_help(app))
        sys.exit(0)
    # A command that is done and whose process is ending dies of Ctrl-C without a traceback.
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with interruptions():
        try:
            try:
                complete(with_terminal_help(app))
            finally:
                if sys.stdout is not None:
                    sys.stdout.flush()  # a full disk behind stdout is an error here, not a traceback at exit
        except OtembedError as error:
            _write_error(error)
            sys.exit(EXIT_BAD_INPUT)
        except (ClosedPipe, BrokenPipeError):
            leave_broken_streams()
            sys.exit(EXIT_CLOSED_PIPE)
        except Exception as error:
            from otembed.results import output_error

            found = output_error(error, None) or _missing_folder(error)
            if found is None:
                if not isinstance(error, OSError):
                    raise
                from otembed.results.reading import failure

                found = failure(error)
            _write_error(found)
            sys.exit(EXIT_BAD_INPUT)
    sys.exit(0)


def _missing_folder(error: Exception) -> OtembedError | None:
    """Return the error to show if the system's names no file, because a folder is missing that every command needs."""
    if not isinstance(error, FileNotFoundError) or error.filename is not None:
        return None
    for folder, message, hint in (
        (os.getcwd, "the current folder does not exist any more", "Change to another folder: cd FOLDER."),
        (tempfile.gettempdir, "no folder for temporary files can be written", "Set TMPDIR to one that can."),
    ):
        try:
            folder()
        except FileNotFoundError:
            return OtembedError(message, hint)
    return None


def _write_error(error: Exception) -> None:
    from otembed.results.format import printable_lines

    # With a log on a full disk, the exit code alone says that this is not a negative result.
    with suppress(OSError):
        sys.stderr.write(f"error: {printable_lines(str(error))}\n")
    leave_broken_streams()
