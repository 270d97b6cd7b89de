"""State of a training run on disk: checkpoints and a lock; and the epoch of a resumed run."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from abc import ABC, abstractmethod
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast
from zipfile import BadZipFile, ZipFile

from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from transformers import TrainerCallback, TrainerState

from otembed.errors import ConfigError, OutputError
from otembed.results import writing
from otembed.results.temporary import is_leftover, remove_leftovers
from otembed.runtime.sealed import DIGESTS_FILE, damaged_in, seal_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch
    from transformers import Trainer, TrainerControl, TrainingArguments

logger = logging.getLogger(__name__)

LOCK = ".lock"
# Nanoseconds between the times of two checkpoints; the Trainer does not trust times that are all within a second.
_APART = 2 * 10**9
TENSORBOARD = "tensorboard"


def checkpoints_in(folder: Path) -> list[Path]:
    """Return the checkpoints in a folder, oldest first."""
    found = [each for each in folder.glob("checkpoint-*") if each.name.split("-")[1].isdigit()]
    return sorted(found, key=step_of)


def step_of(checkpoint: Path) -> int:
    """Return the step after which a checkpoint was saved."""
    return int(checkpoint.name.split("-")[1])


def damaged_file(checkpoint: Path) -> str | None:
    """Return the first file of a checkpoint that is missing, unreadable or damaged; ``None`` if there is none."""
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
    # Checkpoints are sealed after they are written; a kill between the two leaves a complete one.
    return damaged_in(checkpoint) if (checkpoint / DIGESTS_FILE).exists() else None


def order_by_step(folder: Path) -> None:
    """Set the times of checkpoints to the order of their steps: the Trainer deletes those that look oldest.

    A copy of a run has the times at which its files were copied, or those of another clock. Times that are in order, and not
    in the future, stay as they are.
    """
    found, now = checkpoints_in(folder), time.time_ns()
    times = [each.stat().st_mtime_ns for each in found]
    if all(earlier < later for earlier, later in pairwise([*times, now])):
        return
    try:
        for age, each in enumerate(reversed(found)):
            os.utime(each, ns=(min(times[-1], now) - age * _APART,) * 2)
    except OSError as error:
        logger.warning("%s: the times of checkpoints cannot be set: %s", folder, error)


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


def train_from(trainer: Trainer, checkpoint: Path | None) -> float:
    """Train from a checkpoint, or from the start, to the end; return the seconds.

    From the checkpoint of a finished training, the trainer would take one more step. Instead it does everything but
    steps: what it leaves in the model's settings and card is then the same as without an interruption.
    """
    trainer.add_callback(_BestCheckpoint)
    if checkpoint is None:
        return _train(trainer, None)
    if trainer.args.should_save:
        order_by_step(checkpoint.parent)
    saved = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    control = saved.stateful_callbacks.get("TrainerControl", {}).get("args", {})
    if saved.global_step >= saved.max_steps or control.get("should_training_stop"):
        trainer._run_epoch = lambda *_, **__: None  # type: ignore[method-assign]
    return _train(trainer, checkpoint)


class _BestCheckpoint(TrainerCallback):
    """Find the best checkpoint of a resumed run in its present folder; the saved path may be another."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        best = Path(str(args.output_dir)) / f"checkpoint-{state.best_global_step}"
        if state.best_global_step and best.is_dir():
            state.best_model_checkpoint = str(best)


