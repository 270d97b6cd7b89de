"""``otembed mine``: translation pairs out of two collections."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .completion import mining_values
from .mining_options import (
    DEFAULT_MODEL,
    BatchSize,
    Cache,
    Center,
    Engine,
    Json,
    K,
    Languages,
    Margin,
    MaxCharacters,
    Memory,
    Model,
    Output,
    Precision,
    Prompt,
    RayAddress,
    Rescore,
    RescoreEpsilon,
    RescoreLayer,
    RescoreWeight,
    TruncateDim,
    Workers,
    check_pairs_output,
    dev_pairs,
    expected_languages,
    mining_config,
    put_pairs,
    say,
    say_counts,
    start_logging,
)
from .options import Device, Force, PromptName, gigabytes, language_pair
from .stages import StageProgress

HELP = """Find translation pairs in two collections of lines.

SOURCE and TARGET are plain text (one sentence a line), .jsonl or .parquet (FILE?text=FIELD&id=FIELD), .tsv
(FILE?text=1&id=0), plain or .gz .bz2 .xz .zst, or - for stdin; a dataset of the Hugging Face hub
(hub:OWNER/NAME[:CONFIG][@SPLIT]?text=FIELD) or a folder of save_to_disk; or vectors alone in .npy. Pairs are written by
suffix, .tsv (score, source, target), .jsonl, .parquet or .tmx, or printed as TSV without -o.

Lines are embedded once and kept in the cache with their neighbors: a run that was cut goes on where it was,
and one with another margin or threshold takes seconds. The exact search gives the same bytes for any number of
threads, memory and restarts; an index (--search) finds fewer neighbors faster, and its recall is measured.

