"""From subword tokens to the words that are aligned, and from transport plans to word links."""

from otembed.config import WordAlignmentConfig
from otembed.words.aligner import WordAligner, align
from otembed.words.layer_choice import LayerChoice, choose_layer, store_layer, stored_layer
from otembed.words.links import Link, SentenceAlignment, decode_links, link_probabilities
from otembed.words.similarity import ot_similarity, ot_similarity_pairwise
from otembed.words.units import WordSegmenter, pool_units, token_units
from otembed.words.vocabulary import VocabularyTable, vocabulary_table

__all__ = [
    "LayerChoice",
    "Link",
    "SentenceAlignment",
    "VocabularyTable",
    "WordAligner",
    "WordAlignmentConfig",
    "WordSegmenter",
    "align",
    "choose_layer",
    "decode_links",
    "link_probabilities",
    "ot_similarity",
    "ot_similarity_pairwise",
    "pool_units",
    "store_layer",
    "stored_layer",
    "token_units",
    "vocabulary_table",
]
