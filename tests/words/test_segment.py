"""Words and tokens of texts with and without spaces, and which tokens belong to them."""

from __future__ import annotations

import pytest

from otembed.errors import DataError
from otembed.words.segment import WordSplitter, WordText, joined, word_of_tokens


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("the cat, the dog", ["the", "cat,", "the", "dog"]),
        ("", []),
        ("  \t ", []),
        ("猫睡 在", ["猫", "睡", "在"]),
        ("the 猫睡.", ["the", "猫", "睡", "."]),
        ("บ้านนอน", ["บ้าน", "น", "อ", "น"]),
        ("猫\u3000狗", ["猫", "狗"]),
        ("猫\U000e0100狗", ["猫\U000e0100", "狗"]),
        ("猫\nthe", ["猫", "the"]),
    ],
)
def test_words_of_raw_text(tiny_model, text, words):
    found = WordSplitter(tiny_model.tokenizer)(text)
    assert list(found.words) == words
    assert [text[start:end] for start, end in found.spans] == words
    assert found.owners == tuple(range(len(words)))


def test_words_are_split_only_at_plain_spaces(tiny_model):
    split = WordSplitter(tiny_model.tokenizer, words="space")
    assert split("猫睡 \u3000 在\tthe").words == ("猫睡", "\u3000", "在", "the")


def test_every_character_of_a_script_without_spaces_is_in_a_word(tiny_model, tiny_wordpiece_model):
    text = "在房子里,แมวนอนใน猫x狗"
    for model in (tiny_model, tiny_wordpiece_model):
        assert "".join(WordSplitter(model.tokenizer)(text).words) == text


@pytest.mark.parametrize("text", ["caf\udce9", ["the", "caf\udce9"]])
def test_unpaired_surrogate_is_rejected(tiny_model, text):
    """As in an argument of the command line that is not UTF-8."""
    with pytest.raises(DataError, match=r"udce9(.|\n)*UTF-8"):
        WordSplitter(tiny_model.tokenizer)(text)


def test_given_words_are_kept(tiny_model):
    found = WordSplitter(tiny_model.tokenizer)(["New York", "", "猫睡"])
    assert found.words == ("New York", "", "猫睡")
    assert found.given is None


@pytest.mark.parametrize("fixture", ["tiny_model", "tiny_wordpiece_model"])
def test_tokens_are_the_pieces_of_the_vocabulary(fixture, request):
    tokenizer = request.getfixturevalue(fixture).tokenizer
    text = "die Matte  schlief 猫睡"
    found = WordSplitter(tokenizer, "token")(text)
    pieces = [piece.strip("▁").removeprefix("##") for piece in tokenizer.tokenize(text)]
    assert list(found.words) == [piece for piece in pieces if piece]
    assert found.given is None


def test_tokens_of_given_words_have_their_word(tiny_model):
    found = WordSplitter(tiny_model.tokenizer, "token")(["the", "", "Matte"])
    assert found.words == ("the", "", "Matte")
    parts = [found.text[start:end] for start, end in found.spans]
    assert "".join(part for part, owner in zip(parts, found.owners, strict=True) if owner == 2) == "Matte"
    assert len(parts) == len(found.owners) > 2
    assert set(found.owners) == {0, 2}


def test_pieces_of_one_character_are_one_token():
    """A byte-level vocabulary cuts a character into bytes, which all carry the character's place."""

    def tokenizer(text, **_):
        return {"offset_mapping": [(0, 1), (1, 3), (2, 3), (2, 3), (3, 5)]}

    assert WordSplitter(tokenizer, "token")("a 猫b ").spans == ((0, 1), (2, 3), (3, 4))


def test_token_belongs_to_the_word_of_its_first_character_in_one():
    text = WordText("ab, cd", ((0, 2), (4, 6)))
    assert word_of_tokens(text, [(0, 0), (0, 1), (1, 3), (2, 3), (3, 5), (5, 6), (6, 6)]) == [
        -1,
        0,
        0,
        -1,
        1,
        1,
        -1,
    ]
    assert joined([]).words == ()
