"""``otembed eval``: measure a model."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from . import evaluate_mining, evaluate_xnli, evaluate_xquad
from .completion import pair_values
from .evaluate_alignment import ALIGNMENT_HELP, alignment_command
from .material import pair_specs, parallel_texts
from .mining_options import MiningCommand
from .options import Device, Force, JsonDocument, ModelArgument, PromptName, ReportFile, refuse_taken

RETRIEVAL_HELP = """Find translations: top-1 accuracy, weighted F1 and xSIM in both directions.

--pairs takes what otembed train takes, such as en-sw=FILE.tsv or starter:en-sw@test. Row i of one language
translates row i of the other; src is the first language of XX-YY, tgt the second.

Rows with an empty side are left out and counted on stderr, nothing else is: where a sentence comes twice,
finding the other copy is an error, as in Tatoeba and MTEB.
"""

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """Measure any model that SentenceTransformer loads."""


app.command("mining", cls=MiningCommand, help=evaluate_mining.HELP, no_args_is_help=True)(
    evaluate_mining.mining_command
)


@app.command("retrieval", help=RETRIEVAL_HELP, no_args_is_help=True)
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
    batch_size: Annotated[int, typer.Option(min=1, help="Most sentences encoded at a time.")] = 32,
    prompt_name: PromptName = None,
    prompt: Annotated[str | None, typer.Option(help="Text before every sentence, such as 'query: '.")] = None,
    center: Annotated[bool, typer.Option("--center", help="Score a second time with centered vectors.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="First N rows of each pair.")] = None,
    device: Device = None,
    as_json: JsonDocument = False,
    output: ReportFile = None,
    force: Force = False,
) -> None:
    """Parse the flags, evaluate, print."""
    specs = pair_specs(pairs)
    if output is not None:
        refuse_taken(output, force=force)
    from .console import data_console, error_console, set_up_logging

    set_up_logging(error_console())
    from otembed.models import load_model
    from otembed.tasks.retrieval import evaluate_retrieval
    from otembed.tasks.retrieval.table import retrieval_table

    texts = parallel_texts(specs, limit)
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
    if as_json:
        typer.echo(document, nl=False)
        return
    console = data_console()
    console.print(retrieval_table(report))
    if center:
        console.print(retrieval_table(report, centered=True))


app.command("xquad", help=evaluate_xquad.HELP, no_args_is_help=True)(evaluate_xquad.xquad_command)
app.command("xnli", help=evaluate_xnli.HELP, no_args_is_help=True)(evaluate_xnli.xnli_command)
app.command("alignment", help=ALIGNMENT_HELP, no_args_is_help=True)(alignment_command)
