"""``otembed eval alignment``: word links against gold links."""

from __future__ import annotations

from typing import Annotated

import typer

from .completion import choice_values
from .material import gold_places, gold_sets
from .options import (
    DECODINGS,
    AlignerSettings,
    Device,
    Force,
    JsonDocument,
    Layer,
    LinkThreshold,
    ModelArgument,
    ReportFile,
    SentencesAtATime,
    Unit,
    alignment_config,
    refuse_taken,
)

ALIGNMENT_HELP = """Link the words of gold-aligned sentences: precision, recall, F1 and alignment error rate.

--gold NAME=TEXT,LINKS has lines of source ||| target in TEXT; NAME=SOURCE,TARGET,LINKS has a file for each
side. Words are parted by spaces. LINKS are Pharaoh lines, i-j sure and ipj possible, or the shared-task table of
sentence source target S|P. All files may be compressed.
"""


def alignment_command(
    model: ModelArgument,
    gold: Annotated[
        list[str],
        typer.Option("--gold", metavar="NAME=TEXT,LINKS", help="Sentences and links; repeat for more sets."),
    ],
    index_base: Annotated[int, typer.Option(min=0, max=1, help="Whether the gold counts words from 0 or 1.")] = 1,
    layer: Layer = None,
    unit: Unit = None,
    decoding: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="mutual, threshold, grow-diag (without it) or grow-diag-final-and.",
            autocompletion=choice_values(*DECODINGS),
        ),
    ] = None,
    threshold: LinkThreshold = None,
    settings: AlignerSettings = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="First N pairs of each set.")] = None,
    batch_size: SentencesAtATime = 32,
    device: Device = None,
    as_json: JsonDocument = False,
    output: ReportFile = None,
    force: Force = False,
) -> None:
    """Parse the flags, evaluate, print."""
    places = gold_places(gold)
    if output is not None:
        refuse_taken(output, force=force)
    config = alignment_config(settings or [], layer, unit, decoding, threshold)
    from .console import data_console, error_console, set_up_logging

    set_up_logging(error_console())
    from otembed.models import load_model
    from otembed.tasks.word_alignment import evaluate_alignment
    from otembed.tasks.word_alignment.table import alignment_table

    sets = gold_sets(places, index_base, limit)
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
