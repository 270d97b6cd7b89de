"""Word units for every kind of vocabulary and script, and their pooling."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from otembed.errors import ModelError
from otembed.words import WordSegmenter, pool_units, token_units, vocabulary_table


def segments(tokenizer, text):
    """Words of ``text`` as lists of pieces."""
    ids = tokenizer([text], return_tensors="pt")["input_ids"]
    content = ~torch.isin(ids, torch.tensor(tokenizer.all_special_ids))
    units = WordSegmenter(tokenizer)(ids, content)[0].tolist()
    words = {}
    for piece, unit in zip(tokenizer.convert_ids_to_tokens(ids[0]), units, strict=True):
        if unit >= 0:
            words.setdefault(unit, []).append(piece)
    assert list(words) == list(range(len(words)))
    return ["".join(pieces).replace("▁", "").replace("##", "") for pieces in words.values()]


def sentencepiece_tokenizer(pieces):
    vocabulary = [("<unk>", 0.0), ("▁", -9.0), *((piece, -1.0) for piece in pieces)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


@pytest.mark.parametrize(
    ("pieces", "text", "expected"),
    [
        (["▁Hel", "lo", ",", "▁world", "!"], "Hello, world!", ["Hello", ",", "world", "!"]),
        (["▁don", "'", "t"], "don't", ["don", "'", "t"]),
        (["▁re", "-", "install"], "re-install", ["re", "-", "install"]),
        (["▁पढ़", "ी", "।"], "पढ़ी।", ["पढ़ी", "।"]),
        (
            ["▁我", "喜欢", "使用", "P", "ython", "编程", "。"],
            "我喜欢使用Python编程。",
            ["我", "喜欢", "使用", "Python", "编程", "。"],
        ),
        (["สว", "ัส", "ดี", "ครับ", "▁ผม"], "สวัสดีครับ ผม", ["สวัส", "ดี", "ครับ", "ผม"]),
        (["▁コ", "ー", "ヒー", "を"], "コーヒーを", ["コー", "ヒー", "を"]),
        (["▁한국", "어를"], "한국어를", ["한국어를"]),
        (["▁20", "24", "年"], "2024年", ["2024", "年"]),
        (["▁❤", "\ufe0f", "love"], "❤\ufe0flove", ["❤\ufe0f", "love"]),
        (["▁ดี", "\u0e4c", "abc"], "ดี\u0e4cabc", ["ดี\u0e4c", "abc"]),
        (["▁ក", "\u200b", "ខ", "▁គ"], "ក\u200bខ គ", ["ក\u200b", "ខ", "គ"]),
        (["▁می", "\u200c", "خواهم"], "می\u200cخواهم", ["می\u200cخواهم"]),
        (["▁na", "\u0301", "ve"], "na\u0301ve", ["na\u0301ve"]),
        (["▁السلام", "▁علي", "كم"], "السلام عليكم", ["السلام", "عليكم"]),
        (["▁な", "▁", "っ", "た"], "な っ た", ["な", "っ", "た"]),
    ],
)
def test_words_of_sentencepiece_vocabularies(pieces, text, expected):
    assert segments(sentencepiece_tokenizer(pieces), text) == expected


def test_words_of_wordpiece_vocabulary(tiny_wordpiece_model):
    assert segments(tiny_wordpiece_model.tokenizer, "the Katze, dort.") == ["the", "Katze", ",", "dort", "."]
    assert segments(tiny_wordpiece_model.tokenizer, "猫睡在") == ["猫", "睡", "在"]


def test_words_of_unigram_fixture(tiny_model):
    assert segments(tiny_model.tokenizer, "die Katze schlief im Haus.") == [
        "die",
        "Katze",
        "schlief",
        "im",
        "Haus",
        ".",
    ]


def byte_level_words(text, *merges):
    """Words of ``text`` in a vocabulary of single bytes and merges of them, without spaces."""
    characters = {value[0]: character for character, value in _BYTES.items()}
    pairs = [(characters[merge[0]], "".join(characters[byte] for byte in merge[1:])) for merge in merges]
    pieces = [*sorted(_BYTES), *("".join(pair) for pair in pairs)]
    tokenizer = Tokenizer(models.BPE({piece: index for index, piece in enumerate(pieces)}, pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    ids = fast([text], return_tensors="pt")["input_ids"]
    units = WordSegmenter(fast)(ids, torch.ones_like(ids, dtype=torch.bool))
    words = [b"" for _ in range(int(units.max()) + 1)]
    for piece, unit in zip(fast.convert_ids_to_tokens(ids[0]), units[0].tolist(), strict=True):
        words[unit] += b"".join(_BYTES[character] for character in piece)
    return [word.decode().strip() for word in words]


@pytest.mark.parametrize(
    ("merges", "text", "expected"),
    [
        ([b" w", b"hi"], "hi wé, 猫猫", ["hi", "wé", ",", "猫", "猫"]),
        ([b" w", b"\xe0\xb8"], "กมด งด", ["ก", "ม", "ด", "ง", "ด"]),
        ([b" w", b"\xe1\x80", b" \xe1\x80"], "ကခ ဂ", ["က", "ခ", "ဂ"]),
        ([b" w", b"\xe1\x9e"], "កខ", ["ក", "ខ"]),
        ([b" w", b"\xe0\xbd"], "ཀཁ", ["ཀ", "ཁ"]),
        ([b" w", b"\xe0\xba"], "ກຂ", ["ກ", "ຂ"]),
        ([b" w", b"\xe0\xa4", b" \xe0\xa4"], "घर घर", ["घर", "घर"]),
        ([b" w", b"\xe3\x80", b"\xe3\x81"], "こ、は", ["こ", "、", "は"]),
        ([b" w"], "猫cat", ["猫", "cat"]),
        ([b" w"], "a😀hi!", ["a", "😀", "hi", "!"]),
        ([b" w"], "a  b", ["a", "b"]),
        ([b" w"], "  a b \n", ["a", "b"]),
        ([b" w"], "a\r\nb \n\n c", ["a", "b", "c"]),
        ([b" w"], "\n", [""]),
    ],
)
def test_words_of_byte_level_vocabularies(merges, text, expected):
    """Also where the vocabulary has only the first bytes of characters."""
    assert byte_level_words(text, *merges) == expected


def test_unknown_piece_of_sentencepiece_is_no_punctuation():
    tokenizer = sentencepiece_tokenizer(["▁na", "ve", "▁word"])
    ids = tokenizer(["naïve word"], return_tensors="pt")["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids[0]) == ["▁na", "<unk>", "ve", "▁word"]
    assert WordSegmenter(tokenizer)(ids, torch.ones_like(ids, dtype=torch.bool)).tolist() == [[0, 0, 0, 1]]


def _byte_alphabet():
    """GPT-2's table, from its definition: printable bytes stand for themselves, the rest follow from 256 on."""
    table, extra = {}, 256
    for byte in range(256):
        printable = 33 <= byte <= 126 or 161 <= byte <= 172 or 174 <= byte <= 255
        table[chr(byte) if printable else chr(extra)] = bytes([byte])
        extra += not printable
    return table


