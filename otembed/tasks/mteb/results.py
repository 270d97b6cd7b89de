"""Reports of otembed's tasks as results of MTEB, checked by MTEB's own class; requires ``otembed[mteb]``."""

from __future__ import annotations

import tempfile
from functools import singledispatch
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otembed.data.tags import parse_tag
from otembed.errors import ConfigError
from otembed.results import json_text, write_text
from otembed.results.paths import expand, identity
from otembed.results.reading import read_json
from otembed.tasks.mining.evaluate import MiningScores
from otembed.tasks.retrieval.report import RetrievalReport
from otembed.tasks.xnli.report import XnliReport

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mteb import TaskResult

    from otembed.tasks.report import Report

# The data is the user's, so it has no revision on the hub.
REVISION, SPLIT = "local", "test"
# MTEB's file beside the results of a model.
META = "model_meta"
Subsets = list[dict[str, Any]]


def require_mteb() -> Any:
    """Return the package; ConfigError if it is missing."""
    try:
        return import_module("mteb")
    except ImportError as error:
        raise _missing() from error


def task_results(report: Report) -> list[TaskResult]:
    """Return a report as results of MTEB, one for each task.

    The names are ``OtembedRetrieval`` (main score: weighted F1, as in MTEB's bitext mining; each direction is a subset),
    ``OtembedRetrievalCentered``, ``OtembedMining`` (F1 at the threshold) and ``OtembedXNLI`` (accuracy): the protocols or the
    data are not those of MTEB's tasks. Languages are codes of ISO 639-3 with a script, as far as MTEB knows them.

    Raises
    ------
    ConfigError
        mteb is missing, or there is no form for the report.
    """
    kind = require_mteb().TaskResult
    return [
        kind(
            task_name=name,
            dataset_revision=REVISION,
            mteb_version=require_mteb().__version__,
            scores={SPLIT: subsets},
            evaluation_time=getattr(report, "seconds", None),
        )
        for name, subsets in _subsets(report).items()
    ]


def write_task_results(results: list[TaskResult], folder: Path, *, model: str, force: bool = False) -> list[Path]:
    """Write each result to ``TASK.json`` in a folder, atomically, and return the files.

    As in MTEB, a folder has the results of one model, which ``model_meta.json`` beside them names.

    Raises
    ------
    ConfigError
        The folder has results of another model; or a file exists already, without ``force``.
    OutputError
        A file cannot be written.
    """
    check_mteb_folder(folder, [each.task_name for each in results], model=model, force=force)
    meta = require_mteb().models.ModelMeta.create_empty({"name": identity(model), "revision": REVISION})
    write_text(_path(folder, META), json_text(meta.to_dict()))
    paths = [_path(folder, each.task_name) for each in results]
    for path, each in zip(paths, results, strict=True):
        write_text(path, result_text(each))
    return paths


def check_mteb_folder(folder: Path, names: Iterable[str], *, model: str, force: bool = False) -> None:
    """Reject an environment without mteb, and a folder of another model or with these results; imports nothing slow.

    ``force`` replaces results, but never mixes those of two models.
    """
    if find_spec("mteb") is None:
        raise _missing()
    path = _path(folder, META)
    known = read_json(path, "Choose another folder.") if path.exists() else {"name": identity(model)}
    earlier = known.get("name") if isinstance(known, dict) else None
    if earlier != identity(model):
        raise ConfigError(
            f"{folder} has the results of another model, {earlier}", "Choose a folder of its own for each model."
        )
    taken = next((path for name in names if (path := _path(folder, name)).exists()), None)
    if taken is not None and not force:
        raise ConfigError(f"{taken} already exists", "Choose another folder, or add --force to replace it.")


def _path(folder: Path, name: str) -> Path:
    return expand(folder) / f"{name}.json"


def _missing() -> ConfigError:
    return ConfigError("MTEB requires the package mteb", 'Install it: pip install "otembed[mteb]".')


def result_text(result: TaskResult) -> str:
    """Return the document that MTEB's own writer makes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result.json"
        result.to_disk(path)
        return path.read_text(encoding="utf-8") + "\n"


def language_script(code: str) -> str:
    """Return a language code as MTEB writes it, ``eng-Latn``; unchanged if MTEB does not know it."""
    from mteb.languages.iso_mappings import _hf_lang_to_iso_lang_script

    tag = parse_tag(code)
    found = _hf_lang_to_iso_lang_script(tag.language)
    if found is None:
        return code
    script = tag.likely_script
    return found if script is None else f"{found.partition('-')[0]}-{script.capitalize()}"


@singledispatch
def _subsets(report: Any) -> dict[str, Subsets]:
    raise ConfigError(
        f"{type(report).__name__} has no form in MTEB",
        "Retrieval, mining and XNLI have one; use --output for others.",
    )


@_subsets.register
def _(report: RetrievalReport) -> dict[str, Subsets]:
    named = {"OtembedRetrieval": report.scores, "OtembedRetrievalCentered": report.centered_scores}
    return {name: [each for one in scores for each in _both_ways(one)] for name, scores in named.items() if scores}


@_subsets.register
def _(report: MiningScores) -> dict[str, Subsets]:
    figures = {
        name: getattr(report, name) for name in ("precision", "recall", "f1", "best_f1", "average_precision")
    }
    return {"OtembedMining": [_subset(report.name, _codes(report.name), report.f1, figures)]}


@_subsets.register
def _(report: XnliReport) -> dict[str, Subsets]:
    return {
        "OtembedXNLI": [
            _subset(
                one.language,
                [one.language],
                one.accuracy,
                {"accuracy": one.accuracy, "majority": one.majority, "examples": one.examples},
            )
            for one in report.scores
        ]
    }


def _both_ways(one: Any) -> Subsets:
    codes = _codes(one.pair)
    made = []
    for way, ordered in (("source_to_target", codes), ("target_to_source", codes[::-1])):
        figures = {name: getattr(one, f"{name}_{way}") for name in ("f1", "accuracy", "xsim")}
        subset = "-".join(ordered) or f"{one.pair} {way}"
        made.append(_subset(subset, ordered, figures["f1"], {**figures, "sentences": one.sentences}))
    return made


def _codes(pair: str) -> list[str]:
    """Return the two codes of a pair's key; none for another name."""
    codes = pair.split("-")
    return codes if len(codes) == 2 else []


def _subset(name: str, codes: list[str], main_score: float, figures: dict[str, Any]) -> dict[str, Any]:
    languages = [language_script(code) for code in codes]
    return {"hf_subset": name, "languages": languages, "main_score": main_score, **figures}
