"""``otembed eval``: measure a model on a task."""

from __future__ import annotations

from importlib import import_module

import typer

from otembed.tasks.registry import TASKS

from . import evaluate_mteb

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """Measure any model that SentenceTransformer loads."""


for _task in TASKS:
    # The command of each task is in the module named after it.
    _module = import_module(f".evaluate_{_task}", __package__)
    # A task may bring a command class, such as one that names --set for settings without an option.
    _kind = getattr(_module, "COMMAND", None)
    app.command(_task, cls=_kind, help=_module.HELP, no_args_is_help=True)(getattr(_module, f"{_task}_command"))
app.command("mteb", help=evaluate_mteb.HELP, no_args_is_help=True)(evaluate_mteb.mteb_command)
