"""Reader of CoNLL-U, the format of Universal Dependencies: words and universal part-of-speech tags."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from otembed.data.compression import read_lines
from otembed.data.places import STDIN
from otembed.errors import ConfigError, DataError, did_you_mean
from otembed.results.paths import expand
from otembed.results.reading import require_file

if TYPE_CHECKING:
    from collections.abc import Iterator

TAGS = (
    "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN", "PUNCT", "SCONJ", "SYM",
    "VERB", "X",
)  # fmt: skip
"""The universal part-of-speech tags; a tag is its index here."""
COLUMNS = 10
UNSPECIFIED = "_"
_WORD = re.compile(r"[1-9]\d{0,8}")
_RANGE = re.compile(r"([1-9]\d{0,8})-([1-9]\d{0,8})")
_EMPTY = re.compile(r"(0|[1-9]\d{0,8})\.([1-9]\d{0,8})")


class TaggedSentence(NamedTuple):
    """The words of a sentence, the index of each tag in ``TAGS``, and the line of the first word."""

    words: tuple[str, ...]
    tags: tuple[int, ...]
    line: int


def check_treebank(place: str | Path) -> Path:
    """Return the path of a treebank; nothing is read.

    Raises
    ------
    ConfigError
        The place is stdin, or empty.
    DataError
        There is no such file, or it is a folder.
    """
    if str(place) in ("", STDIN):
        raise ConfigError(f"{str(place)!r} is not a treebank", "Name a CoNLL-U file.")
    path = expand(place)
    require_file(path)
    if path.is_dir():
        raise DataError("a folder, not a CoNLL-U file", "Name a file in the folder.", path=path)
    return path


def read_conllu(path: str | Path) -> Iterator[TaggedSentence]:
    """Yield the sentences of a CoNLL-U file, decompressed by its suffix.

    Lines of multiword tokens (``1-2``) and of empty nodes (``1.1``) are checked and left out: tags belong to the words.

    Raises
    ------
    DataError
        With file and line: a wrong number of columns, words that are not numbered 1, 2, ..., a missing or unknown
        tag, an empty word, or a sentence published without its words.
    """
    path = Path(path)
    reader = _Sentence(path)
    for number, text in read_lines(path):
        if not text.strip():
            yield from reader.end()
        elif not text.startswith("#"):
            reader.add(text, number)
    yield from reader.end()


class _Sentence:
    """The sentence being read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._clear()

    def _clear(self) -> None:
        self.words: list[str] = []
        self.tags: list[int] = []
        self.first = 0
        self.covered = 0
        self.covered_line = 0
        self.empty_nodes = 0

    def add(self, text: str, line: int) -> None:
        """Read one line of the sentence."""
        fields = text.split("\t")
        if len(fields) != COLUMNS:
            raise DataError(
                f"{len(fields)} columns separated by tabs, expected {COLUMNS}",
                "Write CoNLL-U: ten columns per word, and an empty line after each sentence.",
                path=self.path,
                line=line,
            )
        number, word, tag = fields[0], fields[1], fields[3]
        if match := _RANGE.fullmatch(number):
            self._add_range(int(match[1]), int(match[2]), line)
        elif match := _EMPTY.fullmatch(number):
            self._add_empty_node(int(match[1]), int(match[2]), line)
        else:
            self._add_word(number, word, tag, line)

    def _add_word(self, number: str, word: str, tag: str, line: int) -> None:
        if not _WORD.fullmatch(number) or int(number) != len(self.words) + 1:
            raise self._misnumbered(number, line)
        if not word:
            raise DataError(f"word {number} is empty", "Write the word in column 2.", path=self.path, line=line)
        if tag not in TAGS:
            missing = tag in ("", UNSPECIFIED)
            raise DataError(
                f"word {number}, {word[:40]!r}, has no tag" if missing else f"unknown tag {tag[:40]!r}",
                "Write its universal part-of-speech tag in column 4."
                if missing
                else did_you_mean(tag.upper(), TAGS),
                path=self.path,
                line=line,
            )
        self.first = self.first or line
        self.words.append(word)
        self.tags.append(TAGS.index(tag))
        self.empty_nodes = 0

    def _add_range(self, start: int, end: int, line: int) -> None:
        """Check that a multiword token covers the next words, at least two, and none that another one covers."""
        if start != len(self.words) + 1 or start <= self.covered or end <= start:
            raise self._misnumbered(f"{start}-{end}", line)
        self.covered, self.covered_line = end, line

    def _add_empty_node(self, after: int, number: int, line: int) -> None:
        if after != len(self.words) or number != self.empty_nodes + 1:
            raise self._misnumbered(f"{after}.{number}", line)
        self.empty_nodes = number

    def _misnumbered(self, number: str, line: int) -> DataError:
        return DataError(
            f"number {number[:40]!r} after word {len(self.words)}",
            "Number the words of each sentence 1, 2, 3, ..., and end each sentence with an empty line.",
            path=self.path,
            line=line,
        )

    def end(self) -> Iterator[TaggedSentence]:
        """Yield the sentence, if it has words, and start the next one."""
        if self.covered > len(self.words):
            raise DataError(
                f"a multiword token up to word {self.covered} of a sentence of {len(self.words)} words",
                "Fix the range in column 1.",
                path=self.path,
                line=self.covered_line,
            )
        if len(self.words) > 1 and set(self.words) == {UNSPECIFIED}:
            raise DataError(
                "all words of the sentence are '_': the treebank is published without its text",
                "Merge the text into the treebank first, as its README describes.",
                path=self.path,
                line=self.first,
            )
        if self.words:
            yield TaggedSentence(tuple(self.words), tuple(self.tags), self.first)
        self._clear()
