"""Writing pairs atomically as TSV, JSON lines, Parquet or TMX, chosen by suffix."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, NamedTuple

from otembed.errors import ConfigError
from otembed.results import is_stream, whole_file

BATCH_ROWS = 4096
# A TSV reader cannot tell an escaped tab from a backslash and a letter, so text is written without escapes.
SEPARATORS = re.compile(r"[\t\n\r]")
# Characters that XML 1.0 cannot represent.
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


Languages = tuple[str, str] | None
TextIds = tuple[bool, bool] | None


class MinedPair(NamedTuple):
    """One pair: its margin score, the cosine, the ids of its lines, and their texts ('' without text)."""

    score: float
    cosine: float
    source_id: int | str
    target_id: int | str
    source: str
    target: str


def tsv_line(pair: MinedPair) -> str:
    r"""Return score, source and target as one line, in LASER's order; ids where text is missing.

    Tabs and line breaks inside a text become spaces, because TSV cannot represent them; other formats keep them.

    >>> tsv_line(MinedPair(1.25, 0.5, 1, 2, "a\tb", "C:\\new"))
    '1.250000\ta b\tC:\\new\n'
    """
    sides = pair.source or str(pair.source_id), pair.target or str(pair.target_id)
    return "\t".join([f"{pair.score:.6f}", *(SEPARATORS.sub(" ", side) for side in sides)]) + "\n"


def _write_tsv(pairs: Iterable[MinedPair], file: IO[bytes], languages: Languages, text_ids: TextIds) -> None:
    for pair in pairs:
        file.write(tsv_line(pair).encode())


def _write_jsonl(pairs: Iterable[MinedPair], file: IO[bytes], languages: Languages, text_ids: TextIds) -> None:
    for pair in pairs:
        file.write((json.dumps(pair._asdict(), ensure_ascii=False, allow_nan=False) + "\n").encode())


def _write_parquet(pairs: Iterable[MinedPair], file: IO[bytes], languages: Languages, text_ids: TextIds) -> None:
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    rest = iter(pairs)
    first = list(islice(rest, 1))
    kinds = {"score": pa.float64(), "cosine": pa.float32(), "source": pa.string(), "target": pa.string()}
    for name, known in zip(("source_id", "target_id"), text_ids or (None, None), strict=True):
        is_text = isinstance(getattr(first[0], name), str) if first and known is None else known
        kinds[name] = pa.string() if is_text else pa.int64()
    schema = pa.schema([(name, kinds[name]) for name in MinedPair._fields])
    with pq.ParquetWriter(file, schema) as writer:
        for rows in chain([first], iter(lambda: list(islice(rest, BATCH_ROWS)), [])):
            columns = zip(*rows, strict=True) if rows else ([] for _ in MinedPair._fields)
            writer.write_table(
                pa.table(dict(zip(MinedPair._fields, map(list, columns), strict=True)), schema=schema)
            )


def _write_tmx(pairs: Iterable[MinedPair], file: IO[bytes], languages: Languages, text_ids: TextIds) -> None:
    from lxml import etree

    from otembed._version import __version__

    source, target = languages or ("", "")
    head = {
        "creationtool": "otembed",
        "creationtoolversion": __version__,
        "segtype": "sentence",
        "o-tmf": "otembed",
        "adminlang": "en",
        "srclang": source,
        "datatype": "plaintext",
    }
    with etree.xmlfile(file, encoding="utf-8") as xml:
        xml.write_declaration()
        with xml.element("tmx", {"version": "1.4"}):
            xml.write(etree.Element("header", head))
            with xml.element("body"):
                for pair in pairs:
                    xml.write("\n", _unit(etree, pair, (source, target)))
                xml.write("\n")


def _unit(etree: Any, pair: MinedPair, languages: tuple[str, str]) -> Any:
    unit = etree.Element("tu")
    for name in ("score", "cosine", "source_id", "target_id"):
        etree.SubElement(unit, "prop", {"type": name}).text = NOT_XML.sub("\ufffd", str(getattr(pair, name)))
    for language, text in zip(languages, (pair.source, pair.target), strict=True):
        variant = etree.SubElement(unit, "tuv", {"{http://www.w3.org/XML/1998/namespace}lang": language})
        etree.SubElement(variant, "seg").text = NOT_XML.sub("\ufffd", text)
    return unit


WRITERS: dict[str, Callable[[Iterable[MinedPair], IO[bytes], Languages, TextIds], None]] = {
    ".tsv": _write_tsv,
    ".jsonl": _write_jsonl,
    ".parquet": _write_parquet,
    ".tmx": _write_tmx,
}


def format_suffix(path: Path) -> str:
    """Return the suffix that chooses the format; pipes and devices have none and get TSV, as stdout does."""
    return path.suffix.lower() or (".tsv" if is_stream(path) else "")


def check_output(path: Path, languages: tuple[str, str] | None, *, texts: bool = True) -> None:
    """Reject an unknown suffix, and TMX without languages or text, before the slow stages start."""
    suffix = format_suffix(path)
    if suffix not in WRITERS:
        raise ConfigError(f"{path}: unknown suffix {suffix or '(none)'!r}", f"Supported: {', '.join(WRITERS)}.")
    if suffix == ".tmx" and languages is None:
        raise ConfigError(f"{path}: TMX requires the language of each side", "Add --languages sw-en.")
    if suffix == ".tmx" and not texts:
        raise ConfigError(
            f"{path}: TMX requires texts, but the sides are vectors", "Write .tsv, .jsonl or .parquet."
        )


def write_pairs(
    pairs: Iterable[MinedPair],
    path: str | Path,
    *,
    languages: Languages = None,
    texts: bool = True,
    text_ids: TextIds = None,
) -> Path:
    """Write pairs in the format of the suffix, atomically.

    Parameters
    ----------
    pairs
        Pairs, in the order of the output.
    path
        ``.tsv`` (score, source, target; also a pipe or device without a suffix), ``.jsonl`` or ``.parquet`` (score, cosine, ids, texts), or ``.tmx`` (score,
        cosine and ids as properties of each unit; characters that XML cannot represent become U+FFFD).
    languages
        Language codes of both sides, required for TMX.
    texts
        Whether both sides have texts, required for TMX.
    text_ids
        Whether the ids of each side are text rather than numbers, for Parquet; None: as those of the first pair.

    Raises
    ------
    ConfigError
        As :func:`check_output`.
    OutputError
        The file cannot be written; an earlier file is kept.
    """
    path = Path(path)
    check_output(path, languages, texts=texts)
    with whole_file(path) as file:
        WRITERS[format_suffix(path)](pairs, file, languages, text_ids)
    return path