_BYTES = _byte_alphabet()


def test_vocabulary_without_word_marks_is_rejected():
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    )
    with pytest.raises(ModelError, match="##") as caught:
        vocabulary_table(tokenizer)
    assert "token" in caught.value.hint


def test_only_content_tokens_are_units(tiny_model):
    ids = tiny_model.tokenizer(["query: the cat"], return_tensors="pt")["input_ids"]
    content = torch.ones_like(ids, dtype=torch.bool)
    content[:, :4] = False
    content[:, -1] = False
    units = WordSegmenter(tiny_model.tokenizer)(ids, content)
    assert (units[~content] == -1).all()
    assert units[content].min() == 0


def test_token_units_are_numbered_by_content():
    content = torch.tensor([[False, True, True, False, True], [False] * 5])
    assert token_units(content).tolist() == [[-1, 0, 1, -1, 2], [-1] * 5]


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=9),
    st.sampled_from(["mean", "first", "last"]),
    st.integers(0, 99),
)
def test_pooling_matches_a_loop(lengths, pooling, seed):
    torch.manual_seed(seed)
    tokens = sum(lengths)
    ids = [unit for unit, length in enumerate(length for length in lengths if length) for _ in range(length)]
    row = torch.tensor([[-1, *ids, -1, -1]])
    states = torch.randn(1, tokens + 3, 4, dtype=torch.float64)
    units, mask = pool_units(states, row, pooling)
    inner = states[0, 1 : 1 + tokens]
    for unit in range(units.shape[1]):
        members = inner[torch.tensor(ids) == unit]
        expected = {"mean": members.mean(0), "first": members[0], "last": members[-1]}[pooling]
        torch.testing.assert_close(units[0, unit], expected)
    assert mask.all()


def test_pooling_pads_short_rows_and_ignores_garbage_outside_units():
    states = torch.ones(2, 3, 2)
    states[1, 2] = float("nan")
    units, mask = pool_units(states, torch.tensor([[0, 1, 2], [0, 0, -1]]))
    assert mask.tolist() == [[True, True, True], [True, False, False]]
    assert units.isfinite().all()
    assert (units[1, 1:] == 0).all()


def test_pooling_without_any_unit_is_empty():
    units, mask = pool_units(torch.ones(2, 3, 4), torch.full((2, 3), -1))
    assert units.shape == (2, 0, 4)
    assert mask.shape == (2, 0)


def test_pooling_is_differentiable_and_casts_half_precision():
    states = torch.randn(1, 3, 2, dtype=torch.bfloat16, requires_grad=True)
    units, _ = pool_units(states, torch.tensor([[0, 0, 1]]))
    assert units.dtype == torch.float32
    units.sum().backward()
    assert states.grad.float().tolist() == [[[0.5, 0.5], [0.5, 0.5], [1.0, 1.0]]]
