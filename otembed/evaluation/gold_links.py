"""Gold word alignments in their published formats, checked line by line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from otembed.data.compression import read_lines
from otembed.errors import DataError

Links = frozenset[tuple[int, int]]
IndexBase = Literal[0, 1]
_PHARAOH = re.compile(r"(\d+)([-p?])(\d+)(?::\S+)?")
_TABLE = re.compile(r"(\d+)\s+(-?\d+)\s+(-?\d+)(?:\s+([SP]))?")


@dataclass(frozen=True)
class GoldSentence:
    """Sure and possible links of one sentence pair, counted from 0; the possible ones hold the sure ones."""

    sure: Links
    possible: Links


def read_gold(
    path: str | Path, sentences: Sequence[tuple[int, int]] | None = None, *, index_base: IndexBase = 1
) -> list[GoldSentence]:
    """Read gold links, one entry a sentence pair.

    Two formats are told apart by the first line that holds anything: Pharaoh, one line a pair with ``i-j``
    (sure) and ``ipj`` or ``i?j`` (possible), an empty line meaning none; and the shared-task table of lines
    ``sentence source target [S|P]``, where S is taken if the last column is missing, and a negative number on a
    side (some files write -99) means that the word has no counterpart.

    Parameters
    ----------
    path
        The file; compressed ones by their suffix.
    sentences
        Number of words of each pair; links beyond are refused, and the number of pairs is checked.
    index_base
        Whether words are counted from 1, as in most gold files, or from 0. In the table format sentences are
        counted from 0 or 1, whichever the smallest number is.

    Raises
    ------
    DataError
        With file and line: no link, a word out of its sentence, a count that does not fit.

    References
    ----------
    Och and Ney, A systematic comparison of various statistical alignment models, Computational Linguistics 2003;
    Mihalcea and Pedersen, An evaluation exercise for word alignment, HLT-NAACL 2003 (the table).
    """
    lines = [line.strip() for _, line in read_lines(Path(path))]
    first = next((line for line in lines if line), "")
    if not first:
        raise DataError("no gold link in it", "Check that this is the right file.", path=path)
    count = None if sentences is None else len(sentences)
    if _TABLE.fullmatch(first):
        found, where = _read_table(lines, path, index_base, count)
    else:
        found, where = _read_pharaoh(lines, path, index_base)
    if count is not None and len(found) != count:
        raise DataError(f"{len(found)} lines of links, but {count} sentence pairs", "One line a pair.", path=path)
    for row, gold in enumerate(found if sentences is not None else ()):
        assert sentences is not None
        source, target = sentences[row]
        for i, j in gold.possible:
            if i >= source or j >= target:
                raise DataError(
                    f"link {i + index_base}-{j + index_base} of pair {row + 1}, which has {source} and {target} words",
                    "Check the index base (--index-base) and that text and links belong together.",
                    path=path,
                    line=where.get((row, i, j)),
                )
    return found


Places = dict[tuple[int, int, int], int]


def _read_pharaoh(lines: list[str], path: str | Path, base: int) -> tuple[list[GoldSentence], Places]:
    found, where = [], {}
    for row, line in enumerate(lines):
        sure, possible = set(), set()
        for word in line.split():
            match = _PHARAOH.fullmatch(word)
            if match is None:
                raise DataError(f"{word!r} is no link", "Write i-j (sure) or ipj (possible).", path=path, line=row + 1)
            link = _based(int(match[1]), int(match[3]), base, path, row + 1)
            where[row, *link] = row + 1
            possible.add(link)
            if match[2] == "-":
                sure.add(link)
        found.append(GoldSentence(frozenset(sure), frozenset(possible)))
    return found, where


def _read_table(
    lines: list[str], path: str | Path, base: int, count: int | None
) -> tuple[list[GoldSentence], Places]:
    rows = []
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        match = _TABLE.fullmatch(line)
        if match is None:
            raise DataError(f"{line!r} is no link", "Write: sentence source target S|P.", path=path, line=number)
        if "-" in line:  # a word without counterpart
            continue
        rows.append((int(match[1]), *_based(int(match[2]), int(match[3]), base, path, number), match[4] != "P", number))
    start = min(1, *(row[0] for row in rows)) if len(rows) > 1 else min(1, rows[0][0])
    size = max(row[0] for row in rows) - start + 1
    if count is not None and size > count:
        number = next(row[4] for row in rows if row[0] - start >= count)
        raise DataError(f"sentence {size - 1 + start}, but {count} pairs", "Check the files.", path=path, line=number)
    sure: list[set[tuple[int, int]]] = [set() for _ in range(count or size)]
    possible: list[set[tuple[int, int]]] = [set() for _ in range(count or size)]
    where: Places = {}
    for sentence, i, j, is_sure, number in rows:
        possible[sentence - start].add((i, j))
        where[sentence - start, i, j] = number
        if is_sure:
            sure[sentence - start].add((i, j))
    return [GoldSentence(frozenset(s), frozenset(p)) for s, p in zip(sure, possible, strict=True)], where


def _based(i: int, j: int, base: int, path: str | Path, line: int) -> tuple[int, int]:
    if min(i, j) < base:
        raise DataError(
            f"link {i}-{j} in a file counted from {base}", "Give index base 0 (--index-base 0).", path=path, line=line
        )
    return i - base, j - base
