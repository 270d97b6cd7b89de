"""The starter text shipped with the package: short sentences in nine languages, for first steps and tests."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

from otembed.errors import ConfigError, did_you_mean

GROUP_COLUMN = "group"


def starter_parts() -> tuple[str, ...]:
    """Return the names of the parts.

    >>> starter_parts()
    ('train', 'test')
    """
    return ("train", "test")


def starter_path(part: str = "train") -> Path:
    """Return the TSV file of one part: a header of ``group`` and language codes, one sentence per row.

    Rows of one ``group`` are similar sentences; all rows of a group are in the same part.

    Raises
    ------
    ConfigError
        The part is unknown.
    """
    if part not in starter_parts():
        raise ConfigError(f"unknown starter part {part!r}", did_you_mean(part, starter_parts()))
    return Path(str(files("otembed.data") / "starter" / f"{part}.tsv"))


@cache
def starter_languages() -> tuple[str, ...]:
    """Return the language codes of the starter text, English first.

    >>> starter_languages()[:2]
    ('en', 'sw')
    """
    with starter_path().open(encoding="utf-8") as file:
        columns = file.readline().rstrip("\n").split("\t")
    return tuple(column for column in columns if column != GROUP_COLUMN)
