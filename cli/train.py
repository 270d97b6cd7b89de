"""``otembed train``: fine-tune an encoder on parallel text."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from otembed.errors import ConfigError

from .completion import model_values, pair_values
from .ending import resume_by
from .options import Device, JsonDocument, Preset, Settings, named_pairs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

HELP = """Fine-tune a multilingual encoder on parallel text.

Pass parallel text as --pairs en-sw=FILE, once per language pair: TSV, CSV, JSONL, Parquet, TMX, PO/MO (plain or
.gz .bz2 .xz .zst), two plain files A,B, a saved dataset folder, hub:OWNER/NAME, or starter:en-sw, the text that
ships with otembed.

Precedence: defaults < --preset < CONFIG < --set < other options. The run folder receives config.yaml (a valid
CONFIG), metrics.jsonl, results.json, environment.json, report.html and model/, which plain
SentenceTransformer loads.

Several processes: torchrun --nproc-per-node 2 --no-python otembed train ...
"""

# Options for single settings: parameter name to path in the configuration.
_SETTINGS = {
    "model": ("model", "name"),
    "device": ("model", "device"),
    "output": ("output",),
    "epochs": ("optimization", "num_train_epochs"),
    "max_steps": ("optimization", "max_steps"),
    "batch_size": ("optimization", "per_device_train_batch_size"),
    "learning_rate": ("optimization", "learning_rate"),
    "seed": ("optimization", "seed"),
    "limit": ("data", "limit"),
}


def train_command(
    config: Annotated[
        Path | None, typer.Argument(metavar="CONFIG", help="YAML file of settings.", show_default=False)
    ] = None,
    pairs: Annotated[
        list[str] | None,
        typer.Option(
            "--pairs",
            metavar="XX-YY=FILE",
            help="Parallel text; repeat for more pairs.",
            autocompletion=pair_values,
        ),
    ] = None,
    held_out: Annotated[
        list[str] | None,
        typer.Option(
            "--held-out",
            metavar="XX-YY=FILE",
            help="Pairs for evaluation; repeat for more. [default: some of --pairs]",
            autocompletion=pair_values,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Hub name, folder or offline:multilingual-e5-small. [default: offline:multilingual-e5-small]",
            autocompletion=model_values,
        ),
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="RUN", help="Run folder. [default: runs/otembed]")
    ] = None,
    preset: Preset = None,
    freeze: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PART",
            help="Part to freeze: embeddings, layers:N, or none; repeat for more. [default: embeddings]",
        ),
    ] = None,
    epochs: Annotated[
        float | None, typer.Option(help="Passes over the training pairs (num_train_epochs). [default: 1]")
    ] = None,
    max_steps: Annotated[int | None, typer.Option(help="Number of optimizer steps; overrides --epochs.")] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(help="Sentence pairs per batch and device (per_device_train_batch_size). [default: 32]"),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", "--lr", help="Peak learning rate. [default: 3e-05]")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Maximum number of pairs per file. [default: all]")] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed. [default: 42]")] = None,
    device: Device = None,
    settings: Settings = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Resume an interrupted run with its own settings.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run in the run folder.")] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Read the data, run a few steps and estimate time and memory; write nothing."
        ),
    ] = False,
    as_json: JsonDocument = False,
) -> None:
    """Parse the flags, run, print."""
    given = {name: value for name, value in locals().items() if name in _SETTINGS and value is not None}
    others = (config, preset, pairs, held_out, freeze, settings)
    if resume is not None and (given or overwrite or dry_run or any(others)):
        raise ConfigError(
            "--resume cannot be combined with settings: they come from the run", "Use --resume RUN alone."
        )
    layers: list[dict[str, Any]] = []
    if resume is None:
        layers = _layers(config, preset, settings or [], given, pairs or [], held_out or [], freeze)
    _run(layers, str(config or "command line"), resume, overwrite, dry_run, as_json)


def _layers(
    config: Path | None,
    preset: str | None,
    settings: list[str],
    given: dict[str, Any],
    pairs: list[str],
    held_out: list[str],
    freeze: list[str] | None,
) -> list[dict[str, Any]]:
    from otembed.config.io import parse_assignments, read_preset, read_yaml

    flags: dict[str, Any] = {}
    for name, value in given.items():
        section: dict[str, Any] = flags
        *path, last = _SETTINGS[name]
        for part in path:
            section = section.setdefault(part, {})
        section[last] = value
    if pairs:
        flags["pairs"] = named_pairs(pairs, "--pairs")
    if held_out:
        flags.setdefault("held_out", {})["pairs"] = named_pairs(held_out, "--held-out")
    if freeze is not None:
        flags.setdefault("model", {})["freeze"] = [each for each in freeze if each != "none"]
    below = [read_preset(preset)] if preset else []
    below += [read_yaml(config)] if config else []
    return [*below, parse_assignments(settings), flags]


def _run(
    layers: list[dict[str, Any]], origin: str, resume: Path | None, overwrite: bool, dry_run: bool, as_json: bool
) -> None:
    from otembed.config.io import train_config

    from .console import SOLVER, data_console, error_console, set_up_logging

    checked = None if resume else train_config(*layers, origin=origin)
    console = error_console()
    from otembed.training.run_folder import RunFolder

    if checked is not None and not dry_run:
        folder = RunFolder(Path(checked.output))
        folder.refuse_taken(overwrite=overwrite)
        resume_by(folder.resume_with, once_written=folder.config)
    from otembed.runtime.compiling import compile_beside

    compile_beside(*SOLVER)
    set_up_logging(console)
    from otembed.training import TrainResult, train
    from otembed.training import dry_run as estimate
    from otembed.training.summary import dry_run_table, train_summary
    from otembed.training.upload import UnpushedError

    result: Any
    unpushed: UnpushedError | None = None
    if dry_run and checked is not None:
        result = estimate(checked)
        shown: Any = dry_run_table(result)
    else:
        try:
            with _progress(console) as callbacks:
                result = train(checked, resume=resume, overwrite=overwrite, callbacks=callbacks)
        except UnpushedError as error:
            unpushed = error
            result = TrainResult.read(RunFolder(error.run).results)
        shown = train_summary(result)
    if os.environ.get("RANK", "0") != "0":
        return
    if as_json:
        typer.echo(result.to_json(), nl=False)
    else:
        data_console().print(shown)
    if unpushed is not None:
        raise unpushed


@contextmanager
def _progress(console: Console) -> Iterator[list[Any]]:
    """Show a progress bar on terminals, and always close it."""
    if not sys.stderr.isatty() or os.environ.get("RANK", "0") != "0":
        yield []
        return
    from otembed.training.progress import ProgressBar

    bar = ProgressBar(console)
    try:
        yield [bar]
    finally:
        bar.progress.stop()
