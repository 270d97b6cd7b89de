"""MTEB: its tasks run on a model, and results of otembed's own tasks in its form; requires ``otembed[mteb]``.

Names are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otembed._lazy import lazy_exports

if TYPE_CHECKING:
    from otembed.tasks.mteb.evaluate import evaluate_mteb, mteb_tasks
    from otembed.tasks.mteb.report import MtebReport, MtebScore
    from otembed.tasks.mteb.results import task_results, write_task_results

__all__ = ["MtebReport", "MtebScore", "evaluate_mteb", "mteb_tasks", "task_results", "write_task_results"]

_MODULES = {
    "MtebReport": "report",
    "MtebScore": "report",
    "evaluate_mteb": "evaluate",
    "mteb_tasks": "evaluate",
    "task_results": "results",
    "write_task_results": "results",
}

__getattr__, __dir__ = lazy_exports(__name__, _MODULES)
