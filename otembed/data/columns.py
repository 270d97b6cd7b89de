"""Finding the two columns of a pair among named fields."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from otembed.data.rows import Row
from otembed.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otembed.data.spec import PairSpec

NESTED = "translation"
USUAL_NAMES = (("source", "target"), ("sentence1", "sentence2"), ("src", "tgt"))
Place = tuple[str, ...]


def find_columns(names: Sequence[str], spec: PairSpec, path: str, line: int | None = None) -> tuple[Place, Place]:
    """Return where the source and the target stand, each as a path of field names.

    Without named columns these are tried in order: the two language codes, ``source``/``target``,
    ``sentence1``/``sentence2``, ``src``/``tgt``, and a ``translation`` field that holds both by code, as
    translation sets on the Hugging Face hub have it.

    Raises
    ------
    DataError
        A named column is missing, or none of the usual names is there.
    """
    if spec.source_column is not None and spec.target_column is not None:
        for name in (spec.source_column, spec.target_column):
            if name not in names:
                raise _missing(name, names, path, line)
        return (spec.source_column,), (spec.target_column,)
    codes = (spec.source_language, spec.target_language)
    for source, target in (codes, *USUAL_NAMES):
        if source in names and target in names:
            return (source,), (target,)
    if NESTED in names:
        return (NESTED, codes[0]), (NESTED, codes[1])
    raise DataError(
        f"no columns for {codes[0]} and {codes[1]} among: {', '.join(names)}",
        "Name them: ?source=COLUMN&target=COLUMN.",
        path=path,
        line=line,
    )


def pick(record: Mapping[str, Any], places: tuple[Place, Place], path: str, line: int) -> Row:
    """Return the pair in one record; ``null`` counts as empty text.

    Raises
    ------
    DataError
        A field is missing or holds something other than text.
    """
    source, target = (_text(record, place, path, line) for place in places)
    return Row(source, target, line)


def _text(record: Mapping[str, Any], place: Place, path: str, line: int) -> str:
    value: Any = record
    for name in place:
        if not isinstance(value, Mapping):
            raise _no_text(".".join(place[:-1]), value, "an object", path, line)
        if name not in value:
            raise _missing(name, list(value), path, line)
        value = value[name]
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _no_text(".".join(place), value, "text", path, line)
    return value


def _missing(name: str, names: Sequence[str], path: str, line: int | None) -> DataError:
    close = get_close_matches(name, names, n=1)
    hint = did_you_mean(name, close) if close else f"There are: {', '.join(names)}."
    return DataError(f"no field {name!r}", hint, path=path, line=line)


def _no_text(name: str, value: object, wanted: str, path: str, line: int) -> DataError:
    return DataError(
        f"field {name!r} is {type(value).__name__}, not {wanted}",
        "Choose the columns that hold the sentences: ?source=COLUMN&target=COLUMN.",
        path=path,
        line=line,
    )
