"""Evaluation of mining against known pairs: precision, recall and F1 by threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otembed._lazy import lazy_exports

if TYPE_CHECKING:
    from otembed.config import MiningConfig
    from otembed.tasks.mining.evaluate import MiningScores, evaluate_mining, mining_scores
    from otembed.tasks.mining.evaluator import MiningEvaluator

__all__ = [
    "MiningConfig",
    "MiningEvaluator",
    "MiningScores",
    "evaluate_mining",
    "mining_scores",
]

_MODULES = {
    "MiningConfig": "otembed.config",
    "MiningEvaluator": "evaluator",
    "MiningScores": "evaluate",
    "evaluate_mining": "evaluate",
    "mining_scores": "evaluate",
}

__getattr__, __dir__ = lazy_exports(__name__, _MODULES)
