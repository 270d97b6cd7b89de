"""Retrieval of translations, word alignment, the shape of the space: figures in numpy, evaluators around them.

``bitext_scores``, ``mean_cosine`` and ``effective_rank`` take arrays; ``evaluate_retrieval`` and
``BitextRetrievalEvaluator`` take a sentence-transformers model.
"""

from otembed.evaluation.alignment_scores import AlignmentScores, alignment_scores
from otembed.evaluation.bitext import bitext_scores
from otembed.evaluation.geometry import effective_rank, mean_cosine
from otembed.evaluation.gold_links import GoldSentence, GoldSet, read_gold, read_gold_set
from otembed.evaluation.mining import MiningScores, evaluate_mining, mining_scores
from otembed.evaluation.mining_evaluator import MiningEvaluator
from otembed.evaluation.questions import evaluate_xquad
from otembed.evaluation.retrieval import BitextRetrievalEvaluator, evaluate_retrieval
from otembed.evaluation.word_alignment import (
    AlignmentReport,
    WordAlignmentEvaluator,
    evaluate_alignment,
)

__all__ = [
    "AlignmentReport",
    "AlignmentScores",
    "BitextRetrievalEvaluator",
    "GoldSentence",
    "GoldSet",
    "MiningEvaluator",
    "MiningScores",
    "WordAlignmentEvaluator",
    "alignment_scores",
    "bitext_scores",
    "effective_rank",
    "evaluate_alignment",
    "evaluate_mining",
    "evaluate_retrieval",
    "evaluate_xquad",
    "mean_cosine",
    "mining_scores",
    "read_gold",
    "read_gold_set",
]
