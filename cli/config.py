"""``otembed config``: write, show and describe the settings of training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .options import JsonDocument, Preset, Settings, refuse_taken

INIT_HELP = """Write a YAML file of all settings of otembed train, with descriptions, allowed values and defaults.

Without FILE, it is printed to stdout. The file is a valid CONFIG: set your parallel text under pairs, change settings
as needed, and delete the rest.
"""
SHOW_HELP = """Print the settings as otembed train merges them, each with its origin.

Precedence: defaults < --preset < CONFIG < --set. The output is YAML with the origins as comments: default, preset
NAME, CONFIG:line or --set.
"""
SCHEMA_HELP = """Print the JSON Schema (draft 2020-12) of CONFIG files, for completion and validation in editors.

With the YAML language server: otembed config schema > otembed.schema.json, and as the first line of CONFIG
# yaml-language-server: $schema=otembed.schema.json
"""

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """Write, show and describe the settings of otembed train."""


@app.command("init", help=INIT_HELP)
def init_command(
    file: Annotated[Path | None, typer.Argument(help="File to write.", show_default=False)] = None,
    preset: Preset = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE.")] = False,
) -> None:
    """Write the commented settings."""
    if file is not None:
        refuse_taken(file, force=force, flag="FILE")
    from otembed.config import settings_template
    from otembed.config.io import read_preset, train_config
    from otembed.config.origins import NO_PAIRS
    from otembed.results import write_text

    tree = read_preset(preset) if preset else {}
    head = "Settings of otembed train" + (f", preset {preset}" if preset else "") + "."
    if not tree.get("pairs"):
        head += "\nThe pair below is sample text that ships with otembed: replace it with your files."
    text = settings_template(train_config(NO_PAIRS, tree), head=head)
    if file is None:
        typer.echo(text, nl=False)
    else:
        write_text(file, text)
        typer.echo(f"wrote {file}; edit it, then run: otembed train {file}", err=True)


@app.command("show", help=SHOW_HELP)
def show_command(
    config: Annotated[Path | None, typer.Argument(help="YAML file of settings.", show_default=False)] = None,
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
def schema_command() -> None:
    """Print the schema."""
    from otembed.config import TrainConfig, settings_schema

    schema = settings_schema(TrainConfig, title="Settings of otembed train")
    typer.echo(json.dumps(schema, ensure_ascii=False, indent=2))
