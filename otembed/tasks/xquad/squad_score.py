r"""F1 and exact match of predicted answers, by SQuAD v1.1's rule or by MLQA's.

XQuAD uses SQuAD's rule [1]_ in every language: lower case, no ASCII punctuation, no English articles, single spaces;
then :math:`F_1` of the two bags of words, or equality. MLQA's rule [2]_ drops all Unicode punctuation and the articles
of the language, and treats each Chinese character as a word; it is defined for seven languages only.

References
----------
.. [1] P. Rajpurkar et al., "SQuAD: 100,000+ Questions for Machine Comprehension of Text", EMNLP 2016.
.. [2] P. Lewis et al., "MLQA: Evaluating Cross-lingual Extractive Question Answering", ACL 2020.
"""

from __future__ import annotations

import re
import string
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from otembed.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Normalize = Callable[[str], str]
NORMALIZATIONS = ("squad", "mlqa")
ASCII_PUNCTUATION = str.maketrans("", "", string.punctuation)
ENGLISH_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
# MLQA's list for Arabic removes every alif-lam, even inside words.
MLQA_ARTICLES: dict[str, re.Pattern[str] | None] = {
    "en": ENGLISH_ARTICLES,
    "es": re.compile(r"\b(?:un|una|unos|unas|el|la|los|las)\b"),
    "hi": None,
    "vi": re.compile(r"\b(?:của|là|cái|chiếc|những)\b"),
    "de": re.compile(r"\b(?:ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b"),
    "ar": re.compile("ال"),
    "zh": None,
}
HAN = re.compile("([\u4e00-\u9fa5])")


class Score(NamedTuple):
    """F1 and exact match of one answer or the mean of many, between 0 and 1."""

    f1: float
    exact_match: float


def normalize_squad(text: str) -> str:
    """Return an answer normalized as in SQuAD v1.1.

    >>> normalize_squad("The  Broncos' defense, a wall.")
    'broncos defense wall'
    """
    return " ".join(ENGLISH_ARTICLES.sub(" ", text.lower().translate(ASCII_PUNCTUATION)).split())


def normalizer(name: str, language: str) -> Normalize:
    """Return the function that normalizes answers of a language.

    Raises
    ------
    ConfigError
        The name is unknown, or MLQA's rule is not defined for the language.

    >>> normalizer("mlqa", "es")("¡La  casa!"), normalizer("mlqa", "zh")("24次 (NFL)")
    ('casa', '24 次 nfl')
    """
    if name not in NORMALIZATIONS:
        raise ConfigError(f"normalization {name!r} is unknown", did_you_mean(name, NORMALIZATIONS))
    if name == "squad":
        return normalize_squad
    primary = language.split("_")[0]
    if primary not in MLQA_ARTICLES:
        raise ConfigError(
            f"MLQA's normalization is not defined for {language!r}, only for {' '.join(sorted(MLQA_ARTICLES))}",
            "Use squad, which XQuAD reports in every language.",
        )
    articles = MLQA_ARTICLES[primary]

    def normalize(text: str) -> str:
        plain = text.lower().translate(_all_punctuation())
        if articles is not None:
            plain = articles.sub(" ", plain)
        if primary == "zh":
            plain = HAN.sub(r" \1 ", plain)
        return " ".join(plain.split())

    return normalize


@cache
def _all_punctuation() -> dict[int, None]:
    """Return Unicode's punctuation and ASCII's symbols, for ``str.translate``."""
    marks = (code for code in range(sys.maxunicode) if unicodedata.category(chr(code)).startswith("P"))
    return dict.fromkeys([*marks, *map(ord, string.punctuation)])


def score_answer(prediction: str, answers: Iterable[str], normalize: Normalize = normalize_squad) -> Score:
    r"""Return the best F1 and the best exact match over the gold answers.

    With the bags of words p of the prediction and g of an answer, :math:`F_1 = 2 |p \cap g| / (|p| + |g|)`; 0 if they
    have no word in common, including if both are empty. Exact match is 1 if the normalized texts are equal.

    >>> score_answer("the black cat", ["cat", "a black dog"])
    Score(f1=0.6666666666666666, exact_match=0.0)
    """
    found = normalize(prediction)
    words = Counter(found.split())
    best = Score(0.0, 0.0)
    for answer in answers:
        wanted = normalize(answer)
        gold = Counter(wanted.split())
        common = (words & gold).total()
        f1 = 2 * common / (words.total() + gold.total()) if common else 0.0
        best = Score(max(best.f1, f1), max(best.exact_match, float(found == wanted)))
    return best


def score_answers(
    predictions: Mapping[str, str], answers: Mapping[str, Sequence[str]], normalize: Normalize = normalize_squad
) -> dict[str, Score]:
    """Return the score of each question by its id; a question without a prediction scores 0.

    >>> score_answers({"1": "cat"}, {"1": ["the cat"], "2": ["dog"]})["2"]
    Score(f1=0.0, exact_match=0.0)
    """
    return {
        key: score_answer(predictions[key], golds, normalize) if key in predictions else Score(0.0, 0.0)
        for key, golds in answers.items()
    }
