"""One reader for every format of records: TSV, CSV, JSON lines, Parquet, saved datasets and the Hugging Face hub.

The readers of parallel text, monolingual text, natural language inference and questions all use :func:`records`. A
format is one function and one case in :func:`records`.
"""

from __future__ import annotations

import contextlib
import csv
import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from otembed.data.checks import SURROGATE
from otembed.data.compression import OPENERS, decode_lines, read_lines, split_suffix
from otembed.data.places import DEFAULT_SPLIT
from otembed.errors import DataError, did_you_mean
from otembed.results.format import counted
from otembed.results.reading import parse_json, require_file, require_files
from otembed.runtime.hub import reachable_hub, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from pathlib import Path

    from datasets.arrow_dataset import Dataset

    from otembed.data.places import Place

    Record = Mapping[str, Any]
    Choose = Callable[[list[str], int | None], Mapping[str, str]]
    Classes = Mapping[str, list[str]]

BATCH_ROWS = 1024
SAVED_FILES = ("dataset_info.json", "dataset_dict.json")
SAVED = "saved dataset"
FORMATS = (".tsv", ".csv", ".jsonl", ".parquet")
# In characters. RFC 4180 sets no limit; this one ends the search for the end of an unclosed quoted field.
CSV_FIELD_LIMIT = 1 << 24
MISSING = object()


def records(
    place: Place,
    choose: Choose,
    *,
    optional: Collection[str] = (),
    kind: str | None = None,
    header: bool | Callable[[list[str], int], bool] = False,
    fits: Callable[[list[str], list[str]], bool] | None = None,
) -> Iterator[tuple[int, Record]]:
    """Yield ``(line, record)`` for every record of a place, in order; one batch of records is in memory.

    Parameters
    ----------
    place
        A file (``.tsv .csv .jsonl``, also compressed, or ``.parquet``), stdin, a saved dataset or one on the hub.
    choose
        Called once with the names of all fields, nested ones with dots, and with the line of the record that has
        them (None if they come from a schema). Returns the field for each key of the records. Other fields are not
        read if the format allows it.
    optional
        Keys that are None in records without their field.
    kind
        Format suffix to use instead of the suffix of the name; required for stdin.
    header
        Whether the first line of a table names the columns, or a function of its fields and line that returns this.
        Without a header, the names are ``"0"``, ``"1"``, ...
    fits
        Whether a line of a table with these column names may have these fields; by default, the numbers must be equal.

    Yields
    ------
    line
        Counted from 1: the line where the record begins, or the record's number in formats without lines.
    record
        The chosen keys. A missing value, or one inside a missing object, is None. Numbers of a ``ClassLabel`` are
        replaced by the names of their classes, None if there is no such class.

    Raises
    ------
    DataError
        Immediately: the file is missing or has an unknown format. While reading, with the line: the file is corrupt, is
        not UTF-8, or lacks a field.
    """
    if place.hub is not None:
        return _hub(place, choose, optional)
    kind = kind or record_format(place)
    if kind == SAVED:
        return _saved(place, choose, optional)
    if kind == ".parquet":
        return _parquet(place, choose, optional)
    if kind == ".jsonl":
        rows = ((line, json_object(text, place.where, line)) for line, text in lines_of(place))
        return _chosen(rows, choose, optional, place.where, {})
    split = _csv_fields(place) if kind == ".csv" else ((line, text.split("\t")) for line, text in lines_of(place))
    return _table(split, choose, optional, header, fits, place.where)


def record_format(place: Place) -> str:
    """Return the suffix that determines the format of a file, or ``"saved dataset"``.

    Raises
    ------
    DataError
        The file is missing, its suffix is unknown, or a Parquet file has a compression suffix.
    """
    path = _path(place)
    require_file(path)
    if path.is_dir():
        return SAVED
    suffix, compression = split_suffix(path)
    if suffix not in FORMATS:
        raise DataError(
            f"unknown suffix {suffix or '(none)'!r}",
            f"Supported: {', '.join(FORMATS)}, all but .parquet also with {', '.join(OPENERS)}.",
            path=path,
        )
    if compression and suffix == ".parquet":
        raise DataError(
            f"{suffix} files compressed with {compression} are not supported", "Decompress the file.", path=path
        )
    return suffix


