"""Location of data: a file, stdin, a saved dataset, or a dataset on the Hugging Face hub, with a query for its fields."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from otembed.errors import ConfigError, did_you_mean
from otembed.results.paths import expand

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEFAULT_SPLIT = "train"
HUB = "hub:"
STDIN = "-"
HUB_HINT = "Write hub:OWNER/NAME[:CONFIG][@SPLIT]."


@dataclass(frozen=True)
class Place:
    """A file, stdin (``-``), a folder written by ``save_to_disk``, or a dataset on the hub.

    Parameters
    ----------
    path
        The file or folder; ``None`` for a hub dataset.
    hub, config
        ``OWNER/NAME`` on the Hugging Face hub and its configuration.
    split
        Split of a hub dataset or of a saved dataset dictionary; ``None`` means ``train``.
    fields
        Fields named in the query, such as ``{"text": "translation.en"}``; dots address nested fields.
    """

    path: Path | None = None
    hub: str | None = None
    config: str | None = None
    split: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_stdin(self) -> bool:
        """Whether the data comes from stdin."""
        return self.path is not None and str(self.path) == STDIN

    @property
    def where(self) -> str:
        """The place as shown in messages and reports.

        >>> Place(hub="owner/name", config="en-sw").where
        'hub:owner/name:en-sw@train'
        """
        if self.hub is not None:
            return (
                f"{HUB}{self.hub}" + (f":{self.config}" if self.config else "") + f"@{self.split or DEFAULT_SPLIT}"
            )
        return "stdin" if self.is_stdin else str(self.path)


def parse_place(value: str | Path, fields: Sequence[str] = ()) -> Place:
    """Parse ``FILE``, ``-``, ``FOLDER`` or ``hub:OWNER/NAME[:CONFIG][@SPLIT]``; nothing is opened.

    A query at the end names fields (``?text=body&id=key``) and, for datasets, the split (``?split=dev``). A path that
    exists is used unchanged, even if it contains question marks.

    Parameters
    ----------
    value
        The place.
    fields
        Keys allowed in the query in addition to ``split``.

    Raises
    ------
    ConfigError
        The value is empty, or the query or the dataset's name is malformed.

    >>> parse_place("news.jsonl.gz?text=body&id=key", ("text", "id")).fields
    {'text': 'body', 'id': 'key'}
    """
    text = str(value)
    if not text:
        raise ConfigError("the file name is missing: ''", f"Write FILE or {HUB}OWNER/NAME[:CONFIG][@SPLIT].")
    if isinstance(value, Path) or Path(text).exists():
        return Place(expand(value))
    place, mark, query = text.rpartition("?")
    if not mark:
        place = text
    options = parse_query(text, query, (*fields, "split")) if mark else {}
    split = options.pop("split", None)
    if place.startswith(HUB):
        found = parse_hub(text, place, {} if split is None else {"split": split})
        return Place(**({"split": split} | found), fields=options)
    if not place:
        raise ConfigError(f"the file name is missing: {text!r}", f"Write FILE or {HUB}OWNER/NAME[:CONFIG][@SPLIT].")
    return Place(expand(place), split=split, fields=options)


def parse_query(where: str, query: str, keys: Sequence[str]) -> dict[str, str]:
    """Return the keys and values of ``key=value&key=value``.

    Raises
    ------
    ConfigError
        The query is malformed, a key is not one of ``keys``, is given twice or has no value.
    """
    example = f"Write ?{'&'.join(f'{key}=...' for key in keys[:2])}."
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True)
    except ValueError as error:
        raise ConfigError(f"{where}: cannot parse the query {query!r}", example) from error
    options: dict[str, str] = {}
    for key, value in pairs:
        if key not in keys:
            raise ConfigError(f"{where}: unknown query key {key!r}", did_you_mean(key, keys))
        if key in options or not value:
            raise ConfigError(f"{where}: query key {key!r} requires exactly one value", example)
        options[key] = value
    return options


def parse_hub(where: str, place: str, options: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """Parse ``hub:OWNER/NAME[:CONFIG][@SPLIT]`` into ``hub``, ``config`` and, if named, ``split``.

    Messages start with ``where``. ``options`` must not contain a ``split`` if ``place`` names one.
    """
    text = place.removeprefix(HUB)
    name, at, split = text.partition("@")
    name, colon, config = name.partition(":")
    if name.count("/") > 1 or not re.fullmatch(r"[\w.\-]+(/[\w.\-]+)?", name):
        raise ConfigError(f"{where}: {name!r} is not a dataset name", HUB_HINT)
    if (at and not split) or (colon and not config):
        raise ConfigError(f"{where}: {HUB}{text} is incomplete", HUB_HINT)
    if at and "split" in options:
        raise ConfigError(f"{where}: the split is given twice", "Specify it once, as @SPLIT.")
    found: dict[str, Any] = {"hub": name, "config": config or None}
    return found | ({"split": split} if at else {})
