"""Lines of ``source ||| target``, the format of word aligners, from a file or stdin."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from otembed.data.compression import decode_lines, read_lines
from otembed.data.places import STDIN
from otembed.data.rows import Row
from otembed.errors import DataError
from otembed.results.reading import require_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BARS = "|||"


def read_barred(place: str | Path) -> Iterator[Row]:
    """Yield the sentence pairs of a file, or of stdin for ``-``; a side may be empty.

    Raises
    ------
    DataError
        Immediately if the file does not exist; while reading, with file and line: text that is not UTF-8, a line
        without ``|||`` or with more than one.
    """
    if str(place) == STDIN:
        return _rows(decode_lines(sys.stdin.buffer, Path("stdin")), Path("stdin"))
    require_file(Path(place))
    return _rows(read_lines(Path(place)), Path(place))


def _rows(lines: Iterable[tuple[int, str]], path: Path) -> Iterator[Row]:
    for number, line in lines:
        parts = line.split(BARS)
        if len(parts) != 2:
            raise DataError(
                f"found {len(parts) - 1} {BARS}, expected 1",
                f"Write: source {BARS} target. For other formats, include the languages: en-sw=FILE.",
                path=path,
                line=number,
            )
        yield Row(parts[0].strip(" \t"), parts[1].strip(" \t"), number)


def spaced_words(line: str) -> list[str]:
    r"""Return the words of a tokenized line; only plain spaces and tabs separate them.

    >>> spaced_words("天狗 \u3000 の ")
    ['天狗', '\u3000', 'の']
    """
    return re.findall(r"[^ \t]+", line)
