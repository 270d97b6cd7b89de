"""The folder of a fine-tuned head: settings, checkpoints, the model, and how a cut run is found again."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from otembed.errors import ConfigError
from otembed.models.folders import whole_folder
from otembed.models.run_state import LOCK, drop_half_written, last_checkpoint
from otembed.results import write_text

if TYPE_CHECKING:
    from pathlib import Path

ENTRIES = frozenset({"settings.json", "checkpoints", "model", "training.json", LOCK})


@dataclass(frozen=True)
class FinetuneRun:
    """``settings.json``, ``checkpoints/``, ``model/`` and, last of all, ``training.json``: with it, it is finished."""

    path: Path

    @property
    def settings(self) -> Path:
        """What the head depends on."""
        return self.path / "settings.json"

    @property
    def checkpoints(self) -> Path:
        """Checkpoints of the trainer."""
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        """The chosen model, loaded with plain ``CrossEncoder(path)``."""
        return self.path / "model"

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
            raise ConfigError(f"{self.path}: exists and holds no run of otembed eval xnli", "Choose a new folder.")
        if not (resume or overwrite):
            raise ConfigError(
                f"{self.path}: holds {'a finished' if self.finished else 'an unfinished'} run",
                "Go on with --resume, replace it with --overwrite, or choose another folder.",
            )

    def open(self, settings: dict[str, Any], *, resume: bool, overwrite: bool) -> None:
        """Start the folder of a new run, or check that an earlier one has the same settings; ConfigError if not."""
        self.refuse_taken(resume=resume, overwrite=overwrite)
        if resume:
            try:
                earlier = json.loads(self.settings.read_text(encoding="utf-8"))
            except ValueError as error:
                raise ConfigError(f"{self.settings}: damaged: {error}", "Start anew with --overwrite.") from error
            differ = [key for key in {**earlier, **settings} if earlier.get(key) != settings.get(key)]
            if differ:
                raise ConfigError(
                    f"{self.path}: the run to resume has another {', '.join(differ)}",
                    "Give the same model, data and settings, or start anew with --overwrite.",
                )
            return
        try:
            for name in ENTRIES if self.settings.is_file() else ():
                place = self.path / name
                shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
            self.path.mkdir(parents=True, exist_ok=True)
            write_text(self.settings, json.dumps(settings, indent=1) + "\n")
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be written to: {error}", "Choose another folder.") from error

    def drop_half_written(self) -> None:
        """Delete the checkpoints that a kill left incomplete."""
        drop_half_written(self.checkpoints)

    def last_checkpoint(self) -> Path | None:
        """Newest complete checkpoint, ``None`` without one."""
        return last_checkpoint(self.checkpoints)

    def read_summary(self) -> dict[str, Any]:
        """Return what became of training."""
        found: dict[str, Any] = json.loads(self.summary.read_text(encoding="utf-8"))
        return found

    def finish(self, classifier: Any, summary: dict[str, Any]) -> None:
        """Save the model, then the summary, and drop the checkpoints."""
        with whole_folder(self.model) as folder:
            classifier.save_pretrained(str(folder), create_model_card=False)
        write_text(self.summary, json.dumps(summary, indent=1) + "\n")
        shutil.rmtree(self.checkpoints, ignore_errors=True)
