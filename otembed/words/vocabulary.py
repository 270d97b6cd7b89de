"""Word-boundary information of each vocabulary entry, read once from the tokenizer."""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from otembed.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase

Style = Literal["sentencepiece", "wordpiece", "byte-level"]
SPIECE_UNDERLINE = "▁"
BYTE_SPACE = "Ġ"

# Scripts written without spaces between words: (first, last) code point.
_UNSPACED = (
    (0x0E00, 0x0E7F),  # Thai
    (0x0E80, 0x0EFF),  # Lao
    (0x0F00, 0x0FFF),  # Tibetan
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x31F0, 0x31FF),  # Katakana extensions
    (0x3400, 0x4DBF),  # Han, extension A
    (0x4E00, 0x9FFF),  # Han
    (0xF900, 0xFAFF),  # Han, compatibility
    (0xFF66, 0xFF9F),  # half-width Katakana
    (0x20000, 0x323AF),  # Han, extensions B to H
)
# Letters by Unicode category that never begin a syllable: Thai and Lao vowels, small kana, length mark.
_GLUED_LETTERS = frozenset("ะาำๅະາຳぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮー")


_CONTINUATION = bytes(range(0x80, 0xC0))
# The lowest code point that UTF-8 writes with this number of bytes.
_SHORTEST = {2: 0x80, 3: 0x800, 4: 0x10000}


class Kind(IntEnum):
    """Role of a character at a word boundary."""

    GLUED = 0  # combining mark, invisible character or continuation byte: belongs to the preceding character
    LETTER = 1  # of a script with spaces between words; digits too
    PUNCTUATION = 2
    UNSPACED = 3  # of a script without spaces between words
    EMPTY = 4  # a bare word-start marker


@dataclass(frozen=True)
class VocabularyTable:
    """Per vocabulary entry (V,): kind of its first and last character, and whether it is marked as a word start."""

    style: Style
    first: np.ndarray
    last: np.ndarray
    marked: np.ndarray


def vocabulary_table(tokenizer: PreTrainedTokenizerBase) -> VocabularyTable:
    """Read the table from a tokenizer with a SentencePiece, WordPiece or byte-level BPE vocabulary.

    Raises
    ------
    ModelError
        If the vocabulary marks neither word starts nor continuations.
    """
    pieces = [str(piece) for piece in tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))]
    style = _style(pieces)
    parts = [_split(piece, style) for piece in pieces]
    kinds = [_ends(text) for text, _ in parts]
    if style == "sentencepiece" and tokenizer.unk_token_id is not None:
        kinds[tokenizer.unk_token_id] = Kind.LETTER, Kind.LETTER  # not the punctuation that it is spelled with
    return VocabularyTable(
        style=style,
        first=np.array([first for first, _ in kinds], dtype=np.int8),
        last=np.array([last for _, last in kinds], dtype=np.int8),
        marked=np.array([marked for _, marked in parts], dtype=bool),
    )


def _style(pieces: Sequence[str]) -> Style:
    counts: dict[Style, int] = {
        "sentencepiece": sum(piece.startswith(SPIECE_UNDERLINE) for piece in pieces),
        "wordpiece": sum(piece.startswith("##") and len(piece) > 2 for piece in pieces),
        "byte-level": sum(piece.startswith(BYTE_SPACE) for piece in pieces),
    }
    style = max(counts, key=lambda each: counts[each])
    if counts[style] < 2:
        raise ModelError(
            "cannot detect word boundaries: the vocabulary marks neither word starts (▁, Ġ) nor continuations (##)",
            "Align tokens instead: set loss.alignment.unit to token.",
        )
    return style


def _split(piece: str, style: Style) -> tuple[str, bool]:
    """Return the text of a piece and whether it is marked as a word start.

    In byte-level pieces, U+FFFD stands for the continuation bytes at the start, and a likely character for the first bytes
    of one at the end.
    """
    if style == "sentencepiece":
        return piece.lstrip(SPIECE_UNDERLINE), piece.startswith(SPIECE_UNDERLINE)
    if style == "wordpiece":
        continues = piece.startswith("##") and len(piece) > 2
        return (piece[2:] if continues else piece), not continues
    table = _bytes_of_characters()
    if any(character not in table for character in piece):
        return piece, True
    raw = bytes(table[character] for character in piece)
    inside = len(raw) - len(raw.lstrip(_CONTINUATION))
    text = raw[inside:].decode("utf-8", errors="ignore")
    cut = raw[inside + len(text.encode()) :]
    text = "\ufffd" * bool(inside) + text + (_likely(cut) if cut else "")
    return text.lstrip(), raw[:1].isspace()


@cache
def _likely(lead: bytes) -> str:
    """Return a character of the most common kind among those whose UTF-8 begins with these bytes.

    Two bytes name the script; the first one may not: 0xE0 begins Thai, Lao and Tibetan, but mostly scripts of India.
    """
    length = 2 if lead[0] < 0xE0 else 3 if lead[0] < 0xF0 else 4
    code = lead[0] & (0x7F >> length)
    for byte in lead[1:]:
        code = code << 6 | byte & 0x3F
    missing = 6 * (length - len(lead))
    first, end = max(code << missing, _SHORTEST[length]), min((code + 1) << missing, 0x110000)
    # A sample: 0xF0 begins 200,000 characters.
    found = [chr(point) for point in range(first, end, max(1, (end - first) // 1024))]
    found = [character for character in found if unicodedata.category(character)[0] not in "CZ"]
    counts = Counter(map(kind_of, found))
    return max(found, key=lambda character: counts[kind_of(character)], default="\ufffd")


def _ends(text: str) -> tuple[Kind, Kind]:
    if not text:
        return Kind.EMPTY, Kind.EMPTY
    first = kind_of(text[0])
    last = next((kind for kind in map(kind_of, reversed(text)) if kind != Kind.GLUED), Kind.GLUED)
    return first, last


def is_unspaced(character: str) -> bool:
    """Return whether a character belongs to a script written without spaces between words.

    >>> is_unspaced("猫"), is_unspaced("a")
    (True, False)
    """
    return any(low <= ord(character) <= high for low, high in _UNSPACED)


@cache
def kind_of(character: str) -> Kind:
    """Return the role of a character.

    >>> [kind_of(character).name for character in "a,\\u200b猫"]
    ['LETTER', 'PUNCTUATION', 'GLUED', 'UNSPACED']
    """
    category = unicodedata.category(character)
    if character == "\ufffd" or character in _GLUED_LETTERS or category[0] == "M" or category == "Cf":
        return Kind.GLUED
    if category[0] in "PS":
        return Kind.PUNCTUATION
    return Kind.UNSPACED if is_unspaced(character) else Kind.LETTER


@cache
def _bytes_of_characters() -> dict[str, int]:
    """Return the inverse of the printable alphabet in which byte-level BPE (GPT-2) writes bytes."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(byte): byte for byte in printable} | {chr(256 + index): byte for index, byte in enumerate(others)}
