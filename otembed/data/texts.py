"""Readers of one-sided text: sentences of one language, one after the other, each with its number."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl

from otembed.data.compression import OPENERS, decode_lines, read_lines, require_file, split_suffix
from otembed.data.hub import hub_place, is_saved_dataset, open_hub, open_saved
from otembed.data.spec import parse_hub
from otembed.data.tabular import BATCH_ROWS, json_object
from otembed.errors import ConfigError, DataError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

STDIN = "-"
USUAL_FIELDS = ("text", "sentence", "content")
RECORDS = (".jsonl", ".parquet")
KEYS = ("text", "id", "split")
# Formats that hold more than a sentence: read as plain lines they would give nonsense without a word of warning.
NOT_PLAIN = (".csv", ".tmx", ".po", ".mo", ".npy", ".json", ".xml", ".zip", ".pdf", ".arrow")


class Text(NamedTuple):
    """One text: its number (from 1: the line or the record), the text, and its own id if the file has one."""

    number: int
    text: str
    label: str | None


@dataclass(frozen=True)
class TextPlace:
    """Where texts are: a file, ``-`` (stdin), a saved dataset or one on the hub; and the fields of text and id."""

    path: Path
    text_field: str | None = None
    id_field: str | None = None
    hub: str | None = None
    config: str | None = None
    split: str | None = None

    @property
    def is_stdin(self) -> bool:
        """Whether the texts come from stdin."""
        return str(self.path) == STDIN

    @property
    def name(self) -> str:
        """The place in words."""
        if self.hub is not None:
            return hub_place(self.hub, self.config, self.split)
        return "stdin" if self.is_stdin else str(self.path)


def parse_text_place(value: str | Path) -> TextPlace:
    """Parse where texts are; nothing is read.

    ``FILE``, ``-``, a folder of ``save_to_disk`` or ``hub:OWNER/NAME[:CONFIG][@SPLIT]``; each may end in
    ``?text=FIELD&id=FIELD``, a dataset also in ``split=NAME``.

    Raises
    ------
    ConfigError
        The query cannot be read.

    >>> parse_text_place("news.jsonl.gz?text=body&id=key").text_field
    'body'
    """
    place, mark, query = str(value).rpartition("?") if "?" in str(value) else (str(value), "", "")
    on_hub = isinstance(value, str) and value.startswith("hub:") and not Path(value).exists()
    if (not mark and not on_hub) or isinstance(value, Path) or Path(value).exists():
        return TextPlace(Path(value).expanduser())
    try:
        fields = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if mark else []
    except ValueError as error:
        raise ConfigError(
            f"cannot read the query {query!r} of {value}", "Write FILE?text=FIELD&id=FIELD."
        ) from error
    options: dict[str, str] = {}
    for key, field in fields:
        if key not in KEYS:
            raise ConfigError(f"{value}: unknown query key {key!r}", did_you_mean(key, KEYS))
        if key in options or not field:
            raise ConfigError(f"{value}: give {key!r} one value", "Write FILE?text=FIELD&id=FIELD.")
        options[key] = field
    wanted = options.get("text"), options.get("id")
    if on_hub:
        found = parse_hub(str(value), place, options)
        return TextPlace(Path(place), *wanted, **({"split": options.get("split")} | found))
    return TextPlace(Path(place).expanduser(), *wanted, split=options.get("split"))


def read_texts(place: TextPlace) -> Iterator[Text]:
    r"""Yield every text of a file in order, as it is; memory holds one line.

    Plain text has one text a line (\n or \r\n; the last may lack it), tabs and all. ``.jsonl`` and ``.parquet``
    hold it in the field ``text``, ``sentence`` or ``content`` unless another is named; of plain text a column
    between tabs is taken, counted from 0, where one is named. All but parquet may be compressed (.gz .bz2 .xz .zst).

    Raises
    ------
    DataError
        The file is missing, damaged, not UTF-8, or lacks the field; named as ``file:line``.
    ConfigError
        A column is named that is no number.
    """
    if place.hub is not None:
        return _dataset(
            open_hub(place.hub, place.config, place.split, hub_place(place.hub, place.config, place.split))[0],
            place,
        )
    suffix, compression = split_suffix(place.path)
    if not place.is_stdin:
        require_file(place.path)
        if is_saved_dataset(place.path):
            return _dataset(_saved(place), place)
        if place.path.is_dir():
            raise DataError(
                "a folder, not a file",
                "Name a file of one sentence a line, or a folder that Dataset.save_to_disk has written.",
                path=place.path,
            )
        if place.split is not None:
            raise ConfigError(f"{place.path} takes no ?split=", "Query keys it takes: text, id.")
        if suffix in NOT_PLAIN:
            raise DataError(
                f"{suffix} is no format of one-sided text",
                f"Give plain text, {', '.join(RECORDS)} or .tsv, plain or with {', '.join(OPENERS)}.",
                path=place.path,
            )
    if suffix == ".parquet":
        if compression:
            raise DataError(
                ".parquet is compressed inside and is not read another way", "Decompress it.", path=place.path
            )
        return _parquet(place)
    if suffix == ".jsonl":
        return _jsonl(place)
    if place.text_field is None and place.id_field is None:
        return (Text(number, text, None) for number, text in _lines(place))
    return _tsv(place)


def _lines(place: TextPlace) -> Iterator[tuple[int, str]]:
    return decode_lines(sys.stdin.buffer, place.path) if place.is_stdin else read_lines(place.path)


def _tsv(place: TextPlace) -> Iterator[Text]:
    columns = []
    for key, field in (("text", place.text_field or "0"), ("id", place.id_field)):
        if field is not None and not field.isdecimal():
            raise ConfigError(
                f"{place.path}: {key}={field!r} is no column number", "Count columns from 0: ?text=1&id=0."
            )
        columns.append(None if field is None else int(field))
    text_column, id_column = columns
    for number, line in _lines(place):
        fields = line.split("\t")
        wanted = max(each for each in columns if each is not None)
        if wanted >= len(fields):
            raise DataError(
                f"no column {wanted}: the line has {len(fields)}",
                "Columns are counted from 0 and parted by tabs.",
                path=place.path,
                line=number,
            )
        yield Text(number, fields[text_column or 0], None if id_column is None else fields[id_column])


def _jsonl(place: TextPlace) -> Iterator[Text]:
    field = place.text_field
    for number, line in _lines(place):
        record = json_object(line, place.path, number)
        field = field or _usual_field(list(record), place.path, number)
        yield _pick(record, field, place, number)


def _parquet(place: TextPlace) -> Iterator[Text]:
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    try:
        with pq.ParquetFile(place.path) as file:
            names = file.schema_arrow.names
            field = place.text_field or _usual_field(names, place.path, None)
            for wanted in filter(None, (field, place.id_field)):
                if wanted not in names:
                    raise _missing(wanted, names, place.path, None)
            number = 0
            columns = list(dict.fromkeys(filter(None, (field, place.id_field))))
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=columns):
                for record in batch.to_pylist():
                    number += 1
                    yield _pick(record, field, place, number)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"not a sound Parquet file: {error}", "Write the file again.", path=place.path) from error


def _dataset(records: Iterable[Mapping[str, Any]], place: TextPlace) -> Iterator[Text]:
    field = place.text_field
    for number, record in enumerate(records, start=1):
        flat = _flat(record)
        field = field or _usual_field(list(flat), place.name, None)
        yield _pick(flat, field, place, number)


def _saved(place: TextPlace) -> Iterator[Mapping[str, Any]]:
    """Read the wanted columns alone: others may hold pictures."""
    data = open_saved(place.path, place.split)
    names: list[str] = data.column_names
    columns = []
    for name in (place.text_field or _usual_field(names, place.name, None), place.id_field):
        column = name if name is None or name in names else name.partition(".")[0]
        if name is not None and column not in names:
            raise _missing(name, names, place.name, None)
        columns.append(column)
    return iter(data.select_columns(list(dict.fromkeys(filter(None, columns)))))


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """Name the entries of a nested field beside it: ``translation.en``."""
    inner = {
        f"{name}.{key}": part
        for name, each in record.items()
        if isinstance(each, dict)
        for key, part in each.items()
    }
    return {**inner, **record}


def _usual_field(names: Sequence[str], path: str | Path, line: int | None) -> str:
    for name in USUAL_FIELDS:
        if name in names:
            return name
    raise DataError(
        f"none of the fields {', '.join(USUAL_FIELDS)} among: {', '.join(map(str, names)) or '(no field)'}",
        "Name the one that holds the text: FILE?text=FIELD.",
        path=path,
        line=line,
    )


def _pick(record: Mapping[str, Any], field: str, place: TextPlace, number: int) -> Text:
    for wanted in filter(None, (field, place.id_field)):
        if wanted not in record:
            raise _missing(wanted, list(record), place.name, number)
    text, label = record[field], None if place.id_field is None else record[place.id_field]
    if text is not None and not isinstance(text, str):
        raise DataError(
            f"field {field!r} is {type(text).__name__}, not text",
            "Name the one that holds the text: FILE?text=FIELD.",
            path=place.name,
            line=number,
        )
    if place.id_field is not None and (isinstance(label, bool) or not isinstance(label, str | int)):
        raise DataError(
            f"id {label!r} is neither text nor a whole number", "Name another id.", path=place.name, line=number
        )
    return Text(number, text or "", None if label is None else str(label))


def _missing(name: str, names: Sequence[str], path: str | Path, line: int | None) -> DataError:
    return DataError(f"no field {name!r}", did_you_mean(name, names), path=path, line=line)
