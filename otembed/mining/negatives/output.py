"""Writing rows of source, target and hard negatives atomically as TSV, JSON lines or Parquet, chosen by suffix."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, NamedTuple

from otembed.errors import ConfigError
from otembed.mining.output import BATCH_ROWS, SEPARATORS, format_suffix
from otembed.results import whole_file

Values = Sequence[str | float]


class NegativesRow(NamedTuple):
    """A pair with its hard negatives, the score of the pair, and the score of each negative."""

    source: str
    target: str
    negatives: tuple[str, ...]
    score: float
    negative_scores: tuple[float, ...]


def column_names(num_negatives: int, *, scores: bool) -> list[str]:
    """Return the columns of a file: those that training reads, then the scores.

    >>> column_names(2, scores=True)
    ['source', 'target', 'negative_1', 'negative_2', 'score', 'score_1', 'score_2']
    """
    numbers = range(1, num_negatives + 1)
    names = ["source", "target", *(f"negative_{number}" for number in numbers)]
    return [*names, "score", *(f"score_{number}" for number in numbers)] if scores else names


def row_values(row: NegativesRow, *, scores: bool) -> Values:
    """Return the values of a row in the order of :func:`column_names`."""
    texts = (row.source, row.target, *row.negatives)
    return (*texts, row.score, *row.negative_scores) if scores else texts


def tsv_line(values: Values) -> str:
    r"""Return values as one line; tabs and line breaks inside a text become spaces.

    >>> tsv_line(["a\tb", "c", 0.25])
    'a b\tc\t0.250000\n'
    """
    fields = (SEPARATORS.sub(" ", each) if isinstance(each, str) else f"{each:.6f}" for each in values)
    return "\t".join(fields) + "\n"


def _write_tsv(names: list[str], rows: Iterable[Values], file: IO[bytes]) -> None:
    file.write(tsv_line(names).encode())
    for values in rows:
        file.write(tsv_line(values).encode())


def _write_jsonl(names: list[str], rows: Iterable[Values], file: IO[bytes]) -> None:
    for values in rows:
        record = dict(zip(names, values, strict=True))
        file.write((json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n").encode())


def _write_parquet(names: list[str], rows: Iterable[Values], file: IO[bytes]) -> None:
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    schema = pa.schema([(name, pa.float32() if name.startswith("score") else pa.string()) for name in names])
    rest = iter(rows)
    with pq.ParquetWriter(file, schema) as writer:
        for part in iter(lambda: list(islice(rest, BATCH_ROWS)), []):
            columns = map(list, zip(*part, strict=True))
            writer.write_table(pa.table(dict(zip(names, columns, strict=True)), schema=schema))


WRITERS: dict[str, Callable[[list[str], Iterable[Values], IO[bytes]], None]] = {
    ".tsv": _write_tsv,
    ".jsonl": _write_jsonl,
    ".parquet": _write_parquet,
}


def check_output(path: Path) -> None:
    """Reject an unknown suffix; pipes and devices without one get TSV, as stdout does."""
    if format_suffix(path) not in WRITERS:
        raise ConfigError(
            f"{path}: unknown suffix {path.suffix.lower() or '(none)'!r}", f"Supported: {', '.join(WRITERS)}."
        )


def write_negatives(
    rows: Iterable[NegativesRow], path: str | Path, num_negatives: int, *, scores: bool = False
) -> Path:
    """Write rows in the format of the suffix, atomically; TSV has a header.

    Raises
    ------
    ConfigError
        The suffix is unknown.
    OutputError
        The file cannot be written; an earlier file is kept.
    """
    path = Path(path)
    check_output(path)
    names = column_names(num_negatives, scores=scores)
    with whole_file(path) as file:
        WRITERS[format_suffix(path)](names, (row_values(row, scores=scores) for row in rows), file)
    return path
