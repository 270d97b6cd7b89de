"""Retrieval of translations (Tatoeba, xSIM, MTEB bitext F1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otembed._lazy import lazy_exports

if TYPE_CHECKING:
    from otembed.tasks.retrieval.bitext import bitext_scores
    from otembed.tasks.retrieval.evaluate import BitextRetrievalEvaluator, evaluate_retrieval
    from otembed.tasks.retrieval.geometry import effective_rank, mean_cosine
    from otembed.tasks.retrieval.report import RetrievalReport, RetrievalScores, mean_scores

__all__ = [
    "BitextRetrievalEvaluator",
    "RetrievalReport",
    "RetrievalScores",
    "bitext_scores",
    "effective_rank",
    "evaluate_retrieval",
    "mean_cosine",
    "mean_scores",
]

_MODULES = {
    "BitextRetrievalEvaluator": "evaluate",
    "RetrievalReport": "report",
    "RetrievalScores": "report",
    "bitext_scores": "bitext",
    "effective_rank": "geometry",
    "evaluate_retrieval": "evaluate",
    "mean_cosine": "geometry",
    "mean_scores": "report",
}

__getattr__, __dir__ = lazy_exports(__name__, _MODULES)
