"""Fine-tuning: from a configuration to a run folder with an aligned encoder."""

from otembed.config.train import TrainConfig
from otembed.training.estimate import dry_run
from otembed.training.push import push
from otembed.training.recipe import train
from otembed.training.result import DryRun, TrainResult
from otembed.training.run_folder import RunFolder

__all__ = ["DryRun", "RunFolder", "TrainConfig", "TrainResult", "dry_run", "push", "train"]
