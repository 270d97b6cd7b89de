"""The published formats of natural language inference: locations, column names and classes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otembed.data.compression import split_suffix
from otembed.data.places import Place, parse_place
from otembed.data.records import check_field, find_name, record_format, records
from otembed.errors import ConfigError, DataError
from otembed.results.format import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LABELS = ("entailment", "neutral", "contradiction")
"""Names of the classes; a label is its index here."""
# XNLI's machine-readable files name this class in two ways.
ALIASES = {"contradictory": "contradiction"}
FIELDS = {
    "premise": ("premise", "sentence1"),
    # XNLI's own machine-translated training files call it hypo.
    "hypothesis": ("hypothesis", "hypo", "sentence2"),
    "label": ("gold_label", "label"),
}
OPTIONAL = ("language", "genre")
# The five individual votes for the gold label; lines may end before them.
VOTE = re.compile(r"label\d")
SHORT = {"mnli": "hub:nyu-mll/glue:mnli@train", "xnli": "hub:facebook/xnli"}


def label_name(value: object) -> str:
    """Return a label in lower case, with XNLI's second name of contradiction replaced by the first.

    >>> label_name(" Contradictory")
    'contradiction'
    """
    text = str(value).strip().lower()
    return ALIASES.get(text, text)


def check_nli_place(place: str | Path, language: str | None = None) -> None:
    """Raise the errors of :func:`open_records` before slow stages; nothing is read."""
    open_records(str(place), language)


def open_records(value: str, language: str | None) -> tuple[str, Iterator[tuple[int, Mapping[str, Any]]]]:
    """Return the place as shown in messages, and its numbered records; no record is read yet."""
    place = _place(value, language)
    where = place.where
    kind = None
    if place.path is not None:
        is_text = split_suffix(place.path)[0] == ".txt" and place.path.is_file()
        kind = ".tsv" if is_text else record_format(place)

    def choose(names: list[str], line: int | None) -> dict[str, str]:
        return _columns(names, place, line)

    def header(fields: list[str], line: int) -> bool:
        return _has_header(fields, where, line)

    return where, records(place, choose, optional=OPTIONAL, kind=kind, header=header, fits=_lacks_votes)


def _place(value: str, language: str | None) -> Place:
    """Parse a place; ``mnli`` and ``xnli`` are abbreviations of hub datasets."""
    name, at, split = value.partition("@")
    if name in SHORT and not Path(value).exists():
        value = SHORT[name]
        if name == "xnli":
            if language is None:
                raise ConfigError(f"{name!r} has one configuration per language", "Set the language.")
            value = f"{value}:{language}@{split or 'test'}"
        elif at:
            value = f"{value.partition('@')[0]}@{split}"
    return parse_place(value, tuple(FIELDS))


def _columns(names: list[str], place: Place, line: int | None) -> dict[str, str]:
    if names == ["0", "1", "2"]:
        return {name: str(column) for column, name in enumerate(FIELDS)}
    chosen = {}
    for key, usual in FIELDS.items():
        if key in place.fields:
            chosen[key] = check_field(place.fields[key], names, place.where, line)
            continue
        found = find_name(names, usual)
        if found is None:
            raise DataError(
                f"no field {' or '.join(map(repr, usual))}; the fields are: {', '.join(names)[:200]}",
                f"Specify it: ?{key}=FIELD.",
                path=place.where,
                line=line,
            )
        chosen[key] = found
    return chosen | {key: find_name(names, [key]) or key for key in OPTIONAL}


def _has_header(fields: list[str], where: str, line: int) -> bool:
    """Return whether a table has a header; XTREME's files have premise, hypothesis and label, but no header."""
    header = [name.strip().lower() for name in fields]
    known = {name for names in FIELDS.values() for name in names}
    for name in sorted(known):
        if header.count(name) > 1:
            raise DataError(f"two columns are named {name!r}", "Use each column name once.", path=where, line=line)
    if known & set(header):
        return True
    if len(fields) != len(FIELDS) or label_name(fields[2]) not in LABELS:
        raise DataError(
            f"{counted(len(fields), 'field')}, and no header with known columns",
            "Write a header with premise, hypothesis and label, or these three columns without one.",
            path=where,
            line=line,
        )
    return False


def _lacks_votes(names: list[str], fields: list[str]) -> bool:
    """Return whether a line is complete except for individual votes at its end."""
    return len(fields) <= len(names) and all(VOTE.fullmatch(name) for name in names[len(fields) :])
