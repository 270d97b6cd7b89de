"""Documents as sequences of sentences: from a file each, from a list of pairs, or from texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otembed.data import Place, clean_text, parse_place, records
from otembed.data.checks import SURROGATE
from otembed.data.compression import OPENERS, read_lines, split_suffix
from otembed.data.records import as_label, check_field, find_name
from otembed.data.texts import NOT_PLAIN
from otembed.errors import ConfigError, DataError
from otembed.results.reading import require_file

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from otembed.documents.split import Splitter, Splitters

UNSPLIT: Splitters = (None, None)
LISTS = (".jsonl", ".tsv", ".csv", ".parquet")
SIDES = ("source", "target")
COLLECTION_FIELDS = ("text", "id")
FIELDS = ("id", "source", "target", "source_file", "target_file")
ID_HINT = "Use a unique id."
COLLECTION_HINT = "Pass a folder of text files, or .jsonl or .parquet with the fields id and text."
LIST_HINT = (
    "Write the fields id, source and target (a list of sentences, or one text with one sentence per line), or "
    "source_file and target_file."
)


@dataclass(frozen=True)
class Document:
    """The sentences of a document, and the number of each, from 0.

    With one sentence per line, numbers are those of lines: blank lines are not sentences, but they count, as in published gold
    alignments. Sentences that were split are numbered consecutively.
    """

    name: str
    sentences: tuple[str, ...]
    numbers: tuple[int, ...]

    def __len__(self) -> int:
        """Return the number of sentences."""
        return len(self.sentences)


@dataclass(frozen=True)
class DocumentPair:
    """Two documents that may translate each other, with an id that is unique in its collection."""

    id: str
    source: Document
    target: Document


def document_of(texts: Iterable[str], name: str) -> Document:
    """Return the document of some lines.

    Raises
    ------
    DataError
        A line is not a string, or holds an unpaired surrogate.

    Examples
    --------
    >>> document_of(["One.", "", " Two. "], "text")
    Document(name='text', sentences=('One.', 'Two.'), numbers=(0, 2))
    """
    sentences, numbers = [], []
    for number, text in enumerate([] if isinstance(texts, str) else texts):
        if not isinstance(text, str):
            raise DataError(
                f"{name}: sentence {number} (counted from 0) is {text!r}, not a string", "Pass a list of strings."
            )
        if SURROGATE.search(text):
            raise DataError(f"{name}: sentence {number} (counted from 0) holds an unpaired surrogate", "Remove it.")
        if cleaned := clean_text(text):
            sentences.append(cleaned)
            numbers.append(number)
    return Document(name, tuple(sentences), tuple(numbers))


def read_document(path: str | Path, split: Splitter | None = None) -> Document:
    """Read a plain text file, also compressed, with one sentence per line or in sentences by ``split``.

    Raises
    ------
    DataError
        The file is missing, is not UTF-8, or has no sentences.
    """
    found = _read_file(Path(path), split)
    if not found.sentences:
        raise DataError("the document has no sentences", "Write one sentence per line.", path=path)
    return found


def _lines_of(texts: Iterable[str], name: str, split: Splitter | None) -> Document:
    return document_of(texts if split is None else split(texts, name), name)


def _read_file(path: Path, split: Splitter | None) -> Document:
    _check_plain(path)
    return _lines_of((line for _, line in read_lines(path)), str(path), split)


def _check_plain(path: Path) -> None:
    suffix, _ = split_suffix(path)
    if suffix in (*LISTS, *NOT_PLAIN):
        raise DataError(
            f"{suffix} is not a document",
            "Use plain text with one sentence per line, or pass a list of pairs alone.",
            path=path,
        )


def read_pairs(place: str | Path, split: Splitters = UNSPLIT) -> Iterator[DocumentPair]:
    r"""Yield the pairs of a list, one in memory.

    Parameters
    ----------
    place
        ``.jsonl`` or ``.parquet`` with the fields ``source`` and ``target``, each a list of sentences or a text with
        one sentence per line, or ``source_file`` and ``target_file``, the paths of plain text files, and with an optional
        ``id``; or ``.tsv`` or ``.csv`` with columns of these names, or without a header and with two or three columns:
        both paths, after an id. Lists may be compressed. Paths are relative to the folder of the list. Without an id,
        the number of the pair counts from 1. ``?source=FIELD&target=FIELD&id=FIELD`` names other fields, and
        ``?source_file=FIELD&target_file=FIELD`` other fields with paths.
    split
        Splits the texts of both sides into sentences; lists of sentences stay as they are. None: one sentence per line.

    Raises
    ------
    DataError
        The list or a document cannot be read, a field is missing, or an id is given twice; with the line.
    ConfigError
        The place is malformed, or names two fields for a side.
    """
    where = _list_place(place)
    seen: dict[str, int] = {}
    for number, (line, record) in enumerate(_entries(where, FIELDS), start=1):
        label = str(number) if record.get("id") is None else _label(record["id"], where, line)
        if label in seen:
            raise DataError(
                f"id {label!r} is already the id of line {seen[label]}",
                "Use a unique id for every pair of documents.",
                path=where.where,
                line=line,
            )
        seen[label] = line
        sides = []
        for side, splitter in zip(SIDES, split, strict=True):
            as_path = _file_key(side) in record
            value = record[_file_key(side) if as_path else side]
            sides.append(_side(value, f"{label} {side}", where, line, splitter, as_path=as_path))
        yield DocumentPair(label, *sides)


def _entries(where: Place, keys: Collection[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the line of each entry of a list, and those of ``keys`` whose fields the list has."""
    table = where.path is not None and split_suffix(where.path)[0] in (".tsv", ".csv")

    def choose(names: list[str], line: int | None) -> dict[str, str]:
        chosen = _chosen(names, where, line, table=table)
        return {key: name for key, name in chosen.items() if key in keys}

    def header(fields: list[str], line: int) -> bool:
        return bool(where.fields) or find_name(fields, ("source", "source_file")) is not None

    # A field that is named has to be there, in every record.
    return records(where, choose, optional=() if "id" in where.fields else ("id",), header=header)


