"""``otembed eval documents``: links between sentences of documents against gold links."""

from __future__ import annotations

from typing import Annotated

import typer

from otembed.tasks.registry import TASKS

from .console import DOCUMENTS, print_report, start_logging
from .documents import DocumentsCommand, DocumentsSettings, Threshold, documents_config
from .mining_options import Cache
from .options import (
    ConfigFile,
    Device,
    Force,
    JsonDocument,
    ModelArgument,
    ReportFile,
    check_outputs,
    files_named,
    named_pairs,
)
from .stages import StageProgress

COMMAND = DocumentsCommand
HELP = """Align sentences of documents, and score against gold links. Scores are strict and lax precision, recall and F1.

--gold NAME=SOURCE,TARGET,LINKS names two documents, one sentence per line, and their links, one per line: numbers of
source and target sentences, counted from 0, as in [0, 1]:[0]. All files may be compressed. Counts of several pairs of
documents are summed, as published aligners are scored: strict links have the same sentences on both sides, lax ones
share at least one on both sides; sentences without a translation count in precision only.

Settings: defaults < --config < --set < the other options, as for otembed documents align.
"""


def documents_command(
    model: ModelArgument,
    gold: Annotated[
        list[str],
        typer.Option("--gold", metavar="NAME=SOURCE,TARGET,LINKS", help="Documents and links; repeat for more."),
    ],
    config: ConfigFile = None,
    settings: DocumentsSettings = None,
    threshold: Threshold = None,
    device: Device = None,
    cache: Cache = None,
    as_json: JsonDocument = False,
    output: ReportFile = None,
    force: Force = False,
) -> None:
    """Parse the options, align, score, print."""
    task = TASKS["documents"]
    places = task.parse(named_pairs(gold, "--gold", task.key, task.metavar), "--gold")
    checked = documents_config(config, settings, threshold=threshold)
    check_outputs(
        {"--output": output}, {"--gold": files_named(*gold), "--config": config}, model=model, force=force
    )
    start_logging(*DOCUMENTS)
    from otembed.tasks.documents import evaluate_documents

    sets = task.read(places, limit=None, index_base=0)
    report = evaluate_documents(
        model, sets, checked, name=model, cache=cache, device=device, progress=StageProgress()
    )
    document = report.to_json(output)
    print_report(report.tables, document, as_json=as_json)
