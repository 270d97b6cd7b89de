"""Gold word alignments in their published formats, checked line by line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from otembed.data.barred import read_barred, spaced_words
from otembed.data.compression import read_lines
from otembed.errors import DataError

Links = frozenset[tuple[int, int]]
IndexBase = Literal[0, 1]
# Sentences without links in a table that is read without its text.
MOST_UNLINKED = 1_000_000
_PHARAOH = re.compile(r"(\d{1,9})([-p?])(\d{1,9})(?::\S+)?")
_TABLE = re.compile(
    r"(\d{1,9})\s+(-?\d{1,9})\s+(-?\d{1,9})(?:\s+([SP]))?(?:\s+(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)?"
)
# The shared task's texts: <s snum=0001> words </s>
_TAGGED = re.compile(r"<s(?:\s+snum\s*=\s*[\"']?(\d{1,9})[\"']?)?\s*>(.*)</s>", re.IGNORECASE)


@dataclass(frozen=True)
class GoldSentence:
    """Sure and possible links of one sentence pair, counted from 0; the possible links include the sure links."""

    sure: Links
    possible: Links


GoldSet = tuple[Sequence[Sequence[str]], Sequence[Sequence[str]], Sequence[GoldSentence]]
"""Source sentences and target sentences as lists of words, and their gold links."""


@dataclass(frozen=True)
class _Entry:
    """One link of the file: pair and words counted from 0."""

    pair: int
    link: tuple[int, int]
    sure: bool
    line: int


def read_gold_set(
    links: str | Path, source: str | Path, target: str | Path | None = None, *, index_base: IndexBase = 1
) -> GoldSet:
    """Read tokenized sentences and their gold links.

    Parameters
    ----------
    links
        Gold links, see :func:`read_gold`.
    source, target
        Sentences with spaces between words, line by line; without ``target``, each line of ``source`` contains both
        sides, separated by ``|||``. Only ASCII spaces and tabs separate words, because tokenized Japanese may have the
        ideographic space as a word. The shared task's tags ``<s snum=0001> ... </s>`` around a sentence are not words;
        a table of links refers to their numbers.
    index_base
        As in :func:`read_gold`.

    Raises
    ------
    DataError
        With file and line: a line without ``|||`` or with two, files of different length or with different sentence
        numbers, links that do not match the sentences.
    """
    if target is None:
        rows = list(read_barred(source))
        sides = [_sentence(row.source) for row in rows], [_sentence(row.target) for row in rows]
    else:
        sides = _sentences(source), _sentences(target)
    if len(sides[0]) != len(sides[1]):
        raise DataError(
            f"{len(sides[0])} lines, but {len(sides[1])} in {target}", "Write one sentence per line.", path=source
        )
    words = [[sentence for _, sentence in side] for side in sides]
    sizes = [(len(x), len(y)) for x, y in zip(*words, strict=True)]
    numbers = _sentence_numbers(*([number for number, _ in side] for side in sides), path=source)
    return words[0], words[1], read_gold(links, sizes, index_base=index_base, numbers=numbers)


def _sentences(path: str | Path) -> list[tuple[int | None, list[str]]]:
    return [_sentence(line) for _, line in read_lines(Path(path))]


def _sentence(line: str) -> tuple[int | None, list[str]]:
    """Return the number in the tag around a sentence, None if there is no tag, and the words."""
    tagged = _TAGGED.fullmatch(line.strip(" \t"))
    if tagged is None:
        return None, spaced_words(line)
    return int(tagged[1]) if tagged[1] else None, spaced_words(tagged[2])


def _sentence_numbers(source: list[int | None], target: list[int | None], *, path: str | Path) -> list[int] | None:
    """Return the numbers in the tags of the sentences; None if there are none."""
    known: dict[int, int] = {}
    for line, pair in enumerate(zip(source, target, strict=True), start=1):
        found = {number for number in pair if number is not None}
        if not found and not known:
            continue
        if len(found) != 1 or len(known) != line - 1:
            raise DataError(
                f"sentence number {' and '.join(map(str, sorted(found))) or 'missing'}",
                "Use the same snum on both sides, on every line or on no line.",
                path=path,
                line=line,
            )
        (number,) = found
        if number in known:
            raise DataError(
                f"sentence number {number} is already used in line {known[number]}",
                "Give each sentence a unique snum.",
                path=path,
                line=line,
            )
        known[number] = line
    return list(known) or None


def read_gold(
    path: str | Path,
    sentences: Sequence[tuple[int, int]] | None = None,
    *,
    index_base: IndexBase = 1,
    numbers: Sequence[int] | None = None,
) -> list[GoldSentence]:
    """Read gold links, one entry per sentence pair.

    The first non-empty line determines the format: Pharaoh, one line per pair with ``i-j`` (sure) and ``ipj`` or
    ``i?j`` (possible), where an empty line means no links; or the shared-task table with lines
    ``sentence source target [S|P] [confidence]``, where S is the default. In a table, word 0 if words are counted from
    1 (NULL), and a negative number (some files use -99), mean that the other word has no counterpart.

    Parameters
    ----------
    path
        The file, decompressed by its suffix.
    sentences
        Number of words of each pair; links beyond them are rejected, and the number of pairs is checked.
    index_base
        Whether words are counted from 1, as in most gold files, or from 0.
    numbers
        The number of each pair in a table. By default, sentences are counted from 0 if there is a sentence 0, else
        from 1.

    Raises
    ------
    DataError
        With file and line: no link, a word beyond its sentence, a count that does not match.

    References
    ----------
    Och and Ney, A systematic comparison of various statistical alignment models, Computational Linguistics 2003;
    Mihalcea and Pedersen, An evaluation exercise for word alignment, HLT-NAACL 2003 (the table).
    """
    lines = [line.strip() for _, line in read_lines(Path(path))]
    first = next((line for line in lines if line), None)
    if first is None:
        raise DataError("the file has no gold links", "Check that this is the right file.", path=path)
    if _TABLE.fullmatch(first):
        entries = _table_entries(lines, path, index_base, numbers)
        pairs = max((entry.pair for entry in entries), default=-1) + 1
        pairs = pairs if sentences is None else max(pairs, len(sentences))
        if sentences is None and pairs > len(entries) + MOST_UNLINKED:
            raise DataError(
                f"links of sentence {pairs}, but only {len(entries)} links",
                "Check the sentence numbers.",
                path=path,
            )
    else:
        entries = _pharaoh_entries(lines, path, index_base)
        pairs = len(lines)
    if sentences is not None:
        _check_sizes(entries, pairs, sentences, path, index_base)
    sure: list[set[tuple[int, int]]] = [set() for _ in range(pairs)]
    possible: list[set[tuple[int, int]]] = [set() for _ in range(pairs)]
    for entry in entries:
        possible[entry.pair].add(entry.link)
        if entry.sure:
            sure[entry.pair].add(entry.link)
    return [GoldSentence(frozenset(s), frozenset(p)) for s, p in zip(sure, possible, strict=True)]


def _pharaoh_entries(lines: list[str], path: str | Path, base: int) -> list[_Entry]:
    entries = []
    for row, line in enumerate(lines):
        for word in line.split():
            match = _PHARAOH.fullmatch(word)
            if match is None:
                raise DataError(
                    f"{word[:40]!r} is not a link", "Write i-j (sure) or ipj (possible).", path=path, line=row + 1
                )
            link = _based(int(match[1]), int(match[3]), base, path, row + 1)
            entries.append(_Entry(row, link, match[2] == "-", row + 1))
    return entries


def _table_entries(lines: list[str], path: str | Path, base: int, numbers: Sequence[int] | None) -> list[_Entry]:
    rows: list[tuple[int, re.Match[str]]] = []
    for number, line in enumerate(lines, 1):
        match = _TABLE.fullmatch(line)
        if match is not None:
            rows.append((number, match))
        elif line:
            raise DataError(
                f"{line[:40]!r} is not a link", "Write: sentence source target S|P.", path=path, line=number
            )
    start = min(1, *(int(match[1]) for _, match in rows), 1)
    pairs = None if numbers is None else {number: pair for pair, number in enumerate(numbers)}
    entries = []
    for line_number, match in rows:
        sentence, i, j = (int(each) for each in match.group(1, 2, 3))
        if min(i, j) < 0 or (base == 1 and min(i, j) == 0 < max(i, j)):
            continue
        if pairs is not None and sentence not in pairs:
            raise DataError(
                f"a link of sentence {sentence}, but the text has no such sentence",
                "Check that text and links belong together.",
                path=path,
                line=line_number,
            )
        pair = sentence - start if pairs is None else pairs[sentence]
        entries.append(_Entry(pair, _based(i, j, base, path, line_number), match[4] != "P", line_number))
    return entries


def _based(i: int, j: int, base: int, path: str | Path, line: int) -> tuple[int, int]:
    if min(i, j) < base:
        raise DataError(
            f"link {i}-{j} in a file counted from {base}",
            "Set the index base to 0 (--index-base 0).",
            path=path,
            line=line,
        )
    return i - base, j - base


def _check_sizes(
    entries: list[_Entry], pairs: int, sentences: Sequence[tuple[int, int]], path: str | Path, base: int
) -> None:
    """Reject links of pairs or words that do not exist, with their line."""
    for entry in entries:
        if entry.pair >= len(sentences):
            raise DataError(
                f"links of pair {entry.pair + 1}, but the text has {len(sentences)} pairs",
                "Check that text and links belong together.",
                path=path,
                line=entry.line,
            )
        (i, j), (source, target) = entry.link, sentences[entry.pair]
        if i >= source or j >= target:
            raise DataError(
                f"link {i + base}-{j + base} of pair {entry.pair + 1}, which has {source} and {target} words",
                "Check the index base (--index-base) and that text and links belong together.",
                path=path,
                line=entry.line,
            )
    if pairs != len(sentences):
        raise DataError(
            f"{pairs} lines of links, but {len(sentences)} sentence pairs", "Write one line per pair.", path=path
        )
