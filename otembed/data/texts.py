"""Readers of monolingual text: numbered sentences of one language."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from otembed.data.compression import OPENERS, split_suffix
from otembed.data.places import Place, parse_place
from otembed.data.records import as_label, as_text, check_field, lines_of, record_format, records
from otembed.errors import ConfigError, DataError
from otembed.results.reading import require_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

USUAL_FIELDS = ("text", "sentence", "content")
RECORDS = (".jsonl", ".parquet")
KEYS = ("text", "id")
TEXT_HINT = "Specify the field of the text: ?text=FIELD."
ID_HINT = "Specify another field: ?id=FIELD."
# Formats with more than a sentence per line, for every reader of plain text: their markup would silently become sentences.
NOT_PLAIN = (
    ".csv", ".tmx", ".xlf", ".xliff", ".po", ".mo", ".npy", ".json", ".xml", ".html", ".htm", ".xhtml", ".zip", ".pdf", ".arrow",
)  # fmt: skip


class Text(NamedTuple):
    """One text: its number (line or record, from 1), the text, and its id if the file has ids."""

    number: int
    text: str
    label: str | None


def parse_text_place(value: str | Path) -> Place:
    """Parse the location of texts; nothing is read.

    ``FILE``, ``-``, a folder of ``save_to_disk`` or ``hub:OWNER/NAME[:CONFIG][@SPLIT]``; each may end in
    ``?text=FIELD&id=FIELD``, a dataset also in ``split=NAME``.

    Raises
    ------
    ConfigError
        The query is malformed.

    >>> parse_text_place("news.jsonl.gz?text=translation.en&id=key").fields["text"]
    'translation.en'
    """
    return parse_place(value, KEYS)


def read_texts(place: Place) -> Iterator[Text]:
    r"""Yield every text of a file in order and unchanged; one line is held in memory.

    Plain text has one text per line (\n or \r\n; optional in the last line), tabs included. JSON lines, Parquet, saved
    datasets and hub datasets have it in the field ``text``, ``sentence`` or ``content`` unless another field is
    specified, with dots for nested fields. If a column of plain text is specified, by its number from 0, lines are
    split at tabs. All files except Parquet may be compressed (.gz .bz2 .xz .zst).

    Parameters
    ----------
    place
        From :func:`parse_text_place`.

    Raises
    ------
    DataError
        The file is missing, corrupt, not UTF-8, or lacks the field; with ``file:line``.
    ConfigError
        A column of plain text is not specified by a number, or the text and the id are one field.
    """
    kind = None if place.hub is not None else _kind(place)
    if kind == "lines":
        return (Text(number, text, None) for number, text in lines_of(place))
    if kind == ".tsv":
        for key, name in place.fields.items():
            if not name.isdecimal():
                raise ConfigError(
                    f"{place.where}: {key}={name!r} is not a column number", "Count columns from 0: ?text=1&id=0."
                )
    return _records(place, kind)


def _kind(place: Place) -> str:
    """Return ``lines``, or the format of :func:`otembed.data.records.records`."""
    path = place.path
    if path is None or place.is_stdin:
        return ".tsv" if place.fields else "lines"
    require_file(path)
    suffix, _ = split_suffix(path)
    if path.is_dir() or suffix in RECORDS:
        kind = record_format(place)
    elif suffix in NOT_PLAIN:
        raise DataError(
            f"{suffix} is not a format of monolingual text",
            f"Use plain text, {', '.join(RECORDS)} or .tsv, plain or with {', '.join(OPENERS)}.",
            path=path,
        )
    else:
        kind = ".tsv" if place.fields else "lines"
    if place.split is not None and not path.is_dir():
        raise ConfigError(f"{path} does not support ?split=", "Supported query keys: text, id.")
    return kind


def _records(place: Place, kind: str | None) -> Iterator[Text]:
    name, label = place.fields.get("text"), place.fields.get("id")

    def choose(names: list[str], line: int | None) -> dict[str, str]:
        nonlocal name
        if name is None:
            name = "0" if kind == ".tsv" else _usual_field(names, place.where, line)
        if name == label:
            raise ConfigError(
                f"{place.where}: {'column' if kind == '.tsv' else 'field'} {name!r} is both the text and the id",
                "Specify two: ?text=1&id=0." if kind == ".tsv" else TEXT_HINT,
            )
        chosen = {"text": name} | ({} if label is None else {"id": label})
        return {key: check_field(field, names, place.where, line) for key, field in chosen.items()}

    # Lines may differ in their number of columns: only the specified ones are required.
    for number, record in records(place, choose, kind=kind, fits=lambda names, fields: True):
        text = as_text(record["text"], str(name), place.where, number, TEXT_HINT)
        yield Text(number, text, None if label is None else as_label(record["id"], place.where, number, ID_HINT))


def _usual_field(names: Sequence[str], where: str, line: int | None) -> str:
    for name in USUAL_FIELDS:
        if name in names:
            return name
    raise DataError(
        f"none of the fields {', '.join(USUAL_FIELDS)}; the fields are: {', '.join(names) or '(no field)'}",
        TEXT_HINT,
        path=where,
        line=line,
    )
