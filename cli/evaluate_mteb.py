"""``otembed eval mteb``: tasks of the Massive Text Embedding Benchmark."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from .console import print_report, start_logging
from .options import Device, JsonDocument, ModelArgument, SentencesAtATime

HELP = """Run tasks of MTEB, with its own package (otembed[mteb]).

Names are those of mteb.get_tasks(), such as Tatoeba, BUCC.v2 or STS22.v2. MTEB loads the data from the Hugging Face hub,
chooses prompts by the task, and computes the scores. With -o, each result is written to FOLDER/TASK.json in MTEB's form.

otembed eval retrieval, mining and xnli write the results of your own data in this form with --mteb FOLDER.
"""


def mteb_command(
    model: ModelArgument,
    tasks: Annotated[list[str], typer.Option("--tasks", metavar="NAME", help="Task; repeat for more.")],
    languages: Annotated[
        list[str] | None,
        typer.Option(
            "--languages", metavar="CODE", help="Only these languages (ISO 639-3, such as swh); repeatable."
        ),
    ] = None,
    batch_size: SentencesAtATime = 32,
    device: Device = None,
    as_json: JsonDocument = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="Folder for MTEB's results.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace results in the folder.")] = False,
) -> None:
    """Parse the options, evaluate, write, print."""
    start_logging()
    from otembed.models import load_model
    from otembed.tasks.mteb.evaluate import evaluate_mteb, mteb_tasks
    from otembed.tasks.mteb.results import check_mteb_folder, write_task_results

    chosen = mteb_tasks(tasks, languages)
    if output is not None:
        check_mteb_folder(output, [task.metadata.name for task in chosen], model=model, force=force)
    report, results = evaluate_mteb(
        load_model(model, device=device),
        chosen,
        name=model,
        batch_size=batch_size,
        show_progress_bar=sys.stderr.isatty(),
    )
    if output is not None:
        write_task_results(results, output, model=model, force=force)
    print_report(lambda: (report.table(),), report.to_json(), as_json=as_json)
