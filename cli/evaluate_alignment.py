"""``otembed eval alignment``: word links against gold links."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from otembed.errors import ConfigError

from .completion import choice_values, model_values
from .options import ALIGNMENT_UNITS, DECODINGS, alignment_config, refuse_taken

if TYPE_CHECKING:
    from otembed.evaluation import GoldSet

ALIGNMENT_HELP = """Link the words of gold-aligned sentences: precision, recall, F1 and alignment error rate.

--gold NAME=TEXT,LINKS has lines of source ||| target in TEXT; NAME=SOURCE,TARGET,LINKS has a file for each
side. Words are parted by spaces. LINKS are Pharaoh lines, i-j sure and ipj possible, or the shared-task table of
sentence source target S|P. All files may be compressed.
"""


def alignment_command(
    model: Annotated[
        str,
        typer.Argument(
            help="Folder, hub name or offline:multilingual-e5-small.",
            show_default=False,
            autocompletion=model_values,
        ),
    ],
    gold: Annotated[
        list[str],
        typer.Option("--gold", metavar="NAME=TEXT,LINKS", help="Sentences and links; repeat for more sets."),
    ],
    index_base: Annotated[int, typer.Option(min=0, max=1, help="Whether the gold counts words from 0 or 1.")] = 1,
    layer: Annotated[
        str | None, typer.Option(metavar="N|auto", help="Layer; the stored or best one without.")
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option(metavar="word|token", help="What is aligned.", autocompletion=choice_values(*ALIGNMENT_UNITS)),
    ] = None,
    decoding: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="mutual, threshold, grow-diag (without it) or grow-diag-final-and.",
            autocompletion=choice_values(*DECODINGS),
        ),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Least probability of a link beyond the mutual ones.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any setting, such as epsilon=0.05.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="First N pairs of each set.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Sentences encoded at a time.")] = 32,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, mps; the best there is without it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the report here as JSON.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file of --output.")] = False,
) -> None:
    """Parse the flags, evaluate, print."""
    places = _places(gold)
    if output is not None:
        refuse_taken(output, force=force)
    config = alignment_config(settings or [], layer, unit, decoding, threshold)
    from .console import data_console, error_console, set_up_logging

    set_up_logging(error_console())
    from otembed.evaluation import evaluate_alignment, read_gold_set
    from otembed.models import load_model
    from otembed.reporting import alignment_table

    sets: dict[str, GoldSet] = {}
    for name, (*sides, links) in places.items():
        source, target, found = read_gold_set(links, *sides, index_base=0 if index_base == 0 else 1)
        sets[name] = source[:limit], target[:limit], found[:limit]
    report = evaluate_alignment(load_model(model, device=device), sets, config, batch_size=batch_size, name=model)
    document = report.to_json(output)
    if report.unseen:
        typer.echo(
            f"{report.unseen} words have no link: the model did not see them, behind its length limit or as nothing",
            err=True,
        )
    if as_json:
        typer.echo(document, nl=False)
    else:
        data_console().print(alignment_table(report))


def _places(values: list[str]) -> dict[str, list[str]]:
    """Name to its two or three files."""
    places: dict[str, list[str]] = {}
    for value in values:
        name, equals, files = value.partition("=")
        paths = files.split(",")
        if not equals or not name or len(paths) not in (2, 3) or not all(paths):
            raise ConfigError(
                f"--gold {value!r} names no text and links", "Write NAME=TEXT,LINKS or NAME=SOURCE,TARGET,LINKS."
            )
        if name in places:
            raise ConfigError(f"--gold names {name} twice", "Name the second set otherwise.")
        places[name] = paths
    return places
