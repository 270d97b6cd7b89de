"""Rows that are read several times, from a source that is read once."""

from __future__ import annotations

import json
import mmap
import tempfile
from typing import TYPE_CHECKING

from otembed.data.rows import Row
from otembed.results import writing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


def spool_rows(rows: Iterable[Row]) -> Callable[[], Iterator[Row]]:
    """Store the sides and lines of rows in an unnamed file in ``TMPDIR``; return what reads them from the first to the last.

    Several readers can run at the same time. Texts come back as they are, unpaired surrogates included; hard negatives are
    not stored.

    >>> read = spool_rows([Row("a", "b", 1), Row("c", "d", 3)])
    >>> [row.line for row in read()], next(read()).target
    ([1, 3], 'b')
    """
    with (
        writing(tempfile.gettempdir(), option="TMPDIR=FOLDER"),
        tempfile.TemporaryFile(prefix="otembed-") as spool,
    ):
        for row in rows:
            # ASCII: every line ends at the first byte of a line feed, and any text can be encoded.
            spool.write(json.dumps([row.source, row.target, row.line]).encode("ascii") + b"\n")
        spool.flush()
        # The mapping keeps the unnamed file alive; an empty file cannot be mapped.
        content = mmap.mmap(spool.fileno(), 0, access=mmap.ACCESS_READ) if spool.tell() else None

    def read() -> Iterator[Row]:
        start = 0
        while content is not None and (end := content.find(b"\n", start)) >= 0:
            yield Row(*json.loads(content[start:end]))
            start = end + 1

    return read
