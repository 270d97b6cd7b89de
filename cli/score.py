"""``otembed score``: margin scores of a bitext."""

from __future__ import annotations

from typing import Annotated

import typer

from .mining_options import (
    DEFAULT_MODEL,
    BatchSize,
    Cache,
    Center,
    Json,
    K,
    Margin,
    MaxCharacters,
    Memory,
    Model,
    Output,
    Precision,
    Prompt,
    Rescore,
    RescoreEpsilon,
    RescoreLayer,
    RescoreWeight,
    Threshold,
    TruncateDim,
    Workers,
    check_pairs_output,
    mining_config,
    put_pairs,
    say,
    start_logging,
)
from .options import Device, Force, PromptName, gigabytes, named_pairs
from .stages import StageProgress

HELP = """Score the pairs of an existing bitext by their margin, to sort or to filter it.

The neighbors that a pair is held against are the other lines of the bitext. Pairs keep their order; pairs with
an empty or too long side have no score and are left out.
"""


def score_command(
    pairs: Annotated[
        str, typer.Argument(metavar="XX-YY=FILE", help="A bitext; as otembed train --pairs.", show_default=False)
    ],
    output: Output = None,
    model: Model = DEFAULT_MODEL,
    k: K = 4,
    margin: Margin = "distance",
    threshold: Threshold = "none",
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
    workers: Workers = None,
    memory: Memory = None,
    as_json: Json = False,
    force: Force = False,
) -> None:
    """Parse the flags, score, write or print."""
    config = mining_config(
        prompt=prompt,
        prompt_name=prompt_name,
        truncate_dim=truncate_dim,
        precision=precision,
        batch_size=batch_size,
        max_characters=max_characters,
        center=center,
        rescore=rescore,
        rescore_weight=rescore_weight,
        rescore_layer=rescore_layer,
        rescore_epsilon=rescore_epsilon,
        k=k,
        margin=margin,
        threshold=threshold,
        workers=workers,
        memory_gb=gigabytes(memory, "--memory"),
    )
    ((key, place),) = named_pairs([pairs], "PAIRS").items()
    from otembed.data import parse_pair_spec

    spec = parse_pair_spec(key, place)
    languages = (spec.source_language.replace("_", "-"), spec.target_language.replace("_", "-"))
    check_pairs_output(output, languages, as_json=as_json, force=force)
    start_logging()
    from otembed.mining.score import score_bitext

    scored = score_bitext(spec, model, config=config, cache=cache, device=device, progress=StageProgress())
    report = scored.report
    lowest = config.lowest_score(centered=report.centered)
    kept = scored if lowest is None else scored.above(lowest)
    put_pairs(kept, output, languages)
    say(
        f"{report.pairs:,} pairs, {report.unusable:,} without a score; {margin} margin: mean {report.mean:.3f}, "
        f"median {report.median:.3f}"
        + ("" if lowest is None else f"; {int((scored.scores >= lowest).sum()):,} at {lowest:g} or above")
    )
    if as_json:
        typer.echo(report.to_json(), nl=False)
