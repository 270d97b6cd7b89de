"""From a :class:`PairSpec` to its rows: records with two columns, or formats of sentence pairs."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, islice, takewhile, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from otembed.data.catalogs import read_mo, read_po
from otembed.data.compression import OPENERS, read_lines, split_suffix
from otembed.data.records import as_text, check_field, find_name, record_format, records
from otembed.data.rows import PairCounts, Row
from otembed.data.spec import QUERY_KEYS, PairSpec, parse_pair_spec
from otembed.data.tags import english_names
from otembed.data.texts import NOT_PLAIN, RECORDS
from otembed.data.tmx import read_tmx
from otembed.errors import ConfigError, DataError
from otembed.results.format import counted
from otembed.results.reading import require_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NESTED = "translation"
USUAL_NAMES = (("source", "target"), ("sentence1", "sentence2"), ("src", "tgt"))
ENGLISH_NAME = re.compile("[A-Za-z]{2,20}")
NEGATIVE = "negative"
COLUMN_HINT = "Specify the columns of the sentences: ?source=COLUMN&target=COLUMN."
NAMED = frozenset({"source", "target"})
# So many rows show whether column 0 holds numbers; a bitext has another sentence among them.
EARLY_ROWS = 20


@dataclass(frozen=True)
class Format:
    """A reader of pairs and its query keys."""

    read: Callable[[PairSpec, PairCounts], Iterator[Row]]
    options: frozenset[str] = frozenset()


def read_pairs(spec: PairSpec | str, counts: PairCounts | None = None) -> Iterator[Row]:
    """Yield the sentence pairs of a file, a dataset folder or a hub dataset, in order and unchecked.

    Rows are streamed: memory does not grow with the file, except for MO catalogs, which are read
    as a whole. ``source`` is in the first language of the key.

    Parameters
    ----------
    spec
        From :func:`parse_pair_spec`, or the string ``en-sw=FILE``.
    counts
        Counts entries that the format itself marks as unusable: fuzzy, obsolete and untranslated catalog
        entries, translation units without one of the languages, additional variants of a language in a unit.

    Raises
    ------
    DataError
        Immediately if a file is missing or has an unknown format; while reading, at the first malformed line,
        named as ``file:line``; at the end if there are no pairs.
    ConfigError
        Immediately if the query has a key that the format does not support.
    """
    spec = parse_pair_spec(spec) if isinstance(spec, str) else spec
    reader = _format(spec)
    given = {key for key, field in QUERY_KEYS.items() if getattr(spec, field) is not None}
    for key in sorted(given - reader.options):
        known = ", ".join(sorted(reader.options)) or "none"
        raise ConfigError(f"{spec.key}: {spec.where} does not support ?{key}=", f"Supported query keys: {known}.")
    return _not_empty(spec, reader, PairCounts() if counts is None else counts)


def _not_empty(spec: PairSpec, reader: Format, counts: PairCounts) -> Iterator[Row]:
    rows = reader.read(spec, counts)
    first = next(rows, None)
    if first is not None:
        yield first
        yield from rows
    elif counts.dropped:
        raise DataError(f"no usable pair: {counts.summary()}", "Translate some entries.", path=spec.where)
    else:
        raise DataError("the file has no sentence pairs", "Check that this is the right file.", path=spec.where)


def _format(spec: PairSpec) -> Format:
    if spec.hub is not None:
        return DATASET
    for path in spec.paths:
        require_file(path)
    if len(spec.paths) == 2:
        for path in spec.paths:
            if (suffix := split_suffix(Path(path))[0]) in (*RECORDS, *NOT_PLAIN, ".tsv"):
                raise DataError(
                    f"{suffix} is not plain text",
                    "Two files are the two sides, with one sentence per line. Pass a file with both sides alone; join several into one.",
                    path=path,
                )
        return TWO_FILES
    path = Path(spec.paths[0])
    if path.is_dir():
        return DATASET
    suffix, _ = split_suffix(path)
    if suffix not in FORMATS:
        raise DataError(
            f"unknown suffix {suffix or '(none)'!r}",
            f"Supported: {', '.join(FORMATS)}, all but .parquet also with {', '.join(OPENERS)}; two plain files as "
            "FILE.en,FILE.sw.",
            path=path,
        )
    if FORMATS[suffix].read is _read_records:
        record_format(spec.place)
    return FORMATS[suffix]


def _read_records(spec: PairSpec, counts: PairCounts) -> Iterator[Row]:
    where, place = spec.where, spec.place
    is_table = place.hub is None and record_format(place) in TABLES
    named, first_line, may_be_score = not is_table, 0, False
    columns: dict[str, str] = {}

    def header(fields: list[str], line: int) -> bool:
        nonlocal named, first_line
        named, first_line = _has_header(spec, fields, line), line
        return named

    def choose(names: list[str], line: int | None) -> dict[str, str]:
        nonlocal may_be_score
        # The names of a table's columns are in its first line, before the first record.
        line = first_line if is_table else line
        by_number = is_table and (_by_number(spec) or not named)
        sides = _numbered(names, spec, line) if by_number else find_columns(names, spec, line)
        may_be_score = by_number and spec.source_column is None and len(names) > 2
        columns.update(source=sides[0], target=sides[1])
        columns.update((name, name) for name in find_negatives(names, spec, line))
        return columns

    def rows() -> Iterator[Row]:
        for line, record in records(place, choose, header=header):
            texts = [record[key] for key in columns]
            if not all(isinstance(text, str) for text in texts):
                texts = [
                    as_text(text, name, where, line, COLUMN_HINT)
                    for text, name in zip(texts, columns.values(), strict=True)
                ]
            source, target, *negatives = texts
            yield Row(source, target, line, tuple(negatives))

    read = rows()
    early = list(islice(read, 1))
    if may_be_score:
        while len(early) < EARLY_ROWS and _number(early[-1].source) is not None:
            following = next(read, None)
            if following is None:
                break
            early.append(following)
        _refuse_numbers(early, where)
    yield from early
    yield from read


def _refuse_numbers(early: Sequence[Row], where: str) -> None:
    """Raise DataError if the sources are numbers and the targets are not the same numbers.

    Mined pairs begin with a score, other tables with a number of the row. There is no minimum of rows: a file with
    one mined pair would be read wrongly as well. A bitext of numbers passes, because translation keeps most of them.
    """
    numbers = [_number(row.source) for row in early]
    same = sum(number == _number(row.target) for number, row in zip(numbers, early, strict=True))
    if None not in numbers and 2 * same < len(early):
        raise DataError(
            f"column 0 holds numbers, not sentences: {early[0].source!r}",
            "If it holds scores or ids, choose the columns of the sentences, such as ?source=1&target=2; if it holds "
            "sentences, ?source=0&target=1.",
            path=where,
            line=early[0].line,
        )


def _number(text: str) -> float | None:
    """Return the finite number that a text is, else None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def find_negatives(names: Sequence[str], spec: PairSpec, line: int | None = None) -> list[str]:
    """Return the names of the fields of hard negatives: ``negative_1``, ``negative_2``, ..., else ``negative``.

    Raises
    ------
    DataError
        There are fewer than ``spec.num_negatives``.
    """
    if spec.num_negatives == 0:
        return []
    found = list(takewhile(set(names).__contains__, (f"{NEGATIVE}_{number}" for number in count(1))))
    found = found or [name for name in (NEGATIVE,) if name in names]
    if spec.num_negatives is not None and len(found) < spec.num_negatives:
        raise DataError(
            f"{len(found)} columns of hard negatives, but num_negatives is {spec.num_negatives}; the columns are: "
            f"{', '.join(names)}",
            f"Name them {NEGATIVE}_1, {NEGATIVE}_2, ..., or lower num_negatives.",
            path=spec.where,
            line=line,
        )
    return found[: spec.num_negatives]


