"""otembed: align multilingual sentence encoders with Optimal Transport.

The names below are imported on first use, so ``import otembed`` loads neither torch nor transformers. Everything else
is imported from its package, such as :mod:`otembed.transport` or :mod:`otembed.tasks.retrieval`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otembed._lazy import lazy_exports
from otembed._version import __version__ as __version__

if TYPE_CHECKING:
    from otembed.comparison import compare
    from otembed.config import TrainConfig
    from otembed.data import load_pairs
    from otembed.documents import align_documents
    from otembed.errors import OtembedError
    from otembed.losses import GradCacheLoss, OTAlignmentLoss, OTContrastiveLoss
    from otembed.mining import mine_bitext, score_bitext
    from otembed.models import load_model, save_model
    from otembed.training import train
    from otembed.words import WordAligner, align

__all__ = [
    "GradCacheLoss",
    "OTAlignmentLoss",
    "OTContrastiveLoss",
    "OtembedError",
    "TrainConfig",
    "WordAligner",
    "align",
    "align_documents",
    "compare",
    "load_model",
    "load_pairs",
    "mine_bitext",
    "save_model",
    "score_bitext",
    "train",
]

_MODULES = {
    "GradCacheLoss": "losses",
    "OTAlignmentLoss": "losses",
    "OTContrastiveLoss": "losses",
    "OtembedError": "errors",
    "TrainConfig": "config",
    "WordAligner": "words",
    "align": "words",
    "align_documents": "documents",
    "compare": "comparison",
    "load_model": "models",
    "load_pairs": "data",
    "mine_bitext": "mining",
    "save_model": "models",
    "score_bitext": "mining",
    "train": "training",
}

__getattr__, __dir__ = lazy_exports(__name__, _MODULES)