def lines_of(place: Place) -> Iterator[tuple[int, str]]:
    """Yield the numbered lines of a file or of stdin, see :func:`otembed.data.compression.read_lines`."""
    return decode_lines(sys.stdin.buffer, _path(place)) if place.is_stdin else read_lines(_path(place))


def find_name(names: Iterable[str], wanted: Iterable[str]) -> str | None:
    """Return the first of ``wanted`` that is in ``names``, as spelled there; an exact match of case is preferred.

    >>> find_name(["ID", "EN", "sw"], ["en"])
    'EN'
    """
    there = list(names)
    folded = {name.strip().casefold(): name for name in reversed(there)}
    for name in wanted:
        if name in there:
            return name
    return next((folded[name.casefold()] for name in wanted if name.casefold() in folded), None)


def check_field(name: str, names: Iterable[str], where: str, line: int | None) -> str:
    """Return ``name`` if it is a field, or may be one inside a field; DataError otherwise."""
    there = list(names)
    if name not in there and not any(parent in there for parent in _parents(name)):
        raise no_field(name, there, where, line)
    return name


def no_field(name: str, names: Iterable[str], where: str | Path, line: int | None) -> DataError:
    """Return the error for a missing field; its hint names the closest field, or all."""
    there = sorted(names)
    siblings = [each for each in there if any(each.startswith(f"{parent}.") for parent in _parents(name))]
    hint = f"Available: {', '.join(siblings)}." if siblings else did_you_mean(name, there)
    return DataError(f"no field {name!r}", _shortened(hint), path=where, line=line)


def as_text(value: object, name: str, where: str, line: int, hint: str) -> str:
    """Return a text, "" for None.

    Raises
    ------
    DataError
        The value is something else; the message has the given ``hint``.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DataError(f"field {name!r} is {type(value).__name__}, not text", hint, path=where, line=line)
    return value


def as_label(value: object, where: str, line: int, hint: str) -> str:
    """Return an id as text.

    Raises
    ------
    DataError
        The value is neither text nor a whole number, or holds an unpaired surrogate, which no output can represent;
        the message has the given ``hint``.
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise DataError(f"id {value!r} is neither text nor a whole number", hint, path=where, line=line)
    label = str(value)
    if SURROGATE.search(label):
        raise DataError(f"id {label!r} holds an unpaired surrogate", hint, path=where, line=line)
    return label


def json_object(text: str, where: str | Path, line: int) -> dict[str, Any]:
    """Return the JSON object on one line.

    Raises
    ------
    DataError
        The line contains anything else.
    """
    record = parse_json(text, "Write one JSON object per line, without empty lines.", path=where, line=line)
    if not isinstance(record, dict):
        raise DataError(
            f"a JSON {type(record).__name__}, not an object",
            "Write one JSON object per line.",
            path=where,
            line=line,
        )
    return record


def open_saved(path: Path, split: str | None) -> Dataset:
    """Return a saved dataset, memory-mapped; for a dataset dictionary, one split, ``train`` by default.

    Raises
    ------
    DataError
        The folder is not a saved dataset, or does not have the split.
    """
    from datasets.dataset_dict import DatasetDict
    from datasets.load import load_from_disk

    if not any((path / name).is_file() for name in SAVED_FILES):
        raise DataError(
            "a folder that is not a saved dataset",
            "Use a file in the folder, or a folder written by Dataset.save_to_disk.",
            path=path,
        )
    require_files(path)
    try:
        data = load_from_disk(str(path))
    except Exception as error:  # a corrupt folder fails in many ways: JSON, Arrow, keys, files
        raise DataError(f"not a valid saved dataset: {error}", "Save it again.", path=path) from error
    if isinstance(data, DatasetDict):
        chosen = split or DEFAULT_SPLIT
        if chosen not in data:
            known = list(map(str, data))
            hint = did_you_mean(chosen, known)
            raise DataError(
                f"no split {chosen!r}",
                hint if hint.startswith("Did") else f"Choose one with ?split=: {', '.join(known)}.",
                path=path,
            )
        return data[chosen]
    if split is not None:
        raise DataError("the dataset has no splits", "Omit ?split=.", path=path)
    return data


