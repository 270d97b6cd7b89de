"""``otembed report``: the page of a training run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .options import Force, JsonDocument, check_outputs

HELP = """Render the report of a finished training run again.

otembed train writes it as report.html in the run folder: held-out accuracy before and after with intervals, learning curves
of each term of the loss, the shape of the embedding space, word links of held-out sentences, settings and the command. It is
one self-contained file, and the same files give the same bytes.
"""


def report_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.", show_default=False)],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="File to write. [default: report.html in the run folder]"
        ),
    ] = None,
    as_json: JsonDocument = False,
    force: Force = False,
) -> None:
    """Parse the options, render, print the place."""
    from otembed.results import write_text
    from otembed.results.format import printable
    from otembed.results.paths import expand
    from otembed.training.page import render_report
    from otembed.training.report import REPORT

    folder = expand(run)
    place = folder / REPORT if output is None else output
    if output is not None:
        read = [each for each in folder.glob("*") if each.name != REPORT]
        check_outputs({"--output": output}, {"RUN": read}, model=None, force=force)
    found, page = render_report(folder)
    write_text(place, page)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        typer.echo(printable(str(place)))
