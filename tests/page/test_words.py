"""Linked words in texts: numbered by group, every character of the text kept, markup escaped."""

import re
from html import unescape

from hypothesis import given, settings
from hypothesis import strategies as st

from otembed.page.words import linked_texts


def plain(html):
    return unescape(re.sub(r"<sub>\d+</sub>|</?b[^>]*>", "", html))


def numbers(html):
    return dict(re.findall(r'<b class="w\d">([^<]*)<sub>(\d+)</sub>', html))


def test_words_that_are_linked_through_each_other_have_one_number():
    texts = ("one two three four", "uno dos tres")
    words = (texts[0].split(), texts[1].split())
    source, target = linked_texts(texts, words, [(0, 1), (1, 1), (3, 2)])
    assert numbers(source) == {"one": "1", "two": "1", "four": "2"}
    assert numbers(target) == {"dos": "1", "tres": "2"}


@settings(deadline=None)
@given(st.lists(st.text(alphabet="ab<>&\"'猫แق ", min_size=1, max_size=6), min_size=1, max_size=6), st.data())
def test_texts_keep_every_character(pieces, data):
    words = [each for each in (piece.strip() for piece in pieces) if each]
    text = " ".join(words)
    ends = st.integers(0, max(len(words) - 1, 0))
    links = data.draw(st.lists(st.tuples(ends, ends), max_size=6)) if words else []
    for each in linked_texts((text, text), (words, words), links):
        assert plain(each) == text
        assert set(re.findall(r"</?(\w+)", each)) <= {"b", "sub"}


def test_words_that_are_not_in_the_text_leave_it_plain():
    assert linked_texts(("a & b", "c"), (("x",), ("c",)), [(0, 0)]) == (
        "a &amp; b",
        '<b class="w0">c<sub>1</sub></b>',
    )