def _list_place(place: str | Path) -> Place:
    where = parse_place(place, FIELDS)
    for side in SIDES:
        if side in where.fields and _file_key(side) in where.fields:
            raise ConfigError(
                f"{place}: both {side} and {_file_key(side)} are given",
                "Name the field of the text or that of the path.",
            )
    return where


def _file_key(side: str) -> str:
    """Return the key of a side whose field has paths, also the usual name of that field."""
    return f"{side}_file"


def _chosen(names: list[str], where: Place, line: int | None, *, table: bool) -> dict[str, str]:
    """Return the fields of the sides, by ``source`` or ``source_file`` and so on, and that of the id, if there is one."""
    unnamed = {2: ("0", "1"), 3: ("1", "2")}.get(len(names)) if names[:2] == ["0", "1"] else None
    found: dict[str, str] = {}
    for place, side in enumerate(SIDES):
        keys = (side, _file_key(side))
        key = next((key for key in keys if key in where.fields), None)
        if key is not None:
            name: str | None = check_field(where.fields[key], names, where.where, line)
        else:
            name = unnamed[place] if unnamed else find_name(names, keys)
        if name is None:
            raise DataError(
                f"no field for the {side}; the fields are: {', '.join(names) or '(no field)'}",
                LIST_HINT,
                path=where.where,
                line=line,
            )
        # Tables have only paths, and otherwise the key or the name of the field says it.
        paths = table or key == _file_key(side) or name.strip().casefold().endswith("_file")
        found[keys[paths]] = name
    if "id" in where.fields:
        label: str | None = check_field(where.fields["id"], names, where.where, line)
    else:
        label = "0" if unnamed and len(names) == 3 else find_name(names, ("id",))
    return found if label is None else {"id": label, **found}


def _label(value: object, where: Place, line: int) -> str:
    if value == "":
        raise DataError("the id is empty", ID_HINT, path=where.where, line=line)
    return as_label(value, where.where, line, ID_HINT)


def _side(value: Any, name: str, where: Place, line: int, split: Splitter | None, *, as_path: bool) -> Document:
    try:
        if as_path and isinstance(value, str) and value:
            return _read_file(_folder(where) / value, split)
        if not as_path and isinstance(value, str):
            return _lines_of(value.split("\n"), name, split)
        if not as_path and isinstance(value, Sequence):
            return document_of(value, name)
    except DataError as error:
        # The place in the document is in the message, the place in the list before it.
        raise DataError(error.message, error.hint, path=where.where, line=line) from error
    raise DataError(f"{name} is {value!r}", LIST_HINT, path=where.where, line=line)


def _folder(where: Place) -> Path:
    """Return the folder that the paths in a list are relative to."""
    return Path() if where.path is None or where.is_stdin else where.path.parent


