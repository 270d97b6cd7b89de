"""What the commands around mining parse and print alike."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from otembed.errors import ConfigError

from .completion import OFFLINE_MODEL, choice_values, language_values, mining_values, model_values
from .options import named_pairs, number_or_none, refuse_taken

if TYPE_CHECKING:
    from otembed.config_mining import MiningConfig
    from otembed.data import PairSpec

DEFAULT_MODEL = OFFLINE_MODEL

Model = Annotated[
    str,
    typer.Option(
        "--model", "-m", help="Folder, hub name or offline:multilingual-e5-small.", autocompletion=model_values
    ),
]
Output = Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="File to write.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the file of --output.")]
Json = Annotated[bool, typer.Option("--json", help="Print the report as one JSON document; needs --output.")]
Cache = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of the cache. [default: the user's]")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, mps; the best there is without it.")]
Prompt = Annotated[str | None, typer.Option(help="Text before every line, such as 'query: '.")]
PromptName = Annotated[str | None, typer.Option(help="One of the model's prompts, such as query.")]
TruncateDim = Annotated[int | None, typer.Option(metavar="N", help="Keep N leading dimensions.")]
Precision = Annotated[
    str,
    typer.Option(
        help="float32 or float16: the embeddings on disk.", autocompletion=choice_values("float32", "float16")
    ),
]
BatchSize = Annotated[int, typer.Option(min=1, help="Most lines encoded at a time.")]
MaxCharacters = Annotated[str, typer.Option(metavar="N", help="Longer lines are left out; none: no limit.")]
K = Annotated[int, typer.Option("--k", min=1, help="Neighbours of the margin, and candidates of each line.")]
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
Workers = Annotated[int | None, typer.Option(min=1, help="Threads of the search. [default: all processors]")]
Memory = Annotated[str | None, typer.Option(metavar="SIZE", help="Most memory of the search, such as 2GB.")]


def mining_config(*, thresholds: tuple[str, ...] = ("default",), **settings: Any) -> MiningConfig:
    """Return the settings of the flags, checked; ``thresholds`` are the words that --threshold takes beside none."""
    from otembed.config_mining import MiningConfig

    longest = number_or_none(settings.pop("max_characters"), "--max-characters")
    if longest is not None and longest != int(longest):
        raise ConfigError(f"--max-characters {longest} is no whole number", "Give a whole number, or none.")
    if settings.get("threshold", "default") not in thresholds:
        settings["threshold"] = number_or_none(settings["threshold"], "--threshold")
    return MiningConfig(max_characters=None if longest is None else int(longest), **settings)


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
