"""The reference of the command line, docs/cli.md, from the help of every command.

``python -m otembed.cli.reference`` prints it, ``make docs`` writes it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from .main import app

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH = 100
HEAD = """\
# Command line

The output of `otembed COMMAND --help`, written by `make docs`. Data goes to stdout, everything else to stderr. Exit codes:
0 success, 1 negative result, 2 bad input or failure, 130 interrupted by Ctrl-C, 143 by SIGTERM, 129 by a closed terminal, 141
stdout or stderr closed by its reader (`| head -1`). `NO_COLOR` is respected; `OTEMBED_DEBUG=1` shows tracebacks.
"""


def reference() -> str:
    """Return the document: contents, then the help of each command as plain text of fixed width."""
    parts = list(_commands())
    contents = "".join(f"- [`{name}`](#{name.replace(' ', '-')})\n" for name, _ in parts)
    blocks = (f"## {name}\n\n```text\n{text}\n```\n" for name, text in parts)
    return "\n".join([HEAD, contents, *blocks])


def _commands() -> Iterator[tuple[str, str]]:
    from typer.main import get_command

    yield from _walk(get_command(app), "otembed", None)


def _walk(command: Any, name: str, parent: Any) -> Iterator[tuple[str, str]]:
    """Return the help of a command and its subcommands, independent of the terminal."""
    context = command.context_class(command, info_name=name.rpartition(" ")[2], parent=parent, **_settings(command))
    lines = (line.rstrip() for line in command.get_help(context).splitlines())
    yield name, "\n".join(lines).strip("\n")
    for below, inner in getattr(command, "commands", {}).items():
        yield from _walk(inner, f"{name} {below}", context)


def _settings(command: Any) -> dict[str, Any]:
    return {**command.context_settings, "terminal_width": WIDTH, "max_content_width": WIDTH}


if __name__ == "__main__":
    sys.stdout.write(reference())
