"""``otembed eval xquad``: questions against paragraphs, answer sentences and answer spans."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from otembed.errors import ConfigError

from .console import print_report, say, start_logging
from .options import (
    Device,
    JsonDocument,
    ModelArgument,
    ReportFile,
    check_choice,
    check_outputs,
    merged_settings,
    only_given,
    resume_head,
)

if TYPE_CHECKING:
    from otembed.data import Place
    from otembed.tasks.xquad import QuestionReport, SpanReport

HELP = """Find or extract the answers to XQuAD's questions. Questions and answers are in several languages.

--protocol retrieval (the default) needs no training: does a question find its paragraph, its answer sentence and, as
in LAReQA, the answers of all languages in one pool? --protocol span follows the paper: a span head is trained on
English questions (--train, SQuAD v1.1 or a stand-in), and answers are scored by F1 and exact match.

--data takes SQuAD v1.1's JSON (XQuAD, XQuAD-R with sentence_breaks; .gz .bz2 .xz .zst), Parquet, a saved dataset, or
hub:google/xquad:xquad.ar@validation. Questions of different languages are matched by their ids.
"""
PROTOCOLS = ("retrieval", "span")


def xquad_command(
    model: ModelArgument,
    data: Annotated[
        list[str], typer.Option("--data", metavar="XX=FILE", help="Questions of one language; repeat for more.")
    ],
    protocol: Annotated[str, typer.Option(metavar="NAME", help="retrieval or span.")] = "retrieval",
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Use N questions of each language, evenly spaced.")
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Retrieval: maximum batch size in texts. [default: 32]"),
    ] = None,
    tasks: Annotated[
        list[str] | None,
        typer.Option(
            "--task",
            metavar="NAME",
            help="Retrieval: paragraph, sentence or answers; repeat for more. [default: all that the data allows]",
        ),
    ] = None,
    query_prompt: Annotated[
        str | None, typer.Option(help="Retrieval: text to prepend to questions. [default: the model's]")
    ] = None,
    passage_prompt: Annotated[
        str | None, typer.Option(help="Retrieval: text to prepend to paragraphs and sentences.")
    ] = None,
    candidate: Annotated[
        str | None, typer.Option(metavar="NAME", help="Retrieval: sentence+paragraph (the default) or sentence.")
    ] = None,
    max_seq_length: Annotated[
        int | None,
        typer.Option(metavar="N", help="Retrieval: truncate texts to N tokens. [default: the model's limit]"),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Retrieval: folder of embeddings. [default: the user's cache]"),
    ] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Retrieval: do not cache embeddings.")] = False,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Retrieval: heat maps as .png or .svg.")] = None,
    train: Annotated[str | None, typer.Option(metavar="FILE", help="Span: English training questions.")] = None,
    train_limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Span: train on N questions, evenly spaced.")
    ] = None,
    max_steps: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Span: number of optimizer steps; overrides num_train_epochs."),
    ] = None,
    freeze: Annotated[
        list[str] | None,
        typer.Option(metavar="PART", help="Span: part to freeze, embeddings or layers:N; repeat for more."),
    ] = None,
    normalization: Annotated[str | None, typer.Option(metavar="NAME", help="Span: squad or mlqa.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Span: any setting, such as learning_rate=2e-5; repeatable."
        ),
    ] = None,
    run: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Span: run folder for checkpoints and the trained model.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Span: resume the run in --run.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Span: replace the run in --run.")] = False,
    predictions: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Span: write each language's answers as XX.json.")
    ] = None,
    device: Device = None,
    as_json: JsonDocument = False,
    output: ReportFile = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace files of --output, --plot, --predictions.")
    ] = False,
) -> None:
    """Parse the options, evaluate, print."""
    check_choice(protocol, PROTOCOLS, "--protocol")
    retrieval = {
        "task": tasks or None,
        "query-prompt": query_prompt,
        "passage-prompt": passage_prompt,
        "candidate": candidate,
        "max-seq-length": max_seq_length,
        "batch-size": batch_size,
        "cache": cache,
        "no-cache": no_cache or None,
        "plot": plot,
    }
    span = {
        "train": train,
        "train-limit": train_limit,
        "max-steps": max_steps,
        "freeze": freeze or None,
        "normalization": normalization,
        "set": settings or None,
        "run": run,
        "resume": resume or None,
        "overwrite": overwrite or None,
        "predictions": predictions,
    }
    _refuse_other_protocol(protocol, span if protocol == "retrieval" else retrieval)
    if cache is not None and no_cache:
        raise ConfigError("--cache and --no-cache are mutually exclusive", "Remove one of them.")
    from otembed.tasks.xquad.files import answer_file, parse_question_place, parse_question_places

    places = parse_question_places(data)
    answers = [answer_file(predictions, code) for code in places] if predictions else []
    read = {
        "--data": [place.path for place in places.values()],
        "--train": None if train is None else parse_question_place(train).path,
    }
    check_outputs({"--output": output, "--plot": plot}, read, model=model, force=force)
    for each in answers:
        check_outputs(
            {"--predictions": each}, {**read, "--output": output, "--plot": plot}, model=model, force=force
        )
    if plot is not None:
        from otembed.results.plot import check_plot

        check_plot(plot)
    common: dict[str, Any] = {"limit": limit, "name": model}
    report: QuestionReport | SpanReport
    if protocol == "retrieval":
        start_logging()
        from otembed.embeddings.cache import cache_home

        chosen: dict[str, Any] = {
            "tasks": tasks or None,
            "query_prompt": query_prompt,
            "passage_prompt": passage_prompt,
            "candidate": candidate or "sentence+paragraph",
            "batch_size": batch_size or 32,
            "cache": None if no_cache else cache_home(cache),
        }
        report = _retrieval(model, places, device, max_seq_length, plot, common | chosen)
    else:
        if train is None:
            raise ConfigError("--protocol span requires --train", "Add --train FILE.")
        if run is None and (resume or overwrite):
            raise ConfigError("--resume and --overwrite require a run folder", "Add --run FOLDER.")
        from otembed.config.xquad import SpanConfig

        flags = {"max_steps": max_steps, "freeze": freeze or None, "normalization": normalization}
        config = merged_settings(SpanConfig, None, settings, only_given(flags))
        resume_head(run, resume=resume, overwrite=overwrite)
        start_logging()
        chosen = {"train_limit": train_limit, "predictions": predictions}
        chosen |= {"run": run, "resume": resume, "overwrite": overwrite}
        report = _span(model, train, places, device, config, common | chosen)
    document = report.to_json(output)
    print_report(report.tables, document, as_json=as_json)


def _retrieval(
    model: str,
    places: dict[str, Place],
    device: str | None,
    max_seq_length: int | None,
    plot: Path | None,
    chosen: dict[str, Any],
) -> QuestionReport:
    from otembed.models import load_model
    from otembed.tasks.xquad import evaluate_xquad
    from otembed.tasks.xquad.plot import plot_questions

    from .stages import StageProgress

    sets = {code: _read(place) for code, place in places.items()}
    encoder = load_model(model, device=device, max_seq_length=max_seq_length)
    report = evaluate_xquad(encoder, sets, progress=StageProgress(), **chosen)
    if plot is not None:
        plot_questions(report, plot)
    return report


def _span(
    model: str,
    train: str,
    places: dict[str, Place],
    device: str | None,
    config: Any,
    chosen: dict[str, Any],
) -> SpanReport:
    from otembed.models import load_model
    from otembed.tasks.xquad import evaluate_xquad_span
    from otembed.tasks.xquad.files import parse_question_place

    from .stages import StageProgress

    sets = {code: _read(place) for code, place in places.items()}
    learnt = _read(parse_question_place(train), unique_ids=False)
    encoder = load_model(model, device=device)
    return evaluate_xquad_span(encoder, learnt, sets, config, progress=StageProgress(), **chosen)


def _read(place: Place, *, unique_ids: bool = True) -> Any:
    """Read questions before a model is loaded, and report repairs and repeated ids."""
    from otembed.tasks.xquad.files import read_questions

    found = read_questions(place, unique_ids=unique_ids)
    if found.repaired:
        say(f"{found.where}: {found.repaired} answers moved to the position of their text")
    if found.repeated_ids:
        say(f"{found.where}: {found.repeated_ids} questions repeat an earlier id")
    return found


def _refuse_other_protocol(protocol: str, others: dict[str, Any]) -> None:
    given = [name for name, value in others.items() if value is not None]
    if given:
        raise ConfigError(
            f"--{given[0]} does not apply to --protocol {protocol}", "Remove it, or choose the other protocol."
        )
