"""``otembed score``: margin scores of a bitext."""

from __future__ import annotations

from typing import Annotated

import typer

from .console import say, start_logging
from .mining_options import (
    DEFAULT_MODEL,
    Cache,
    Json,
    Margin,
    Model,
    Output,
    Rescore,
    ScoreSettings,
    Threshold,
    check_pairs_format,
    compiled_modules,
    mining_config,
    print_pairs,
)
from .options import ConfigFile, Device, Force, check_outputs, named_pairs
from .stages import StageProgress

HELP = """Score the pairs of a bitext by their margin, to filter it.

A pair is compared with the other lines of the bitext. Pairs keep their order; pairs with an empty or too long side, or
one in another language (source_language, target_language), have no score and are dropped, as are those below min_cosine or
above max_length_ratio.

Settings: defaults < --config < --set < the other options. The settings of otembed mine apply, but threshold defaults to
none, and a setting without an effect here (html, min_precision, vector_dimension, vector_dtype) is rejected.
"""


def score_command(
    pairs: Annotated[
        str,
        typer.Argument(
            metavar="XX-YY=FILE", help="A bitext, given as for otembed train --pairs.", show_default=False
        ),
    ],
    output: Output = None,
    model: Model = DEFAULT_MODEL,
    config: ConfigFile = None,
    settings: ScoreSettings = None,
    margin: Margin = None,
    threshold: Threshold = None,
    rescore: Rescore = None,
    device: Device = None,
    cache: Cache = None,
    as_json: Json = False,
    force: Force = False,
) -> None:
    """Parse the options, score, write or print."""
    checked = mining_config(
        config, settings, defaults={"threshold": None}, margin=margin, threshold=threshold, rescore=rescore
    )
    checked.refuse_unused("otembed score")
    ((key, place),) = named_pairs([pairs], "PAIRS").items()
    from otembed.data import parse_pair_spec

    spec = parse_pair_spec(key, place)
    languages = (spec.source_language.replace("_", "-"), spec.target_language.replace("_", "-"))
    check_pairs_format(output, languages, as_json=as_json)
    check_outputs({"--output": output}, {"PAIRS": spec.paths, "--config": config}, model=model, force=force)
    start_logging(*compiled_modules(checked))
    from otembed.mining.output import write_pairs
    from otembed.mining.score import score_bitext
    from otembed.results.format import counted

    scored = score_bitext(spec, model, config=checked, cache=cache, device=device, progress=StageProgress())
    report = scored.report
    lowest = checked.lowest_score(centered=report.centered)
    kept = scored if lowest is None else scored.above(lowest)
    if output is None:
        print_pairs(kept)
    else:
        write_pairs(kept, output, languages=languages)
    say(
        f"{counted(report.pairs, 'pair')}, {report.unusable:,} without a score"
        + (f", {report.filtered:,} left out by min_cosine or max_length_ratio" if report.filtered else "")
        + f"; {checked.margin} margin: mean {report.mean:.3f}, median {report.median:.3f}"
        + ("" if lowest is None else f"; {int((scored.scores >= lowest).sum()):,} at {lowest:g} or above")
    )
    if as_json:
        typer.echo(report.to_json(), nl=False)
