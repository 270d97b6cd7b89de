"""``otembed negatives``: hard negatives for a bitext."""

from __future__ import annotations

from functools import partial
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer

from .completion import choice_values
from .console import SEARCH, print_lines, say, start_logging
from .mining_options import (
    DEFAULT_MODEL,
    Cache,
    Json,
    MiningCommand,
    Model,
    Output,
    check_format,
    plan_text,
    setting_names,
    settings_option,
)
from .options import ConfigFile, Device, Force, check_outputs, merged_settings, named_pairs, only_given
from .stages import StageProgress

HELP = """Find hard negatives for the pairs of a bitext. These are similar sentences that are not translations.

For each source, the nearest target sentences of the bitext are candidates; with --side source, the nearest sentences in
the language of the source; with both, all of them. Left out are translations as far as the bitext tells (sentences with
the same translation, their translations, copies), and candidates that score too close to the pair: by default, above
95 % of its score (relative_margin). Pairs with too few negatives are left out and counted.

The file has the columns source, target and negative_1, negative_2, ...; its suffix chooses the format: .jsonl, .parquet
or .tsv (with a header). Without -o it is printed as TSV. otembed train reads the negatives of such files. English
(--set pivot=XX) is on the target side, as in training.

Settings: defaults < --config < --set < the other options. otembed config init --for negatives prints all of them.
Vectors are cached and shared with otembed mine, score and eval.
"""
SIDES = ("target", "source", "both")


class NegativesCommand(MiningCommand):
    """A command that suggests ``--set`` for settings of :class:`otembed.config.NegativesConfig`."""

    names = staticmethod(partial(setting_names, "NegativesConfig"))


def negatives_command(
    pairs: Annotated[
        str,
        typer.Argument(
            metavar="XX-YY=FILE", help="A bitext, given as for otembed train --pairs.", show_default=False
        ),
    ],
    output: Output = None,
    model: Model = DEFAULT_MODEL,
    config: ConfigFile = None,
    settings: Annotated[
        list[str] | None,
        settings_option(NegativesCommand.names, "range_min=5 or sampling_strategy=random"),
    ] = None,
    side: Annotated[
        str | None,
        typer.Option(
            help="Where negatives come from: target, source or both. [default: target]",
            autocompletion=choice_values(*SIDES),
        ),
    ] = None,
    num_negatives: Annotated[
        int | None, typer.Option("--num-negatives", "-n", help="Negatives of each pair. [default: 3]")
    ] = None,
    device: Device = None,
    cache: Cache = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the planned work; write nothing.")] = False,
    as_json: Json = False,
    force: Force = False,
) -> None:
    """Parse the options, mine, write or print."""
    from otembed.config import NegativesConfig
    from otembed.data import parse_pair_spec

    given = {"side": side, "num_negatives": num_negatives}
    checked = merged_settings(NegativesConfig, config, settings, only_given(given))
    ((key, place),) = named_pairs([pairs], "PAIRS").items()
    spec = parse_pair_spec(key, place)

    def check(path: Path) -> None:
        from otembed.mining.negatives.output import check_output

        check_output(path)

    check_format(output, check, as_json=as_json and not dry_run)
    check_outputs({"--output": output}, {"PAIRS": spec.paths, "--config": config}, model=model, force=force)
    start_logging(*SEARCH)
    from otembed.mining.negatives.mine import mine_negatives, plan_negatives
    from otembed.results.format import printable_lines

    if dry_run:
        plan = plan_negatives(spec, model, config=checked, cache=cache, device=device)
        typer.echo(plan.to_json() if as_json else printable_lines(plan_text(plan)), nl=False)
        return
    found = mine_negatives(spec, model, config=checked, cache=cache, device=device, progress=StageProgress())
    if output is None:
        _print(found, scores=checked.output_scores)
    else:
        found.write(output, scores=checked.output_scores)
    say(_summary(found.report))
    if output is not None:
        say(_usage(found.report, output))
    if as_json:
        typer.echo(found.report.to_json(), nl=False)


def _print(found: Any, *, scores: bool) -> None:
    from otembed.mining.negatives.output import column_names, row_values, tsv_line

    header = column_names(found.report.num_negatives, scores=scores)
    print_lines(map(tsv_line, chain([header], (row_values(row, scores=scores) for row in found))))


def _summary(report: Any) -> str:
    from otembed.results.format import counted

    skipped = "".join(f", {reason} {count:,}" for reason, count in report.skipped.items())
    left_out = report.pairs - report.written
    lines = [
        f"{counted(report.written, 'pair')} with {counted(report.num_negatives, 'negative')} each; left out, with fewer: {left_out:,}",
        f"{counted(report.considered, 'candidate')}; skipped: {skipped.removeprefix(', ') or 'none'}",
        f"mean score: pairs {report.mean_score:.3f}, negatives {report.mean_negative_score:.3f}",
    ]
    if report.recall is not None:
        lines.insert(0, f"{report.search}: recall {report.recall:.3f} of the true neighbors")
    return "\n".join(lines)


def _usage(report: Any, output: Path) -> str:
    header = "?header=1" if output.suffix.lower() == ".tsv" else ""
    pair = f"{report.source_language}-{report.target_language}"
    return f"to train with them: otembed train --pairs '{pair}={output}{header}'{_keep_sides(report)}"


def _keep_sides(report: Any) -> str:
    """Return the option with which training keeps the sides; nothing if it keeps them by default."""
    from otembed.config import DataConfig
    from otembed.data.load import is_pivot

    source, target = report.source_language, report.target_language
    return f" --set data.pivot={target}" if is_pivot(source, target, DataConfig().pivot) else ""
