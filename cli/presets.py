"""``otembed presets``: the presets that ship with otembed."""

from __future__ import annotations

from typing import Annotated

import typer

from .completion import preset_values

HELP = "List the presets, or print one as YAML."


def presets_command(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Preset to print. [default: list all]", autocompletion=preset_values),
    ] = None,
) -> None:
    """Print preset names, or one preset."""
    from otembed.config.io import preset_names, preset_text

    if name is None:
        for each in preset_names():
            typer.echo(f"{each:14}  {preset_text(each).splitlines()[0].lstrip('# ')}")
    else:
        typer.echo(preset_text(name), nl=False)
