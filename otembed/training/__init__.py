"""Fine-tuning: from a configuration to a run folder with an aligned encoder."""

from otembed.training.estimate import dry_run
from otembed.training.recipe import train
from otembed.training.run_folder import RunFolder

__all__ = ["RunFolder", "dry_run", "train"]