A default threshold is a guess: it was near the best F1 for one encoder on one collection. With known pairs of the
same kind of text, --threshold auto --calibrate sw-en=DEV.tsv chooses the one of best expected F1 (or of
--min-precision) and says what to expect; they are never written. Without: look at pairs around it.
"""


def mine_command(
    source: Annotated[str, typer.Argument(help="Lines, or vectors alone (.npy).", show_default=False)],
    target: Annotated[str, typer.Argument(help="The other side.", show_default=False)],
    output: Output = None,
    model: Model = DEFAULT_MODEL,
    source_vectors: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Ready vectors of the source's lines: .npy or headerless.")
    ] = None,
    target_vectors: Annotated[Path | None, typer.Option(metavar="FILE", help="The same of the target.")] = None,
    dim: Annotated[int | None, typer.Option(metavar="N", help="Dimension of headerless vectors (LASER).")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32 or float16: type of headerless vectors.")] = None,
    k: K = 4,
    search: Annotated[
        str,
        typer.Option(
            help="exact, hnsw, ivf or pq; auto: exact up to 200k lines a side, an index above.",
            autocompletion=mining_values("Search"),
        ),
    ] = "auto",
    margin: Margin = "distance",
    match: Annotated[
        str,
        typer.Option(
            help="one-to-one, intersection, union, forward or backward.", autocompletion=mining_values("Match")
        ),
    ] = "one-to-one",
    top_k: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Candidates kept of a line, but with one-to-one.")
    ] = None,
    threshold: Annotated[
        str, typer.Option(metavar="SCORE", help="Lowest score; none: every pair; auto: by --calibrate.")
    ] = "default",
    calibrate: Annotated[
        str | None,
        typer.Option(metavar="XX-YY=FILE", help="Known pairs, 50 at least and better 200, source language first."),
    ] = None,
    min_precision: Annotated[
        float | None, typer.Option(metavar="P", help="auto: the least threshold with this expected precision.")
    ] = None,
    min_cosine: Annotated[float | None, typer.Option(help="Lowest cosine.")] = None,
    max_length_ratio: Annotated[
        float | None, typer.Option(help="Longer over shorter side in characters, from 20 on.")
    ] = None,
    language_filter: Annotated[
        str | None,
        typer.Option(
            metavar="XX-YY", help="Leave out lines in other languages; none for a side, auto: as --languages."
        ),
    ] = None,
    center: Center = None,
    rescore: Rescore = "none",
    rescore_weight: RescoreWeight = 0.5,
    rescore_layer: RescoreLayer = "auto",
    rescore_epsilon: RescoreEpsilon = 0.05,
    prompt: Prompt = None,
    prompt_name: PromptName = None,
    truncate_dim: TruncateDim = None,
    precision: Precision = "float32",
    batch_size: BatchSize = 32,
    max_characters: MaxCharacters = "1000",
    device: Device = None,
    cache: Cache = None,
    engine: Engine = "local",
    ray_address: RayAddress = None,
    workers: Workers = None,
    memory: Memory = None,
    languages: Languages = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")] = False,
    as_json: Json = False,
    force: Force = False,
) -> None:
    """Parse the flags, mine, write or print."""
    config = mining_config(
        thresholds=("default", "auto"),
        prompt=prompt,
        prompt_name=prompt_name,
        truncate_dim=truncate_dim,
        precision=precision,
        batch_size=batch_size,
        max_characters=max_characters,
        **expected_languages(language_filter, languages),
        center=center,
        rescore=rescore,
        rescore_weight=rescore_weight,
        rescore_layer=rescore_layer,
        rescore_epsilon=rescore_epsilon,
        k=k,
        search=search,
        margin=margin,
        match=match,
        top_k=top_k,
        min_cosine=min_cosine,
        max_length_ratio=max_length_ratio,
        threshold=threshold,
        min_precision=min_precision,
        engine=engine,
        ray_address=ray_address,
        workers=workers,
        memory_gb=gigabytes(memory, "--memory"),
    )
    development = dev_pairs(calibrate)
    pair = language_pair(languages, "--languages")
    check_pairs_output(output, pair, as_json=as_json and not dry_run, force=force)
    start_logging()
    from otembed.mining.calibration.dev_pairs import check_calibration, open_dev_pairs
    from otembed.mining.inputs import open_inputs
    from otembed.mining.mine import mine_bitext
    from otembed.mining.plan import plan_mining

    places = (source, target, source_vectors, target_vectors)
    check_calibration(config, development)
    if dry_run:
        inputs = open_inputs(*places, config, dimension=dim, dtype=dtype)
        planted = () if development is None else open_dev_pairs(development, inputs, config).inputs
        plan = plan_mining(inputs, model, config, planted=planted, cache=cache, device=device)
        typer.echo(plan.to_json() if as_json else _plan_text(plan), nl=False)
        return
    mined = mine_bitext(
        source,
        target,
        model,
        config=config,
        source_vectors=source_vectors,
        target_vectors=target_vectors,
        dimension=dim,
        dtype=dtype,
        cache=cache,
        device=device,
        calibrate=development,
        progress=StageProgress(),
    )
    for side in (mined.source, mined.target):
        say_counts(side.counts)
    put_pairs(mined, output, pair)
    say(_summary(mined.report, is_default=threshold == "default"))
    if as_json:
        typer.echo(mined.report.to_json(), nl=False)


def _summary(report: Any, *, is_default: bool) -> str:
    text = f"{report.pairs:,} pairs of {report.candidates:,} candidates"
    if report.recall is not None:
        text = f"{report.search}: recall {report.recall:.3f} of the true neighbors\n{text}"
    if report.threshold is None:
        return f"{text}, no threshold"
    text += f" at {report.margin} {report.threshold:g} or above"
    if report.calibration is not None:
        return f"{text}\n{_expected(report.calibration)}"
    if is_default:
        text += (
            "\nthe threshold is the default: "
            + (
                "near the best F1 for one encoder on one collection, a guess for yours"
                if report.centered
                else "raw vectors have scales of their own, so it is worth little here"
            )
            + "; choose by known pairs (--threshold auto), or by reading pairs around it"
        )
    return text


def _expected(chosen: Any) -> str:
    left_out = "".join(f", {reason.replace('_', ' ')} {count:,}" for reason, count in chosen.left_out.items())
    rule = (
        "best expected F1"
        if chosen.min_precision is None
        else f"expected precision of {chosen.min_precision:g} or more"
    )
    figures = ", ".join(
        f"{label} {getattr(chosen, name):.3f} ± {getattr(chosen, f'{name}_error'):.3f}"
        for name, label in (("precision", "precision"), ("recall", "recall"), ("f1", "F1"))
    )
    return (
        f"threshold {chosen.threshold:.5f}: {rule}, by {chosen.planted:,} planted pairs{left_out}\n"
        f"expected: {figures}; {chosen.found:,} pairs\n"
        f"lines with a translation on the other side: about {chosen.translations:,.0f} ± "
        f"{chosen.translations_error:,.0f}"
    )


def _plan_text(plan: Any) -> str:
    lines = []
    for side in (plan.source, plan.target):
        dropped = "".join(f", {reason} {count:,}" for reason, count in side["dropped"].items())
        lines.append(f"{side['name']}: {side['read']:,} read, {side['kept']:,} used{dropped}")
    lines += [
        f"to embed: {plan.lines_to_embed:,} lines, {plan.dimension} dimensions",
        f"cache grows by: {plan.disk_bytes / 1e6:,.1f} MB",
        f"search: {plan.tiles:,} tiles of {plan.tile_rows} x {plan.tile_columns}, {plan.workers} workers"
        if plan.search == "exact"
        else f"search: {plan.search} index, {plan.workers} workers",
        *(
            ()
            if plan.rescore == "none"
            else (
                f"words: {plan.words:,}, of {plan.words_to_encode:,} lines to encode a second time; "
                f"at most {plan.transport_problems:,} pairs compared by them",
            )
        ),
        f"memory: {plan.memory_bytes / 1e6:,.0f} MB beside the libraries and the model",
    ]
    return "\n".join(lines) + "\n"
