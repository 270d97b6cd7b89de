"""Parsing and printing shared by the mining commands."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from otembed.errors import ConfigError

from .completion import OFFLINE_MODEL, choice_values, language_values, mining_values, model_values
from .console import SEARCH, SOLVER, print_lines, say
from .options import merged_settings, named_pairs, number_or_none, only_given

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from otembed.config.mining import MiningConfig
    from otembed.data import PairSpec
    from otembed.mining.output import MinedPair

DEFAULT_MODEL = OFFLINE_MODEL

# Values of --threshold other than numbers and none.
THRESHOLD_WORDS = ("default", "auto")


def setting_names(config: str) -> list[str]:
    """Return the settings of a class of :mod:`otembed.config`."""
    from dataclasses import fields

    from otembed import config as every

    return [each.name for each in fields(getattr(every, config))]


def mining_names(command: str) -> list[str]:
    """Return the settings of mining that a command uses."""
    from otembed.config.mining import used_settings

    return used_settings(command)


def settings_option(names: Callable[[], list[str]], example: str) -> Any:
    """Return ``--set`` for the settings with these names, completed by each of them, followed by ``=``."""

    def values(incomplete: str) -> list[str]:
        return [f"{name}=" for name in names() if name.startswith(incomplete)]

    return typer.Option(
        "--set", metavar="KEY=VALUE", help=f"Any setting, such as {example}; repeatable.", autocompletion=values
    )


Model = Annotated[
    str,
    typer.Option(
        "--model", "-m", help="Folder, hub name or offline:multilingual-e5-small.", autocompletion=model_values
    ),
]
SCORE_NAMES = partial(mining_names, "otembed score")
EVALUATION_NAMES = partial(mining_names, "otembed eval mining")
EMBED_NAMES = partial(mining_names, "otembed embed")
MiningSettings = Annotated[
    list[str] | None, settings_option(partial(mining_names, "otembed mine"), "k=8 or prompt_name=query")
]
ScoreSettings = Annotated[list[str] | None, settings_option(SCORE_NAMES, "k=8 or prompt_name=query")]
EvaluationSettings = Annotated[list[str] | None, settings_option(EVALUATION_NAMES, "k=8 or prompt_name=query")]
EmbedSettings = Annotated[list[str] | None, settings_option(EMBED_NAMES, "truncate_dim=128 or workers=4")]
Output = Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="File to write.")]
Json = Annotated[bool, typer.Option("--json", help="Print the report as one JSON document; requires --output.")]
Cache = Annotated[Path | None, typer.Option(metavar="DIR", help="Cache folder. [default: the user's cache]")]
Margin = Annotated[
    str | None,
    typer.Option(help="distance, ratio or absolute. [default: distance]", autocompletion=mining_values("Margin")),
]
Threshold = Annotated[
    str | None, typer.Option(metavar="SCORE", help="Minimum score: a number, default or none (keep every pair).")
]
Languages = Annotated[
    str | None,
    typer.Option(metavar="XX-YY", help="Languages of the sides, for .tmx.", autocompletion=language_values),
]
Page = Annotated[
    str | None,
    typer.Option(
        "--html", metavar="FILE", help="Write one page: scores, pairs around the threshold, linked words."
    ),
]
Rescore = Annotated[
    str | None,
    typer.Option(
        help="ot: also compare candidates word by word, by optimal transport. [default: none]",
        autocompletion=mining_values("Rescore"),
    ),
]
Engine = Annotated[
    str | None,
    typer.Option(
        help="local, processes (workers on this machine) or ray (a cluster). [default: local]",
        autocompletion=mining_values("Engine"),
    ),
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Threads, or worker processes. [default: one for each processor]")
]
Precision = Annotated[
    str | None,
    typer.Option(
        help="float32 or float16, on disk. [default: float32]", autocompletion=choice_values("float32", "float16")
    ),
]


class MiningCommand(TyperCommand):
    """A command that suggests ``--set`` for its settings without an option."""

    @staticmethod
    def names() -> list[str]:
        """Return the settings that the command uses."""
        return mining_names("otembed mine")

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Reject an option that has the name of a setting, before the general error for unknown options."""
        known = {option for parameter in self.params for option in (*parameter.opts, *parameter.secondary_opts)}
        for argument in args:
            option = argument.partition("=")[0]
            name = option.removeprefix("--").removeprefix("no-").replace("-", "_")
            if option.startswith("--") and option not in known and name in self.names():
                raise ConfigError(f"{option} is not an option", f"Write --set {name}=VALUE.")
        return super().parse_args(ctx, args)


class ScoreCommand(MiningCommand):
    """``otembed score``."""

    names = staticmethod(SCORE_NAMES)


class EvaluationCommand(MiningCommand):
    """``otembed eval mining``."""

    names = staticmethod(EVALUATION_NAMES)


class EmbedCommand(MiningCommand):
    """``otembed embed``."""

    names = staticmethod(EMBED_NAMES)


