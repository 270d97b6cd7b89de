from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
import sentencepiece
from tokenizers import normalizers

from otembed.errors import ModelError
from otembed.models.offline.file import read_offline_file
from otembed.models.offline.tokenizer import build_tokenizer, nmt_nfkc_map
from tests.models.conftest import write_tiny_offline_file

if TYPE_CHECKING:
    from pathlib import Path

    from tokenizers import Tokenizer

SENTENCEPIECE_CASES = [
    "ﬁne　ｗｉｄｅ ①②",
    "tab\tand\nline",
    "soft\u00adhyphen zero\u200bwidth",
    "é é Å ﷺ",
    "한국어 ｶﾀｶﾅ",
]


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    write_tiny_offline_file(tmp_path / "m.bin")
    return build_tokenizer(read_offline_file(tmp_path / "m.bin"))


def test_normalization_map_matches_sentencepiece() -> None:
    ours = normalizers.Precompiled(nmt_nfkc_map())
    theirs = sentencepiece.SentencePieceNormalizer(rule_name="nmt_nfkc")
    for text in SENTENCEPIECE_CASES:
        # SentencePiece also marks and merges spaces, which the other parts of the tokenizer do.
        assert ours.normalize_str(text).split() == theirs.normalize(text).replace("▁", " ").split()


def test_words_start_with_the_marker_and_sentences_have_special_tokens(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("ab  ba").tokens == ["<s>", "▁ab", "▁", "b", "a", "</s>"]
    assert tokenizer.encode("a", "b").tokens == ["<s>", "▁", "a", "</s>", "</s>", "▁", "b", "</s>"]
    assert tokenizer.encode("").tokens == ["<s>", "</s>"]
    assert tokenizer.decode(tokenizer.encode("ab ba").ids) == "ab ba"


def test_unknown_characters_and_special_tokens(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("猫", add_special_tokens=False).ids == [4, 3]
    assert tokenizer.encode("ab <mask>", add_special_tokens=False).ids == [7, 9]


def test_stored_map_overrides_sentencepiece(tokenizer: Tokenizer) -> None:
    assert nmt_nfkc_map()
    assert tokenizer.normalizer.normalize_str("a\u200db Ⅷ") == "ab VIII"
    assert tokenizer.normalizer.normalize_str("a   b") == "a b"


def test_missing_sentencepiece_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(ModelError, match=r'sentencepiece .*\n.*pip install "otembed\[offline\]"'):
        nmt_nfkc_map()
