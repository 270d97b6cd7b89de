"""Checkpoints of a trainer in a folder: which are whole, and which a kill cut off."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def last_checkpoint(folder: Path) -> Path | None:
    """Return the newest complete checkpoint; None without one."""
    complete = [each for each in _checkpoints(folder) if _is_complete(each)]
    return complete[-1] if complete else None


def drop_half_written(folder: Path) -> None:
    """Delete the checkpoints that a kill left incomplete."""
    for checkpoint in _checkpoints(folder):
        if not _is_complete(checkpoint):
            shutil.rmtree(checkpoint)


def _checkpoints(folder: Path) -> list[Path]:
    found = [each for each in folder.glob("checkpoint-*") if each.name.split("-")[1].isdigit()]
    return sorted(found, key=lambda each: int(each.name.split("-")[1]))


def _is_complete(checkpoint: Path) -> bool:
    """Whether the trainer finished writing: its state, which it writes last, is whole."""
    try:
        state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(state, dict) and (checkpoint / "optimizer.pt").exists()
