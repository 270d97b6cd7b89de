"""What the trainer leaves on disk: complete checkpoints and a lock; and the epoch that a resumed run needs."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from transformers import TrainerCallback, TrainerState

from otembed.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from transformers import Trainer, TrainerControl, TrainingArguments

LOCK = ".lock"


def checkpoints_in(folder: Path) -> list[Path]:
    """Return the checkpoints in a folder, oldest first."""
    found = [each for each in folder.glob("checkpoint-*") if each.name.split("-")[1].isdigit()]
    return sorted(found, key=lambda each: int(each.name.split("-")[1]))


def is_complete(checkpoint: Path) -> bool:
    """Return whether the trainer finished writing: its state, which it writes last, is valid."""
    try:
        state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(state, dict) and (checkpoint / "optimizer.pt").exists()


def drop_half_written(folder: Path) -> None:
    """Delete incomplete checkpoints, left by a killed run."""
    for checkpoint in checkpoints_in(folder):
        if not is_complete(checkpoint):
            shutil.rmtree(checkpoint)


def last_checkpoint(folder: Path) -> Path | None:
    """Return the newest complete checkpoint, ``None`` without one."""
    complete = [each for each in checkpoints_in(folder) if is_complete(each)]
    return complete[-1] if complete else None


def train_from(trainer: Trainer, checkpoint: Path | None) -> float | None:
    """Train from a checkpoint, or from the start, to the end; return the seconds.

    If the checkpoint is of a finished training, the trainer would take one more step. Here its weights (the best ones
    under ``load_best_model_at_end``) and its state are loaded instead, and ``None`` is returned.
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
    """Lock the run in a folder for this process.

    Raises
    ------
    ConfigError
        Another process works on it.
    """
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ConfigError(f"{folder}: another process works on this run", "Wait for it to end.") from error
    try:
        yield
    finally:
        lock.release()
        (folder / LOCK).unlink(missing_ok=True)


@dataclass(frozen=True)
class TrainerFolder:
    """The folder of a trainer: checkpoints while it runs, and a model at the end."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        """Folder of the trained model, in the layout of the library that loads it."""
        return self.path / "model"

    def drop_half_written(self) -> None:
        """Delete incomplete checkpoints, left by a killed run."""
        drop_half_written(self.checkpoints)

    def last_checkpoint(self) -> Path | None:
        """Newest complete checkpoint, ``None`` without one."""
        return last_checkpoint(self.checkpoints)

    def drop_checkpoints(self) -> None:
        """Delete the checkpoints."""
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    def locked(self) -> AbstractContextManager[None]:
        """Lock the folder for this process; ConfigError if another process works on it."""
        return locked(self.path)


class SamplerEpochs(TrainerCallback):
    """Set the epoch of every batch sampler, also in a resumed loader."""

    def on_epoch_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        train_dataloader: Any = None,
        **kwargs: Any,
    ) -> None:
        """Set the epoch of each sampler: the wrappers that a resumed loader adds do not pass it on."""
        sampler = getattr(train_dataloader, "batch_sampler", None)
        while sampler is not None:
            if hasattr(sampler, "set_epoch"):
                sampler.set_epoch(int(state.epoch or 0))
            sampler = getattr(sampler, "batch_sampler", None)
