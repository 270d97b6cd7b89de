"""Readers of tables: TSV, CSV, JSON lines, Parquet, and two plain files with one sentence a line."""

from __future__ import annotations

import csv
import json
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from otembed.data.columns import USUAL_NAMES, find_columns, pick
from otembed.data.compression import read_lines, require_file
from otembed.data.rows import PairCounts, Row
from otembed.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otembed.data.spec import PairSpec

    Fields = tuple[int, list[str]]

BATCH_ROWS = 1024


def read_tsv(spec: PairSpec, counts: PairCounts) -> Iterator[Row]:
    """Read tab-separated text: every tab separates, quotation marks are ordinary characters."""
    path = spec.paths[0]
    return _read_table(spec, ((number, text.split("\t")) for number, text in read_lines(path)))


def read_csv(spec: PairSpec, counts: PairCounts) -> Iterator[Row]:
    """Read comma-separated text with double quotes (RFC 4180); quoted fields may span lines."""
    return _read_table(spec, csv_fields(spec.paths[0]))


def csv_fields(path: Path) -> Iterator[Fields]:
    """Yield ``(line, fields)`` of a CSV file; the line is where the record begins."""
    reader = csv.reader((text + "\n" for _, text in read_lines(path)), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"not CSV: {error}", 'Close every quoted field; write " inside it as "".', path=path, line=line
            ) from error
        yield line, fields


def _read_table(spec: PairSpec, lines: Iterator[Fields]) -> Iterator[Row]:
    path = spec.paths[0]
    first = next(lines, None)
    if first is None:
        return
    number, fields = first
    source, target, header = _indices(spec, fields)
    width = len(fields)
    if max(source, target) >= width:
        raise DataError(
            f"{width} field{'s' if width > 1 else ''}, column {max(source, target)} is asked for",
            "Columns are counted from 0; check the separator, or choose: ?source=0&target=1.",
            path=path,
            line=number,
        )
    if not header:
        yield Row(fields[source], fields[target], number)
    for number, fields in lines:
        if len(fields) != width:
            raise DataError(
                f"{len(fields)} field{'s' if len(fields) != 1 else ''}, the first line has {width}",
                "Mend or remove that line.",
                path=path,
                line=number,
            )
        yield Row(fields[source], fields[target], number)


def _indices(spec: PairSpec, first: list[str]) -> tuple[int, int, bool]:
    """Return the two column indices and whether the first line is a header."""
    chosen = (spec.source_column, spec.target_column)
    by_index = all(column is not None and column.isdecimal() for column in chosen)
    if by_index:
        return int(str(chosen[0])), int(str(chosen[1])), bool(spec.header)
    named = chosen[0] is not None
    if named and spec.header is False:
        raise ConfigError(
            f"{spec.key}: columns {chosen[0]!r} and {chosen[1]!r} need a header, but header=0 is given",
            "Choose columns by index, or leave header=0 out.",
        )
    if named or spec.header:
        places = find_columns(first, spec, str(spec.paths[0]), line=1)
        source, target = (first.index(place[0]) for place in places)
        return source, target, True
    usual = ((spec.source_language, spec.target_language), *USUAL_NAMES)
    if spec.header is None and any(set(names) <= set(first) for names in usual):
        raise DataError(
            f"the first line looks like a header: {', '.join(first)}",
            "Say what it is: ?header=1 for column names, ?header=0 for sentences.",
            path=spec.paths[0],
            line=1,
        )
    return 0, 1, False


def read_jsonl(spec: PairSpec, counts: PairCounts) -> Iterator[Row]:
    """Read one JSON object a line; the first one decides the columns."""
    path = spec.paths[0]
    places = None
    for number, text in read_lines(path):
        record = json_object(text, path, number)
        places = places or find_columns(list(record), spec, str(path), number)
        yield pick(record, places, str(path), number)


def json_object(text: str, path: Path, line: int) -> dict[str, Any]:
    """Return the JSON object that one line holds; DataError if it holds anything else."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"not JSON: {error}", "Write one JSON object on each line, and no empty lines.", path=path, line=line
        ) from error
    if not isinstance(record, dict):
        raise DataError(
            f"a JSON {type(record).__name__}, not an object", "Write one JSON object a line.", path=path, line=line
        )
    return record


def read_parquet(spec: PairSpec, counts: PairCounts) -> Iterator[Row]:
    """Read a Parquet file batch by batch; ``line`` is the row's number."""
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    path = spec.paths[0]
    require_file(path)
    try:
        with pq.ParquetFile(path) as file:
            places = find_columns(file.schema_arrow.names, spec, str(path))
            columns = list(dict.fromkeys(place[0] for place in places))
            number = 0
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=columns):
                for record in batch.to_pylist():
                    number += 1
                    yield pick(record, places, str(path), number)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"not a sound Parquet file: {error}", "Write the file again.", path=path) from error


def read_lines_pair(spec: PairSpec, counts: PairCounts) -> Iterator[Row]:
    """Read two plain files with one sentence a line (the Moses layout), line n belonging to line n.

    Raises
    ------
    DataError
        One file ends before the other; the message counts the lines of both.
    """
    first, second = spec.paths
    sides = zip_longest(read_lines(first), read_lines(second))
    for number, (source, target) in enumerate(sides, start=1):
        if source is None or target is None:
            longer = number + sum(1 for _ in sides)
            lengths = (number - 1, longer) if source is None else (longer, number - 1)
            raise DataError(
                f"{lengths[0]} lines, but {second} has {lengths[1]}",
                "Both files need one line for each pair; a missing line shifts all that follow.",
                path=first,
            )
        yield Row(source[1], target[1], number)
