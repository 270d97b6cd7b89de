"""From documents to sentence pairs: documents that match, and sentence alignment within them; names are imported on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otembed._lazy import lazy_exports

if TYPE_CHECKING:
    from otembed.config import DocumentMiningConfig, DocumentsConfig, MatchConfig
    from otembed.documents.align import align_collection, align_documents
    from otembed.documents.aligned import AlignedDocuments
    from otembed.documents.links import AlignedPair, Link
    from otembed.documents.match import MatchedDocuments, MatchedPair, match_documents
    from otembed.documents.mine import DocumentMiningPlan, MinedDocuments, mine_documents, plan_document_mining
    from otembed.documents.read import Document, DocumentPair, read_document, read_documents, read_pairs
    from otembed.documents.split import Splitter, split_text

__all__ = [
    "AlignedDocuments",
    "AlignedPair",
    "Document",
    "DocumentMiningConfig",
    "DocumentMiningPlan",
    "DocumentPair",
    "DocumentsConfig",
    "Link",
    "MatchConfig",
    "MatchedDocuments",
    "MatchedPair",
    "MinedDocuments",
    "Splitter",
    "align_collection",
    "align_documents",
    "match_documents",
    "mine_documents",
    "plan_document_mining",
    "read_document",
    "read_documents",
    "read_pairs",
    "split_text",
]

_MODULES = {
    "AlignedDocuments": "aligned",
    "AlignedPair": "links",
    "Document": "read",
    "DocumentMiningConfig": "otembed.config",
    "DocumentMiningPlan": "mine",
    "DocumentPair": "read",
    "DocumentsConfig": "otembed.config",
    "Link": "links",
    "MatchConfig": "otembed.config",
    "MatchedDocuments": "match",
    "MatchedPair": "match",
    "MinedDocuments": "mine",
    "Splitter": "split",
    "align_collection": "align",
    "align_documents": "align",
    "match_documents": "match",
    "mine_documents": "mine",
    "plan_document_mining": "mine",
    "read_document": "read",
    "read_documents": "read",
    "read_pairs": "read",
    "split_text": "split",
}

__getattr__, __dir__ = lazy_exports(__name__, _MODULES)
