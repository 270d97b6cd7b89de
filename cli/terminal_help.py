"""Help on a terminal: in colors and panels. Piped help, and the reference in the documentation, stay plain text."""

from __future__ import annotations

import os
import shutil
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WIDEST = 100
COMMANDS = {
    "Train": ("train", "report", "presets", "config"),
    "Align and mine": ("align", "mine", "documents", "score", "negatives", "embed"),
    "Evaluate": ("eval", "compare"),
    "Models and installation": ("export", "merge", "push", "info"),
}
"""Panel to commands."""
OPTIONS = {
    "train": {
        "Text": ("pairs", "held_out", "limit"),
        "Model": ("model", "freeze", "device"),
        "Training": ("epochs", "max_steps", "batch_size", "learning_rate", "seed"),
        "Settings": ("preset", "settings"),
        "Run": ("output", "resume", "overwrite", "dry_run", "as_json"),
    },
    "mine": {
        "Scores": ("margin", "threshold", "calibrate", "rescore"),
        "Output": ("output", "languages", "html", "as_json", "force"),
        "Vectors": ("model", "source_vectors", "target_vectors"),
        "Work": ("engine", "workers", "device", "cache", "dry_run"),
        "Settings": ("config", "settings"),
    },
}
"""Command to panel to parameters."""


def with_terminal_help(app: Callable[[], Any]) -> Callable[[], Any]:
    """Return what runs ``app``, with help in colors and panels if stdout is a terminal that can show them."""
    if sys.stdout is None or not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        return app
    from typer.main import get_command

    command = get_command(app)  # type: ignore[arg-type]
    for each in _walk(command):
        # Only the help: messages about wrong arguments stay plain lines.
        vars(each)["format_help"] = partial(_print_help, each)
    return command


def _walk(command: Any) -> Iterator[Any]:
    yield command
    for below in getattr(command, "commands", {}).values():
        yield from _walk(below)


def _print_help(command: Any, context: Any, formatter: Any) -> None:
    """Print the help of a command as Typer does, with its brackets as they are."""
    from rich.markup import escape
    from typer import rich_utils

    rich_utils.STYLE_HELPTEXT = ""
    rich_utils.MAX_WIDTH = min(WIDEST, shutil.get_terminal_size().columns)
    panels = {name: panel for panel, names in OPTIONS.get(command.name, {}).items() for name in names}
    groups = {name: panel for panel, names in COMMANDS.items() for name in names}
    for each in (command, *getattr(command, "commands", {}).values()):
        # One line a paragraph: the terminal wraps it.
        each.help = "\n\n".join(escape(part.replace("\n", " ")) for part in (each.help or "").strip().split("\n\n"))
        if context.parent is None:
            each.rich_help_panel = groups.get(each.name)
    for parameter in command.get_params(context):
        if parameter.help:
            parameter.help = escape(parameter.help)
        if getattr(parameter, "is_flag", False):
            # A flag takes no value, so it has no type to show.
            vars(parameter)["display_type_rich"] = lambda ctx: None
        if context.parent is not None and context.parent.parent is None and parameter.name in panels:
            parameter.rich_help_panel = panels[parameter.name]
    rich_utils.rich_format_help(obj=command, ctx=context, markup_mode="rich")
