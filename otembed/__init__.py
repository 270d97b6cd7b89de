"""otembed: align multilingual sentence encoders with Optimal Transport.

Names are imported on first use, so ``import otembed`` loads neither torch nor transformers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from otembed.alignment import WordAligner, align, ot_similarity, ot_similarity_pairwise
    from otembed.config import AlignmentConfig, AnchorConfig, ContrastiveConfig, TrainConfig
    from otembed.data import load_pairs
    from otembed.errors import ConfigError, DataError, ModelError, NumericsError, OtembedError
    from otembed.evaluation import (
        BitextRetrievalEvaluator,
        WordAlignmentEvaluator,
        evaluate_alignment,
        evaluate_retrieval,
    )
    from otembed.losses import GradCacheLoss, OTAlignmentLoss, OTContrastiveLoss
    from otembed.models import load_model, save_model
    from otembed.training import train
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
    "evaluate_retrieval": "evaluation",
    "load_model": "models",
    "load_pairs": "data",
    "ot_similarity": "alignment",
    "ot_similarity_pairwise": "alignment",
    "save_model": "models",
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
    "evaluate_retrieval",
    "load_model",
    "load_pairs",
    "ot_similarity",
    "ot_similarity_pairwise",
    "save_model",
    "sinkhorn",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'otembed' has no attribute {name!r}")
    return getattr(import_module(f"otembed.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
