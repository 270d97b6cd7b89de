"""The sides of a comparison: result files, run folders and models, checked before any slow work."""

from __future__ import annotations

import json
import math
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otembed.errors import ConfigError, DataError
from otembed.results.outcomes import read_outcomes
from otembed.results.paths import expand, identity
from otembed.results.reading import read_json, read_text
from otembed.tasks.report import STAND_IN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otembed.results.outcomes import Outcomes

LABEL = re.compile(r"([^=/\\,]+)=(.+)", re.DOTALL)
RESULTS, METRICS, ENVIRONMENT, CONFIG, MODEL = (
    "results.json",
    "metrics.jsonl",
    "environment.json",
    "config.yaml",
    "model",
)
MODEL_FILE, RUN, FILE = "model", "run folder", "result file"
NOTE = "trained on stand-in data"
# Names of models may contain the word: only these fields say it.
LABELS = ("label", "training", "training_data")


@dataclass
class Source:
    """One side of a comparison: its name, the model to load if any, and the outcomes read so far."""

    name: str
    places: tuple[str, ...]
    origin: str
    model: str | None = None
    outcomes: list[Outcomes] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    curve: list[dict[str, float]] = field(default_factory=list)
    models: dict[str, str] = field(default_factory=dict)
    """The model that is evaluated and those that result files name, by identity."""

    @property
    def files(self) -> list[Path]:
        """The places that are files or folders."""
        return [expand(each) for each in self.places if expand(each).exists()]


def open_source(text: str, *, evaluated: bool) -> Source:
    """Read one argument of the comparison.

    Parameters
    ----------
    text
        ``[NAME=]PLACE[,PLACE...]``; a place is a result file (.json), a run folder, or a model as for
        :func:`otembed.load_model`, at most one.
    evaluated
        Whether models will be evaluated: a run folder then provides its model, else its ``results.json``.

    Raises
    ------
    ConfigError
        Two models, or an unfinished run.
    DataError
        A file is not a result with outcomes, or two files have the same task.
    """
    name, place = text, text
    labeled = None if Path(text).exists() else LABEL.fullmatch(text)
    if labeled:
        name, place = labeled[1].strip(), labeled[2]
    places = [place] if Path(place).exists() else [each for each in place.split(",") if each]
    if not places or not name:
        raise ConfigError(
            f"{text!r} is not a place", "Pass a model, a run folder or a result file, as [NAME=]PLACE[,PLACE]."
        )
    source = Source(name, tuple(places), "")
    for each in places:
        kind = _add(source, each, evaluated=evaluated)
        source.origin = (
            source.origin if kind in source.origin.split(", ") else f"{source.origin}, {kind}".lstrip(", ")
        )
    if len(source.models) > 1:
        source.notes.append(f"joins results of {' and '.join(source.models.values())}")
    return source


def _add(source: Source, place: str, *, evaluated: bool) -> str:
    path = expand(place)
    if path.is_file() or (path.suffix == ".json" and not path.is_dir()):
        _add_file(source, path, path)
        return FILE
    if (path / RESULTS).is_file():
        source.curve = read_curve(path / METRICS)
        source.commands += command_of(path / ENVIRONMENT)
        if evaluated:
            _set_model(source, str(path / MODEL))
        else:
            _add_file(source, path / RESULTS, path)
        return RUN
    if (path / CONFIG).is_file() and not (path / "modules.json").exists() and not (path / "config.json").exists():
        raise ConfigError(f"{place}: the run is unfinished", f"Finish it: otembed train --resume {place}")
    _set_model(source, place)
    return MODEL_FILE


def _add_file(source: Source, file: Path, place: Path) -> None:
    document = read_document(file)
    _extend(source, place, _outcomes_of(document, file))
    source.notes += stand_in_notes(document)
    if isinstance(document.get("model"), str):
        source.models[identity(document["model"])] = document["model"]


def _set_model(source: Source, place: str) -> None:
    if source.model is not None:
        raise ConfigError(
            f"{source.name}: two models, {source.model} and {place}",
            "Pass them as two arguments; only result files can be joined by commas.",
        )
    source.model = place
    source.models[identity(place)] = place


def _extend(source: Source, path: Path, outcomes: Iterable[Outcomes]) -> None:
    known = {each.key for each in source.outcomes}
    for each in outcomes:
        if each.key in known:
            raise DataError(
                f"{source.name}: duplicate task {each.suite} {each.task} {each.metric}",
                "Pass each task once.",
                path=path,
            )
        known.add(each.key)
        source.outcomes.append(each)


def read_document(path: Path) -> dict[str, Any]:
    """Read a result file.

    Raises
    ------
    DataError
        The file cannot be read, or is not a result as JSON.
    """
    document = read_json(path, "Pass a result file of otembed.")
    if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
        raise DataError("not a result of otembed: it has no kind", "Pass a file written by --output.", path=path)
    return document


def _outcomes_of(document: dict[str, Any], path: Path) -> tuple[Outcomes, ...]:
    kind = document["kind"]
    if kind == "TrainResult":
        document = document.get("after") or {}
        if not isinstance(document, dict):
            raise DataError("the figures after training are not an object", "Train again.", path=path)
    try:
        found = read_outcomes(document)
    except DataError as error:
        raise DataError(error.message, error.hint, path=path) from error
    if not found:
        raise DataError(
            f"{kind} has no outcomes of individual examples",
            "Evaluate again with this version of otembed, or pass the model and data to evaluate it on.",
            path=path,
        )
    return found


def stand_in_notes(document: dict[str, Any]) -> list[str]:
    """Return a note, with the suites, if a result states that it was trained on stand-in data."""

    def says_so(value: Any) -> bool:
        return isinstance(value, dict) and any(
            (key.startswith("stand_in") and bool(each))
            or (key in LABELS and STAND_IN in str(each))
            or says_so(each)
            for key, each in value.items()
        )

    rest = {key: value for key, value in document.items() if key != "outcomes"}
    suites = sorted({each.suite for each in read_outcomes(document)})
    return [f"{', '.join(suites) or document['kind']}: {NOTE}"] if says_so(rest) else []


def read_curve(path: Path) -> list[dict[str, float]]:
    """Read the numbers of a run's log; empty if there is no log.

    Raises
    ------
    DataError
        A line is not a record.
    """
    if not path.is_file():
        return []
    records = []
    for number, line in enumerate(read_text(path, "Train again.").splitlines(), 1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict) or not _is_number(record.get("step")):
            raise DataError(
                "not a record of a training log", "Delete the line or the file.", path=path, line=number
            )
        records.append({key: value for key, value in record.items() if _is_number(value)})
    return records


def _is_number(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False


def command_of(path: Path) -> list[str]:
    """Return the command that started a run, from its environment file; empty if it is not recorded."""
    try:
        command = read_json(path, "Train again.")["command"]
        return [shlex.join(["otembed", *command[1:]])]
    except (DataError, KeyError, TypeError):
        return []
