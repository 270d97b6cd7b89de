"""Training objectives that obey the sentence-transformers loss contract."""

from otembed.losses.alignment import OTAlignmentLoss
from otembed.losses.idf import inverse_document_frequencies

__all__ = ["OTAlignmentLoss", "inverse_document_frequencies"]
