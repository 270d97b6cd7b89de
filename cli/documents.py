"""``otembed documents``: from documents to sentence pairs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .completion import language_values
from .console import DOCUMENTS, SEARCH, SOLVER, print_lines, say, start_logging
from .mining_options import (
    DEFAULT_MODEL,
    Cache,
    Engine,
    Json,
    Languages,
    MiningCommand,
    Model,
    Output,
    Page,
    Workers,
    check_format,
    expected,
    figures_of,
    print_pairs,
    rule_of,
    setting_names,
    settings_option,
)
from .options import (
    ConfigFile,
    Device,
    Force,
    check_outputs,
    language_pair,
    merged_settings,
    number_or_none,
    only_given,
)
from .stages import StageProgress

if TYPE_CHECKING:
    from otembed.config import DocumentsConfig

HELP = "Match translated documents, and align their sentences."
ALIGN_HELP = """Align the sentences of documents that translate each other.

SOURCE and TARGET are plain text, one sentence per line, each plain or .gz .bz2 .xz .zst. Blank lines are not sentences,
but count in the sentence numbers. With --split de-fr, they are any plain text in these languages: paragraphs end at
blank lines or, if there are none, at every line break, and sentences are numbered in order. Alternatively, SOURCE alone
is a list of pairs of documents: .jsonl or .parquet with the fields id, source and target (a list of sentences, or a text
with one sentence per line), or source_file and target_file (paths relative to the list); or .tsv with id, source file
and target file.

A link joins one or more sentences of each side. The suffix of -o chooses the format: .tsv (score, source, target),
.jsonl, .parquet or .tmx for texts, .links for sentence numbers from 0, as in [0, 1]:[0]:0.75. Without -o, links are
printed as TSV. Random sentences of both documents score about 0, sentences of equal meaning 1.

--threshold auto replaces stretches of the documents with other text and measures how the resulting wrong links score. It
chooses the threshold with the best expected F1, or with --set min_precision=0.95 the lowest one with that expected
precision, and reports the expected precision and recall.

Settings: defaults < --config < --set < the other options. otembed config init --for documents prints all of them.

Embeddings and links are cached: an interrupted run resumes.
"""

MATCH_HELP = """Find the documents of two collections that translate each other.

SOURCES and TARGETS are folders of plain text files, one sentence per line, or .jsonl or .parquet lists with the fields
id and text (a list of sentences, or a text with one sentence per line). --split de-fr splits texts into sentences first.

Candidates are the nearest documents by mean vector; they are compared by optimal transport between their sentences.
Each document is in at most one pair. The suffix of -o chooses the format: .tsv (score, source id, target id), or .jsonl
with the texts, the input of otembed documents align. Without -o, pairs are printed as TSV.

With known pairs of the same kind of documents, --threshold auto --calibrate PAIRS.jsonl chooses the threshold with the
best expected F1, or with --set min_precision=0.9 the lowest one with that expected precision, and reports the expected
precision and recall.

Settings: defaults < --config < --set < the other options. otembed config init --for match prints all of them.

Embeddings are cached: an interrupted run resumes.
"""

MINE_HELP = """Find sentence pairs in two collections of documents. Documents are matched, their sentences aligned, and low scores dropped.

SOURCES and TARGETS are as for otembed documents match, the output as for otembed documents align. Links with a score
below 0.3 are dropped unless --threshold sets another minimum, or auto, as for otembed documents align. With known pairs
of documents, --set match.threshold=auto --calibrate PAIRS.jsonl also drops pairs of documents, as in otembed documents
match.

Settings have two sections, match and align: --set match.k=4 --set align.max_sentences=4. otembed config init --for
documents-mine prints all of them. Defaults < --config < --set < the other options.

--html writes a page for inspection: the distribution of the scores, links around the threshold and random links from
each score band, with their linked words.