def _path(place: Place) -> Path:
    if place.path is None:
        raise TypeError(f"{place.where} has no path")
    return place.path


def _chosen(
    rows: Iterable[tuple[int, Record]], choose: Choose, optional: Collection[str], where: str, classes: Classes
) -> Iterator[tuple[int, Record]]:
    """Choose the fields from the first record, and read them from every record."""
    wanted: list[tuple[str, str]] | None = None
    names: dict[str, None] = {}
    for line, record in rows:
        if wanted is None:
            names = dict.fromkeys(_names(record))
            wanted = list(choose(list(names), line).items())
            classes = {name: classes[name] for _, name in wanted if name in classes}
        elif not record.keys() <= names.keys():
            names |= dict.fromkeys(_names(record))
            _refuse_late(choose(list(names), line), wanted, where, line)
        try:
            chosen = {key: record[name] for key, name in wanted}
        except KeyError:
            chosen = {key: _value(record, name, key in optional, where, line) for key, name in wanted}
        for key, name in wanted if classes else ():
            chosen[key] = _class_name(chosen[key], classes.get(name))
        yield line, chosen


def _refuse_late(chosen: Mapping[str, str], wanted: list[tuple[str, str]], where: str, line: int) -> None:
    """Raise DataError if a field that is read begins in a later record: those before it would lack it in silence."""
    late = next((name for key, name in chosen.items() if key not in dict(wanted)), None)
    if late is not None:
        raise DataError(
            f"field {late!r} is not in the first record",
            "Write the field in every record, or in none.",
            path=where,
            line=line,
        )


def _names(record: Record) -> list[str]:
    """Return the names of all fields, with dots for nested objects.

    >>> _names({"id": 1, "translation": {"en": "a", "sw": "b"}})
    ['id', 'translation', 'translation.en', 'translation.sw']
    """
    names = []
    for name, value in record.items():
        names.append(str(name))
        if isinstance(value, Mapping):
            names += [f"{name}.{inner}" for inner in _names(value)]
    return names


def _value(record: Record, name: str, optional: bool, where: str, line: int) -> Any:
    value = _find(record, name, where, line)
    if value is MISSING and not optional:
        raise no_field(name, _names(record), where, line)
    return None if value is MISSING else value


def _find(record: Record, name: str, where: str, line: int) -> Any:
    """Return the value of a field; dots address nested objects unless a field has exactly this name."""
    if name in record:
        return record[name]
    for head in _parents(name):
        if head not in record:
            continue
        inner = record[head]
        if inner is None:
            return None
        if not isinstance(inner, Mapping):
            raise DataError(
                f"field {head!r} is {type(inner).__name__}, not an object",
                f"Only objects have inner fields such as {name!r}; name another field.",
                path=where,
                line=line,
            )
        return _find(inner, name[len(head) + 1 :], where, line)
    return MISSING


def _class_name(value: Any, names: list[str] | None) -> Any:
    if names is None or not isinstance(value, int):
        return value
    return names[value] if 0 <= value < len(names) else None


def _shortened(hint: str) -> str:
    return hint if len(hint) <= 300 else f"{hint[:297]}..."


