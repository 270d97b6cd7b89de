"""Training objectives that obey the sentence-transformers loss contract."""

from otembed.losses.alignment import OTAlignmentLoss
from otembed.losses.contrastive import OTContrastiveLoss
from otembed.losses.gradcache import GradCacheLoss
from otembed.losses.idf import inverse_document_frequencies

__all__ = ["GradCacheLoss", "OTAlignmentLoss", "OTContrastiveLoss", "inverse_document_frequencies"]
