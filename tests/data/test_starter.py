import re
import unicodedata
from itertools import combinations

import pytest

from otembed.data import load_pairs, parse_pair_spec, starter_languages, starter_path
from otembed.data.starter import starter_parts
from otembed.errors import ConfigError

SCRIPTS = {
    "en": "LATIN",
    "sw": "LATIN",
    "ar": "ARABIC",
    "hi": "DEVANAGARI",
    "th": "THAI",
    "zh": "CJK UNIFIED",
    "ru": "CYRILLIC",
    "el": "GREEK",
    "ko": "HANGUL",
}


def table(part):
    header, *rows = [line.split("\t") for line in starter_path(part).read_text("utf-8").splitlines()]
    return [dict(zip(header, row, strict=True)) for row in rows]


ROWS = {part: table(part) for part in starter_parts()}


def test_size_and_languages():
    assert starter_languages() == tuple(SCRIPTS)
    assert len(starter_languages()) - 1 >= 8
    assert (len(ROWS["train"]), len(ROWS["test"])) == (256, 128)


def test_groups_are_complete_and_in_one_part():
    groups = {part: [row["group"] for row in rows] for part, rows in ROWS.items()}
    assert not set(groups["train"]) & set(groups["test"])
    for names in groups.values():
        assert names == [name for name in dict.fromkeys(names) for _ in range(4)]


@pytest.mark.parametrize("language", SCRIPTS)
def test_starter_sentences_are_clean(language):
    sentences = [row[language] for rows in ROWS.values() for row in rows]
    assert len(set(sentences)) == len(sentences)
    for sentence in sentences:
        assert sentence == sentence.strip() != ""
        assert unicodedata.is_normalized("NFC", sentence)
        letters = [character for character in sentence if character.isalpha()]
        assert {SCRIPTS[language] in unicodedata.name(letter) for letter in letters} == {True}, sentence


@pytest.mark.parametrize("languages", list(combinations(SCRIPTS, 2)))
def test_every_pair_loads_without_loss(languages):
    key = "-".join(languages)
    for part, rows in ROWS.items():
        text = load_pairs(parse_pair_spec(key, f"starter:{key}@{part}"))
        assert (text.counts.kept, text.counts.dropped) == (len(rows), {})
        assert text.dataset["source"][0] == rows[0][text.source_language]
        assert text.dataset["target"][-1] == rows[-1][text.target_language]


def test_near_variants_share_words():
    for rows in ROWS.values():
        for start in range(0, len(rows), 4):
            words = [set(re.findall(r"\w+", row["en"].lower())) for row in rows[start : start + 4]]
            assert all(words[0] & other for other in words[1:])


def test_starter_text_states_its_origin():
    readme = starter_path().with_name("README.md").read_text("utf-8")
    for statement in ("Apache-2.0", "not reviewed by native speakers", "256", "128"):
        assert statement in readme


def test_unknown_part_is_rejected():
    with pytest.raises(ConfigError, match="'dev'") as caught:
        starter_path("dev")
    assert caught.value.hint == "Choose one of: test, train."
