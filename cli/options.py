"""Options and parsers shared by several commands."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from otembed.errors import ConfigError, did_you_mean

from .completion import choice_values, model_values, preset_values, setting_values
from .ending import AGAIN, resume_by

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from otembed.config import WordAlignmentConfig

T = TypeVar("T")
Probe = TypeVar("Probe")
Finetune = TypeVar("Finetune")
ALIGNMENT_UNITS = ("word", "token")
DECODINGS = ("mutual", "threshold", "grow-diag", "grow-diag-final-and")

Preset = Annotated[
    str | None,
    typer.Option(help="Preset to start from; see otembed presets.", autocompletion=preset_values),
]

# Shared by commands that evaluate a model or print a document.
ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="Folder, hub name or offline:multilingual-e5-small.",
        show_default=False,
        autocompletion=model_values,
    ),
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or mps. [default: the best available device]")]
PromptName = Annotated[str | None, typer.Option(help="Name of the model's prompt to prepend, such as query.")]
JsonDocument = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
ReportFile = Annotated[Path | None, typer.Option("--output", "-o", help="Write the report to this file as JSON.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="YAML file of settings.")]
Force = Annotated[bool, typer.Option("--force", help="Replace existing output files.")]
SentencesAtATime = Annotated[
    int, typer.Option("--batch-size", min=1, help="Maximum number of sentences per encoded batch.")
]

# Shared by commands that fine-tune a head or fit a probe.
Frozen = Annotated[
    list[str] | None,
    typer.Option(metavar="PART", help="Fine-tuning: part to freeze, embeddings or layers:N; repeat for more."),
]
HeadFolder = Annotated[
    Path | None,
    typer.Option(metavar="RUN", help="Fine-tuning: run folder for checkpoints and model. [default: temporary]"),
]
ResumeHead = Annotated[bool, typer.Option("--resume", help="Resume the run in --run, or test it if finished.")]
OverwriteHead = Annotated[bool, typer.Option("--overwrite", help="Replace the run in --run.")]

# Shared by commands that align words.
Layer = Annotated[
    str | None,
    typer.Option(metavar="N|auto", help="Hidden layer. [default: auto, stored with the model or else chosen]"),
]
Unit = Annotated[
    str | None,
    typer.Option(
        metavar="word|token",
        help="What is aligned. [default: word]",
        autocompletion=choice_values(*ALIGNMENT_UNITS),
    ),
]
LinkThreshold = Annotated[
    float | None,
    typer.Option(
        help="Minimum probability of a link beyond the mutual ones. [default: 0.3 for threshold, else 0.2]"
    ),
]
AlignerSettings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any setting, such as epsilon=0.05; repeatable."),
]

Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any setting, such as loss.alignment.epsilon=0.1; repeatable.",
        autocompletion=setting_values,
    ),
]


def named_pairs(
    values: list[str], flag: str, what: str = "language pair", form: str = "en-sw=FILE"
) -> dict[str, str]:
    """Turn ``NAME=FILE`` values of ``flag`` into a mapping from name to place; ``what`` describes the name."""
    named: dict[str, str] = {}
    for value in values:
        pair, equals, place = value.partition("=")
        if not equals or not pair or not place:
            raise ConfigError(f"{flag} {value!r}: the {what} is missing", f"Write {flag} {form}.")
        if pair in named:
            raise ConfigError(f"{flag} {pair} is given twice", f"Pass each {what} once.")
        named[pair] = place
    return named


def only_given(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were given: those that are not None."""
    return {name: value for name, value in flags.items() if value is not None}


