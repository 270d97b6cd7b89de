"""Training objectives that obey the sentence-transformers loss contract."""

from otembed.losses.alignment import OTAlignmentLoss
from otembed.losses.contrastive import OTContrastiveLoss
from otembed.losses.gradcache import GradCacheLoss

__all__ = ["GradCacheLoss", "OTAlignmentLoss", "OTContrastiveLoss"]
