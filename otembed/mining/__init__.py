"""Mining parallel sentences: lines to embeddings, neighbours in both directions, margins and pairs.

One module a stage: ``lines``, ``embed`` (``shards``, ``vectors``), ``sides``, ``exact`` (``neighbours``, ``kernels``),
``rescore`` (``words``, ``word_scores``), ``margin``, ``pairing``, ``calibrate`` (``mixture``, ``planting``, ``dev_pairs``), ``output``; ``mine`` joins them. Names are imported on first use: the search is compiled.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from otembed.mining.mine import mine_bitext
    from otembed.mining.mined import MinedPairs
    from otembed.mining.output import MinedPair
    from otembed.mining.score import ScoredPairs, score_bitext

_HOMES = {
    "MinedPair": "output",
    "MinedPairs": "mined",
    "ScoredPairs": "score",
    "mine_bitext": "mine",
    "score_bitext": "score",
}

__all__ = ["MinedPair", "MinedPairs", "ScoredPairs", "mine_bitext", "score_bitext"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'otembed.mining' has no attribute {name!r}")
    return getattr(import_module(f"otembed.mining.{_HOMES[name]}"), name)
