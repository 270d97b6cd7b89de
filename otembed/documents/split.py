"""Plain text to sentences by the rules of sentencex; requires ``otembed[split]``."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from otembed.data.checks import SURROGATE, is_blank
from otembed.data.spec import LANGUAGE_CODE
from otembed.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otembed.config.documents import ReadingConfig

    Splitters = tuple["Splitter | None", "Splitter | None"]

# Sentences of Thai and Lao have no mark at their end, and sentencex does not know the marks of the other two.
NO_RULES = {
    "th": "Thai", "tha": "Thai", "lo": "Lao", "lao": "Lao", "km": "Khmer", "khm": "Khmer", "bo": "Tibetan", "bod": "Tibetan",
}  # fmt: skip


class Splitter:
    r"""Splits plain text into sentences.

    If the text has blank lines between its lines, they separate paragraphs, and other line breaks are spaces (nothing,
    between characters of a script without spaces). Without blank lines, each line is a paragraph. A sentence ends at the
    end of a paragraph, and where the rules of the language say so.

    Parameters
    ----------
    language
        A code such as ``de`` or ``zh_Hant``; scripts and regions are ignored. sentencex has rules for about 300
        languages, and general ones for the others.

    Raises
    ------
    ConfigError
        sentencex is not installed, the code is malformed, or no rule finds the ends of sentences of the language: Thai,
        Lao, Khmer, Tibetan.

    Examples
    --------
    >>> Splitter("de")(["Dr. Mai kam am", "3. Mai. Sie blieb.", "", "Ende"])
    ['Dr. Mai kam am 3. Mai.', 'Sie blieb.', 'Ende']
    """

    def __init__(self, language: str) -> None:
        if not LANGUAGE_CODE.fullmatch(language.replace("-", "_")):
            raise ConfigError(f"{language!r} is not a language code", "Use codes such as de or zh_Hant.")
        self.language = language.replace("-", "_").partition("_")[0]
        if self.language in NO_RULES:
            raise ConfigError(
                f"no rule finds the ends of sentences of {NO_RULES[self.language]}",
                "Write one sentence per line, and split only the other side (split_source or split_target).",
            )
        try:
            from sentencex import segment
        except ImportError:
            raise ConfigError(
                "splitting text into sentences requires sentencex", 'Install it: pip install "otembed[split]".'
            ) from None
        self._segment = segment

    def __call__(self, lines: Iterable[str], name: str = "text") -> list[str]:
        """Return the sentences of the lines of a text, trimmed, in order.

        Raises
        ------
        DataError
            A line holds an unpaired surrogate, or sentencex fails on a paragraph; ``name`` is in the message.
        """
        return [sentence for paragraph in paragraphs(lines) for sentence in self._sentences(paragraph, name)]

    def _sentences(self, paragraph: str, name: str) -> Iterator[str]:
        if SURROGATE.search(paragraph):
            raise DataError(f"{name}: the text holds an unpaired surrogate", "Remove it.")
        # sentencex fails at some other white space. One space for each, so that places stay.
        spaced = "".join(" " if character.isspace() else character for character in paragraph)
        try:
            pieces = self._segment(self.language, spaced)
        except BaseException as error:
            # What a Rust library raises when it fails is no Exception.
            if type(error).__name__ != "PanicException":
                raise
            raise DataError(
                f"{name}: sentencex cannot split the paragraph that starts with {paragraph[:40]!r}",
                "Write one sentence per line, without splitting.",
            ) from None
        start = 0
        for piece in pieces:
            sentence = paragraph[start : start + len(piece)].strip()
            start += len(piece)
            if not is_blank(sentence):
                yield sentence


def paragraphs(lines: Iterable[str]) -> list[str]:
    r"""Return the paragraphs of a text, as :class:`Splitter` defines them.

    >>> paragraphs(["Title", "", "a", "b", "", "", "c"])
    ['Title', 'a b', 'c']
    >>> paragraphs(["a", "b"])
    ['a', 'b']
    >>> paragraphs(["猫", "犬", "", "x"])
    ['猫犬', 'x']
    """
    groups: list[list[str]] = [[]]
    for line in lines:
        if not is_blank(line):
            groups[-1].append(line.strip())
        elif groups[-1]:
            groups.append([])
    filled = [group for group in groups if group]
    if len(filled) == 1:
        return filled[0]
    return [_joined(group) for group in filled]


def _joined(lines: list[str]) -> str:
    from otembed.words.vocabulary import is_unspaced  # its package imports torch

    parts = [lines[0]]
    for before, line in pairwise(lines):
        parts.append(line if is_unspaced(before[-1]) and is_unspaced(line[0]) else f" {line}")
    return "".join(parts)


def split_text(text: str, language: str) -> list[str]:
    """Return the sentences of a text; as :class:`Splitter`, which also documents parameters and errors.

    >>> split_text("It rains. Does it?", "en")
    ['It rains.', 'Does it?']
    """
    return Splitter(language)(text.split("\n"))


def splitters_of(config: ReadingConfig) -> Splitters:
    """Return the splitters of both sides; errors as for :class:`Splitter`."""
    source, target = (
        None if each is None else Splitter(each) for each in (config.split_source, config.split_target)
    )
    return source, target
