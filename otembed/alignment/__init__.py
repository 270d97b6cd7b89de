"""From sub-word tokens to the units that are aligned."""

from otembed.alignment.similarity import ot_similarity, ot_similarity_pairwise
from otembed.alignment.units import WordSegmenter, pool_units, token_units
from otembed.alignment.vocabulary import VocabularyTable, vocabulary_table

__all__ = [
    "VocabularyTable",
    "WordSegmenter",
    "ot_similarity",
    "ot_similarity_pairwise",
    "pool_units",
    "token_units",
    "vocabulary_table",
]
