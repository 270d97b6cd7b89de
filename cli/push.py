"""``otembed push``: a model on the Hugging Face hub."""

from __future__ import annotations

from typing import Annotated

import typer

from .console import start_logging
from .options import JsonDocument

HELP = """Push a model, or the model of a run, to the Hugging Face hub.

The repository and the branch are created if they do not exist. Model card, results and layer for word alignment are pushed with
the model. Log in with hf auth login, or set HF_TOKEN.
"""


def push_command(
    place: Annotated[
        str, typer.Argument(metavar="RUN|MODEL", help="Run folder or model folder.", show_default=False)
    ],
    repository: Annotated[
        str | None,
        typer.Argument(metavar="OWNER/NAME", help="Repository. [default: hub.push of the run]", show_default=False),
    ] = None,
    private: Annotated[
        bool,
        typer.Option("--private", help="Create the repository as private, and refuse one that is public."),
    ] = False,
    revision: Annotated[
        str | None, typer.Option(metavar="BRANCH", help="Branch. [default: hub.revision of the run, or main]")
    ] = None,
    as_json: JsonDocument = False,
) -> None:
    """Parse the flags, push, print."""
    start_logging()
    from otembed.results.format import counted, printable
    from otembed.training.upload import push

    report = push(place, repository, private=private or None, revision=revision)
    if as_json:
        typer.echo(report.to_json(), nl=False)
        return
    kind = "private" if report.private else "public"
    typer.echo(
        f"{printable(report.url)}: {counted(report.files, 'file')}, {report.megabytes:,.1f} MB, {kind},"
        f" branch {printable(report.revision)}"
    )