def find_columns(names: Sequence[str], spec: PairSpec, line: int | None = None) -> tuple[str, str]:
    """Return the names of the fields that hold the source and the target.

    Without named columns, these are tried in order, in upper or lower case: the two language codes,
    ``source``/``target``, ``sentence1``/``sentence2``, ``src``/``tgt``, a ``translation`` field with one text per
    code, as in translation datasets on the Hugging Face hub, and the English names of the languages.

    Raises
    ------
    DataError
        A named column is missing, or none of the usual names is present.
    """
    chosen = (spec.source_column, spec.target_column)
    if chosen[0] is not None and chosen[1] is not None:
        return check_field(chosen[0], names, spec.where, line), check_field(chosen[1], names, spec.where, line)
    codes = (spec.source_language, spec.target_language)
    if (found := _find_usual(names, codes)) is not None:
        return found
    if NESTED in names:
        inner = ([f"{NESTED}.{each}" for each in _spellings(code)] for code in codes)
        return _find_both(names, inner) or (f"{NESTED}.{codes[0]}", f"{NESTED}.{codes[1]}")
    if (found := _find_languages(names, codes)) is not None:
        return found
    raise DataError(
        f"no columns for {codes[0]} and {codes[1]}; the columns are: {', '.join(names)}",
        COLUMN_HINT,
        path=spec.where,
        line=line,
    )


