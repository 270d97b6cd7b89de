"""Writing links: as pairs of texts in the formats of mining, or as sentence numbers, the form of published gold."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from otembed.errors import ConfigError
from otembed.mining.output import SEPARATORS, WRITERS, Languages, check_output, write_pairs
from otembed.results import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sized

    from otembed.documents.links import AlignedPair, Link
    from otembed.documents.match import MatchedPair
    from otembed.documents.read import Document

    class Pairs(Sized, Iterable[AlignedPair], Protocol):
        """Aligned pairs whose number is known."""


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


def number_lines(aligned: Pairs, *, unaligned: bool, threshold: float | None = None) -> Iterator[str]:
    """Yield the lines of the number form.

    With several pairs, each starts with a line ``# ID``; with ids of both documents, with ``# ID``, a tab and the other
    id. Tabs and line breaks in ids become spaces.
    """
    for pair in aligned:
        if len(aligned) > 1:
            yield HEAD + "\t".join(SEPARATORS.sub(" ", each) for each in pair.ids or (pair.id,)) + "\n"
        for link in pair.chosen(unaligned=unaligned, threshold=threshold):
            yield f"{link_line(link)}\n"


def write_links(
    aligned: Pairs,
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
        return write_pairs(pairs, path, languages=languages, text_ids=(True, True))
    with whole_file(path) as file:
        write_numbers(aligned, file, unaligned=unaligned, threshold=threshold)
    return path


def write_numbers(aligned: Pairs, file: IO[bytes], *, unaligned: bool, threshold: float | None) -> None:
    """Write the number form to an open file."""
    for line in number_lines(aligned, unaligned=unaligned, threshold=threshold):
        file.write(line.encode("utf-8"))


MATCH_SUFFIXES = (".tsv", ".jsonl")


def check_match_output(path: Path) -> None:
    """Reject an unknown suffix before the slow stages start."""
    if path.suffix and path.suffix.lower() not in MATCH_SUFFIXES:
        raise ConfigError(f"{path}: unknown suffix {path.suffix!r}", f"Supported: {', '.join(MATCH_SUFFIXES)}.")


def match_line(pair: MatchedPair) -> str:
    """Return score and ids of a pair as one line of TSV; tabs and line breaks in ids become spaces."""
    names = (SEPARATORS.sub(" ", each.name) for each in (pair.source, pair.target))
    return "\t".join([f"{pair.score:.6f}", *names]) + "\n"


def write_matches(pairs: Iterable[MatchedPair], path: str | Path) -> Path:
    """Write pairs of documents atomically.

    Parameters
    ----------
    pairs
        The pairs, in the order of the output.
    path
        ``.tsv`` (score, source id, target id; also a pipe or device without a suffix), or ``.jsonl`` with the texts, a
        list of pairs for :func:`otembed.documents.align.align_collection`.

    Raises
    ------
    ConfigError
        As :func:`check_match_output`.
    OutputError
        The file cannot be written; an earlier file is kept.
    """
    path = Path(path)
    check_match_output(path)
    with whole_file(path, "w") as file:
        for number, pair in enumerate(pairs, start=1):
            if path.suffix.lower() != ".jsonl":
                file.write(match_line(pair))
                continue
            row = {
                "id": number,
                "score": pair.score,
                "similarity": pair.similarity,
                "source_id": pair.source.name,
                "target_id": pair.target.name,
                "source": lines_of(pair.source),
                "target": lines_of(pair.target),
            }
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
    return path


def lines_of(document: Document) -> list[str]:
    """Return the lines of a document, with empty ones for blank lines, so that sentence numbers stay.

    >>> from otembed.documents.read import document_of
    >>> lines_of(document_of(["a", " ", "b"], "x"))
    ['a', '', 'b']
    """
    lines = [""] * (max(document.numbers, default=-1) + 1)
    for number, text in zip(document.numbers, document.sentences, strict=True):
        lines[number] = text
    return lines
