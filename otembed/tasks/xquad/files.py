"""Readers of questions: SQuAD-format JSON, or records of Parquet, JSON lines, saved datasets and the hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from otembed.data.compression import read_lines, split_suffix
from otembed.data.places import HUB, Place, parse_place
from otembed.data.records import check_field, records
from otembed.data.spec import LANGUAGE_CODE
from otembed.errors import ConfigError
from otembed.results.reading import parse_json
from otembed.tasks.xquad.data import QuestionSet, QuestionSetBuilder

if TYPE_CHECKING:
    from collections.abc import Iterable

FIELDS = ("context", "question", "answers", "id")
RECORDS = (".parquet", ".jsonl")

DEVICES = frozenset({"aux", "con", "nul", "prn"})


def parse_question_place(value: str) -> Place:
    """Parse ``FILE``, ``FOLDER?split=NAME`` or ``hub:OWNER/NAME[:CONFIG][@SPLIT]``; nothing is opened.

    For records with other field names, use ``?context=FIELD&question=FIELD&answers=FIELD&id=FIELD``.

    Raises
    ------
    ConfigError
        The value is empty or malformed.

    >>> parse_question_place("hub:google/xquad:xquad.ar@validation").config
    'xquad.ar'
    """
    return parse_place(value, FIELDS)


def parse_question_places(values: Iterable[str], flag: str = "--data") -> dict[str, Place]:
    """Parse ``XX=PLACE`` values into places by language.

    Raises
    ------
    ConfigError
        A value has no language, or two have the same.
    """
    places: dict[str, Place] = {}
    for value in values:
        language, equals, place = value.partition("=")
        if not equals or not LANGUAGE_CODE.fullmatch(language):
            raise ConfigError(f"{flag} {value!r}: the language is missing", f"Write {flag} ar=FILE.")
        if language in places:
            raise ConfigError(f"{flag} {language} is given twice", "Pass one file per language.")
        places[language] = parse_question_place(place)
    return places


def read_questions(place: QuestionSet | Place | str | Path, *, unique_ids: bool = True) -> QuestionSet:
    """Read and check the questions at one place.

    Parameters
    ----------
    place
        SQuAD v1.1's JSON (also XQuAD, XQuAD-R with ``sentence_breaks``, TyDiQA-GoldP), plain or .gz .bz2 .xz .zst;
        Parquet, JSON lines, a saved dataset or one on the hub with the fields ``id context question answers``. Ids are
        text or whole numbers. A ``QuestionSet`` is returned as it is.
    unique_ids
        Require an id for each question, all different. Training does not need ids: with False a question may lack
        one, and repeated ids are counted.

    Raises
    ------
    DataError
        The file is missing, corrupt, not UTF-8 or not JSON (named as ``file:line``), or a part of it is malformed
        (named as ``file: data[3].paragraphs[0].qas[2]``): an answer that is not in its paragraph, no answer, a
        repeated id, sentences that overlap. An answer found elsewhere in its paragraph is moved and counted.
    """
    if isinstance(place, QuestionSet):
        return place
    if not isinstance(place, Place):
        place = parse_question_place(str(place))
    builder = QuestionSetBuilder(place.where, unique_ids=unique_ids)
    path = place.path
    if path is None or path.is_dir() or split_suffix(path)[0] in RECORDS:
        _add_rows(place, builder)
    elif place.fields or place.split is not None:
        raise ConfigError(f"{path}: SQuAD-format JSON does not support a query", "Omit ?....")
    else:
        _add_articles(_document(path), builder)
    return builder.build()


def answer_file(folder: Path, language: str) -> Path:
    """Return the file for predicted answers; Windows reserves some names that are also language codes for devices.

    >>> answer_file(Path("x"), "sw").name, answer_file(Path("x"), "con").name
    ('sw.json', 'con_.json')
    """
    return folder / f"{language}{'_' if language in DEVICES else ''}.json"


def place_name(where: str) -> str:
    """Return the name for reports: a file name without folders, which differ between machines."""
    return where if where.startswith(HUB) else Path(where).name


def _document(path: Path) -> Any:
    # JSON strings do not contain raw line breaks, so joining the lines preserves line numbers.
    text = "\n".join(line for _, line in read_lines(path))
    return parse_json(text, "Check that position. If the file is truncated, download it again.", path=path)


def _add_articles(document: Any, builder: QuestionSetBuilder) -> None:
    for i, article in enumerate(builder.field(document, "data", list, "")):
        for j, paragraph in enumerate(builder.field(article, "paragraphs", list, f"data[{i}]")):
            place = f"data[{i}].paragraphs[{j}]"
            index = builder.paragraph(paragraph, place)
            for k, node in enumerate(builder.field(paragraph, "qas", list, place)):
                builder.question(node, index, f"{place}.qas[{k}]")


def _add_rows(place: Place, builder: QuestionSetBuilder) -> None:
    optional = {"sentence_breaks"} if builder.unique_ids else {"sentence_breaks", "id"}

    def choose(names: list[str], line: int | None) -> dict[str, str]:
        chosen = {key: place.fields.get(key, key) for key in FIELDS}
        for key, name in chosen.items():
            if key not in optional:
                check_field(name, names, place.where, line)
        return chosen | {"sentence_breaks": "sentence_breaks"}

    for number, record in records(place, choose, optional=optional):
        at = f"row {number}"
        index = builder.paragraph(record, at)
        answers = record["answers"]
        if isinstance(answers, dict):
            texts = builder.field(answers, "text", list, f"{at}.answers")
            starts = builder.field(answers, "answer_start", list, f"{at}.answers")
            if len(texts) != len(starts):
                raise builder.refuse(f"{at}.answers", f"{len(texts)} texts, but {len(starts)} starts")
            entries = [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)]
            record = {**record, "answers": entries}
        builder.question(record, index, at)
