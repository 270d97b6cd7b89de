"""``otembed merge``: the weighted mean of two models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .completion import model_values
from .console import start_logging
from .options import JsonDocument

HELP = """Write the weighted mean of two models of the same architecture.

Usually both are fine-tuned versions of one encoder, or one is that encoder. They must have the same modules, tokenizer
and tensors; otherwise the command names the first difference. The folder loads with plain SentenceTransformer(OUT), without otembed. It
is written atomically, and existing files are never replaced. Tokenizer, prompts and length limit are those of the first.
"""


def merge_command(
    first: Annotated[
        str,
        typer.Argument(
            metavar="FIRST",
            help="Folder, hub name or offline:multilingual-e5-small.",
            show_default=False,
            autocompletion=model_values,
        ),
    ],
    second: Annotated[
        str,
        typer.Argument(
            metavar="SECOND", help="The second model, likewise.", show_default=False, autocompletion=model_values
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Folder to write.")],
    weight: Annotated[
        float, typer.Option(help="Share of the second model, from 0 to 1; the first has the rest.")
    ] = 0.5,
    as_json: JsonDocument = False,
) -> None:
    """Parse the flags, merge, print."""
    start_logging()
    from otembed.models.merge import merge_models
    from otembed.results.format import printable

    report = merge_models(first, second, output, weight=weight)
    if as_json:
        typer.echo(report.to_json(), nl=False)
        return
    typer.echo(
        f"{printable(report.folder)}: {1 - weight:g} x {printable(report.first)} + {weight:g} x {printable(report.second)}"
    )
    typer.echo(
        f"{report.differing} of {report.tensors} tensors differ ({report.parameters / 1e6:.1f} million weights)"
    )
