import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otembed.data import PairChecks, PairCounts, Row, clean_pairs, clean_text, text_digest
from otembed.data.checks import SPACES, is_blank
from otembed.errors import ConfigError

OFF = PairChecks(
    max_characters=None,
    max_length_ratio=None,
    drop_identical=False,
    drop_duplicates=False,
    drop_control_characters=False,
)


def clean(pairs, checks=None, **options):
    counts = PairCounts()
    rows = [Row(*pair, line) for line, pair in enumerate(pairs, start=1)]
    kept = [tuple(row[:3]) for row in clean_pairs(rows, checks or PairChecks(), counts, **options)]
    return kept, counts


def test_long_white_space_takes_linear_time():
    # A minute, if each of its characters were a start.
    assert clean_text("a" + "\xa0" * 300_000 + "b") == "a" + "\xa0" * 300_000 + "b"
    assert clean_text("a" + " " * 300_000 + "\n b\tc \td\r") == "a b\tc \td"


def test_rows_are_dropped_by_reason():
    pairs = [
        ("good morning", "habari"),
        ("", "tupu"),
        (" \n ", "tupu"),
        ("same", " same "),
        ("good morning", "habari\n"),
        ("broken \ufffd", "x"),
        ("a" * 1001, "b" * 900),
        ("a" * 91, "b" * 10),
        ("a" * 90, "b" * 10),
        ("held", "out"),
        ("free", "out"),
    ]
    kept, counts = clean(pairs, exclude={text_digest("out")})
    assert kept == [("good morning", "habari", 1), ("a" * 90, "b" * 10, 9)]
    assert counts.as_dict() == {
        "read": 11,
        "kept": 2,
        "dropped": {
            "empty": 2,
            "identical": 1,
            "duplicate": 1,
            "control_characters": 1,
            "too_long": 1,
            "length_ratio": 1,
            "held_out": 2,
        },
        "examples": {
            "empty": [2, 3],
            "identical": [4],
            "duplicate": [5],
            "control_characters": [6],
            "too_long": [7],
            "length_ratio": [8],
            "held_out": [10, 11],
        },
    }


def test_first_three_lines_are_examples():
    _, counts = clean([("", "x")] * 5 + [("a", "a")])
    assert counts.examples == {"empty": [1, 2, 3], "identical": [6]}
    assert counts.summary() == "6 read, 0 kept, dropped: empty 5 (lines 1, 2, 3, ...), identical 1 (line 6)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  a  ", "a"),
        ("a\nb", "a b"),
        ("a \r\n\r\n b", "a b"),
        ("a\u2028b\u2029c\vd\fe\x85f", "a b c d e f"),
        ("a\tb  c", "a\tb  c"),
        ("\n", ""),
        ("e\u0301", "e\u0301"),
        ("\u200b\ufeff x \u00ad\u2060\ufe0f\u200e", "x"),
        ("x\u200by", "x\u200by"),
        ("\u0d28\u0d4d\u200d ", "\u0d28\u0d4d\u200d"),
    ],
)
def test_clean_text(text, expected):
    assert clean_text(text) == expected


def test_nfc_is_optional():
    assert clean([("e\u0301", "x")])[0][0][0] == "e\u0301"
    assert clean([("e\u0301", "x")], PairChecks(normalize_nfc=True))[0][0][0] == "\xe9"


@given(st.text())
def test_clean_text_is_idempotent(text):
    assert clean_text(clean_text(text)) == clean_text(text)
    assert clean_text(text).splitlines() in ([], [clean_text(text)]) or any(c in text for c in "\x1c\x1d\x1e")


@given(st.characters())
def test_control_characters_match_their_unicode_categories(character):
    bad = character == "\ufffd" or unicodedata.category(character) in ("Cc", "Cs", "Co")
    kept, counts = clean([(f"a{character}b", "cd")])
    assert bool(kept) != (bad and character not in "\t\n\r\v\f\x85")
    assert set(counts.dropped) <= {"control_characters"}


def test_unpaired_surrogates_are_dropped_with_every_check_off():
    kept, counts = clean([("a\ud800", "b"), ("a\x00", "b")], OFF)
    assert kept == [("a\x00", "b", 2)]
    assert counts.dropped == {"control_characters": 1}


def test_checks_can_be_off():
    pairs = [("a" * 5000, "b"), ("same", "same"), ("same", "same"), ("x\ufffd", "y")]
    kept, counts = clean(pairs, OFF)
    assert len(kept) == 4
    assert counts.dropped == {}


def test_length_limits_are_inclusive():
    checks = PairChecks(min_characters=2, max_characters=4)
    kept, counts = clean([("ab", "cdef"), ("a", "bc"), ("ab", "cdefg")], checks)
    assert [row[2] for row in kept] == [1]
    assert counts.dropped == {"too_short": 1, "too_long": 1}


def test_ratio_is_not_tested_on_short_text():
    assert len(clean([("a", "b" * 19)])[0]) == 1
    assert len(clean([("a", "b" * 20)])[0]) == 0
    assert len(clean([("a", "b" * 20)], PairChecks(ratio_from_characters=21))[0]) == 1


def test_chinese_passes_the_default_ratio():
    assert clean([("The museum is between the library and the town hall.", "博物馆在图书馆和市政厅之间。")])[0]


def test_equal_text_on_one_side_is_not_a_duplicate():
    assert len(clean([("a", "b"), ("a", "c"), ("d", "b")])[0]) == 3


def test_duplicates_distinguish_the_boundary_of_the_sides():
    assert len(clean([("a b", "c"), ("a", "b c")])[0]) == 2


def test_digest_has_eight_bytes():
    digests = {text_digest(str(number)) for number in range(1000)}
    assert len(digests) == 1000
    assert 2**56 < max(digests) < 2**64


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"min_characters": 0}, "min_characters = 0"),
        ({"max_characters": -1}, "max_characters = -1"),
        ({"max_characters": 2.5}, "max_characters = 2.5"),
        ({"max_characters": True}, "max_characters = True"),
        ({"ratio_from_characters": 0}, "ratio_from_characters = 0"),
        ({"ratio_from_characters": None}, "ratio_from_characters = None"),
        ({"min_characters": 9, "max_characters": 8}, "min_characters.*9.*max_characters.*8"),
        ({"max_length_ratio": 0.5}, "max_length_ratio = 0.5"),
        ({"max_length_ratio": float("nan")}, "max_length_ratio = nan"),
    ],
)
def test_limits_are_checked(limits, message):
    with pytest.raises(ConfigError, match=message) as caught:
        PairChecks(**limits)
    assert caught.value.hint


@pytest.mark.parametrize("character", "\u200b\u200c\u200d\u2060\ufeff\u200e\u200f\u00ad\ufe0f\u3164\u3000\u00a0")
def test_text_of_invisible_characters_is_empty(character):
    kept, counts = clean([(character, "katze"), ("katze", character * 3), ("a", "b" + character), ("a", "b")])
    assert kept == [("a", "b", 3)]
    assert counts.dropped == {"empty": 2, "duplicate": 1}
    assert is_blank(character)


def test_all_whitespace_is_trimmed():
    spaces = "".join(chr(code) for code in range(0x110000) if chr(code).isspace())
    assert set(spaces) == set(SPACES)
