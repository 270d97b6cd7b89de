"""Training objectives with the interface of sentence-transformers losses."""

from otembed.config import AlignmentConfig, AnchorConfig, ContrastiveConfig
from otembed.losses.alignment import OTAlignmentLoss
from otembed.losses.contrastive import OTContrastiveLoss
from otembed.losses.gradcache import GradCacheLoss

__all__ = [
    "AlignmentConfig",
    "AnchorConfig",
    "ContrastiveConfig",
    "GradCacheLoss",
    "OTAlignmentLoss",
    "OTContrastiveLoss",
]
