"""Gold alignments of documents in their published form: sentence numbers of both sides on each line."""

from __future__ import annotations

import re
from pathlib import Path

from otembed.data.compression import read_lines
from otembed.errors import DataError

Numbers = tuple[int, ...]
GoldLink = tuple[Numbers, Numbers]
_LIST = r"\[\s*((?:\d{1,9}\s*(?:,\s*\d{1,9}\s*)*)?)\]"
_LINE = re.compile(rf"\s*{_LIST}\s*:\s*{_LIST}\s*(?::\s*[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?\s*)?")
HINT = "Write a link per line, as in [0, 1]:[0], with sentence numbers from 0."


def read_gold(path: str | Path) -> list[GoldLink]:
    """Read links such as ``[0, 1]:[0]``, with an optional score as in ``[0]:[0]:0.3``; numbers count from 0.

    Blank lines are skipped. A sentence without a translation may be on a line with an empty list, or be left out. A
    sentence may be in several links, as in some published files.

    Raises
    ------
    DataError
        A line is malformed, or there is no link.
    """
    path = Path(path)
    links: list[GoldLink] = []
    for number, line in read_lines(path):
        if not line.strip():
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            raise DataError(f"{line.strip()!r} is not a link", HINT, path=path, line=number)
        source, target = (
            tuple(int(each) for each in side.split(",")) if side.strip() else () for side in found.groups()
        )
        for side in (source, target):
            if len(set(side)) < len(side):
                raise DataError(f"{list(side)} has a sentence twice", HINT, path=path, line=number)
        if source or target:
            links.append((source, target))
    if not any(source and target for source, target in links):
        raise DataError("the file has no links", HINT, path=path)
    return links