def refuse_taken(output: Path, *, force: bool, flag: str = "--output") -> None:
    """Reject a folder, an existing file without ``--force``, and a path that is not writable.

    Terminals, pipes and devices such as ``/dev/null`` need no ``--force``: nothing is replaced.
    """
    from otembed.results import is_stream
    from otembed.results.paths import expand

    output = expand(output)
    if output.is_dir():
        raise ConfigError(f"{flag} {output} is a folder", "Use a file name.")
    if is_stream(output):
        return
    above = next(each for each in output.absolute().parents if each.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise ConfigError(
            f"cannot write {flag} {output}: {above} is not a writable folder", "Choose another folder."
        )
    if output.exists() and not force:
        raise ConfigError(f"{flag} {output} already exists", "Choose another name, or add --force to replace it.")


def check_outputs(
    outputs: Mapping[str, str | Path | None],
    inputs: Mapping[str, str | Path | Iterable[Path | None] | None],
    *,
    model: str | None,
    force: bool,
) -> None:
    """Reject outputs that could not be written at the end, and those that would replace another file of the command.

    A folder that is read, such as a model, may get new files, but none of its own is replaced.

    Parameters
    ----------
    outputs
        The file of each option; None if it was not given.
    inputs
        The file or files of each argument or option that is read, without a query; None if there is none.
    model
        The encoder of the command, a folder or a name; None if it is among ``inputs``.
    force
        As for :func:`refuse_taken`. Two outputs in one file, and an output in place of an input, are rejected in any case.
    """
    from otembed.results import is_stream
    from otembed.results.paths import expand

    taken: dict[Path, str] = {}
    for name, given in {**inputs, "the model": model}.items():
        for each in (given,) if given is None or isinstance(given, str | Path) else given:
            if each is not None:
                taken.setdefault(expand(each).resolve(), name)
    for flag, output in outputs.items():
        if output is None:
            continue
        path = expand(output)
        other = taken.get(path.resolve())
        if other is not None and not path.is_dir() and not is_stream(path):
            raise ConfigError(f"{flag} {output} is also {other}", "Choose another name.")
        for place, name in taken.items():
            # A file of a folder may be a link to a file outside, as in the cache of the hub.
            there = path.resolve().is_relative_to(place) or path.parent.resolve().is_relative_to(place)
            if path.is_file() and place.is_dir() and there:
                raise ConfigError(f"{flag} {output} is a file of {name}", "Choose another name.")
        refuse_taken(path, force=force, flag=flag)
        taken[path.resolve()] = flag


def files_named(*values: str | None) -> list[Path]:
    """Return the files that values such as ``NAME=FILE,FILE`` or ``FILE?KEY=VALUE`` name, for :func:`check_outputs`."""
    found = []
    for value in values:
        place = (value or "").partition("?")[0]
        found += [Path(each) for each in {place, *place.partition("=")[2].split(",")} if each]
    return found


def resume_head(run: Path | None, *, resume: bool, overwrite: bool) -> None:
    """Set what an interrupted training of a head says; ``run`` is its folder, None if nothing is kept."""
    if run is None:
        resume_by(f"{AGAIN} with --run FOLDER; without it, no checkpoint is kept")
    elif not resume:
        instead = " instead of --overwrite" if overwrite else ""
        resume_by(f"{AGAIN} with --resume{instead}", once_written=run / "settings.json")


def check_choice(value: str | None, choices: tuple[str, ...], flag: str) -> None:
    """Reject a value that is not in ``choices``, before any slow import."""
    if value is not None and value not in choices:
        raise ConfigError(f"{flag} {value!r} is unknown", did_you_mean(value, choices))


def layer_number(value: str, flag: str, words: Sequence[str] = ("auto",)) -> int | str:
    """Read the number of a layer, or one of ``words``."""
    if value in words:
        return value
    try:
        return int(value)
    except ValueError:
        choices = ", ".join(("a number", *words[:-1]))
        raise ConfigError(f"{flag} {value!r} is not a layer", f"Use {choices} or {words[-1]}.") from None


def merged_settings(
    kind: type[T],
    file: Path | None,
    assignments: list[str] | None,
    given: Mapping[str, Any],
    defaults: Mapping[str, Any] | None = None,
    *,
    origin: str = "command line",
) -> T:
    """Return the settings of a class: ``defaults`` < a YAML file < ``KEY=VALUE`` < options that were given.

    ``origin`` is named by errors, after the file.
    """
    from otembed.config.io import build, merge, parse_assignments, read_yaml

    tree = dict(defaults or {})
    for layer in (read_yaml(file) if file else {}, parse_assignments(assignments or []), dict(given)):
        tree = merge(tree, layer)
    return build(kind, tree, origin if file is None else f"{file} and {origin}")


def head_settings(
    protocol: str,
    probe: type[Probe],
    finetune: type[Finetune],
    assignments: list[str] | None,
    given: Mapping[str, Any],
) -> Probe | Finetune:
    """Return the settings of the chosen protocol of a head: its defaults < ``KEY=VALUE`` < options that were given."""
    if protocol == "probe":
        return merged_settings(probe, None, assignments, given, origin="a probe")
    return merged_settings(finetune, None, assignments, given, origin="fine-tuning")


def alignment_config(
    file: Path | None,
    settings: list[str] | None,
    layer: str | None,
    unit: str | None,
    decoding: str | None,
    threshold: float | None,
) -> WordAlignmentConfig:
    """Build the settings of word alignment: defaults < ``--config`` < ``--set`` < the other options."""
    check_choice(unit, ALIGNMENT_UNITS, "--unit")
    check_choice(decoding, DECODINGS, "--decoding")
    number = layer if layer is None else layer_number(layer, "--layer")
    from otembed.config import WordAlignmentConfig

    flags: dict[str, Any] = {"layer": number, "unit": unit, "decoding": decoding, "threshold": threshold}
    return merged_settings(WordAlignmentConfig, file, settings, only_given(flags))


def number_or_none(value: str, flag: str) -> float | None:
    """Read a number, or ``none`` for no limit."""
    if value.strip().lower() == "none":
        return None
    hint = f"Use {flag} NUMBER or {flag} none."
    try:
        number = float(value)
    except ValueError as error:
        raise ConfigError(f"{flag} {value!r} is not a number", hint) from error
    if not math.isfinite(number):
        raise ConfigError(f"{flag} {value!r} is not finite", hint)
    return number


def language_pair(value: str | None, flag: str) -> tuple[str, str] | None:
    """Read ``sw-en`` as the languages of both sides."""
    if value is None:
        return None
    codes = value.split("-")
    if len(codes) != 2:
        raise ConfigError(
            f"{flag} {value!r} is not a language pair",
            "Use two language codes joined by '-', as in sw-en or zh_Hant-en.",
        )
    return language_tags(codes, f"{flag} {value!r}")


def language_tags(codes: Sequence[str], origin: str) -> tuple[str, str]:
    """Return two language codes, with ``_`` or ``-``, as language tags: ``zh_Hant`` as ``zh-Hant``."""
    from otembed.data.spec import LANGUAGE_CODE

    for code in codes:
        if not LANGUAGE_CODE.fullmatch(code.replace("-", "_")):
            raise ConfigError(f"{origin}: {code!r} is not a language code", "Use codes such as sw or zh_Hant.")
    source, target = (code.replace("_", "-") for code in codes)
    return source, target