def read_documents(place: str | Path, split: Splitter | None = None) -> Iterator[Document]:
    """Yield the documents of one side of a matching run, named by their ids.

    Parameters
    ----------
    place
        A folder, whose plain text files are the documents, named by their paths in it (hidden files are skipped; bytes
        that are not UTF-8 are escaped, as in ``quel\\udcff.txt``); or a
        ``.jsonl`` or ``.parquet`` list with the fields ``text``, a list of sentences or a text with one sentence per line,
        and ``id``, else the number of the record; ``?text=FIELD&id=FIELD`` names other fields.
    split
        Splits texts into sentences; lists of sentences stay as they are. None: one sentence per line.

    Raises
    ------
    DataError
        The place or a document cannot be read, or a field is missing.
    """
    where = parse_place(place, COLLECTION_FIELDS)
    if where.path is not None and where.path.is_dir():
        for path in _files_in(where.path):
            found = _read_file(path, split)
            # Bytes of a name that are not UTF-8 are escaped: every output can hold the name, and all show the same.
            shown = path.relative_to(where.path).as_posix().encode("utf-8", "backslashreplace").decode()
            yield Document(shown, found.sentences, found.numbers)
        return
    if where.path is not None and split_suffix(where.path)[0] not in (".jsonl", ".parquet"):
        require_file(where.path)
        raise DataError("not a collection of documents", COLLECTION_HINT, path=where.where)

    def choose(names: list[str], line: int | None) -> dict[str, str]:
        text = where.fields.get("text") or find_name(names, ("text", "sentences", "content"))
        label = where.fields.get("id") or find_name(names, ("id",))
        if text is None:
            raise DataError(
                f"no field for the text; the fields are: {', '.join(names) or '(no field)'}",
                COLLECTION_HINT,
                path=where.where,
                line=line,
            )
        return {"text": text} if label is None else {"id": label, "text": text}

    for number, (line, record) in enumerate(records(where, choose), start=1):
        label = str(number) if record.get("id") is None else _label(record["id"], where, line)
        yield _side(record["text"], label, where, line, split, as_path=False)


def collection_files(place: str | Path) -> list[Path]:
    """Return the files that :func:`read_documents` reads; none for a dataset on the hub."""
    path = parse_place(place, COLLECTION_FIELDS).path
    return [] if path is None else _files_in(path) if path.is_dir() else [path]


def list_file(place: str | Path) -> Path | None:
    """Return the file of a list of pairs; None for a dataset on the hub."""
    return parse_place(place, FIELDS).path


def listed_files(place: str | Path) -> list[Path]:
    """Return the files of the documents that a list of pairs names; none for what can be read only once, such as a pipe.

    Raises
    ------
    DataError
        The list cannot be read.
    """
    where = _list_place(place)
    if where.path is None or not where.path.is_file():
        return []
    entries = _entries(where, [_file_key(side) for side in SIDES])
    return [_folder(where) / each for _, entry in entries for each in entry.values() if isinstance(each, str)]


def _files_in(folder: Path) -> list[Path]:
    """Return the files of a folder and of those in it, in order, without hidden ones."""
    return sorted(
        each
        for each in folder.rglob("*")
        if each.is_file() and not any(part.startswith(".") for part in each.relative_to(folder).parts)
    )


def check_places(source: str | Path, target: str | Path | None) -> None:
    """Reject, before anything slow, one document without another, a list beside a document, and missing files."""
    where = _list_place(source) if target is None else Place(Path(source))
    suffix = "" if where.path is None else split_suffix(where.path)[0]
    if target is None and where.hub is None and suffix not in LISTS:
        raise ConfigError(
            f"{source} is one document, and its translation is missing",
            f"Pass two documents, or a list of pairs: {', '.join(LISTS)}, also with {', '.join(OPENERS)}.",
        )
    for each in (source, target) if target is not None else ():
        if split_suffix(Path(each))[0] in LISTS:
            raise ConfigError(
                f"{each} is a list of pairs, and a second file is given", "Pass the list alone, or two documents."
            )
        require_file(Path(each))
        _check_plain(Path(each))
    if where.path is not None:
        require_file(where.path)


def open_pairs(
    source: str | Path, target: str | Path | None = None, split: Splitters = UNSPLIT
) -> Iterator[DocumentPair]:
    """Yield the pair of two files, or the pairs of a list; errors as for :func:`read_document`, :func:`read_pairs`."""
    check_places(source, target)
    if target is None:
        yield from read_pairs(source, split)
    else:
        yield DocumentPair("1", read_document(source, split[0]), read_document(target, split[1]))
