"""From a :class:`PairSpec` to its rows: one table from suffix to reader."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from otembed.data.catalogs import read_mo, read_po
from otembed.data.compression import OPENERS, require_file, split_suffix
from otembed.data.hub import read_hub, read_saved
from otembed.data.rows import PairCounts, Row
from otembed.data.spec import QUERY_KEYS, PairSpec
from otembed.data.tabular import read_csv, read_jsonl, read_lines_pair, read_parquet, read_tsv
from otembed.data.tmx import read_tmx
from otembed.errors import ConfigError, DataError


@dataclass(frozen=True)
class Format:
    """A reader, the query keys it takes, and whether its files may be compressed."""

    read: Callable[[PairSpec, PairCounts], Iterator[Row]]
    options: frozenset[str] = frozenset()
    compressed: bool = True


NAMED = frozenset({"source", "target"})
FORMATS: dict[str, Format] = {
    ".tsv": Format(read_tsv, NAMED | {"header"}),
    ".csv": Format(read_csv, NAMED | {"header"}),
    ".jsonl": Format(read_jsonl, NAMED),
    ".parquet": Format(read_parquet, NAMED, compressed=False),
    ".tmx": Format(read_tmx),
    ".po": Format(read_po),
    ".mo": Format(read_mo),
}
TWO_FILES = Format(read_lines_pair)
SAVED = Format(read_saved, NAMED | {"split"})
HUB = Format(read_hub, NAMED | {"split"})


def read_pairs(spec: PairSpec, counts: PairCounts | None = None) -> Iterator[Row]:
    """Yield the sentence pairs of a file, a dataset folder or a hub dataset, in order and unchecked.

    Rows are streamed: memory does not grow with the file (a PO or MO catalog excepted, which is read
    as a whole). ``source`` is in the first language of the key.

    Parameters
    ----------
    spec
        Made by :func:`parse_pair_spec`.
    counts
        Takes up what the format itself marks as unusable: fuzzy, obsolete and untranslated catalog
        entries, translation units that lack one language.

    Raises
    ------
    DataError
        At once if a file is missing or of an unknown kind; while reading at the first malformed line,
        named as ``file:line``; at the end if there was nothing to read.
    ConfigError
        At once if the query asks for something that the format does not have.
    """
    reader = _format(spec)
    given = {key for key, field in QUERY_KEYS.items() if getattr(spec, field) is not None}
    for key in sorted(given - reader.options):
        known = ", ".join(sorted(reader.options)) or "none"
        raise ConfigError(f"{spec.key}: {spec.where} takes no ?{key}=", f"Query keys it takes: {known}.")
    return _not_empty(spec, reader, PairCounts() if counts is None else counts)


def _not_empty(spec: PairSpec, reader: Format, counts: PairCounts) -> Iterator[Row]:
    empty = True
    for row in reader.read(spec, counts):
        empty = False
        yield row
    if empty and counts.dropped:
        raise DataError(f"no usable pair: {counts.summary()}", "Translate some entries.", path=spec.where)
    if empty:
        raise DataError("no sentence pair in it", "Check that this is the right file.", path=spec.where)


def _format(spec: PairSpec) -> Format:
    if spec.hub is not None:
        return HUB
    for path in spec.paths:
        require_file(path)
    if len(spec.paths) == 2:
        return TWO_FILES
    path = Path(spec.paths[0])
    if path.is_dir():
        return SAVED
    suffix, compression = split_suffix(path)
    if suffix not in FORMATS:
        raise DataError(
            f"unknown suffix {suffix or '(none)'!r}",
            f"Known: {', '.join(FORMATS)}, all but .parquet also with {', '.join(OPENERS)}; two plain files as "
            "FILE.en,FILE.sw.",
            path=path,
        )
    if compression and not FORMATS[suffix].compressed:
        raise DataError(
            f"{suffix} is compressed inside and is not read through {compression}", "Decompress it.", path=path
        )
    return FORMATS[suffix]
