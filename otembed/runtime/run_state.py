"""State of a training run on disk: checkpoints and a lock; and the epoch of a resumed run."""

from __future__ import annotations

import json
import logging
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile, ZipFile

from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from transformers import TrainerCallback, TrainerState

from otembed.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from transformers import Trainer, TrainerControl, TrainingArguments

logger = logging.getLogger(__name__)

LOCK = ".lock"


def checkpoints_in(folder: Path) -> list[Path]:
    """Return the checkpoints in a folder, oldest first."""
    found = [each for each in folder.glob("checkpoint-*") if each.name.split("-")[1].isdigit()]
    return sorted(found, key=lambda each: int(each.name.split("-")[1]))


def damaged_file(checkpoint: Path) -> str | None:
    """Return the first file of a checkpoint that is missing, truncated or unreadable; ``None`` if it is complete."""
    try:
        state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return "trainer_state.json"
    if not isinstance(state, dict):
        return "trainer_state.json"
    weights = sorted(checkpoint.rglob("*.safetensors"))
    if not weights:
        return "model.safetensors"
    # torch saves zip archives with the directory at the end: a truncated one cannot be opened.
    archives = {checkpoint / "optimizer.pt", checkpoint / "scheduler.pt", *checkpoint.glob("rng_state*.pth")}
    for path in [*weights, *sorted(archives)]:
        try:
            with safe_open(path, "pt") if path.suffix == ".safetensors" else ZipFile(path):
                pass
        # RuntimeError: an archive of another version, or encrypted, by a flipped bit.
        except (OSError, BadZipFile, RuntimeError, SafetensorError):
            return path.name
    return None


def drop_half_written(folder: Path) -> None:
    """Delete incomplete or corrupt checkpoints with a warning; training resumes from an older one."""
    for checkpoint in checkpoints_in(folder):
        damaged = damaged_file(checkpoint)
        if damaged:
            logger.warning("%s: %s is missing or corrupt; deleting this checkpoint", checkpoint, damaged)
            shutil.rmtree(checkpoint)


def last_checkpoint(folder: Path) -> Path | None:
    """Return the newest complete checkpoint, ``None`` without one."""
    return next((each for each in reversed(checkpoints_in(folder)) if damaged_file(each) is None), None)


def train_from(trainer: Trainer, checkpoint: Path | None) -> float | None:
    """Train from a checkpoint, or from the start, to the end; return the seconds.

    From the checkpoint of a finished training, the trainer would take one more step. Instead, its weights (or the best
    ones, if the trainer selects them) and its state are loaded, and ``None`` is returned.
    """
    if checkpoint is None:
        return float(trainer.train().metrics["train_runtime"])
    saved = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    control = saved.stateful_callbacks.get("TrainerControl", {}).get("args", {})
    if saved.global_step < saved.max_steps and not control.get("should_training_stop"):
        return float(trainer.train(resume_from_checkpoint=str(checkpoint)).metrics["train_runtime"])
    best = checkpoint.parent / f"checkpoint-{saved.best_global_step}"
    chosen = best if trainer.args.load_best_model_at_end and best.is_dir() else checkpoint
    trainer._load_from_checkpoint(str(chosen))
    saved.best_model_checkpoint = str(best) if chosen == best else None
    trainer.state = saved
    return None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a run folder for this process.

    Raises
    ------
    ConfigError
        Another process holds the lock.
    """
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ConfigError(f"{folder}: another process is using this run", "Wait until it finishes.") from error
    try:
        yield
    finally:
        lock.release()
        (folder / LOCK).unlink(missing_ok=True)


@dataclass(frozen=True)
class TrainerFolder:
    """A folder with checkpoints of a running training and, in the end, its model."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        """Checkpoints of the trainer."""
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        """The trained model."""
        return self.path / "model"

    def drop_half_written(self) -> None:
        """Delete incomplete or corrupt checkpoints."""
        drop_half_written(self.checkpoints)

    def last_checkpoint(self) -> Path | None:
        """Newest complete checkpoint, ``None`` without one."""
        return last_checkpoint(self.checkpoints)

    def drop_checkpoints(self) -> None:
        """Delete the checkpoints."""
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    def locked(self) -> AbstractContextManager[None]:
        """Lock the folder for this process; ConfigError if another process holds the lock."""
        return locked(self.path)


class SamplerEpochs(TrainerCallback):
    """Pass the epoch to every batch sampler, also in a resumed loader."""

    def on_epoch_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        train_dataloader: Any = None,
        **kwargs: Any,
    ) -> None:
        """Set the epoch in each sampler; the wrappers of a resumed loader do not forward it."""
        sampler = getattr(train_dataloader, "batch_sampler", None)
        while sampler is not None:
            if hasattr(sampler, "set_epoch"):
                sampler.set_epoch(int(state.epoch or 0))
            sampler = getattr(sampler, "batch_sampler", None)
