"""Retrieval of translations and the shape of the embedding space: figures in numpy, evaluators around them.

``bitext_scores``, ``mean_cosine`` and ``effective_rank`` take arrays; ``evaluate_retrieval`` and
``BitextRetrievalEvaluator`` take a sentence-transformers model.
"""

from otembed.evaluation.bitext import bitext_scores
from otembed.evaluation.geometry import effective_rank, mean_cosine
from otembed.evaluation.mining import MiningScores, evaluate_mining, mining_scores
from otembed.evaluation.mining_evaluator import MiningEvaluator
from otembed.evaluation.retrieval import BitextRetrievalEvaluator, evaluate_retrieval

__all__ = [
    "BitextRetrievalEvaluator",
    "MiningEvaluator",
    "MiningScores",
    "bitext_scores",
    "effective_rank",
    "evaluate_mining",
    "evaluate_retrieval",
    "mean_cosine",
    "mining_scores",
]