Embeddings and links are cached: an interrupted run resumes.
"""

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """From documents to sentence pairs."""


class DocumentsCommand(MiningCommand):
    """A command that suggests ``--set`` for settings of alignment without an option."""

    names = staticmethod(partial(setting_names, "DocumentsConfig"))


class MatchCommand(MiningCommand):
    """A command that suggests ``--set`` for settings of matching without an option."""

    names = staticmethod(partial(setting_names, "MatchConfig"))


DocumentsSettings = Annotated[list[str] | None, settings_option(DocumentsCommand.names, "max_sentences=4")]
Threshold = Annotated[
    str | None,
    typer.Option(metavar="SCORE", help="Minimum score of a link: a number, none or auto. [default: none]"),
]


Calibrate = Annotated[
    str | None,
    typer.Option(
        metavar="PAIRS",
        help="Known pairs of documents, a list as for documents align: at least 50, preferably 200.",
    ),
]
Split = Annotated[
    str | None,
    typer.Option(
        metavar="XX-YY",
        help="Split plain text of these languages into sentences. [default: one sentence per line]",
        autocompletion=language_values,
    ),
]


def _given(split: str | None, **flags: Any) -> dict[str, Any]:
    """Return the settings of the options that were given."""
    languages = language_pair(split, "--split") or (None, None)
    flags |= {"split_source": languages[0], "split_target": languages[1]}
    return only_given(flags)


def _threshold(value: str) -> float | str | None:
    """Read a number, ``none`` or ``auto``."""
    return value if value == "auto" else number_or_none(value, "--threshold")


def documents_config(
    file: Path | None, assignments: list[str] | None, *, threshold: str | None = None, **flags: Any
) -> DocumentsConfig:
    """Return the checked settings: defaults < ``--config`` < ``--set`` < the other options, None if not given."""
    from otembed.config import DocumentsConfig

    given = only_given(flags)
    if threshold is not None:
        given["threshold"] = _threshold(threshold)
    return merged_settings(DocumentsConfig, file, assignments, given)


@app.command("align", cls=DocumentsCommand, help=ALIGN_HELP, no_args_is_help=True)
def align_command(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A document, or a list of pairs.", show_default=False)
    ],
    target: Annotated[
        str | None, typer.Argument(metavar="TARGET", help="Its translation.", show_default=False)
    ] = None,
    output: Output = None,
    model: Model = DEFAULT_MODEL,
    config: ConfigFile = None,
    settings: DocumentsSettings = None,
    threshold: Threshold = None,
    unaligned: Annotated[
        bool, typer.Option("--unaligned", help="Also write sentences without a link, with an empty other side.")
    ] = False,
    languages: Languages = None,
    split: Split = None,
    engine: Engine = None,
    workers: Workers = None,
    device: Device = None,
    cache: Cache = None,
    as_json: Json = False,
    force: Force = False,
) -> None:
    """Parse the options, align, write or print."""
    checked = documents_config(
        config, settings, threshold=threshold, **_given(split, engine=engine, workers=workers)
    )
    pair = language_pair(languages, "--languages")
    _check_links_format(output, pair, as_json=as_json)
    from otembed.documents.read import check_places, open_pairs
    from otembed.documents.split import splitters_of

    check_outputs(
        {"--output": output},
        {
            "SOURCE": _files_of_list(source, force=force) if target is None else source,
            "TARGET": target,
            "--config": config,
        },
        model=model,
        force=force,
    )
    check_places(source, target)
    splitters = splitters_of(checked)
    start_logging(*DOCUMENTS)
    from otembed.documents.align import align_collection

    found = align_collection(
        open_pairs(source, target, splitters),
        model,
        config=checked,
        cache=cache,
        device=device,
        progress=StageProgress(),
    )
    if output is not None:
        found.write(output, languages=pair, unaligned=unaligned)
    else:
        print_pairs(found.pairs(unaligned=unaligned))
    say(_summary(found.report))
    if as_json:
        typer.echo(found.report.to_json(), nl=False)


@app.command("match", cls=MatchCommand, help=MATCH_HELP, no_args_is_help=True)
def match_command(
    sources: Annotated[
        str, typer.Argument(metavar="SOURCES", help="A folder or a list of documents.", show_default=False)
    ],
    targets: Annotated[str, typer.Argument(metavar="TARGETS", help="The other side.", show_default=False)],
    output: Output = None,
    model: Model = DEFAULT_MODEL,
    config: ConfigFile = None,
    settings: Annotated[list[str] | None, settings_option(MatchCommand.names, "k=4")] = None,
    threshold: Annotated[
        str | None,
        typer.Option(
            metavar="SCORE",
            help="Minimum score of a pair: a number, none or auto (chosen with --calibrate). [default: none]",
        ),
    ] = None,
    calibrate: Calibrate = None,
    split: Split = None,
    engine: Engine = None,
    workers: Workers = None,
    device: Device = None,
    cache: Cache = None,
    as_json: Json = False,
    force: Force = False,
) -> None:
    """Parse the options, match, write or print."""
    from otembed.config import MatchConfig

    given = _given(split, engine=engine, workers=workers)
    if threshold is not None:
        given["threshold"] = _threshold(threshold)
    checked = merged_settings(MatchConfig, config, settings, given)
    from otembed.documents.output import check_match_output

    check_format(output, check_match_output, as_json=as_json)
    check_outputs(
        {"--output": output},
        _collections(sources, targets, calibrate, config, force=force),
        model=model,
        force=force,
    )
    start_logging(*SEARCH, *SOLVER)
    from otembed.documents.match import match_documents
    from otembed.documents.output import match_line, write_matches

    found = match_documents(
        sources,
        targets,
        model,
        config=checked,
        cache=cache,
        device=device,
        calibrate=calibrate,
        progress=StageProgress(),
    )
    if output is not None:
        write_matches(found, output)
    else:
        print_lines(map(match_line, found))
    say(_match_summary(found.report))
    if as_json:
        typer.echo(found.report.to_json(), nl=False)


@app.command("mine", help=MINE_HELP, no_args_is_help=True)
def mine_command(
    sources: Annotated[
        str, typer.Argument(metavar="SOURCES", help="A folder or a list of documents.", show_default=False)
    ],
    targets: Annotated[str, typer.Argument(metavar="TARGETS", help="The other side.", show_default=False)],
    output: Output = None,
    model: Model = DEFAULT_MODEL,
    config: ConfigFile = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any setting, such as match.k=4; repeatable."),
    ] = None,
    threshold: Annotated[
        str | None,
        typer.Option(metavar="SCORE", help="Minimum score of a link: a number, none or auto. [default: 0.3]"),
    ] = None,
    calibrate: Calibrate = None,
    languages: Languages = None,
    html: Page = None,
    split: Split = None,
    engine: Engine = None,
    workers: Workers = None,
    device: Device = None,
    cache: Cache = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the planned work; write nothing.")] = False,
    as_json: Json = False,
    force: Force = False,
) -> None:
    """Parse the options, mine, write or print."""
    from otembed.config import DocumentMiningConfig
    from otembed.config.documents import MINED_THRESHOLD

    runs = _given(None, engine=engine, workers=workers)
    given: dict[str, Any] = {"match": _given(split) | runs, "align": runs}
    if html is not None:
        given["html"] = html
    if threshold is not None:
        given["align"] = runs | {"threshold": _threshold(threshold)}
    defaults = {"align": {"threshold": MINED_THRESHOLD}}
    checked = merged_settings(DocumentMiningConfig, config, settings, given, defaults)
    pair = language_pair(languages, "--languages")
    _check_links_format(output, pair, as_json=as_json and not dry_run)
    outputs = {"--output": output, "--html": checked.html}
    check_outputs(outputs, _collections(sources, targets, calibrate, config, force=force), model=model, force=force)
    start_logging(*SEARCH, *DOCUMENTS)
    from otembed.documents.mine import mine_documents, plan_document_mining

    if dry_run:
        plan = plan_document_mining(
            sources, targets, model, config=checked, cache=cache, device=device, calibrate=calibrate
        )
        typer.echo(plan.to_json() if as_json else _plan_text(plan), nl=False)
        return
    found = mine_documents(
        sources,
        targets,
        model,
        config=checked,
        cache=cache,
        device=device,
        calibrate=calibrate,
        progress=StageProgress(),
    )
    if output is not None:
        found.aligned.write(output, languages=pair)
    else:
        print_pairs(found.aligned.pairs())
    say(f"{_match_summary(found.matched)}\n{_summary(found.aligned.report)}")
    if as_json:
        typer.echo(found.report.to_json(), nl=False)


def _plan_text(plan: Any) -> str:
    from otembed.results.format import counted

    return (
        f"{plan.sources:,} and {plan.targets:,} documents, {plan.empty:,} without sentences; {counted(plan.sentences, 'sentence')}\n"
        f"to embed: {counted(plan.sentences_to_embed, 'sentence')}, then runs of several sentences of the documents that match\n"
        f"at most {counted(plan.candidates, 'pair')} of documents compared\n"
        f"memory: {plan.memory_bytes / 1e6:,.0f} MB, without the libraries and the model\n"
    )


def _match_summary(report: Any) -> str:
    from otembed.results.format import counted

    return (
        f"{report.sources:,} and {report.targets:,} documents, {report.empty:,} without sentences: {counted(report.pairs, 'pair')}"
        f" of {counted(report.candidates, 'candidate')}"
        + ("" if report.calibration is None else f"\n{expected(report.calibration, 'documents')}")
    )


def _check_links_format(output: Path | None, languages: tuple[str, str] | None, *, as_json: bool) -> None:
    from otembed.documents.output import check_links_output

    check_format(output, lambda path: check_links_output(path, languages), as_json=as_json)


def _files_of_list(place: str, *, force: bool) -> list[Path | None]:
    """Return a list of pairs and, with ``force``, the files of its documents: without it, no file is replaced."""
    from otembed.documents.read import list_file, listed_files

    return [list_file(place), *(listed_files(place) if force else ())]


def _collections(
    sources: str, targets: str, calibrate: str | None, config: Path | None, *, force: bool
) -> dict[str, Any]:
    """Return the files that are read, by argument and option."""
    from otembed.documents.read import collection_files

    return {
        "SOURCES": collection_files(sources),
        "TARGETS": collection_files(targets),
        "--calibrate": None if calibrate is None else _files_of_list(calibrate, force=force),
        "--config": config,
    }


def _summary(report: Any) -> str:
    from otembed.results.format import counted

    pairs = f"{report.documents:,} pairs of documents, " if report.documents > 1 else ""
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in report.kinds.items())
    above = "" if report.threshold is None else f" at {report.threshold:g} or above"
    return (
        f"{pairs}{counted(report.sentences, 'sentence')}: {counted(report.links, 'link')}{above}"
        + (f" ({kinds})" if kinds else "")
        + f", {counted(report.unaligned, 'sentence')} without a link"
        + ("" if report.calibration is None else f"\n{_expected_links(report.calibration)}")
    )


def _expected_links(chosen: Any) -> str:
    from otembed.results.format import counted

    return (
        f"threshold {chosen.threshold:.5f}: {rule_of(chosen)}, from {chosen.planted_wrong:,} wrong links of {chosen.planted:,} "
        f"replaced stretches\nexpected: {figures_of(chosen)}; {counted(chosen.found, 'link')}"
    )
