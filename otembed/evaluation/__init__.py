"""Retrieval of translations and the shape of the embedding space: figures in numpy, evaluators around them.

``bitext_scores``, ``mean_cosine`` and ``effective_rank`` take arrays; ``evaluate_retrieval`` and
``BitextRetrievalEvaluator`` take a sentence-transformers model.
"""

from otembed.evaluation.bitext import bitext_scores
from otembed.evaluation.geometry import effective_rank, mean_cosine
from otembed.evaluation.retrieval import BitextRetrievalEvaluator, evaluate_retrieval

__all__ = [
    "BitextRetrievalEvaluator",
    "bitext_scores",
    "effective_rank",
    "evaluate_retrieval",
    "mean_cosine",
]
