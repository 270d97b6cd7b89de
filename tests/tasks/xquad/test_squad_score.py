"""SQuAD v1.1's and MLQA's scores: by hand, and against both rules written anew from their definitions."""

from __future__ import annotations

import random
import re
import string
import unicodedata

import pytest

from otembed.errors import ConfigError
from otembed.tasks.xquad.files import read_questions
from otembed.tasks.xquad.squad_score import normalize_squad, normalizer, score_answer, score_answers


@pytest.mark.parametrize(
    ("prediction", "answers", "f1", "exact"),
    [
        ("The Broncos", ["broncos"], 1, 1),
        ("Denver Broncos", ["Broncos"], 2 / 3, 0),
        ("Denver Broncos", ["Panthers", "the Denver Broncos!"], 1, 1),
        ("cat cat dog", ["cat dog dog"], 2 / 3, 0),  # bags: cat 1, dog 1 in common; 2*2/(3+3)
        ("a cat", ["an animal"], 0, 0),
        ("", ["cat"], 0, 0),
        ("the", ["a"], 0, 1),  # both are empty once normalized: equal, but no word in common
        ("308", ["308"], 1, 1),
        ("24 次", ["24次"], 0, 0),  # no segmentation of Chinese under SQuAD's rule
        ("«maison»", ["maison"], 0, 0),  # nor is punctuation beyond ASCII dropped
        ("theatre", ["the atre"], 0, 0),
        ("U.S.", ["us"], 1, 1),
    ],
)
def test_squad_scores_by_hand(prediction, answers, f1, exact):
    assert score_answer(prediction, answers) == (pytest.approx(f1), exact)


@pytest.mark.parametrize(
    ("language", "text", "normal"),
    [
        ("en", "The  «Cat», a dog’s", "cat dogs"),
        ("es", "¿El gato y las casas?", "gato y casas"),
        ("de", "Der Hund, einer der Besten", "hund besten"),
        ("vi", "những con mèo của tôi", "con mèo tôi"),
        ("hi", "एक बिल्ली।", "एक बिल्ली"),
        ("ar", "القطة، في البيت", "قطة في بيت"),
        ("zh", "24 次拦截（NFL）", "24 次 拦 截 nfl"),
        ("zh_Hans", "猫", "猫"),
    ],
)
def test_mlqa_normalization_by_hand(language, text, normal):
    assert normalizer("mlqa", language)(text) == normal


def test_undefined_scoring_is_rejected():
    with pytest.raises(ConfigError, match=r"'el'.*ar de en es hi vi zh\n.*squad"):
        normalizer("mlqa", "el")
    with pytest.raises(ConfigError, match=r"'mqla'.*\nDid you mean 'mlqa'"):
        normalizer("mqla", "en")
    assert normalizer("squad", "el") is normalize_squad


def test_question_without_a_prediction_scores_zero():
    assert score_answers({"1": "cat"}, {"1": ["a cat"], "2": ["dog"]}) == {"1": (1, 1), "2": (0, 0)}


def squad_rule(text):
    """Lower, drop ASCII punctuation, drop articles, squeeze: one character and one word at a time."""
    kept = "".join(character for character in text.lower() if character not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", kept).split())


MARKS = {chr(code) for code in range(0x110000 - 1) if unicodedata.category(chr(code))[0] == "P"} | set(
    string.punctuation
)
ARTICLES = {"en": r"\b(a|an|the)\b", "es": r"\b(un|una|unos|unas|el|la|los|las)\b", "ar": "ال", "zh": "(?!)"}


def mlqa_rule(text, language):
    """The same with Unicode's punctuation and own articles; Chinese characters one by one."""
    kept = "".join(character for character in text.lower() if character not in MARKS)
    kept = re.sub(ARTICLES[language], " ", kept)
    if language == "zh":
        kept = "".join(f" {each} " if "\u4e00" <= each <= "\u9fa5" else each for each in kept)
    return " ".join(kept.split())


def rule_score(prediction, answer, normal):
    found, gold = normal(prediction).split(), normal(answer).split()
    left, common = list(gold), 0
    for word in found:
        if word in left:
            left.remove(word)
            common += 1
    if not common:
        return 0.0
    precision, recall = common / len(found), common / len(gold)
    return 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize("language", ["ar", "en", "es", "zh"])
def test_published_answers_score_by_the_rules(published, language):
    data = read_questions(published / "xquad" / f"xquad.{language}.json")
    generator = random.Random(0)
    mlqa = normalizer("mlqa", language)
    for each in data.questions:
        (answer,) = each.answers
        context = data.paragraphs[each.paragraph].text
        shift = generator.randint(-9, 9), generator.randint(-9, 9)
        begin = max(0, answer.start + shift[0])
        for text in (
            answer.text,
            context[begin : answer.start + len(answer.text) + shift[1]],
            f"The {answer.text}!",
        ):
            for normal, own in ((squad_rule, normalize_squad), (lambda t: mlqa_rule(t, language), mlqa)):
                found = score_answer(text, [answer.text], own)
                assert found.f1 == pytest.approx(rule_score(text, answer.text, normal))
                assert found.exact_match == (normal(text) == normal(answer.text))
