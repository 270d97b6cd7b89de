"""Parallel text in its published formats, checked line by line and streamed.

``parse_pair_spec`` parses the location of a text, ``read_pairs`` yields its rows, ``clean_pairs`` drops and counts
noise, and ``load_pairs`` does all of this and returns a memory-mapped dataset. ``records`` reads every format.
"""

from otembed.config.train import PairChecks
from otembed.data.barred import read_barred, spaced_words
from otembed.data.checks import clean_pairs, clean_text, text_digest
from otembed.data.load import ParallelText, load_pairs
from otembed.data.places import Place, parse_place
from otembed.data.reading import read_pairs
from otembed.data.records import records
from otembed.data.rows import PairCounts, Row
from otembed.data.sampling import resample, temperature_sizes
from otembed.data.spec import PairSpec, parse_pair_spec
from otembed.data.splitting import split_held_out
from otembed.data.starter import starter_languages, starter_path
from otembed.data.streaming import PairStream, streamed

__all__ = [
    "PairChecks",
    "PairCounts",
    "PairSpec",
    "PairStream",
    "ParallelText",
    "Place",
    "Row",
    "clean_pairs",
    "clean_text",
    "load_pairs",
    "parse_pair_spec",
    "parse_place",
    "read_barred",
    "read_pairs",
    "records",
    "resample",
    "spaced_words",
    "split_held_out",
    "starter_languages",
    "starter_path",
    "streamed",
    "temperature_sizes",
    "text_digest",
]