def _find_both(names: Sequence[str], sides: Iterable[Sequence[str]]) -> tuple[str, str] | None:
    """Return the names of the fields of both sides, given the possible names of each."""
    source, target = (find_name(names, wanted) for wanted in sides)
    return None if source is None or target is None else (source, target)


def _find_usual(names: Sequence[str], codes: tuple[str, str]) -> tuple[str, str] | None:
    """Return the fields that are named by the language codes, else by the first of the usual names."""
    sides = [map(_spellings, codes), *([[name] for name in pair] for pair in USUAL_NAMES)]
    return next(filter(None, (_find_both(names, each) for each in sides)), None)


def _spellings(code: str) -> list[str]:
    """Return a language code as in a key, and as in BCP 47."""
    return [code, code.replace("_", "-")]


def _find_languages(names: Sequence[str], codes: tuple[str, str]) -> tuple[str, str] | None:
    """Return the fields that are named after the languages in English, as in ``English``, ``German``."""
    if sum(ENGLISH_NAME.fullmatch(name.strip()) is not None for name in names) < 2:
        return None
    found = _find_both(names, map(english_names, codes))
    # Two regions of a language have one name.
    return None if found is None or found[0] == found[1] else found


def _by_number(spec: PairSpec) -> bool:
    columns = (spec.source_column, spec.target_column)
    return all(column is not None and re.fullmatch("[0-9]{1,6}", column) for column in columns)


def _numbered(names: list[str], spec: PairSpec, line: int | None) -> tuple[str, str]:
    """Return the names of the columns chosen by number; by default, of the first two."""
    source, target = int(spec.source_column or 0), int(spec.target_column or 1)
    if max(source, target) >= len(names):
        raise DataError(
            f"no column {max(source, target)}: the line has {counted(len(names), 'field')}",
            "Columns are counted from 0. Check the separator, or choose columns: ?source=0&target=1.",
            path=spec.where,
            line=line,
        )
    return names[source], names[target]


def _has_header(spec: PairSpec, first: list[str], line: int) -> bool:
    """Return whether the first line of a table names its columns."""
    by_number = _by_number(spec)
    if spec.source_column is not None and not by_number:
        if spec.header is False:
            raise ConfigError(
                f"{spec.key}: columns {spec.source_column!r} and {spec.target_column!r} require a header, but header=0",
                "Choose columns by number, or omit header=0.",
            )
        return True
    if spec.header is not None:
        return spec.header
    codes = (spec.source_language, spec.target_language)
    # Other columns of a line may hold the codes of its languages.
    fields = list(_numbered(first, spec, line)) if by_number else first
    if (_find_usual(fields, codes) or _find_languages(fields, codes)) is not None:
        mark = "&" if by_number else "?"
        raise DataError(
            f"the first line looks like a header: {', '.join(first)}",
            f"Add {mark}header=1 if it contains column names, {mark}header=0 if it contains sentences.",
            path=spec.where,
            line=line,
        )
    return False


def _read_two_files(spec: PairSpec, counts: PairCounts) -> Iterator[Row]:
    """Read two plain files with one sentence per line (the Moses format), aligned by line number."""
    first, second = spec.paths
    sides = zip_longest(read_lines(first), read_lines(second))
    for number, (source, target) in enumerate(sides, start=1):
        if source is None or target is None:
            longer = number + sum(1 for _ in sides)
            lengths = (number - 1, longer) if source is None else (longer, number - 1)
            raise DataError(
                f"{lengths[0]} lines, but {second} has {lengths[1]}",
                "Both files must have one line per pair; a missing line shifts all that follow.",
                path=first,
            )
        yield Row(source[1], target[1], number)


TABLES = (".tsv", ".csv")
FORMATS: dict[str, Format] = {
    **dict.fromkeys(TABLES, Format(_read_records, NAMED | {"header"})),
    **dict.fromkeys((".jsonl", ".parquet"), Format(_read_records, NAMED)),
    ".tmx": Format(read_tmx),
    ".po": Format(read_po),
    ".mo": Format(read_mo),
}
DATASET = Format(_read_records, NAMED | {"split"})
TWO_FILES = Format(_read_two_files)
