"""otembed: align multilingual sentence encoders with Optimal Transport.

Names are imported on first use, so ``import otembed`` loads neither torch nor transformers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from otembed._version import __version__ as __version__

if TYPE_CHECKING:
    from otembed.comparison import compare
    from otembed.config import AlignmentConfig, AnchorConfig, ContrastiveConfig, MiningConfig, TrainConfig
    from otembed.data import load_pairs
    from otembed.errors import ConfigError, DataError, ModelError, NumericsError, OtembedError
    from otembed.losses import GradCacheLoss, OTAlignmentLoss, OTContrastiveLoss
    from otembed.mining import mine_bitext, score_bitext
    from otembed.models import load_model, save_model
    from otembed.tasks.mining import MiningEvaluator, evaluate_mining
    from otembed.tasks.retrieval import BitextRetrievalEvaluator, evaluate_retrieval
    from otembed.tasks.word_alignment import WordAlignmentEvaluator, evaluate_alignment
    from otembed.tasks.xnli import evaluate_xnli
    from otembed.tasks.xquad import evaluate_xquad, evaluate_xquad_span
    from otembed.training import train
    from otembed.transport import sinkhorn
    from otembed.words import WordAligner, align, ot_similarity, ot_similarity_pairwise

_HOMES = {
    "AlignmentConfig": "config",
    "AnchorConfig": "config",
    "BitextRetrievalEvaluator": "tasks.retrieval",
    "ConfigError": "errors",
    "ContrastiveConfig": "config",
    "DataError": "errors",
    "GradCacheLoss": "losses",
    "MiningConfig": "config",
    "MiningEvaluator": "tasks.mining",
    "ModelError": "errors",
    "NumericsError": "errors",
    "OTAlignmentLoss": "losses",
    "OTContrastiveLoss": "losses",
    "OtembedError": "errors",
    "TrainConfig": "config",
    "WordAligner": "words",
    "WordAlignmentEvaluator": "tasks.word_alignment",
    "align": "words",
    "compare": "comparison",
    "evaluate_alignment": "tasks.word_alignment",
    "evaluate_mining": "tasks.mining",
    "evaluate_retrieval": "tasks.retrieval",
    "evaluate_xnli": "tasks.xnli",
    "evaluate_xquad": "tasks.xquad",
    "evaluate_xquad_span": "tasks.xquad",
    "load_model": "models",
    "load_pairs": "data",
    "mine_bitext": "mining",
    "ot_similarity": "words",
    "ot_similarity_pairwise": "words",
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
    "compare",
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
