"""``otembed eval alignment``: word links against gold links."""

from __future__ import annotations

from typing import Annotated

import typer

from otembed.tasks.registry import TASKS

from .completion import choice_values
from .console import SOLVER, print_report, say_unseen, start_logging
from .options import (
    DECODINGS,
    AlignerSettings,
    ConfigFile,
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
    check_outputs,
    files_named,
    named_pairs,
)

HELP = """Link words, and score the links against gold links. Scores are precision, recall, F1 and alignment error rate (AER).

Contextual word retrieval is scored on the same vectors: for each sure one-to-one link, whether the nearest of all words
of the other side of the set is the linked word, plain and centered.

--gold NAME=TEXT,LINKS reads lines of source ||| target from TEXT; NAME=SOURCE,TARGET,LINKS reads one file for each
side. Words are separated by spaces. LINKS are Pharaoh lines, with i-j for sure and ipj for possible links, or the
shared-task table of sentence source target S|P. All files may be compressed.

Settings: defaults < --config < --set < the other options, as in otembed align.
"""


def alignment_command(
    model: ModelArgument,
    gold: Annotated[
        list[str],
        typer.Option("--gold", metavar="NAME=TEXT,LINKS", help="Sentences and links; repeat for more sets."),
    ],
    index_base: Annotated[int, typer.Option(min=0, max=1, help="First word number of the gold links, 0 or 1.")] = 1,
    layer: Layer = None,
    unit: Unit = None,
    decoding: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="mutual, threshold, grow-diag (the default) or grow-diag-final-and.",
            autocompletion=choice_values(*DECODINGS),
        ),
    ] = None,
    threshold: LinkThreshold = None,
    config_file: ConfigFile = None,
    settings: AlignerSettings = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="First N pairs of each set.")] = None,
    no_word_retrieval: Annotated[
        bool, typer.Option("--no-word-retrieval", help="Do not score word retrieval.")
    ] = False,
    batch_size: SentencesAtATime = 32,
    device: Device = None,
    as_json: JsonDocument = False,
    output: ReportFile = None,
    force: Force = False,
) -> None:
    """Parse the options, evaluate, print."""
    task = TASKS["alignment"]
    places = task.parse(named_pairs(gold, "--gold", task.key, task.metavar), "--gold")
    check_outputs(
        {"--output": output}, {"--gold": files_named(*gold), "--config": config_file}, model=model, force=force
    )
    config = alignment_config(config_file, settings, layer, unit, decoding, threshold)
    start_logging(*SOLVER)
    from otembed.models import load_model
    from otembed.tasks.word_alignment import evaluate_alignment

    sets = task.read(places, limit=limit, index_base=0 if index_base == 0 else 1)
    report = evaluate_alignment(
        load_model(model, device=device),
        sets,
        config,
        batch_size=batch_size,
        retrieval=not no_word_retrieval,
        name=model,
    )
    document = report.to_json(output)
    say_unseen(report.unseen)
    print_report(report.tables, document, as_json=as_json)
