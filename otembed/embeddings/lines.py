"""The lines of one side: numbered, trimmed, deduplicated, on disk rather than in memory."""

from __future__ import annotations

import mmap
import tempfile
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from otembed.data import PairCounts, clean_text
from otembed.data.checks import SURROGATE
from otembed.data.texts import Text, parse_text_place, read_texts
from otembed.errors import ConfigError, DataError
from otembed.results import writing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from otembed.data.language import LanguageFilter

    Ids = NDArray[np.int64]

MAX_CHARACTERS = 1000
DIGEST_BYTES = 16


@dataclass(frozen=True, eq=False)
class Lines:
    """Distinct usable lines of one side, in the order of their first occurrence.

    Parameters
    ----------
    name
        The file or dataset, for messages.
    ids
        (n,) line numbers, counted from 1, ascending.
    counts
        Counts of lines read and left out: ``empty``, ``too_long``, ``unpaired_surrogate``, ``other_language``,
        ``repeated``.
    lengths
        (n,) number of characters of each line.
    labels
        The ids in the file, one for each of ``ids``; None if it has none.
    repeats
        (r, 2) number of each repeated line, and of its first occurrence.
    repeated_labels
        The ids in the file of the repeated lines; None if it has none.

    The text is stored in an unnamed file in ``TMPDIR``: memory holds 28 bytes per line, 44 while reading.
    """

    name: str
    ids: Ids
    counts: PairCounts
    lengths: NDArray[np.int32]
    labels: list[str] | None
    repeats: Ids
    repeated_labels: list[str] | None
    _starts: Ids = field(repr=False)
    _ends: Ids = field(repr=False)
    _text: mmap.mmap | bytes = field(repr=False)

    def __len__(self) -> int:
        """Return the number of distinct usable lines."""
        return len(self.ids)

    def __getitem__(self, row: int) -> str:
        """Return the text of one line, trimmed."""
        return self._text[self._starts[row] : self._ends[row]].decode("utf-8")

    def texts(self, start: int, stop: int) -> list[str]:
        """Return the texts of the rows from ``start`` to before ``stop``."""
        return [self[row] for row in range(start, min(stop, len(self)))]

    def id_of(self, row: int) -> int | str:
        """Return the id used in pairs: the id in the file if it has ids, else the line number."""
        return int(self.ids[row]) if self.labels is None else self.labels[row]

    def first_ids(self) -> dict[int | str, int | str]:
        """Return, for the id of every repeated line, the id of its first occurrence, which pairs use."""
        repeated, first = self.repeats.T
        rows = np.searchsorted(self.ids, first)
        return dict(zip(self.repeated_labels or repeated.tolist(), map(self.id_of, rows.tolist()), strict=True))

    def rows_by_number(self) -> Ids:
        """Return for each line number from 1 the row of its text, -1 if it was left out."""
        rows = np.full(self.counts.read + 1, -1, np.int64)
        rows[self.ids] = np.arange(len(self))
        rows[self.repeats[:, 0]] = rows[self.repeats[:, 1]]
        return rows[1:]

    def digest(self) -> str:
        """Return a hash of all texts in order."""
        total = blake2b(digest_size=DIGEST_BYTES)
        for row in range(len(self)):
            raw = self._text[self._starts[row] : self._ends[row]]
            # The length first: no two lists of texts give the same bytes.
            total.update(len(raw).to_bytes(8, "little") + raw)
        return total.hexdigest()


def read_side(
    place: Lines | str | Path | Iterable[str],
    *,
    name: str = "texts",
    max_characters: int | None = MAX_CHARACTERS,
    language: LanguageFilter | None = None,
) -> Lines:
    """Read one side of a mining run.

    Parameters
    ----------
    place
        A file, ``-`` for stdin, ``FILE?text=FIELD&id=FIELD``, a saved dataset or ``hub:OWNER/NAME`` (see
        :func:`otembed.data.texts.parse_text_place`), or the texts themselves, numbered from 1. ``Lines`` are returned
        as they are.
    name
        Name of texts that do not come from a file, for messages.
    max_characters
        Longer lines are left out and counted, because encoders truncate them. ``None``: no limit.
    language
        Lines in another language are left out and counted. ``None``: no filter.

    Raises
    ------
    DataError
        The file cannot be read, a text is not a string, two lines have the same id, or no line is usable.
    """
    if isinstance(place, Lines):
        return place
    if isinstance(place, str | Path):
        where = parse_text_place(place)
        return _collect(read_texts(where), where.where, max_characters, language)
    return _collect(_numbered(place, name), name, max_characters, language)


