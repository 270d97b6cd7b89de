"""Run tasks of MTEB on a model; requires ``otembed[mteb]``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from otembed.errors import ConfigError, DataError, did_you_mean, named_line
from otembed.tasks.mteb.report import MtebReport, MtebScore
from otembed.tasks.mteb.results import require_mteb, result_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mteb import AbsTask, TaskResult
    from sentence_transformers import SentenceTransformer


def mteb_tasks(names: Sequence[str], languages: Sequence[str] | None = None) -> list[AbsTask]:
    """Return tasks of MTEB by name, restricted to languages of ISO 639-3.

    Raises
    ------
    ConfigError
        mteb is missing, a name is unknown, or a task has none of the languages.
    """
    mteb = require_mteb()
    found = []
    for name in names:
        try:
            found.append(mteb.get_task(name, languages=list(languages) if languages else None))
        except KeyError as error:
            known = [each.metadata.name for each in mteb.get_tasks(exclude_superseded=False)]
            raise ConfigError(f"mteb has no task {name!r}", _shortest(did_you_mean(name, known))) from error
        except ValueError as error:
            raise ConfigError(f"{name}: {error}", "Use codes of ISO 639-3, such as eng or eng-Latn.") from error
        if not found[-1].hf_subsets:
            raise ConfigError(f"{name} has none of the languages {', '.join(languages or ())}", "Omit --languages.")
    return found


def evaluate_mteb(
    model: SentenceTransformer,
    tasks: Sequence[AbsTask],
    *,
    name: str = "model",
    batch_size: int = 32,
    show_progress_bar: bool = False,
) -> tuple[MtebReport, list[TaskResult]]:
    """Evaluate a model on tasks of MTEB; no results of earlier runs are reused.

    Parameters
    ----------
    model
        The encoder; MTEB chooses among its prompts by the task.
    tasks
        From :func:`mteb_tasks`, or own subclasses of ``mteb.AbsTask``.
    name
        Name of the model in the report.
    batch_size
        Sentences encoded at a time.
    show_progress_bar
        Show MTEB's progress bars.

    Raises
    ------
    DataError
        A task fails, usually because its data cannot be loaded.
    """
    mteb = require_mteb()
    results: list[TaskResult] = []
    for task in tasks:
        try:
            found = mteb.evaluate(
                model,
                task,
                encode_kwargs={"batch_size": batch_size, "show_progress_bar": show_progress_bar},
                cache=None,
                co2_tracker=False,
                show_progress_bar=show_progress_bar,
            )
        except Exception as error:  # loaders and metrics of a thousand tasks raise anything
            raise DataError(
                f"{task.metadata.name}: {named_line(error)}",
                "Check the network: MTEB loads its data from the Hugging Face hub.",
            ) from error
        results += found.task_results
    scores = [
        MtebScore(each.task_name, split, one["hf_subset"], tuple(one["languages"]), float(one["main_score"]))
        for each in results
        for split, subsets in each.scores.items()
        for one in subsets
    ]
    documents: list[dict[str, Any]] = [json.loads(result_text(each)) for each in results]
    return MtebReport(name, mteb.__version__, tuple(scores), tuple(documents)), results


def _shortest(hint: str) -> str:
    return hint if hint.startswith("Did") else "mteb.get_tasks() lists all names."
