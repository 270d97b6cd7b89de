"""What the commands around mining parse and print alike."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from otembed.errors import ConfigError

from .completion import OFFLINE_MODEL, choice_values, language_values, mining_values, model_values
from .options import layer_number, named_pairs, number_or_none, refuse_taken

if TYPE_CHECKING:
    from otembed.config.mining import MiningConfig
    from otembed.data import PairSpec

DEFAULT_MODEL = OFFLINE_MODEL

Model = Annotated[
    str,
    typer.Option(
        "--model", "-m", help="Folder, hub name or offline:multilingual-e5-small.", autocompletion=model_values
    ),
]
Output = Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="File to write.")]
Json = Annotated[bool, typer.Option("--json", help="Print the report as one JSON document; needs --output.")]
Cache = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of the cache. [default: the user's]")]
Prompt = Annotated[str | None, typer.Option(help="Text before every line, such as 'query: '.")]
TruncateDim = Annotated[int | None, typer.Option(metavar="N", help="Keep N leading dimensions.")]
Precision = Annotated[
    str,
    typer.Option(
        help="float32 or float16: the embeddings on disk.", autocompletion=choice_values("float32", "float16")
    ),
]
BatchSize = Annotated[int, typer.Option(min=1, help="Most lines encoded at a time.")]
MaxCharacters = Annotated[str, typer.Option(metavar="N", help="Longer lines are left out; none: no limit.")]
K = Annotated[int, typer.Option("--k", min=1, help="Neighbors of the margin, and candidates of each line.")]
Margin = Annotated[str, typer.Option(help="distance, ratio or absolute.", autocompletion=mining_values("Margin"))]
Center = Annotated[
    bool | None,
    typer.Option("--center/--no-center", help="Take each side's mean away. [default: from 10 lines on]"),
]
Threshold = Annotated[str, typer.Option(metavar="SCORE", help="Lowest score; none: every pair.")]
Languages = Annotated[
    str | None,
    typer.Option(metavar="XX-YY", help="Languages of the sides, for .tmx.", autocompletion=language_values),
]
Rescore = Annotated[
    str,
    typer.Option(
        help="ot: words decide close calls, by optimal transport between the lines' words.",
        autocompletion=mining_values("Rescore"),
    ),
]
RescoreWeight = Annotated[float, typer.Option(metavar="W", help="ot: share of the words in a pair's similarity.")]
RescoreLayer = Annotated[
    str,
    typer.Option(
        metavar="N", help="ot: hidden layer of the words; auto: the model's for alignment, or 7/12 of its depth."
    ),
]
RescoreEpsilon = Annotated[float, typer.Option(metavar="E", help="ot: entropic strength; 0: exact transport.")]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Threads, or the engine's processes. [default: all processors]")
]
Engine = Annotated[
    str,
    typer.Option(
        help="local: this process; processes: workers on this machine; ray: a cluster (docs/scale.md).",
        autocompletion=mining_values("Engine"),
    ),
]
RayAddress = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="Ray cluster to join, or auto. [default: a Ray of its own]")
]
Memory = Annotated[str | None, typer.Option(metavar="SIZE", help="Most memory of the search, such as 2GB.")]


def mining_config(*, thresholds: tuple[str, ...] = ("default",), **settings: Any) -> MiningConfig:
    """Return the settings of the flags, checked; ``thresholds`` are the words that --threshold takes beside none."""
    from otembed.config.mining import MiningConfig

    longest = number_or_none(settings.pop("max_characters"), "--max-characters")
    if longest is not None and longest != int(longest):
        raise ConfigError(f"--max-characters {longest} is no whole number", "Give a whole number, or none.")
    settings["rescore_layer"] = layer_number(settings.get("rescore_layer", "auto"), "--rescore-layer")
    if settings.get("threshold", "default") not in thresholds:
        settings["threshold"] = number_or_none(settings["threshold"], "--threshold")
    return MiningConfig(max_characters=None if longest is None else int(longest), **settings)


def expected_languages(value: str | None, languages: str | None) -> dict[str, str | None]:
    """Return the settings of --language-filter, which names both sides, or takes them from --languages."""
    if value is None:
        return {}
    if value == "auto":
        if languages is None:
            raise ConfigError("--language-filter auto needs --languages", "Add --languages sw-en.")
        value = languages
    codes = [None if each == "none" else each for each in value.split("-")]
    if len(codes) != 2 or "" in codes:
        raise ConfigError(
            f"--language-filter {value!r} names no two sides", "Write sw-en, sw-none, none-en, or auto."
        )
    return dict(zip(("source_language", "target_language"), codes, strict=True))


def dev_pairs(value: str | None) -> PairSpec | None:
    """Return the parallel text of --calibrate."""
    if value is None:
        return None
    from otembed.data import parse_pair_spec

    ((key, place),) = named_pairs([value], "--calibrate").items()
    return parse_pair_spec(key, place)


def check_pairs_output(
    output: Path | None, languages: tuple[str, str] | None, *, as_json: bool, force: bool
) -> None:
    """Refuse what could not be written at the end."""
    if output is None:
        if as_json:
            raise ConfigError("--json needs --output: both would be printed on stdout", "Add -o FILE.")
        return
    from otembed.mining.output import check_output

    check_output(output, languages)
    refuse_taken(output, force=force)


def start_logging() -> None:
    """Send log lines to stderr."""
    from .console import error_console, set_up_logging

    set_up_logging(error_console())


def put_pairs(pairs: Any, output: Path | None, languages: tuple[str, str] | None) -> None:
    """Write the pairs to a file, or as TSV to stdout."""
    from otembed.mining.output import tsv_line, write_pairs

    if output is not None:
        write_pairs(pairs, output, languages=languages)
        return
    for pair in pairs:
        sys.stdout.buffer.write(tsv_line(pair).encode())
    sys.stdout.buffer.flush()


def say(text: str) -> None:
    """Print a line on stderr."""
    typer.echo(text, err=True)


def say_counts(counts: dict[str, Any]) -> None:
    """Print what was read of a side on stderr."""
    dropped = ", ".join(f"{reason} {count:,}" for reason, count in counts["dropped"].items())
    rest = f", left out: {dropped}" if dropped else ""
    say(f"{counts['name']}: {counts['read']:,} read, {counts['kept']:,} used{rest}")
