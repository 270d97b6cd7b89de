"""``otembed config``: write, show and describe settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from otembed.errors import ConfigError

from .options import JsonDocument, Preset, Settings, check_choice, refuse_taken

if TYPE_CHECKING:
    from collections.abc import Callable

INIT_HELP = """Write a YAML file of all settings of a command. It has descriptions, allowed values and defaults.

Without FILE, it is printed to stdout. Change settings as needed and delete the rest. The file for train is a valid
CONFIG as it is, with a sample pair of the starter text: replace it with your files. Pass the files for align, mine, negatives,
documents (documents align), match (documents match) and documents-mine (documents mine) to their commands with --config.
embed, score and eval mining share the settings of mine, and eval alignment those of align.
"""
SHOW_HELP = """Print merged settings, each with its origin.

Settings are merged as in otembed train: defaults < --preset < CONFIG < --set. The output is YAML with the origins as
comments: default, preset NAME, CONFIG:line or --set.
"""
SCHEMA_HELP = """Print the JSON Schema of settings files (draft 2020-12). Editors use it for completion and validation.

With the YAML language server: otembed config schema > otembed.schema.json, and as the first line of CONFIG
# yaml-language-server: $schema=otembed.schema.json
"""

COMMANDS = ("train", "align", "mine", "negatives", "documents", "match", "documents-mine")
Command = Annotated[
    str,
    typer.Option(
        "--for",
        metavar="COMMAND",
        help="train, align, mine, negatives, documents, match or documents-mine.",
        autocompletion=lambda: list(COMMANDS),
    ),
]

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """Write, show and describe settings."""


@app.command("init", help=INIT_HELP)
def init_command(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="File to write.", show_default=False)] = None,
    command: Command = "train",
    preset: Preset = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE.")] = False,
) -> None:
    """Write the commented settings."""
    check_choice(command, COMMANDS, "--for")
    if preset is not None and command != "train":
        raise ConfigError(f"--preset {preset} does not apply to --for {command}", "Omit --preset.")
    if file is not None:
        refuse_taken(file, force=force, flag="FILE")
    from otembed.config import settings_template
    from otembed.results import write_text

    head = f"Settings of otembed {command}" + (f", preset {preset}" if preset else "") + "."
    if command == "train":
        from otembed.config.io import read_preset, train_config
        from otembed.config.origins import NO_PAIRS

        tree = read_preset(preset) if preset else {}
        if not tree.get("pairs"):
            head += "\nThe pair below is sample text that ships with otembed: replace it with your files."
        config: Any = train_config(NO_PAIRS, tree)
    else:
        config = _kind(command)()
    text = settings_template(config, head=head)
    if file is None:
        typer.echo(text, nl=False)
    else:
        write_text(file, text)
        usage = str(file) if command == "train" else f"... --config {file}"
        name = {"documents": "documents align", "match": "documents match", "documents-mine": "documents mine"}.get(
            command, command
        )
        typer.echo(f"wrote {file}; edit it, then run: otembed {name} {usage}", err=True)


def _kind(command: str) -> Callable[[], Any]:
    """Return the configuration class of a command."""
    from otembed.config import (
        DocumentMiningConfig,
        DocumentsConfig,
        MatchConfig,
        MiningConfig,
        NegativesConfig,
        TrainConfig,
        WordAlignmentConfig,
    )

    kinds: dict[str, Any] = {
        "train": TrainConfig,
        "align": WordAlignmentConfig,
        "mine": MiningConfig,
        "negatives": NegativesConfig,
        "documents": DocumentsConfig,
        "match": MatchConfig,
        "documents-mine": DocumentMiningConfig,
    }
    kind: Callable[[], Any] = kinds[command]
    return kind


@app.command("show", help=SHOW_HELP)
def show_command(
    config: Annotated[
        Path | None, typer.Argument(metavar="CONFIG", help="YAML file of settings.", show_default=False)
    ] = None,
    preset: Preset = None,
    settings: Settings = None,
    as_json: JsonDocument = False,
) -> None:
    """Merge and print."""
    from otembed.config import resolve_settings

    resolved = resolve_settings(config, preset=preset, assignments=settings or [])
    if "pairs" not in resolved.settings:
        typer.echo("pairs is not set: add it to CONFIG, or pass --pairs to otembed train", err=True)
    typer.echo(resolved.to_json() if as_json else resolved.to_yaml(), nl=False)


@app.command("schema", help=SCHEMA_HELP)
def schema_command(command: Command = "train") -> None:
    """Print the schema."""
    check_choice(command, COMMANDS, "--for")
    from otembed.config import settings_schema

    schema = settings_schema(_kind(command), title=f"Settings of otembed {command}")  # type: ignore[arg-type]
    typer.echo(json.dumps(schema, ensure_ascii=False, indent=2))
