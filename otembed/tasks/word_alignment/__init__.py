"""Evaluation of word alignment against gold links: precision, recall and alignment error rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otembed._lazy import lazy_exports

if TYPE_CHECKING:
    from otembed.config import WordAlignmentConfig
    from otembed.tasks.word_alignment.evaluate import WordAlignmentEvaluator, evaluate_alignment
    from otembed.tasks.word_alignment.gold import GoldSentence, GoldSet, read_gold, read_gold_set
    from otembed.tasks.word_alignment.occurrence import occurrence_links, text_word_retrieval
    from otembed.tasks.word_alignment.report import AlignmentReport
    from otembed.tasks.word_alignment.scores import AlignmentScores, WordRetrievalScores, alignment_scores
    from otembed.tasks.word_alignment.word_retrieval import score_word_retrieval

__all__ = [
    "AlignmentReport",
    "AlignmentScores",
    "GoldSentence",
    "GoldSet",
    "WordAlignmentConfig",
    "WordAlignmentEvaluator",
    "WordRetrievalScores",
    "alignment_scores",
    "evaluate_alignment",
    "occurrence_links",
    "read_gold",
    "read_gold_set",
    "score_word_retrieval",
    "text_word_retrieval",
]

_MODULES = {
    "AlignmentReport": "report",
    "AlignmentScores": "scores",
    "GoldSentence": "gold",
    "GoldSet": "gold",
    "WordAlignmentConfig": "otembed.config",
    "WordAlignmentEvaluator": "evaluate",
    "WordRetrievalScores": "scores",
    "alignment_scores": "scores",
    "evaluate_alignment": "evaluate",
    "occurrence_links": "occurrence",
    "read_gold": "gold",
    "read_gold_set": "gold",
    "score_word_retrieval": "word_retrieval",
    "text_word_retrieval": "occurrence",
}

__getattr__, __dir__ = lazy_exports(__name__, _MODULES)
