"""otembed: align multilingual sentence encoders with Optimal Transport.

Names are imported on first use, so ``import otembed`` loads neither torch nor transformers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from otembed.alignment import WordAligner, align, ot_similarity, ot_similarity_pairwise
    from otembed.config import AlignmentConfig, AnchorConfig, ContrastiveConfig, TrainConfig
    from otembed.config_mining import MiningConfig
    from otembed.data import load_pairs
    from otembed.errors import ConfigError, DataError, ModelError, NumericsError, OtembedError
    from otembed.evaluation import (
        BitextRetrievalEvaluator,
        MiningEvaluator,
        WordAlignmentEvaluator,
        evaluate_alignment,
        evaluate_mining,
        evaluate_retrieval,
        evaluate_xquad,
    )
    from otembed.losses import GradCacheLoss, OTAlignmentLoss, OTContrastiveLoss
    from otembed.mining import mine_bitext, score_bitext
    from otembed.models import load_model, save_model
    from otembed.training import train
    from otembed.transfer import evaluate_xnli, evaluate_xquad_span
    from otembed.transport import sinkhorn

__version__ = "0.1.0"

_HOMES = {
    "AlignmentConfig": "config",
    "AnchorConfig": "config",
    "BitextRetrievalEvaluator": "evaluation",
    "ConfigError": "errors",
    "ContrastiveConfig": "config",
    "DataError": "errors",
    "GradCacheLoss": "losses",
    "MiningConfig": "config_mining",
    "MiningEvaluator": "evaluation",
    "ModelError": "errors",
    "NumericsError": "errors",
    "OTAlignmentLoss": "losses",
    "OTContrastiveLoss": "losses",
    "OtembedError": "errors",
    "TrainConfig": "config",
    "WordAligner": "alignment",
    "WordAlignmentEvaluator": "evaluation",
    "align": "alignment",
    "evaluate_alignment": "evaluation",
    "evaluate_mining": "evaluation",
    "evaluate_retrieval": "evaluation",
    "evaluate_xnli": "transfer",
    "evaluate_xquad": "evaluation",
    "evaluate_xquad_span": "transfer",
    "load_model": "models",
    "load_pairs": "data",
    "mine_bitext": "mining",
    "ot_similarity": "alignment",
    "ot_similarity_pairwise": "alignment",
    "save_model": "models",
    "score_bitext": "mining",
    "sinkhorn": "transport",
    "train": "training",
}

__all__ = [
    "AlignmentConfig",
    "AnchorConfig",
    "BitextRetrievalEvaluator",
    "ConfigError",
    "ContrastiveConfig",
    "DataError",
    "GradCacheLoss",
    "MiningConfig",
    "MiningEvaluator",
    "ModelError",
    "NumericsError",
    "OTAlignmentLoss",
    "OTContrastiveLoss",
    "OtembedError",
    "TrainConfig",
    "WordAligner",
    "WordAlignmentEvaluator",
    "align",
    "evaluate_alignment",
    "evaluate_mining",
    "evaluate_retrieval",
    "evaluate_xnli",
    "evaluate_xquad",
    "evaluate_xquad_span",
    "load_model",
    "load_pairs",
    "mine_bitext",
    "ot_similarity",
    "ot_similarity_pairwise",
    "save_model",
    "score_bitext",
    "sinkhorn",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'otembed' has no attribute {name!r}")
    return getattr(import_module(f"otembed.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
