"""From a file or dataset of natural language inference to records: where the fields stand, which columns, what classes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otembed.data.compression import OPENERS, read_lines, require_file, split_suffix
from otembed.data.hub import open_hub, open_saved
from otembed.data.spec import parse_hub
from otembed.data.tabular import csv_fields, json_object
from otembed.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

LABELS = ("entailment", "neutral", "contradiction")
"""Names of the classes; a label is its index here."""
# XNLI's machine-readable files name this class in two ways.
ALIASES = {"contradictory": "contradiction"}
FIELDS = {
    "premise": ("premise", "sentence1"),
    "hypothesis": ("hypothesis", "sentence2"),
    "label": ("gold_label", "label"),
}
TABLES = (".tsv", ".txt")
SUFFIXES = (*TABLES, ".csv", ".jsonl")
# The five single votes behind the gold label; files leave them out at the end of lines.
VOTE = re.compile(r"label\d")
SHORT = {"mnli": "hub:nyu-mll/glue:mnli@train", "xnli": "hub:facebook/xnli"}


def label_name(value: object) -> str:
    """Return a label in lower case, XNLI's second name of contradiction as the first.

    >>> label_name(" Contradictory")
    'contradiction'
    """
    text = str(value).strip().lower()
    return ALIASES.get(text, text)


def check_nli_place(place: str | Path, language: str | None = None) -> None:
    """Raise what :func:`open_records` raises, before anything slow; nothing is read."""
    open_records(str(place), language)


def open_records(place: str, language: str | None) -> tuple[str, Iterator[tuple[int, Mapping[str, Any]]]]:
    """Return what messages call the place, and its numbered records; nothing of them is read yet."""
    name, at, split = place.partition("@")
    if name in SHORT and not Path(place).exists():
        place = SHORT[name]
        if name == "xnli":
            if language is None:
                raise ConfigError(f"{name!r} has a part for each language", "Name the language.")
            place = f"{place}:{language}@{split or 'test'}"
        elif at:
            place = f"{place.partition('@')[0]}@{split}"
    if place.startswith("hub:"):
        spec = parse_hub("hub", place)
        split = spec.get("split") or "train"
        where = f"hub:{spec['hub']}" + (f":{spec['config']}" if spec["config"] else "") + f"@{split}"
        return where, _hub_records(spec["hub"], spec["config"], split, where)
    text, mark, query = place.partition("?split=")
    path = Path(text if mark else place).expanduser()
    require_file(path)
    if path.is_dir():
        data = open_saved(path, query or None)
        return str(path), _named(enumerate(data, start=1), data.features, str(path))
    suffix, _ = split_suffix(path)
    if suffix not in SUFFIXES:
        raise DataError(
            f"unknown suffix {suffix or '(none)'!r}",
            f"Known: {', '.join(SUFFIXES)}, each also with {', '.join(OPENERS)}.",
            path=path,
        )
    if suffix == ".jsonl":
        objects = ((number, json_object(line, path, number)) for number, line in read_lines(path))
        return str(path), _named(objects, {}, str(path))
    rows = ((number, line.split("\t")) for number, line in read_lines(path))
    return str(path), _table(rows if suffix in TABLES else csv_fields(path), path)


def _hub_records(name: str, config: str | None, split: str, where: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    records, features = open_hub(name, config, split, where)
    yield from _named(enumerate(records, start=1), features, where)


def _named(
    records: Iterable[tuple[int, Any]], features: Mapping[str, Any], where: str
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Give the fields of every record their usual names, and numbered labels the names of their classes."""
    for number, record in records:
        found = {name: _first(record, names, where, number) for name, names in FIELDS.items()}
        classes = getattr(features.get(found["label"]), "names", None)
        label = record[found["label"]]
        if classes is not None and isinstance(label, int):
            label = classes[label] if 0 <= label < len(classes) else None
        values = {name: record[key] for name, key in found.items()} | {"label": label}
        yield number, values | {name: record.get(name) for name in ("language", "genre")}


def _first(record: Iterable[str], names: Sequence[str], where: str, line: int) -> str:
    there = list(record)
    for name in names:
        if name in there:
            return name
    raise DataError(
        f"no field {' or '.join(map(repr, names))} among: {', '.join(there)[:200]}",
        "Name the columns premise, hypothesis and label.",
        path=where,
        line=line,
    )


def _table(rows: Iterator[tuple[int, list[str]]], path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    first = next(rows, None)
    if first is None:
        return
    number, fields = first
    header = [name.strip().lower() for name in fields]
    known = {name for names in FIELDS.values() for name in names}
    if not known & set(header):
        # XTREME's files: premise, hypothesis, label, and no header.
        header = ["premise", "hypothesis", "label"]
        if len(fields) != len(header) or label_name(fields[2]) not in LABELS:
            raise DataError(
                f"{len(fields)} field{'' if len(fields) == 1 else 's'}, and no header of known columns",
                "Write a header with premise, hypothesis and label, or these three columns without one.",
                path=path,
                line=number,
            )
        yield from _named([(number, dict(zip(header, fields, strict=True)))], {}, str(path))
    width = len(header)
    for name in (name for name in known if header.count(name) > 1):
        raise DataError(f"two columns {name!r}", "Name each column once.", path=path, line=number)
    for number, fields in rows:
        absent = header[len(fields) :]
        if len(fields) > width or not all(VOTE.fullmatch(name) for name in absent):
            raise DataError(
                f"{len(fields)} field{'' if len(fields) == 1 else 's'}, the first line has {width}",
                "Mend or remove that line.",
                path=path,
                line=number,
            )
        yield from _named([(number, dict(zip(header, fields, strict=False)))], {}, str(path))