def _table(
    lines: Iterator[tuple[int, list[str]]],
    choose: Choose,
    optional: Collection[str],
    header: bool | Callable[[list[str], int], bool],
    fits: Callable[[list[str], list[str]], bool] | None,
    where: str,
) -> Iterator[tuple[int, Record]]:
    """Choose the columns from the first record, and read them from every line, by position if all are there."""
    names: list[str] = []
    wanted: list[tuple[str, str]] | None = None
    places: list[tuple[str, int]] = []
    width = -1
    for line, fields in lines:
        if len(fields) == width:
            yield line, {key: fields[place] for key, place in places}
            continue
        if not names:
            named = header if isinstance(header, bool) else header(fields, line)
            # Columns with the same name can only be chosen by number.
            names = [
                str(index) if not named else name if fields.count(name) == 1 else f"{name} (column {index})"
                for index, name in enumerate(fields)
            ]
            if named:
                continue
        if len(fields) != len(names) and not (fits and fits(names, fields)):
            raise DataError(
                f"{counted(len(fields), 'field')}, but the first line has {len(names)}",
                "Fix or remove that line.",
                path=where,
                line=line,
            )
        record = dict(zip(names, fields, strict=False))
        if wanted is None:
            wanted = list(choose(list(record), line).items())
            columns = {name: index for index, name in enumerate(names)}
            if all(name in columns for _, name in wanted):
                width, places = len(names), [(key, columns[name]) for key, name in wanted]
        yield line, {key: _value(record, name, key in optional, where, line) for key, name in wanted}


def _csv_fields(place: Place) -> Iterator[tuple[int, list[str]]]:
    """Split comma-separated text with double quotes (RFC 4180); quoted fields may span lines."""
    csv.field_size_limit(max(csv.field_size_limit(), CSV_FIELD_LIMIT))
    reader = csv.reader((text + "\n" for _, text in lines_of(place)), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"not CSV: {error}",
                'Close every quoted field; write " inside it as "".',
                path=place.where,
                line=line,
            ) from error
        yield line, fields


def _parquet(place: Place, choose: Choose, optional: Collection[str]) -> Iterator[tuple[int, Record]]:
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    with (
        _arrow_errors(place.where, "Parquet file", "Write the file again."),
        pq.ParquetFile(_path(place)) as file,
    ):
        schema = file.schema_arrow
        wanted = choose(_schema_names(schema), None)
        _refuse_repeated(wanted, schema.names, place.where)
        batches = file.iter_batches(batch_size=BATCH_ROWS, columns=_columns(wanted, schema.names))
        yield from _arrow_records(
            batches, wanted, optional, place.where, _parquet_classes(schema.metadata or {}), pa
        )


def _saved(place: Place, choose: Choose, optional: Collection[str]) -> Iterator[tuple[int, Record]]:
    import pyarrow as pa

    data = open_saved(_path(place), place.split)
    with _arrow_errors(place.where, "saved dataset", "Save it again."):
        wanted = choose(_schema_names(data.features.arrow_schema), None)
        # Other columns may contain images, so they are not read.
        chosen = data.select_columns(_columns(wanted, data.column_names)).with_format("arrow")
        yield from _arrow_records(
            chosen.iter(BATCH_ROWS), wanted, optional, place.where, _classes(data.features), pa
        )


@contextlib.contextmanager
def _arrow_errors(where: str, what: str, hint: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"not a valid {what}: {error}", hint, path=where) from error


def _schema_names(schema: Any) -> list[str]:
    """Return the names of all fields of an Arrow schema or struct, nested ones with dots."""
    import pyarrow as pa

    names = []
    for each in schema:
        names.append(each.name)
        if pa.types.is_struct(each.type):
            names += [f"{each.name}.{inner}" for inner in _schema_names(each.type)]
    return names


def _refuse_repeated(wanted: Mapping[str, str], columns: list[str], where: str) -> None:
    """Raise DataError if several columns have the name of a wanted field, or of one that contains it."""
    repeated = [each for each in dict.fromkeys(_columns(wanted, columns)) if columns.count(each) > 1]
    if repeated:
        raise DataError(
            f"{columns.count(repeated[0])} columns are named {repeated[0]!r}",
            "Give every column its own name, and write the file again.",
            path=where,
        )


