"""The folder of a run that fine-tunes a head: settings, checkpoints, the model, and how a cut one is found again."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from safetensors import SafetensorError

from otembed.errors import ConfigError
from otembed.models.folders import whole_folder
from otembed.results import write_text
from otembed.runtime.run_state import LOCK, TrainerFolder

if TYPE_CHECKING:
    from collections.abc import Callable

    Kept = TypeVar("Kept")

ENTRIES = frozenset({"settings.json", "checkpoints", "model", "training.json", LOCK})


@dataclass(frozen=True)
class HeadRun(TrainerFolder):
    """``settings.json``, ``checkpoints/``, ``model/`` and, last of all, ``training.json``: with it, it is finished.

    ``command`` names in messages what writes such folders, ``kind`` is kept in the settings.
    """

    kind: str
    command: str

    @property
    def settings(self) -> Path:
        """What the trained model depends on."""
        return self.path / "settings.json"

    @property
    def summary(self) -> Path:
        """What became of training."""
        return self.path / "training.json"

    @property
    def finished(self) -> bool:
        """Whether training came to its end."""
        return self.summary.exists()

    def refuse_taken(self, *, resume: bool, overwrite: bool) -> None:
        """Raise ConfigError if a run cannot start or go on here; only another run is replaced, and only when asked."""
        if resume and overwrite:
            raise ConfigError("a run is to go on and to be replaced", "Give --resume or --overwrite.")
        taken = self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir()))
        if not taken:
            if resume:
                raise ConfigError(f"{self.path}: no run to resume", "Name the folder given to --run earlier.")
            return
        if not self.settings.is_file() or any(each.name not in ENTRIES for each in self.path.iterdir()):
            raise ConfigError(f"{self.path}: exists and holds no run of {self.command}", "Choose a new folder.")
        if not (resume or overwrite):
            raise ConfigError(
                f"{self.path}: holds {'a finished' if self.finished else 'an unfinished'} run",
                "Go on with --resume, replace it with --overwrite, or choose another folder.",
            )

    def open(
        self, settings: dict[str, Any], inputs: dict[str, str], *, resume: bool, overwrite: bool = False
    ) -> None:
        """Start the folder of a new run, or find an earlier one again.

        Parameters
        ----------
        settings
            The knobs that training depends on, as JSON has them.
        inputs
            Digest of the encoder and of each data set, by its name.
        resume, overwrite
            Go on with the run that lies there, or replace it.

        Raises
        ------
        ConfigError
            The folder is taken, cannot be written to, or ``resume`` is on and the run is another one.
        """
        self.refuse_taken(resume=resume, overwrite=overwrite)
        document = {"kind": self.kind, "settings": settings, "inputs": inputs}
        if resume:
            self._refuse_another(document)
            return
        try:
            if self.settings.is_file():
                with self.locked():
                    self._clear()
            self.path.mkdir(parents=True, exist_ok=True)
            write_text(self.settings, json.dumps(document, indent=1) + "\n")
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be written to: {error}", "Choose another folder.") from error

    def _clear(self) -> None:
        # A kill on the way leaves an unfinished run; its settings are written over at the end.
        self.summary.unlink(missing_ok=True)
        self.drop_checkpoints()
        shutil.rmtree(self.model, ignore_errors=True)

    def _refuse_another(self, document: dict[str, Any]) -> None:
        try:
            earlier = json.loads(self.settings.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self.settings}: damaged: {error}", "Start anew with --overwrite.") from error
        differ = _differences(earlier, document)
        if differ:
            raise ConfigError(
                f"{self.path}: the run to resume is another one: {', '.join(differ)}",
                "Give the same model, data and settings, or start anew with --overwrite.",
            )

    def kept(self, load: Callable[[Path, dict[str, Any]], Kept]) -> Kept:
        """Return what ``load`` makes of the folder of the model and the summary; ConfigError if they are damaged."""
        try:
            return load(self.model, json.loads(self.summary.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
            raise ConfigError(
                f"{self.path}: the finished run is damaged: {error}", "Start anew with --overwrite."
            ) from error

    def finish(self, save: Callable[[Path], None], summary: dict[str, Any]) -> None:
        """Let ``save`` write the model to a folder, then keep the summary, and drop the checkpoints."""
        with whole_folder(self.model) as folder:
            save(folder)
        write_text(self.summary, json.dumps(summary, indent=1) + "\n")
        self.drop_checkpoints()


def _differences(earlier: Any, now: dict[str, Any]) -> list[str]:
    if not (
        isinstance(earlier, dict) and all(isinstance(earlier.get(key), dict) for key in ("settings", "inputs"))
    ):
        return ["settings.json is not that of a run"]
    if earlier.get("kind") != now["kind"]:
        return [f"{earlier.get('kind')}, not {now['kind']}"]
    before, after = earlier["settings"], now["settings"]
    return [f"another {name}" for name, value in now["inputs"].items() if earlier["inputs"].get(name) != value] + [
        f"{key} {before.get(key)!r} is now {after.get(key)!r}"
        for key in {**before, **after}
        if before.get(key) != after.get(key)
    ]
