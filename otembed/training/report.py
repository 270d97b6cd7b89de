"""The report of a run as one document, from the files of its folder; torch-free."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otembed.comparison.decide import decide, pair_up
from otembed.comparison.sources import command_of, read_curve
from otembed.config.changes import changed_settings
from otembed.config.io import read_yaml, train_config
from otembed.errors import ConfigError, DataError
from otembed.results.reading import read_json
from otembed.training.result import TrainResult
from otembed.training.views import Views

if TYPE_CHECKING:
    from otembed.config.train import TrainConfig

    Document = dict[str, Any]

REPORT = "report.html"
RESAMPLES, CONFIDENCE, SEED = 10_000, 0.95, 0
# Two runs with the same result have the same report.
LEFT_OUT = {"seconds"}


def run_report(folder: str | Path, result: TrainResult | None = None) -> Document:
    """Return everything that the page of a run shows, as plain values.

    Nothing of it depends on times, and of the place only the name of the folder.

    Parameters
    ----------
    folder
        The run folder: ``config.yaml``, ``environment.json``, ``metrics.jsonl``, ``views.json`` and ``results.json``.
    result
        The result of a run that has not written ``results.json`` yet.

    Raises
    ------
    ConfigError
        The folder has no finished run, or one with settings of another version.
    DataError
        A file is damaged.
    """
    folder = Path(folder)
    if not (folder / "config.yaml").is_file():
        raise ConfigError(f"{folder} is not a run folder: config.yaml is missing", "Pass the folder given to -o.")
    if result is None and not (folder / "results.json").is_file():
        raise ConfigError(
            f"{folder}: the run is unfinished", f"Finish it: otembed train --resume {shlex.quote(str(folder))}"
        )
    # As it will be read again, so that both ways give the same page.
    result = (
        TrainResult.read(folder / "results.json") if result is None else TrainResult.from_json(result.to_json())
    )
    config = train_config(read_yaml(folder / "config.yaml"), origin=str(folder / "config.yaml"))
    views = Views.known(folder / "views.json")
    curve = read_curve(folder / "metrics.jsonl")
    document = {
        "name": folder.resolve().name,
        "model": config.model.name,
        **{
            name: getattr(result, name)
            for name in (
                "steps",
                "epochs",
                "best_step",
                "averaged_steps",
                "parameters",
                "trained_parameters",
                "pairs",
            )
        },
        "converged": result.last_log.get("converged"),
        "retrieval": _retrieval(result),
        "interpolation": result.interpolation and result.interpolation.to_dict(),
        "mean_lengths": result.mean_lengths,
        "curve": [{key: value for key, value in each.items() if key not in LEFT_OUT} for each in curve],
        "views": views.to_dict(),
        "settings": _settings(config),
        "command": _command(folder),
        "versions": _versions(folder),
    }
    # Tuples become lists, as in the page.
    plain: Document = json.loads(json.dumps(document))
    return plain


def _retrieval(result: TrainResult) -> Document | None:
    """Return held-out accuracy before and after by language pair, with intervals as of ``otembed compare``."""
    if result.before is None or result.after is None:
        return None
    models = [
        [each for each in report.outcomes if each.metric == "accuracy"] for report in (result.before, result.after)
    ]
    if not all(models):
        return None
    paired, _ = pair_up(models)
    tasks, means = decide(paired, resamples=RESAMPLES, confidence=CONFIDENCE, correction="none", seed=SEED)
    return {
        "tasks": [asdict(each) for each in tasks],
        "means": [asdict(each) for each in means],
        "resamples": RESAMPLES,
        "confidence": CONFIDENCE,
        "seed": SEED,
    }


def _settings(config: TrainConfig) -> list[Document]:
    names = ("setting", "value", "default")
    return [dict(zip(names, each, strict=True)) for each in changed_settings(config) if each[0] != "output"]


def _command(folder: Path) -> list[str]:
    command = command_of(folder / "environment.json")
    return shlex.split(command[0]) if command else []


def _versions(folder: Path) -> Document:
    try:
        found = read_json(folder / "environment.json", "Train again.")
        return {"python": found["python"], **found["packages"]}
    except (DataError, KeyError, TypeError):
        return {}
