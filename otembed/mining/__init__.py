"""Mining parallel sentences: neighbors in both directions, margins, pairs; names are imported on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otembed._lazy import lazy_exports

if TYPE_CHECKING:
    from otembed.config import MiningConfig
    from otembed.mining.mine import mine_bitext
    from otembed.mining.mined import MinedPairs
    from otembed.mining.output import MinedPair
    from otembed.mining.score import ScoredPairs, score_bitext

__all__ = [
    "MinedPair",
    "MinedPairs",
    "MiningConfig",
    "ScoredPairs",
    "mine_bitext",
    "score_bitext",
]

_MODULES = {
    "MinedPair": "output",
    "MinedPairs": "mined",
    "MiningConfig": "otembed.config",
    "ScoredPairs": "score",
    "mine_bitext": "mine",
    "score_bitext": "score",
}

__getattr__, __dir__ = lazy_exports(__name__, _MODULES)
