"""``otembed eval``: measure a model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import evaluate_mining, evaluate_xnli, evaluate_xquad
from .completion import model_values, pair_values
from .evaluate_alignment import ALIGNMENT_HELP, alignment_command
from .options import named_pairs, refuse_taken

if TYPE_CHECKING:
    from otembed.data import PairSpec

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


app.command("mining", help=evaluate_mining.HELP, no_args_is_help=True)(evaluate_mining.mining_command)


@app.command("retrieval", help=RETRIEVAL_HELP, no_args_is_help=True)
def retrieval_command(
    model: Annotated[
        str,
        typer.Argument(
            help="Folder, hub name or offline:multilingual-e5-small.",
            show_default=False,
            autocompletion=model_values,
        ),
    ],
    pairs: Annotated[
        list[str],
        typer.Option(
            "--pairs",
            metavar="XX-YY=FILE",
            help="Sentences and translations; repeat for more pairs.",
            autocompletion=pair_values,
        ),
    ],
    k: Annotated[int, typer.Option("--k", min=1, help="Neighbours of the xSIM margin.")] = 4,
    batch_size: Annotated[int, typer.Option(min=1, help="Most sentences encoded at a time.")] = 32,
    prompt_name: Annotated[str | None, typer.Option(help="One of the model's prompts, such as query.")] = None,
    prompt: Annotated[str | None, typer.Option(help="Text before every sentence, such as 'query: '.")] = None,
    center: Annotated[bool, typer.Option("--center", help="Score a second time with centred vectors.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="First N rows of each pair.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, mps; the best there is without it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the report here as JSON.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file of --output.")] = False,
) -> None:
    """Parse the flags, evaluate, print."""
    specs = _specs(pairs)
    if output is not None:
        refuse_taken(output, force=force)
    from .console import data_console, error_console, set_up_logging

    set_up_logging(error_console())
    from otembed.evaluation import evaluate_retrieval
    from otembed.models import load_model
    from otembed.reporting import retrieval_table

    texts = {key: _sentences(spec, limit) for key, spec in specs.items()}
    report = evaluate_retrieval(
        load_model(model, device=device),
        texts,
        k=k,
        batch_size=batch_size,
        prompt=prompt,
        prompt_name=prompt_name,
        centred=center,
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
        console.print(retrieval_table(report, centred=True))


app.command("xquad", help=evaluate_xquad.HELP, no_args_is_help=True)(evaluate_xquad.xquad_command)
app.command("xnli", help=evaluate_xnli.HELP, no_args_is_help=True)(evaluate_xnli.xnli_command)
app.command("alignment", help=ALIGNMENT_HELP, no_args_is_help=True)(alignment_command)


def _specs(pairs: list[str]) -> dict[str, PairSpec]:
    """Return the parallel texts by language pair, before anything slow is imported."""
    from otembed.data import parse_pair_spec

    return {key: parse_pair_spec(key, place) for key, place in named_pairs(pairs, "--pairs").items()}


def _sentences(spec: PairSpec, limit: int | None) -> tuple[list[str], list[str]]:
    """Return both sides in the order of the file; rows that hold no pair are counted on stderr."""
    from otembed.data import PairChecks, load_pairs

    # No pivot: the report names pairs as the user does, so its source must be the first language named.
    text = load_pairs(spec, PairChecks.off(), limit, pivot=None)
    if text.counts.dropped:
        typer.echo(f"{text.pair}: {text.counts.summary()}", err=True)
    return list(text.dataset["source"]), list(text.dataset["target"])
