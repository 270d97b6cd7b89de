"""Sentence alignment within documents against gold links; names are imported on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otembed._lazy import lazy_exports

if TYPE_CHECKING:
    from otembed.tasks.documents.evaluate import GoldDocuments, evaluate_documents
    from otembed.tasks.documents.gold import read_gold
    from otembed.tasks.documents.report import DocumentScores, DocumentsEvaluation
    from otembed.tasks.documents.scores import link_scores

__all__ = [
    "DocumentScores",
    "DocumentsEvaluation",
    "GoldDocuments",
    "evaluate_documents",
    "link_scores",
    "read_gold",
]

_MODULES = {
    "DocumentScores": "report",
    "DocumentsEvaluation": "report",
    "GoldDocuments": "evaluate",
    "evaluate_documents": "evaluate",
    "link_scores": "scores",
    "read_gold": "gold",
}

__getattr__, __dir__ = lazy_exports(__name__, _MODULES)
