"""Fine-tuning: from a configuration to a run folder with an aligned encoder; names are imported on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otembed._lazy import lazy_exports

if TYPE_CHECKING:
    from otembed.config.train import TrainConfig
    from otembed.training.estimate import dry_run
    from otembed.training.recipe import train
    from otembed.training.report import run_report
    from otembed.training.result import DryRun, TrainResult
    from otembed.training.run_folder import RunFolder
    from otembed.training.upload import push

__all__ = ["DryRun", "RunFolder", "TrainConfig", "TrainResult", "dry_run", "push", "run_report", "train"]

_MODULES = {
    "DryRun": "result",
    "RunFolder": "run_folder",
    "TrainConfig": "otembed.config",
    "TrainResult": "result",
    "dry_run": "estimate",
    "push": "upload",
    "run_report": "report",
    "train": "recipe",
}

__getattr__, __dir__ = lazy_exports(__name__, _MODULES)
