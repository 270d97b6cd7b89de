"""The option ``--mteb`` of the evaluations: their results in MTEB's form."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .options import refuse_taken

MtebFolder = Annotated[
    Path | None,
    typer.Option("--mteb", metavar="FOLDER", help="Also write the results in MTEB's form there (otembed[mteb])."),
]


def check_mteb(folder: Path | None, names: tuple[str, ...], *, model: str, force: bool) -> None:
    """Reject a folder before the evaluation: mteb is missing, or it has these results or those of another model."""
    if folder is not None:
        from otembed.tasks.mteb.results import check_mteb_folder

        check_mteb_folder(folder, names, model=model, force=force)
        for name in names:
            refuse_taken(folder / f"{name}.json", force=force, flag="--mteb")


def write_mteb(report: Any, folder: Path | None, *, model: str, force: bool) -> None:
    """Write the report in MTEB's form."""
    if folder is not None:
        from otembed.tasks.mteb.results import task_results, write_task_results

        write_task_results(task_results(report), folder, model=model, force=force)
