"""The mean of the weights of the last checkpoints of a run."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from otembed.models.merge import set_weights, trained_weights, weights_between
from otembed.runtime.run_state import checkpoints_in, damaged_file, step_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)


def checkpoints_kept(count: int) -> int:
    """Return how many checkpoints a run keeps on disk to average the last ``count``: these, and the best one."""
    return max(2, count + 1) if count > 1 else 2


def average_checkpoints(
    model: SentenceTransformer, load: Callable[[str], object], folder: Path, count: int
) -> tuple[int, ...]:
    """Set the trained parameters of ``model`` to their mean over the last complete checkpoints, and return their steps.

    Every checkpoint has the same weight. The mean is computed in float32 or wider, one checkpoint at a time. A run that has
    fewer checkpoints averages those that it has, with a warning.

    Parameters
    ----------
    model
        The trained model; changed in place.
    load
        Loads a checkpoint into ``model``.
    folder
        The folder of the checkpoints.
    count
        Number of checkpoints.

    References
    ----------
    P. Izmailov et al., "Averaging weights leads to wider optima and better generalization", UAI 2018.
    """
    chosen = [each for each in checkpoints_in(folder) if damaged_file(each) is None][-count:]
    if len(chosen) < count:
        logger.warning(
            "release.average_checkpoints = %d, but the run has %d checkpoints: these are averaged",
            count,
            len(chosen),
        )
    mean = trained_weights(model)
    for number, checkpoint in enumerate(chosen, start=1):
        load(str(checkpoint))
        weights = trained_weights(model)
        mean = {name: weights_between(each, weights[name], 1 / number) for name, each in mean.items()}
    set_weights(model, mean, mean, 0)
    # The table of the card would name the best evaluation as the saved checkpoint.
    model.model_card_data.best_model_step = None
    steps = tuple(step_of(each) for each in chosen)
    logger.info("averaging the weights of steps %s", ", ".join(map(str, steps)))
    return steps