def _columns(wanted: Mapping[str, str], columns: list[str]) -> list[str]:
    """Return the columns that contain the wanted fields, without duplicates."""
    names = {name for field in wanted.values() for name in (field, *_parents(field))}
    return [column for column in columns if column in names]


def _parents(name: str) -> list[str]:
    """Return the names of the fields that may contain a nested field.

    >>> _parents("a.b.c")
    ['a', 'a.b']
    """
    return [name[:index] for index, character in enumerate(name) if character == "."]


def _arrow_records(
    batches: Iterable[Any],
    wanted: Mapping[str, str],
    optional: Collection[str],
    where: str,
    classes: Classes,
    pa: Any,
) -> Iterator[tuple[int, Record]]:
    def rows() -> Iterator[tuple[int, Record]]:
        number = 0
        for batch in batches:
            # Bytes that are not UTF-8 and offsets out of range would cause a crash or unrelated errors.
            try:
                batch.validate(full=True)
            except pa.ArrowInvalid as error:
                raise _invalid_row(batch, number, where, error, pa) from error
            try:
                found = batch.to_pylist()
            except (ValueError, OverflowError) as error:
                raise DataError(
                    f"a value of the records from {number + 1} on cannot be read: {error}",
                    "Write the sentences in columns of their own, as text, and every inner field with its own name.",
                    path=where,
                ) from error
            for record in found:
                number += 1
                yield number, record

    return _chosen(rows(), lambda *_: wanted, optional, where, classes)


def _invalid_row(batch: Any, before: int, where: str, error: Exception, pa: Any) -> DataError:
    for row in range(batch.num_rows):
        try:
            batch.slice(row, 1).validate(full=True)
        except pa.ArrowInvalid as found:
            reason = "a string is not UTF-8" if "UTF8" in str(found) else f"not valid: {found}"
            return DataError(reason, "Write the file again.", path=where, line=before + row + 1)
    return DataError(f"not valid: {error}", "Write the file again.", path=where)


def _parquet_classes(metadata: Mapping[bytes, bytes]) -> Classes:
    """Return the class names that ``datasets`` stores with a Parquet file, by column."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        return {
            name: [str(each) for each in feature["names"]]
            for name, feature in features.items()
            if feature.get("_type") == "ClassLabel"
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _classes(features: Mapping[str, Any]) -> Classes:
    """Return the names of the classes of every ``ClassLabel``."""
    return {name: list(each.names) for name, each in features.items() if getattr(each, "names", None)}


def _hub(place: Place, choose: Choose, optional: Collection[str]) -> Iterator[tuple[int, Record]]:
    """Stream one split of a dataset on the Hugging Face hub."""
    from datasets.load import load_dataset

    with reachable_hub() as failure, _hub_errors(place.where, failure):
        data = load_dataset(str(place.hub), place.config, split=place.split or DEFAULT_SPLIT, streaming=True)
        features = getattr(data, "features", None) or {}
        rows = iter(data)
    yield from _chosen(enumerate(_guarded(rows, place.where), 1), choose, optional, place.where, _classes(features))


def _guarded(rows: Iterator[Record], where: str) -> Iterator[Record]:
    while True:
        with _hub_errors(where):
            record = next(rows, None)
        if record is None:
            return
        yield record


@contextlib.contextmanager
def _hub_errors(where: str, failure: str | None = None) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the hub clients raise dozens of unrelated types
        refused = refusal(error) if failure is None else None
        if refused is not None:
            raise DataError(f"cannot read {where}: {refused.reason}", refused.hint) from error
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if failure is not None:
            reason = f"{reason}; the hub cannot be reached: {failure}"
        raise DataError(
            f"cannot read {where}: {reason}",
            "Check the name and the network. Without a network, download the dataset elsewhere, write it with "
            "save_to_disk, and name that folder.",
        ) from error
