"""``otembed compare``: which model is better."""

from __future__ import annotations

import inspect
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from otembed.errors import ConfigError
from otembed.tasks.base import TaskOptions
from otembed.tasks.registry import TASKS

from .console import SEARCH, SOLVER, data_console, say, start_logging
from .options import Device, JsonDocument, SentencesAtATime, check_choice, check_outputs, files_named, named_pairs

EXIT_NO = 1
CORRECTIONS = ("none", "holm")
HELP = """Compare models with a baseline on the same examples. A paired bootstrap gives intervals and a verdict.

MODELS are models (folder, hub name, offline:...), run folders, or result files written by --output of otembed eval;
NAME=PLACE sets a name, NAME=FILE,FILE joins result files. Models, including models of run folders, are evaluated on
--pairs (suite retrieval), --mining, --gold (suite alignment), --documents, --xnli, --xquad and --tagging; without these
options, the figures after training are read from a run folder.

B is better than A if the 95 % interval of the difference excludes 0. Tasks with different examples are listed, but not
compared.

--fail-under X: exit with 1 if a model gains less than X points over the baseline. A positive gain is always an
improvement: -0.5 allows a loss of half a point, 0 allows no loss, 1 requires a gain of one point. The mean of the
primary metric of each suite decides.
"""


def _compare(
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODELS", help="Two or more; the first is the baseline.", show_default=False),
    ],
    nli: Annotated[
        str,
        typer.Option("--nli", metavar="PLACE", help="English training pairs for --xnli, as for otembed eval xnli."),
    ] = "mnli",
    tagging_train: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="English training sentences for --tagging, in CoNLL-U."),
    ] = None,
    suite: Annotated[
        list[str] | None,
        typer.Option("--suite", metavar="NAME", help=f"Only this suite: {', '.join(TASKS)}; repeat for more."),
    ] = None,
    index_base: Annotated[int, typer.Option(min=0, max=1, help="First word number of --gold, 0 or 1.")] = 1,
    limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="First N rows of --pairs and --gold; N sentences of --tagging."),
    ] = None,
    center: Annotated[
        bool, typer.Option("--center", help="Also score retrieval with centered embeddings.")
    ] = False,
    batch_size: SentencesAtATime = 32,
    cache: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Cache folder of embeddings. [default: the user's cache]")
    ] = None,
    device: Device = None,
    resamples: Annotated[int, typer.Option(min=100, help="Number of bootstrap resamples.")] = 10_000,
    confidence: Annotated[float, typer.Option(help="Confidence of the intervals.")] = 0.95,
    correction: Annotated[
        str, typer.Option(metavar="none|holm", help="Correction of verdicts for multiple tasks.")
    ] = "none",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the resamples.")] = 0,
    sentences: Annotated[int, typer.Option(min=0, help="Number of sentences with word links for --html.")] = 3,
    every: Annotated[bool, typer.Option("--all", help="Show every metric, not only the primary one.")] = False,
    as_json: JsonDocument = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the result to this file as JSON.")
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write one self-contained page.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the table as Markdown.")] = None,
    latex: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the table for LaTeX (booktabs).")
    ] = None,
    fail_under: Annotated[
        float | None, typer.Option(metavar="X", help="Exit with 1 if a model gains less than X points; see above.")
    ] = None,
    fail_metric: Annotated[
        str | None, typer.Option(metavar="SUITE.METRIC", help="Metric for --fail-under, such as mining.best_f1.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    **given: list[str] | None,
) -> None:
    """Parse the options, compare, write, print; ``given`` holds the option of each task."""
    check_choice(correction, CORRECTIONS, "--correction")
    if fail_metric is not None and fail_under is None:
        raise ConfigError("--fail-metric requires --fail-under", "Add --fail-under X.")
    if fail_under is not None:
        from otembed.comparison.gate import check_least

        check_least(fail_under)
    check_outputs(
        {"--output": output, "--html": html, "--markdown": markdown, "--latex": latex},
        {
            **{f"MODELS {model}": files_named(model) for model in models},
            **{TASKS[name].option: files_named(*(values or ())) for name, values in given.items()},
            "--nli": files_named(nli),
            "--tagging-train": files_named(tagging_train),
        },
        model=None,
        force=force,
    )
    options = TaskOptions(nli=nli, tagging=tagging_train)
    places = {
        task.name: task.parse(named_pairs(values, task.option, task.key, task.metavar), task.option)
        for task in TASKS.values()
        if (values := given[task.name])
    }
    for name in places:
        TASKS[name].check(options)
    if places:
        start_logging(*(SOLVER if "alignment" in places else ()), *(SEARCH if "mining" in places else ()))
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
    from otembed.results.format import encodable, printable

    base: Literal[0, 1] = 0 if index_base == 0 else 1
    suites = {name: TASKS[name].read(each, limit=limit, index_base=base) for name, each in places.items()}
    found = compare(
        *models,
        suites=suites,
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
        tagging_train=tagging_train,
        cache=_cache(cache) if suites else None,
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
        say(f"not compared: {line}")
    if as_json:
        typer.echo(document, nl=False)
    else:
        console = data_console()
        answer = map(printable, (*found.headlines, "", *found.summary, ""))
        for line in (*answer, *legend(found), ""):
            console.print(encodable(line, console.encoding), markup=False, soft_wrap=True)
        console.print(comparison_table(found, every=every))
    if fail_under is not None:
        _decide(failures(found, fail_under, metric=fail_metric))


def _with_task_options(command: Any) -> Any:
    """Replace the keyword arguments of the command by an option for each task, after the models."""
    parameters = inspect.signature(command, eval_str=True).parameters.values()
    first, *others = (each for each in parameters if each.kind is not inspect.Parameter.VAR_KEYWORD)
    added = [
        inspect.Parameter(
            task.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[list[str] | None, typer.Option(task.option, metavar=task.metavar, help=task.help)],
        )
        for task in TASKS.values()
    ]
    keyword = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in others]
    command.__signature__ = inspect.Signature([first, *added, *keyword])
    return command


def _cache(folder: Path | None) -> Path:
    from otembed.embeddings.cache import cache_home

    return cache_home(folder)


def _decide(failed: list[str]) -> None:
    from otembed.results.format import printable

    for line in failed:
        say(f"no: {printable(line)}")
    if failed:
        raise typer.Exit(EXIT_NO)


compare_command = _with_task_options(_compare)