def check_two_sides(source: str | Path, target: str | Path) -> None:
    """Raise ConfigError if both sides are stdin, which can be read only once."""
    if parse_text_place(source).is_stdin and parse_text_place(target).is_stdin:
        raise ConfigError("both sides are stdin", "Use a file for one of them.")


def _numbered(texts: Iterable[str], name: str) -> Iterator[Text]:
    for number, text in enumerate(texts, start=1):
        if not isinstance(text, str):
            raise DataError(f"{name}: text {number} is {type(text).__name__}, not a string", "Pass strings.")
        yield Text(number, text, None)


def _fault(text: str, max_characters: int | None, language: LanguageFilter | None) -> str | None:
    if not text:
        return "empty"
    if max_characters is not None and len(text) > max_characters:
        return "too_long"
    if SURROGATE.search(text):
        return "unpaired_surrogate"
    return "other_language" if language is not None and language.is_other(text) else None


def _collect(
    texts: Iterable[Text], name: str, max_characters: int | None, language: LanguageFilter | None
) -> Lines:
    counts = PairCounts()
    ids, bounds, lengths, digests = array("q"), array("q", [0]), array("i"), bytearray()
    labels: list[str] = []
    with (
        writing(tempfile.gettempdir(), option="TMPDIR=FOLDER"),
        tempfile.TemporaryFile(prefix="otembed-") as spool,
    ):
        for number, raw_text, label in texts:
            text = clean_text(raw_text)
            fault = _fault(text, max_characters, language)
            if fault is not None:
                counts.drop(fault, number)
                continue
            counts.keep()
            raw = text.encode("utf-8")
            spool.write(raw)
            ids.append(number)
            lengths.append(len(text))
            bounds.append(bounds[-1] + len(raw))
            digests += blake2b(raw, digest_size=DIGEST_BYTES).digest()
            if label is not None:
                labels.append(label)
        spool.flush()
        if not ids:
            raise DataError(
                f"no usable line: {counts.summary()}", "Use a file with one sentence per line.", path=name
            )
        # The mapping keeps the unnamed file alive.
        content = mmap.mmap(spool.fileno(), 0, access=mmap.ACCESS_READ)
    numbers, places = np.array(ids, np.int64), np.array(bounds, np.int64)
    first = first_equal(np.frombuffer(digests, np.uint64).reshape(-1, 2))
    kept = first == np.arange(len(first))
    counts.withdraw("repeated", int((~kept).sum()))
    repeats = np.stack([numbers[~kept], numbers[first[~kept]]], axis=1)
    chosen = repeated = None
    if labels:
        _check_labels(labels, numbers, name)
        chosen, repeated = ([labels[row] for row in np.flatnonzero(rows)] for rows in (kept, ~kept))
    return Lines(
        name,
        numbers[kept],
        counts,
        np.array(lengths, np.int32)[kept],
        chosen,
        repeats,
        repeated,
        places[:-1][kept],
        places[1:][kept],
        content,
    )


def first_equal(digests: NDArray[np.uint64]) -> Ids:
    """Return for each row the first row with the same digest."""
    order = np.lexsort((np.arange(len(digests)), digests[:, 0], digests[:, 1]))
    ordered = digests[order]
    opens = np.ones(len(order), bool)
    opens[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    first = np.empty(len(order), np.int64)
    first[order] = order[opens][np.cumsum(opens) - 1]
    return first


def _check_labels(labels: Sequence[str], numbers: Ids, name: str) -> None:
    seen: dict[str, int] = {}
    for label, number in zip(labels, numbers.tolist(), strict=True):
        earlier = seen.setdefault(label, number)
        if earlier != number:
            raise DataError(
                f"id {label!r} is already the id of line {earlier}",
                "Use a unique id for every line.",
                path=name,
                line=number,
            )
