"""``otembed export``: a model in another precision or file layout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .completion import choice_values
from .options import JsonDocument, ModelArgument, check_choice

HELP = """Write a model in another precision or file layout.

The folder loads with plain SentenceTransformer(OUT), without otembed. It is written atomically, and existing files are
never replaced. --layout 5.3 loads in sentence-transformers 5.3 to 6.2; current is the layout of the installed version.
"""
PRECISIONS = ("float32", "float16", "bfloat16")
LAYOUTS = ("5.3", "current")
PARTS = ("en", "sw", "ar", "hi", "th", "zh")


def export_command(
    model: ModelArgument,
    out: Annotated[Path, typer.Argument(help="Folder to write.", show_default=False)],
    precision: Annotated[
        str, typer.Option(help="float32, float16 or bfloat16.", autocompletion=choice_values(*PRECISIONS))
    ] = "float32",
    layout: Annotated[str, typer.Option(help="5.3 or current.", autocompletion=choice_values(*LAYOUTS))] = "5.3",
    check: Annotated[
        bool, typer.Option("--check", help="Compare the embeddings of sample sentences before and after.")
    ] = False,
    as_json: JsonDocument = False,
) -> None:
    """Parse the flags, export, print."""
    check_choice(precision, PRECISIONS, "--precision")
    check_choice(layout, LAYOUTS, "--layout")
    from .console import error_console, set_up_logging

    set_up_logging(error_console())
    from otembed.models.export import export_model
    from otembed.results.format import printable

    report = export_model(
        model,
        out,
        precision=precision,  # type: ignore[arg-type]
        layout=layout,  # type: ignore[arg-type]
        check=_sentences() if check else (),
    )
    if as_json:
        typer.echo(report.to_json(), nl=False)
        return
    typer.echo(
        f"{printable(str(report.folder))}: {report.megabytes:,.1f} MB, {report.precision}, layout {report.layout}"
    )
    if report.largest_difference is not None:
        typer.echo(
            f"embeddings of {report.sentences} sentences: largest difference {report.largest_difference:.1e}, "
            f"lowest cosine {report.lowest_cosine:.6f}"
        )


def _sentences() -> list[str]:
    """Return four sentences in each of several scripts from the text that ships with otembed."""
    import csv

    from otembed.data.starter import starter_path

    with starter_path("test").open(encoding="utf-8", newline="") as file:
        rows = [row for _, row in zip(range(4), csv.DictReader(file, delimiter="\t"), strict=False)]
    return [row[code] for code in PARTS for row in rows]
