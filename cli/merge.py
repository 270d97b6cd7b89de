"""``otembed merge``: the weighted mean of two models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .completion import model_values
from .console import start_logging
from .options import JsonDocument, ModelArgument

HELP = """Merge two models of one architecture: a weighted mean of their weights.

Usually both are fine-tuned versions of one encoder, or one of them is its start. They must have the same modules, tokenizer
and tensors; the first difference is named otherwise. The folder loads with plain SentenceTransformer(OUT), without otembed. It
is written atomically, and existing files are never replaced. Tokenizer, prompts and length limit are those of A.
"""


def merge_command(
    first: ModelArgument,
    second: Annotated[
        str,
        typer.Argument(help="The second model, likewise.", show_default=False, autocompletion=model_values),
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
