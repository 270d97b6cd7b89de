"""Where questions are read from: SQuAD-format JSON, rows in parquet, saved data sets, the Hugging Face hub."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otembed.data.compression import open_binary, read_lines, require_file, split_suffix
from otembed.data.hub import open_hub, open_saved
from otembed.data.spec import LANGUAGE_CODE, parse_hub
from otembed.errors import ConfigError, DataError
from otembed.tasks.xquad.data import FORMAT_HINT, QuestionSet, QuestionSetBuilder

if TYPE_CHECKING:
    from collections.abc import Iterable

HUB = "hub:"
SPLIT = "?split="


@dataclass(frozen=True)
class QuestionPlace:
    """A file or folder, or a data set on the hub with configuration and split."""

    paths: tuple[Path, ...] = ()
    hub: str | None = None
    config: str | None = None
    split: str | None = None

    @property
    def where(self) -> str:
        """The place in words, for messages and reports."""
        if self.hub is None:
            return str(self.paths[0])
        return f"{HUB}{self.hub}" + (f":{self.config}" if self.config else "") + f"@{self.split or 'train'}"


def parse_question_place(value: str) -> QuestionPlace:
    """Parse ``FILE``, ``FOLDER?split=NAME`` or ``hub:OWNER/NAME[:CONFIG][@SPLIT]``; nothing is opened.

    Raises
    ------
    ConfigError
        The value is empty or names no data set.

    >>> parse_question_place("hub:google/xquad:xquad.ar@validation").config
    'xquad.ar'
    """
    if value.startswith(HUB):
        return QuestionPlace(**parse_hub("questions", value))
    path, _, split = value.partition(SPLIT)
    if not path:
        raise ConfigError(f"questions: {value!r} names no file", "Write FILE or hub:OWNER/NAME[:CONFIG][@SPLIT].")
    return QuestionPlace(paths=(Path(path).expanduser(),), split=split or None)


def parse_question_places(values: Iterable[str], flag: str = "--data") -> dict[str, QuestionPlace]:
    """Parse ``XX=PLACE`` values into places by language.

    Raises
    ------
    ConfigError
        A value has no language, or one comes twice.
    """
    places: dict[str, QuestionPlace] = {}
    for value in values:
        language, equals, place = value.partition("=")
        if not equals or not LANGUAGE_CODE.fullmatch(language):
            raise ConfigError(f"{flag} {value!r} names no language", f"Write {flag} ar=FILE.")
        if language in places:
            raise ConfigError(f"{flag} names {language} twice", "Give one file a language.")
        places[language] = parse_question_place(place)
    return places


def read_questions(place: QuestionPlace | str | Path, *, unique_ids: bool = True) -> QuestionSet:
    """Read and check the questions at one place.

    Parameters
    ----------
    place
        SQuAD v1.1's JSON (also XQuAD, XQuAD-R with ``sentence_breaks``, TyDiQA-GoldP), plain or .gz .bz2 .xz .zst;
        parquet, a saved data set or one on the hub with the columns ``id context question answers``.
    unique_ids
        Refuse an id that comes twice. Training does not need ids: pass False to count them instead.

    Raises
    ------
    DataError
        The file is missing, damaged, not UTF-8 or not JSON (named as ``file:line``), or a part of it is malformed
        (named as ``file: data[3].paragraphs[0].qas[2]``): an answer that is nowhere in its paragraph, no answer, an
        id twice, sentences that overlap. An answer that stands elsewhere in its paragraph is moved and counted.
    """
    if not isinstance(place, QuestionPlace):
        place = parse_question_place(str(place))
    builder = QuestionSetBuilder(place.where, unique_ids=unique_ids)
    if place.hub is not None:
        _add_rows(open_hub(str(place.hub), place.config, place.split, place.where)[0], builder)
    elif place.paths[0].is_dir():
        _add_rows(open_saved(place.paths[0], place.split), builder)
    elif split_suffix(place.paths[0])[0] == ".parquet":
        _add_rows(_parquet(place.paths[0]), builder)
    else:
        _add_articles(_document(place.paths[0]), builder)
    return builder.build()


def place_name(where: str) -> str:
    """Return the name for reports: of a file without its folders, which mean nothing elsewhere."""
    return where if where.startswith(HUB) else Path(where).name


def _document(path: Path) -> Any:
    # Raw line breaks cannot stand inside JSON's strings, so lines joined again keep their numbers.
    text = "\n".join(line for _, line in read_lines(path))
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"not JSON at column {error.colno}: {error.msg}",
            "Look at that place; a file that is cut off ends too early: download it again.",
            path=path,
            line=error.lineno,
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"not JSON of this format: {error}", FORMAT_HINT, path=path) from error


def _add_articles(document: Any, builder: QuestionSetBuilder) -> None:
    for i, article in enumerate(builder.field(document, "data", list, "")):
        for j, paragraph in enumerate(builder.field(article, "paragraphs", list, f"data[{i}]")):
            place = f"data[{i}].paragraphs[{j}]"
            index = builder.paragraph(paragraph, place)
            for k, node in enumerate(builder.field(paragraph, "qas", list, place)):
                builder.question(node, index, f"{place}.qas[{k}]")


def _add_rows(rows: Iterable[Any], builder: QuestionSetBuilder) -> None:
    for number, row in enumerate(rows, start=1):
        place = f"row {number}"
        index = builder.paragraph(row, place)
        answers = row.get("answers")
        if isinstance(answers, dict):
            texts = builder.field(answers, "text", list, f"{place}.answers")
            starts = builder.field(answers, "answer_start", list, f"{place}.answers")
            if len(texts) != len(starts):
                raise builder.refuse(f"{place}.answers", f"{len(texts)} texts, but {len(starts)} starts")
            row = {
                **row,
                "answers": [{"text": a, "answer_start": b} for a, b in zip(texts, starts, strict=True)],
            }
        builder.question(row, index, place)


def _parquet(path: Path) -> list[dict[str, Any]]:
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    require_file(path)
    try:
        with open_binary(path) as file:
            rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
            return rows
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"not a sound Parquet file: {error}", "Write the file again.", path=path) from error
