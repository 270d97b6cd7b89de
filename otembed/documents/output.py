"""Writing links: as pairs of texts in the formats of mining, or as sentence numbers, the form of published gold."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING

from otembed.errors import ConfigError
from otembed.mining.output import WRITERS, check_output, write_pairs
from otembed.results import whole_file

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from otembed.documents.links import AlignedPair, Link

Languages = tuple[str, str] | None
NUMBERS = ".links"
SUFFIXES = (*WRITERS, NUMBERS)
# Starts the line with the id of a pair of documents.
HEAD = "# "


def check_links_output(path: Path, languages: Languages) -> None:
    """Reject an unknown suffix, and TMX without languages, before the slow stages start."""
    if path.suffix.lower() == NUMBERS:
        return
    if path.suffix and path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{path}: unknown suffix {path.suffix!r}", f"Supported: {', '.join(SUFFIXES)}.")
    check_output(path, languages)


def link_line(link: Link) -> str:
    """Return a link as sentence numbers and its score, as Vecalign prints it.

    >>> from otembed.documents.links import Link
    >>> link_line(Link((0, 1), (0,), 0.75, 0.9))
    '[0, 1]:[0]:0.750000'
    """
    return f"{list(link.source)}:{list(link.target)}:{link.score:.6f}"


def number_lines(
    aligned: Collection[AlignedPair], *, unaligned: bool, threshold: float | None = None
) -> Iterator[str]:
    """Yield the lines of the number form; with several pairs, each starts with a line ``# ID``."""
    for pair in aligned:
        if len(aligned) > 1:
            yield f"{HEAD}{pair.id}\n"
        for link in pair.chosen(unaligned=unaligned, threshold=threshold):
            yield f"{link_line(link)}\n"


def write_links(
    aligned: Collection[AlignedPair],
    path: str | Path,
    *,
    languages: Languages = None,
    unaligned: bool = False,
    threshold: float | None = None,
) -> Path:
    """Write the links of all documents atomically, in the format of the suffix.

    Parameters
    ----------
    aligned
        The pairs of documents.
    path
        ``.links`` for sentence numbers from 0, one link per line, such as ``[0, 1]:[0]:0.75``; ``.tsv``, ``.jsonl``,
        ``.parquet`` or ``.tmx`` for texts, as for :func:`otembed.mining.output.write_pairs`.
    languages
        Language codes of both sides, required for TMX.
    unaligned
        Also write sentences without a link, each with an empty other side and a score of 0.
    threshold
        Minimum score of a link; None: no minimum.

    Raises
    ------
    ConfigError
        As :func:`check_links_output`.
    OutputError
        The file cannot be written; an earlier file is kept.
    """
    path = Path(path)
    check_links_output(path, languages)
    if path.suffix.lower() != NUMBERS:
        pairs = chain.from_iterable(each.pairs(unaligned=unaligned, threshold=threshold) for each in aligned)
        return write_pairs(pairs, path, languages=languages)
    with whole_file(path) as file:
        write_numbers(aligned, file, unaligned=unaligned, threshold=threshold)
    return path


def write_numbers(
    aligned: Collection[AlignedPair], file: IO[bytes], *, unaligned: bool, threshold: float | None
) -> None:
    """Write the number form to an open file."""
    for line in number_lines(aligned, unaligned=unaligned, threshold=threshold):
        file.write(line.encode("utf-8"))
