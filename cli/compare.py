"""``otembed compare``: which model is better."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from otembed.errors import ConfigError

from .material import (
    check_nli_training,
    gold_places,
    gold_sets,
    mining_places,
    mining_tasks,
    nli_places,
    pair_specs,
    parallel_texts,
    question_places,
)
from .options import Device, JsonDocument, SentencesAtATime, check_choice, refuse_taken

EXIT_NO = 1
CORRECTIONS = ("none", "holm")
HELP = """Compare models on the same examples, each with the first: paired bootstrap, intervals, a verdict.

MODELS are models (folder, hub name, offline:...), run folders, or result files that --output of otembed eval has
written; NAME=PLACE names one, NAME=FILE,FILE joins result files. Models, and those of run folders, are evaluated on
--pairs (suite retrieval), --mining, --gold (suite alignment), --xnli and --xquad; without these, a run folder stands for
its figures after training.

B is better than A where the 95 % interval of the difference leaves out 0. Tasks whose examples differ are not
paired, and are listed.

--fail-under X: exit 1 if a model gains less than X points over the first one, counted so that more is better: -0.5
allows a loss of half a point, 0 none, 1 asks for a gain of one. Decided on the mean of each suite's first metric.
"""


def compare_command(
    models: Annotated[
        list[str], typer.Argument(help="Two or more; the first is the baseline.", show_default=False)
    ],
    pairs: Annotated[
        list[str] | None,
        typer.Option("--pairs", metavar="XX-YY=FILE", help="Retrieval: as for otembed eval retrieval; repeat."),
    ] = None,
    mining: Annotated[
        list[str] | None,
        typer.Option("--mining", metavar="XX-YY=SOURCE,TARGET,GOLD", help="Mining with known pairs; repeat."),
    ] = None,
    gold: Annotated[
        list[str] | None,
        typer.Option("--gold", metavar="NAME=TEXT,LINKS", help="Word alignment: as for otembed eval alignment."),
    ] = None,
    xnli: Annotated[
        list[str] | None,
        typer.Option("--xnli", metavar="XX=PLACE", help="Inference by a probe: test pairs of a language; repeat."),
    ] = None,
    nli: Annotated[
        str,
        typer.Option("--nli", metavar="PLACE", help="English training pairs for --xnli, as for otembed eval xnli."),
    ] = "mnli",
    xquad: Annotated[
        list[str] | None,
        typer.Option("--xquad", metavar="XX=FILE", help="Retrieval with questions of a language; repeat."),
    ] = None,
    suite: Annotated[
        list[str] | None,
        typer.Option(
            "--suite", metavar="NAME", help="Just this: retrieval, mining, alignment, xnli, xquad; repeat."
        ),
    ] = None,
    index_base: Annotated[int, typer.Option(min=0, max=1, help="Whether --gold counts words from 0 or 1.")] = 1,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="First N rows of --pairs, --gold.")] = None,
    center: Annotated[
        bool, typer.Option("--center", help="Score retrieval with centered vectors as well.")
    ] = False,
    batch_size: SentencesAtATime = 32,
    cache: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of sentence vectors. [default: the user's]")
    ] = None,
    device: Device = None,
    resamples: Annotated[int, typer.Option(min=100, help="Resamples of the bootstrap.")] = 10_000,
    confidence: Annotated[float, typer.Option(help="Of the intervals, a share.")] = 0.95,
    correction: Annotated[str, typer.Option(metavar="none|holm", help="Of verdicts on many tasks.")] = "none",
    seed: Annotated[int, typer.Option(min=0, help="Of the resamples.")] = 0,
    sentences: Annotated[int, typer.Option(min=0, help="Sentences whose word links are kept for --html.")] = 3,
    every: Annotated[bool, typer.Option("--all", help="Tables with every metric, not just the first.")] = False,
    as_json: JsonDocument = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the result here as JSON.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write one self-contained page.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the table as Markdown.")] = None,
    latex: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the table for LaTeX (booktabs).")
    ] = None,
    fail_under: Annotated[
        float | None, typer.Option(metavar="X", help="Exit 1 if a model gains less than X points; see above.")
    ] = None,
    fail_metric: Annotated[
        str | None, typer.Option(metavar="SUITE.METRIC", help="What --fail-under looks at, such as mining.best_f1.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> None:
    """Parse the flags, compare, write, print."""
    check_choice(correction, CORRECTIONS, "--correction")
    if fail_metric is not None and fail_under is None:
        raise ConfigError("--fail-metric without --fail-under", "Add --fail-under X.")
    _refuse_outputs(
        {"--output": output, "--html": html, "--markdown": markdown, "--latex": latex}, models, force=force
    )
    specs, places, sets = pair_specs(pairs or []), mining_places(mining or []), gold_places(gold or [])
    tests, questions = nli_places(xnli or [], "--xnli"), question_places(xquad or [])
    if tests:
        check_nli_training(nli)
    from .console import data_console, error_console, set_up_logging

    if specs or places or sets or tests or questions:
        set_up_logging(error_console())
    from otembed.comparison import compare
    from otembed.comparison.gate import failures
    from otembed.comparison.tables import (
        comparison_latex,
        comparison_markdown,
        comparison_table,
        legend,
        not_compared,
    )
    from otembed.results import write_text

    suites: dict[str, Any] = {
        "retrieval": parallel_texts(specs, limit),
        "mining": mining_tasks(places),
        "alignment": gold_sets(sets, index_base, limit),
        "xnli": tests,
        "xquad": questions,
    }
    found = compare(
        *models,
        suites={name: tasks for name, tasks in suites.items() if tasks},
        only=suite or (),
        resamples=resamples,
        confidence=confidence,
        correction="holm" if correction == "holm" else "none",
        seed=seed,
        centered=center,
        batch_size=batch_size,
        device=device,
        sentences=sentences if html or output or as_json else 0,
        nli=nli,
        cache=_cache(cache) if any(suites.values()) else None,
        command=shlex.join(["otembed", *sys.argv[1:]]),
    )
    document = found.to_json(output)
    if html is not None:
        from otembed.comparison.page import comparison_page

        write_text(html, comparison_page(found.to_dict()))
    if markdown is not None:
        write_text(markdown, comparison_markdown(found, every=every))
    if latex is not None:
        write_text(latex, comparison_latex(found, every=every))
    for line in not_compared(found):
        typer.echo(f"not compared: {line}", err=True)
    if as_json:
        typer.echo(document, nl=False)
    else:
        console = data_console()
        for line in (*found.headlines, "", *found.summary, "", *legend(found), ""):
            console.print(line, markup=False, soft_wrap=True)
        console.print(comparison_table(found, every=every))
    if fail_under is not None:
        _decide(failures(found, fail_under, metric=fail_metric))


def _cache(folder: Path | None) -> Path:
    from otembed.embeddings.cache import cache_home

    return cache_home(folder)


def _refuse_outputs(outputs: dict[str, Path | None], models: list[str], *, force: bool) -> None:
    """Refuse taken places, two outputs in one place, and an input as an output, even with --force."""
    taken = {Path(part).resolve(): part for model in models for part in model.partition("=")[2].split(",") if part}
    taken |= {Path(model).resolve(): model for model in models}
    for flag, path in outputs.items():
        if path is None:
            continue
        if path.resolve() in taken:
            raise ConfigError(f"{flag} {path} is {taken[path.resolve()]} as well", "Choose another name.")
        refuse_taken(path, force=force, flag=flag)
        taken[path.resolve()] = f"what {flag} writes"


def _decide(failed: list[str]) -> None:
    for line in failed:
        typer.echo(f"no: {line}", err=True)
    if failed:
        raise typer.Exit(EXIT_NO)
