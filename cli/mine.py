"""``otembed mine``: translation pairs from two collections."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .completion import language_values
from .console import say, start_logging
from .mining_options import (
    DEFAULT_MODEL,
    Cache,
    Engine,
    Json,
    Margin,
    MiningSettings,
    Model,
    Output,
    Page,
    Rescore,
    Workers,
    check_pairs_format,
    compiled_modules,
    dev_pairs,
    expected,
    mining_config,
    plan_text,
    print_pairs,
    say_counts,
)
from .options import ConfigFile, Device, Force, check_outputs, language_pair, language_tags
from .stages import StageProgress

HELP = """Find translation pairs in two collections of lines.

SOURCE and TARGET are plain text (one sentence per line), .jsonl or .parquet (FILE?text=FIELD&id=FIELD), .tsv
(FILE?text=1&id=0), each plain or .gz .bz2 .xz .zst, or - for stdin; a dataset on the Hugging Face hub
(hub:OWNER/NAME[:CONFIG][@SPLIT]?text=FIELD) or a folder written by save_to_disk; or vectors without text in .npy. The suffix of
-o chooses the format of the pairs: .tsv (score, source, target), .jsonl, .parquet or .tmx. Without -o they are printed
as TSV.

Settings: defaults < --config < --set < the other options. otembed config init --for mine prints all of them.

Embeddings and neighbors are cached: an interrupted run resumes, and a run with another margin or threshold takes
seconds. The exact search returns the same bytes for any number of threads, memory limit and restart. An index
(--set search=pq or hnsw) is faster on large collections and misses some neighbors; its recall is measured.

The default threshold was near the best F1 for one encoder on one collection. With known pairs of the same kind of
text, --threshold auto --calibrate sw-en=DEV.tsv chooses the threshold with the best expected F1, or with
--set min_precision=0.9 the lowest one with that expected precision, and reports the expected precision and recall; the
known pairs are never written.

--html writes a page for inspection: the distribution of the scores, what each threshold keeps, the pairs around the
threshold and random pairs from each score band, with their linked words.
"""


def mine_command(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Lines, or vectors without text (.npy).", show_default=False)
    ],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The other side.", show_default=False)],
    output: Output = None,
    model: Model = DEFAULT_MODEL,
    config: ConfigFile = None,
    settings: MiningSettings = None,
    source_vectors: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Precomputed vectors of the source: .npy, or headerless (set vector_dimension)."
        ),
    ] = None,
    target_vectors: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Precomputed vectors of the target.")
    ] = None,
    margin: Margin = None,
    threshold: Annotated[
        str | None,
        typer.Option(
            metavar="SCORE",
            help="Minimum score: a number, default, none (keep every pair) or auto (chosen with --calibrate).",
        ),
    ] = None,
    calibrate: Annotated[
        str | None,
        typer.Option(metavar="XX-YY=FILE", help="Known pairs, source language first: at least 50, preferably 200."),
    ] = None,
    rescore: Rescore = None,
    languages: Annotated[
        str | None,
        typer.Option(
            metavar="XX-YY",
            help="Languages of the sides, for .tmx and for a model centered by language.",
            autocompletion=language_values,
        ),
    ] = None,
    html: Page = None,
    engine: Engine = None,
    workers: Workers = None,
    device: Device = None,
    cache: Cache = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the planned work; write nothing.")] = False,
    as_json: Json = False,
    force: Force = False,
) -> None:
    """Parse the options, mine, write or print."""
    checked = mining_config(
        config,
        settings,
        margin=margin,
        threshold=threshold,
        rescore=rescore,
        engine=engine,
        workers=workers,
        html=html,
        languages=language_pair(languages, "--languages"),
    )
    development = dev_pairs(calibrate)
    pair = None if checked.languages is None else language_tags(checked.languages, "languages")
    from otembed.data.texts import parse_text_place
    from otembed.embeddings.vectors import are_vectors

    texts = not (are_vectors(source) or are_vectors(target))
    check_pairs_format(output, pair, as_json=as_json and not dry_run, texts=texts)
    check_outputs(
        {"--output": output, "--html": checked.html},
        {
            "SOURCE": parse_text_place(source).path,
            "TARGET": parse_text_place(target).path,
            "--source-vectors": source_vectors,
            "--target-vectors": target_vectors,
            "--calibrate": None if development is None else development.paths,
            "--config": config,
        },
        model=model,
        force=force,
    )
    start_logging(*compiled_modules(checked))
    from otembed.mining.calibration.dev_pairs import check_calibration, open_dev_pairs
    from otembed.mining.mine import mine_bitext
    from otembed.mining.plan import plan_mining
    from otembed.mining.side import open_sides
    from otembed.results.format import printable_lines

    check_calibration(checked, development)
    if dry_run:
        sides = open_sides(source, target, source_vectors, target_vectors, checked)
        planted = () if development is None else open_dev_pairs(development, sides, checked).sides
        plan = plan_mining(sides, model, checked, planted=planted, cache=cache, device=device)
        typer.echo(plan.to_json() if as_json else printable_lines(plan_text(plan)), nl=False)
        return
    mined = mine_bitext(
        source,
        target,
        model,
        config=checked,
        source_vectors=source_vectors,
        target_vectors=target_vectors,
        cache=cache,
        device=device,
        calibrate=development,
        progress=StageProgress(),
    )
    for side in (mined.source, mined.target):
        say_counts(side.counts)
    if output is None:
        print_pairs(mined)
    else:
        mined.write(output, languages=pair)
    say(_summary(mined.report, is_default=checked.threshold == "default"))
    if as_json:
        typer.echo(mined.report.to_json(), nl=False)


def _summary(report: Any, *, is_default: bool) -> str:
    from otembed.results.format import counted

    text = f"{counted(report.pairs, 'pair')} of {counted(report.candidates, 'candidate')}"
    if report.recall is not None:
        text = f"{report.search}: recall {report.recall:.3f} of the true neighbors\n{text}"
    if report.threshold is None:
        return f"{text}, no threshold"
    text += f" at {report.margin} {report.threshold:g} or above"
    if report.calibration is not None:
        return f"{text}\n{expected(report.calibration)}"
    if is_default:
        text += (
            "\nthis is the default threshold, "
            + (
                "which was near the best F1 for one encoder on one collection"
                if report.centered
                else "which is unreliable without centering, because scores then depend on the encoder"
            )
            + "; choose one with known pairs (--threshold auto), or by reading pairs around it"
        )
    return text
