"""``otembed eval retrieval``: find translations among sentences."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from otembed.tasks.registry import TASKS

from .completion import pair_values
from .console import print_report, start_logging
from .mteb_results import MtebFolder, check_mteb, write_mteb
from .options import (
    Device,
    Force,
    JsonDocument,
    ModelArgument,
    PromptName,
    ReportFile,
    check_outputs,
    files_named,
    named_pairs,
)

HELP = """Find the translations of sentences, in both directions. Scores are top-1 accuracy, weighted F1 and xSIM.

--pairs takes the same values as otembed train, such as en-sw=FILE.tsv or starter:en-sw@test. Row i of one language
translates row i of the other; src is the first language of XX-YY, tgt the second.

Rows with an empty side are dropped and counted on stderr; all other rows are kept. If a sentence occurs twice,
finding the other copy is an error, as in Tatoeba and MTEB.
"""


def retrieval_command(
    model: ModelArgument,
    pairs: Annotated[
        list[str],
        typer.Option(
            "--pairs",
            metavar="XX-YY=FILE",
            help="Sentences and translations; repeat for more pairs.",
            autocompletion=pair_values,
        ),
    ],
    k: Annotated[int, typer.Option("--k", min=1, help="Neighbors of the xSIM margin.")] = 4,
    batch_size: Annotated[int, typer.Option(min=1, help="Maximum batch size in sentences.")] = 32,
    prompt_name: PromptName = None,
    prompt: Annotated[
        str | None, typer.Option(help="Text to prepend to every sentence, such as 'query: '.")
    ] = None,
    center: Annotated[bool, typer.Option("--center", help="Also score centered embeddings.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="First N rows of each pair.")] = None,
    device: Device = None,
    as_json: JsonDocument = False,
    output: ReportFile = None,
    mteb: MtebFolder = None,
    force: Force = False,
) -> None:
    """Parse the options, evaluate, print."""
    task = TASKS["retrieval"]
    places = task.parse(named_pairs(pairs, "--pairs"), "--pairs")
    check_outputs({"--output": output}, {"--pairs": files_named(*pairs)}, model=model, force=force)
    check_mteb(
        mteb, ("OtembedRetrieval", *(("OtembedRetrievalCentered",) if center else ())), model=model, force=force
    )
    start_logging()
    from otembed.models import load_model
    from otembed.tasks.retrieval import evaluate_retrieval

    texts = task.read(places, limit=limit, index_base=1)
    report = evaluate_retrieval(
        load_model(model, device=device),
        texts,
        k=k,
        batch_size=batch_size,
        prompt=prompt,
        prompt_name=prompt_name,
        centered=center,
        show_progress_bar=sys.stderr.isatty(),
        name=model,
    )
    document = report.to_json(output)
    write_mteb(report, mteb, model=model, force=force)
    print_report(report.tables, document, as_json=as_json)
