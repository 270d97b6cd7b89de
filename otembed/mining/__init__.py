"""Mining parallel sentences: neighbors in both directions, margins, pairs; names are imported on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otembed._lazy import lazy_exports

if TYPE_CHECKING:
    from otembed.config import MiningConfig, NegativesConfig
    from otembed.mining.mine import mine_bitext
    from otembed.mining.mined import MinedPairs
    from otembed.mining.negatives.mine import HardNegatives, mine_negatives
    from otembed.mining.output import MinedPair
    from otembed.mining.score import ScoredPairs, score_bitext

__all__ = [
    "HardNegatives",
    "MinedPair",
    "MinedPairs",
    "MiningConfig",
    "NegativesConfig",
    "ScoredPairs",
    "mine_bitext",
    "mine_negatives",
    "score_bitext",
]

_MODULES = {
    "HardNegatives": "otembed.mining.negatives.mine",
    "MinedPair": "output",
    "MinedPairs": "mined",
    "MiningConfig": "otembed.config",
    "NegativesConfig": "otembed.config",
    "ScoredPairs": "score",
    "mine_bitext": "mine",
    "mine_negatives": "otembed.mining.negatives.mine",
    "score_bitext": "score",
}

__getattr__, __dir__ = lazy_exports(__name__, _MODULES)