def mining_config(
    file: Path | None,
    assignments: list[str] | None,
    *,
    defaults: Mapping[str, Any] | None = None,
    threshold: str | None = None,
    **flags: Any,
) -> MiningConfig:
    """Return the checked settings: defaults < ``--config`` < ``--set`` < the other options.

    Options that are None were not given.
    """
    from otembed.config.mining import MiningConfig

    given = only_given(flags)
    if threshold is not None:
        words = threshold in THRESHOLD_WORDS
        given["threshold"] = threshold if words else number_or_none(threshold, "--threshold")
    return merged_settings(MiningConfig, file, assignments, given, defaults)


def dev_pairs(value: str | None) -> PairSpec | None:
    """Return the parallel text of --calibrate."""
    if value is None:
        return None
    from otembed.data import parse_pair_spec

    ((key, place),) = named_pairs([value], "--calibrate").items()
    return parse_pair_spec(key, place)


def check_pairs_format(
    output: Path | None, languages: tuple[str, str] | None, *, as_json: bool, texts: bool = True
) -> None:
    """Reject an output of pairs whose format does not hold them; ``texts``: both sides have texts."""

    def check(path: Path) -> None:
        from otembed.mining.output import check_output

        check_output(path, languages, texts=texts)

    check_format(output, check, as_json=as_json)


def check_format(output: Path | None, check: Callable[[Path], object], *, as_json: bool) -> None:
    """Reject ``--json`` without an output, and with ``check`` an output of another format."""
    if output is not None:
        check(output)
    elif as_json:
        raise ConfigError("--json requires --output, because pairs are printed to stdout", "Add -o FILE.")


def compiled_modules(config: MiningConfig) -> tuple[str, ...]:
    """Return the modules of compiled functions that mining with these settings calls."""
    return (*SEARCH, *(SOLVER if config.rescore == "ot" else ()))


def print_pairs(pairs: Iterable[MinedPair]) -> None:
    """Write the pairs to stdout as TSV."""
    from otembed.mining.output import tsv_line

    print_lines(map(tsv_line, pairs))


def say_counts(counts: dict[str, Any]) -> None:
    """Print the counts of a side on stderr."""
    dropped = ", ".join(f"{reason} {count:,}" for reason, count in counts["dropped"].items())
    rest = f", dropped: {dropped}" if dropped else ""
    say(f"{counts['name']}: {counts['read']:,} read, {counts['kept']:,} used{rest}")


def plan_text(plan: Any) -> str:
    """Return the planned work, for ``--dry-run``."""
    from otembed.results.format import counted

    lines = []
    for side in (plan.source, plan.target):
        dropped = "".join(f", {reason} {count:,}" for reason, count in side["dropped"].items())
        lines.append(f"{side['name']}: {side['read']:,} read, {side['kept']:,} used{dropped}")
    lines += [
        f"to embed: {counted(plan.lines_to_embed, 'line')}, {plan.dimension} dimensions",
        f"cache grows by: {plan.disk_bytes / 1e6:,.1f} MB",
        f"search: {counted(plan.tiles, 'tile')} of {plan.tile_rows} x {plan.tile_columns}, {counted(plan.workers, 'worker')}"
        if plan.search == "exact"
        else f"search: {plan.search}, {counted(plan.indexes, 'index')}, {counted(plan.workers, 'worker')}",
        *(
            ()
            if plan.rescore == "none"
            else (
                f"words: {plan.words:,}; {counted(plan.words_to_encode, 'line')} to encode a second time; "
                f"at most {counted(plan.transport_problems, 'pair')} compared",
            )
        ),
        f"memory: {plan.memory_bytes / 1e6:,.0f} MB, without the libraries and the model",
    ]
    return "\n".join(lines) + "\n"


def rule_of(chosen: Any) -> str:
    """Return how a threshold was chosen from expected figures."""
    if chosen.min_precision is None:
        return "best expected F1"
    return f"expected precision of {chosen.min_precision:g} or more"


def figures_of(chosen: Any) -> str:
    """Return expected figures with their standard errors."""
    return ", ".join(
        f"{label} {getattr(chosen, name):.3f} ± {getattr(chosen, f'{name}_error'):.3f}"
        for name, label in (("precision", "precision"), ("recall", "recall"), ("f1", "F1"))
    )


def expected(chosen: Any, units: str = "lines") -> str:
    """Return the threshold chosen from planted pairs, and the figures expected at it, as text."""
    from otembed.results.format import counted

    left_out = "".join(f", {reason.replace('_', ' ')} {count:,}" for reason, count in chosen.left_out.items())
    return (
        f"threshold {chosen.threshold:.5f}: {rule_of(chosen)}, from {chosen.planted:,} planted pairs{left_out}\n"
        f"expected: {figures_of(chosen)}; {counted(chosen.found, 'pair')}\n"
        f"{units} with a translation on the other side: about {chosen.translations:,.0f} ± "
        f"{chosen.translations_error:,.0f}"
    )
