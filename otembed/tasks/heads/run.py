"""The run folder of a fine-tuned head: settings, checkpoints and model, and how an interrupted run resumes."""

from __future__ import annotations

import json
import logging
import shlex
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from safetensors import SafetensorError

from otembed.errors import ConfigError
from otembed.models.folders import whole_folder
from otembed.results import write_text, writing
from otembed.runtime.run_state import LOCK, TENSORBOARD, TrainerFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Kept = TypeVar("Kept")
    Made = TypeVar("Made")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class HeadRun(TrainerFolder):
    """``settings.json``, ``checkpoints/``, ``model/`` and, once the run is finished, ``training.json``.

    ``command`` is the command that writes such folders, for messages; ``kind`` is stored with the settings. A folder that
    is not ``lasting`` is deleted after the run, so the run cannot be resumed.
    """

    entries: ClassVar[frozenset[str]] = frozenset(
        {"settings.json", "checkpoints", TENSORBOARD, "model", "training.json", LOCK}
    )

    kind: str
    command: str
    lasting: bool = True

    @property
    def settings(self) -> Path:
        """The settings and inputs of the training."""
        return self.path / "settings.json"

    @property
    def summary(self) -> Path:
        """The summary of the training."""
        return self.path / "training.json"

    @property
    def finished(self) -> bool:
        """Whether the training is finished."""
        return self.summary.exists()

    @property
    def resume_with(self) -> str | None:
        """The command that continues the run, ``None`` if it cannot be resumed."""
        return f"{self.command} --run {shlex.quote(str(self.path))} --resume" if self.lasting else None

    def refuse_taken(self, *, resume: bool, overwrite: bool) -> None:
        """Raise ConfigError if a run cannot start or resume here; ``overwrite`` replaces only another run."""
        if resume and overwrite:
            raise ConfigError("--resume and --overwrite are mutually exclusive", "Remove one of them.")
        if self.empty:
            if resume:
                raise ConfigError(f"{self.path}: no run to resume", "Pass the --run folder of the earlier run.")
            return
        if not self.settings.is_file() or self.strangers:
            raise ConfigError(
                f"{self.path}: exists and is not a run folder of {self.command}", "Choose a new folder."
            )
        if not (resume or overwrite):
            raise ConfigError(
                f"{self.path}: contains {'a finished' if self.finished else 'an unfinished'} run",
                "Resume it with --resume, replace it with --overwrite, or choose another folder.",
            )

    @contextmanager
    def opened(
        self, settings: dict[str, Any], inputs: dict[str, str], *, resume: bool, overwrite: bool = False
    ) -> Iterator[None]:
        """Create the folder of a new run, or open that of an earlier run to resume; locked until the end of the block.

        Parameters
        ----------
        settings
            The settings that training depends on, as JSON values; an empty ``trainer`` is not stored.
        inputs
            Name to digest of the encoder and of each dataset.
        resume, overwrite
            Resume the run in the folder, or replace it.

        Raises
        ------
        ConfigError
            The folder is in use, or the run to resume has different settings or inputs.
        OutputError
            The folder is not writable.
        """
        settings = {name: value for name, value in settings.items() if (name, value) != ("trainer", {})}
        document = {"kind": self.kind, "settings": settings, "inputs": inputs}

        def prepare() -> None:
            # Of two runs that start at once, one writes: the other would leave its settings to a run that it does not train.
            self.refuse_taken(resume=resume, overwrite=overwrite)
            if resume:
                self._refuse_another(document)
            else:
                self.clear(settings=self.settings, result=self.summary)
                write_text(self.settings, json.dumps(document, indent=1) + "\n")

        self.refuse_taken(resume=resume, overwrite=overwrite)
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        with self.locked(prepare):
            yield

    def _refuse_another(self, document: dict[str, Any]) -> None:
        try:
            earlier = json.loads(self.settings.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self.settings}: corrupt: {error}", "Start again with --overwrite.") from error
        differ = _differences(earlier, document)
        if differ:
            raise ConfigError(
                f"{self.path}: the run to resume differs: {', '.join(differ)}",
                "Use the same model, data and settings, or start again with --overwrite.",
            )

    def trained(
        self,
        train: Callable[[], tuple[Made, dict[str, Any]]],
        save: Callable[[Made, Path], None],
        load: Callable[[Path, dict[str, Any]], Made],
    ) -> tuple[Made, dict[str, Any]]:
        """Return the trained model of an opened folder and the summary of its training; a finished run is not repeated.

        Parameters
        ----------
        train
            Trains from the last checkpoint to the end and returns the model and its summary, as JSON values.
        save
            Writes the model to a folder.
        load
            Returns the model that ``save`` wrote; it gets the folder and the summary.

        Raises
        ------
        ConfigError
            The model or the summary of the finished run is corrupt.
        OutputError
            The folder is not writable.
        """
        if self.finished:
            logger.info("%s: already trained", self.path)
            return self.kept(lambda folder, summary: (load(folder, summary), summary))
        self.drop_half_written()
        made, summary = train()
        self.finish(lambda folder: save(made, folder), summary)
        return made, summary

    def kept(self, load: Callable[[Path, dict[str, Any]], Kept]) -> Kept:
        """Return the result of ``load`` for the model folder and the summary; what a killed process left is removed.

        ConfigError if they are corrupt. Call it with the folder locked.
        """
        self.tidy()
        self.drop_checkpoints()
        try:
            return load(self.model, json.loads(self.summary.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
            raise ConfigError(
                f"{self.path}: the finished run is corrupt: {error}", "Start again with --overwrite."
            ) from error

    def finish(self, save: Callable[[Path], None], summary: dict[str, Any]) -> None:
        """Write the model with ``save``, then the summary, and delete the checkpoints."""
        with whole_folder(self.model) as folder:
            save(folder)
        write_text(self.summary, json.dumps(summary, indent=1) + "\n")
        self.drop_checkpoints()


def check_run(run: HeadRun | None, *, trained: bool, resume: bool, overwrite: bool) -> None:
    """Raise ConfigError unless the run folder and its options fit the request; nothing is written.

    Parameters
    ----------
    run
        The run folder asked for; None without one.
    trained
        Whether a head is fine-tuned; a probe has no run folder.
    resume, overwrite
        Resume the run in the folder, or replace it.
    """
    if not trained and (run is not None or resume or overwrite):
        raise ConfigError(
            "run, resume and overwrite do not apply to a probe", "Remove them, or use --protocol finetune."
        )
    if run is None:
        if resume or overwrite:
            raise ConfigError("resume and overwrite require a run folder", "Add run (--run FOLDER).")
        return
    run.refuse_taken(resume=resume, overwrite=overwrite)


def _differences(earlier: Any, now: dict[str, Any]) -> list[str]:
    if not (
        isinstance(earlier, dict) and all(isinstance(earlier.get(key), dict) for key in ("settings", "inputs"))
    ):
        return ["settings.json is not from a run"]
    if earlier.get("kind") != now["kind"]:
        return [f"{earlier.get('kind')}, not {now['kind']}"]
    before, after = earlier["settings"], now["settings"]
    return [
        f"different {name}" for name, value in now["inputs"].items() if earlier["inputs"].get(name) != value
    ] + [
        f"{key} {before.get(key)!r} is now {after.get(key)!r}"
        for key in {**before, **after}
        if before.get(key) != after.get(key)
    ]