def _train(trainer: Trainer, checkpoint: Path | None) -> float:
    weights = list(cast("torch.nn.Module", trainer.model).parameters())
    # AdamW keeps two numbers for each trained weight.
    needed = sum(each.nbytes * (3 if each.requires_grad else 1) for each in weights)
    trainer.add_callback(SealCheckpoints())
    with writing(str(trainer.args.output_dir), needed=needed):
        return float(
            trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint)).metrics[
                "train_runtime"
            ]
        )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a run folder for this process.

    Raises
    ------
    ConfigError
        Another process holds the lock.
    OutputError
        The file of the lock cannot be written.
    """
    file = folder / LOCK
    lock = FileLock(file)
    try:
        with writing(file):
            lock.acquire(timeout=0)
    except Timeout as error:
        raise ConfigError(f"{folder}: another process is using this run", "Wait until it finishes.") from error
    try:
        yield
    finally:
        # Removed while it is held: after the release, it may be the lock of another process.
        with suppress(OSError):
            file.unlink(missing_ok=True)
        lock.release()


@dataclass(frozen=True)
class TrainerFolder(ABC):
    """A folder with checkpoints of a running training and, in the end, its model."""

    path: Path
    # Names of everything that a run writes here.
    entries: ClassVar[frozenset[str]]

    @property
    def checkpoints(self) -> Path:
        """Checkpoints of the trainer."""
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        """The trained model."""
        return self.path / "model"

    @property
    def strangers(self) -> list[str]:
        """Names in the folder that no run writes, not even one that was killed."""
        names = sorted(each.name for each in self.path.iterdir())
        return [name for name in names if name not in self.entries and not is_leftover(name, self.entries)]

    @property
    def empty(self) -> bool:
        """Whether there is no folder, or nothing in it but what a run left that was killed as it started."""
        if not self.path.exists():
            return True
        return self.path.is_dir() and all(
            each.name == LOCK or is_leftover(each.name, self.entries) for each in self.path.iterdir()
        )

    def tidy(self) -> None:
        """Remove temporary files and folders of a killed process."""
        for name in sorted(self.entries):
            remove_leftovers(self.path / name)

    def tidy_finished(self, *, keep_checkpoints: bool) -> None:
        """Remove what is left of a run that was killed after its result; not if it is in use or read-only."""
        with suppress(OSError, ConfigError, OutputError), self.locked():
            self.tidy()
            if not keep_checkpoints:
                self.drop_checkpoints()

    def drop_half_written(self) -> None:
        """Delete temporary files, and incomplete or corrupt checkpoints."""
        self.tidy()
        drop_half_written(self.checkpoints)

    def last_checkpoint(self) -> Path | None:
        """Newest complete checkpoint, ``None`` without one."""
        return last_checkpoint(self.checkpoints)

    def drop_checkpoints(self) -> None:
        """Delete the checkpoints."""
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    def clear(self, *, settings: Path, result: Path) -> None:
        """Delete an earlier run but for its settings, and the lock that the caller holds.

        The file that marks a finished run goes first: an interruption leaves an unfinished run, which can be replaced.

        Raises
        ------
        OSError
            Something cannot be deleted; the new run would take it for its own.
        """
        result.unlink(missing_ok=True)
        self.tidy()
        for name in sorted(self.entries - {settings.name, LOCK}):
            path = self.path / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    @property
    @abstractmethod
    def resume_with(self) -> str | None:
        """The command that continues the run, for messages; ``None`` if it cannot be resumed."""

    @contextmanager
    def locked(self, prepare: Callable[[], None] | None = None) -> Iterator[None]:
        """Lock the folder for this process while the run writes to it.

        ``prepare`` is called first: what other processes may have changed before is checked, and settings are written, under
        the same lock as all that follows.

        Raises
        ------
        ConfigError
            Another process holds the lock.
        OutputError
            Something in the folder cannot be written.
        """
        with locked(self.path):
            if prepare is not None:
                with writing(self.path):
                    prepare()
            command = self.resume_with
            kept = "" if command is None else f"Complete checkpoints are kept; continue with: {command}"
            with writing(self.path, kept=kept):
                yield


class SealCheckpoints(TrainerCallback):
    """Store digests in each checkpoint: a flipped bit in the weights would give another model in silence."""

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Seal the checkpoint, except for the random states, which other processes may still be writing."""
        if state.is_world_process_zero:
            seal_folder(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}", without="rng_state_*.pth")


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
