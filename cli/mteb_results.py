"""The option ``--mteb`` of the evaluations: their results in MTEB's form."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

MtebFolder = Annotated[
    Path | None,
    typer.Option("--mteb", metavar="FOLDER", help="Also write the results in MTEB's form there (otembed[mteb])."),
]


def check_mteb(folder: Path | None, names: tuple[str, ...], *, force: bool) -> None:
    """Reject a folder before the evaluation: mteb is missing, or it has results of these names."""
    if folder is not None:
        from otembed.tasks.mteb.results import check_mteb_folder

        check_mteb_folder(folder, names, force=force)


def write_mteb(report: Any, folder: Path | None, *, force: bool) -> None:
    """Write the report in MTEB's form."""
    if folder is not None:
        from otembed.tasks.mteb.results import task_results, write_task_results

        write_task_results(task_results(report), folder, force=force)
