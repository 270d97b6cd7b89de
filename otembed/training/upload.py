"""Push the model of a run, or a model folder, to the Hugging Face hub."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from otembed.config.hub import HubConfig
from otembed.config.io import build, read_yaml
from otembed.errors import ConfigError, HubError, ModelError
from otembed.models.push import PushReport, push_model
from otembed.models.push import check_push as check_hub
from otembed.results.paths import expand
from otembed.training.run_folder import RunFolder

if TYPE_CHECKING:
    from otembed.config.train import TrainConfig


class UnpushedError(HubError):
    """The push at the end of a run failed; the run in the folder ``run`` is complete."""

    def __init__(self, run: Path, error: HubError) -> None:
        self.run = run
        again = f"The run is complete. Push it with: otembed push {shlex.quote(str(run))}"
        super().__init__(error.message, f"{error.hint} {again}")


def push(
    place: str | Path, repository: str | None = None, *, private: bool | None = None, revision: str | None = None
) -> PushReport:
    """Push the model of a finished run, or a model folder; see :func:`otembed.models.push_model`.

    Parameters
    ----------
    place
        A run folder or a model folder.
    repository, private, revision
        Name, visibility and branch. By default, the settings ``hub`` of the run.

    Returns
    -------
    PushReport
        Also written to ``pushed.json`` of a run.

    Raises
    ------
    ConfigError
        No name is given, or the run is not finished.
    ModelError, HubError
        The folder does not exist, or as :func:`otembed.models.push_model`.
    """
    path = expand(place)
    if not path.is_dir():
        raise ModelError(
            f"{path}: there is no such folder", "Use a run folder, or a folder written by SentenceTransformer.save."
        )
    run = RunFolder(path)
    is_run = run.config.is_file()
    settings = HubConfig()
    if is_run:
        settings = build(HubConfig, read_yaml(run.config).get("hub") or {}, f"{run.config}: hub")
        if not run.finished:
            raise ConfigError(f"{path}: the run is not finished", f"Finish it first: {run.resume_with}")
    name = repository or settings.push
    if name is None:
        raise ConfigError(f"{place}: the name of the repository is missing", "Name it: OWNER/NAME.")
    report = push_model(
        run.model if is_run else path,
        name,
        private=settings.private if private is None else private,
        revision=revision or settings.revision,
    )
    if is_run:
        report.to_json(run.pushed)
    return report


def check_push(config: TrainConfig) -> None:
    """Find out before training whether the model can be pushed, if it is to be; HubError if not."""
    if config.hub.push is not None:
        check_hub(config.hub.push, config.hub.license)


def push_finished(run: RunFolder, config: TrainConfig) -> None:
    """Push the model of a finished run if its settings say so and it was not pushed before.

    Raises
    ------
    UnpushedError
        The hub refuses it, or cannot be reached; the message names the command that pushes the model.
    """
    if config.hub.push is None or run.pushed.is_file():
        return
    try:
        push(run.path)
    except HubError as error:
        raise UnpushedError(run.path, error) from error
