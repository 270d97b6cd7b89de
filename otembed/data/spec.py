"""Location of a parallel text: ``--pairs en-sw=FILE`` on the command line, ``pairs: {en-sw: FILE}`` in YAML."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from otembed.data.compression import split_suffix
from otembed.data.places import HUB, Place, parse_hub, parse_query
from otembed.data.starter import starter_languages, starter_parts, starter_path
from otembed.errors import ConfigError, did_you_mean
from otembed.results.paths import expand

if TYPE_CHECKING:
    from pathlib import Path

LANGUAGE_CODE = re.compile(r"[a-z]{2,3}(_[A-Z][a-z]{3})?(_([A-Z]{2}|[0-9]{3}))?(_[A-Za-z0-9]{5,8})*")
BRACES = re.compile(r"\{([^{},]*),([^{},]*)\}")
QUERY_KEYS = {"source": "source_column", "target": "target_column", "header": "header", "split": "split"}
TRUTH = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
KEY_HINT = "Write two language codes joined by '-', such as en-sw or zh_Hans-en (scripts and regions take '_')."


@dataclass(frozen=True)
class PairSpec:
    """Location of the sentence pairs of two languages, and the columns that contain them.

    Parameters
    ----------
    source_language, target_language
        Language codes in the order of the key, which is the order of columns and files.
    paths
        One file or saved dataset folder, or two plain files with one sentence per line.
    hub
        ``OWNER/NAME`` on the Hugging Face hub; then ``paths`` is empty.
    config
        Configuration of the hub dataset.
    split
        Split of a hub dataset or of a saved dataset dictionary; ``None`` means ``train``.
    source_column, target_column
        Column index (TSV and CSV, from 0) or name; ``None``: the default columns.
    header
        Whether a TSV or CSV file starts with column names; ``None``: only if columns are chosen by name.
    num_negatives
        Hard negatives of each pair to read, from the columns ``negative_1``, ``negative_2``, ... or the column ``negative``;
        ``None``: all there are.

    Raises
    ------
    ConfigError
        A language code is malformed, both are the same, or only one column is given.
    """

    source_language: str
    target_language: str
    paths: tuple[Path, ...] = ()
    hub: str | None = None
    config: str | None = None
    split: str | None = None
    source_column: str | None = None
    target_column: str | None = None
    header: bool | None = None
    num_negatives: int | None = 0

    def __post_init__(self) -> None:
        for code in (self.source_language, self.target_language):
            if not LANGUAGE_CODE.fullmatch(code):
                raise ConfigError(f"{code!r} is not a language code", KEY_HINT)
        if self.source_language == self.target_language:
            raise ConfigError(f"{self.key!r} pairs a language with itself", "Use two different languages.")
        if (self.source_column is None) != (self.target_column is None):
            raise ConfigError(
                f"{self.key}: only one column is chosen", "Specify both: ?source=COLUMN&target=COLUMN."
            )
        if (self.hub is None) == (not self.paths):
            raise ConfigError(f"{self.key}: no data is given", "Use a file, a folder or a hub dataset.")

    @property
    def key(self) -> str:
        """The pair's key, such as ``en-sw``."""
        return f"{self.source_language}-{self.target_language}"

    @property
    def place(self) -> Place:
        """The single file, folder or hub dataset; not defined for two files."""
        return Place(self.paths[0] if self.hub is None else None, self.hub, self.config, self.split)

    @property
    def where(self) -> str:
        """The files or the hub dataset as shown in messages and records."""
        return ",".join(str(path) for path in self.paths) if self.hub is None else self.place.where


def parse_pair_spec(key: str, value: str | None = None) -> PairSpec:
    """Parse one entry of ``pairs``; nothing is opened.

    Parameters
    ----------
    key
        Two language codes joined by '-'. Without ``value``, the whole entry: ``en-sw=FILE``.
    value
        ``FILE``, ``FILE.en,FILE.sw``, ``PREFIX.{en,sw}``, a folder saved by ``datasets``,
        ``hub:OWNER/NAME[:CONFIG][@SPLIT]`` or ``starter:en-sw[@test]``; a file, folder or hub name may end
        in a query such as ``?source=eng&target=swh``, with dots for nested fields.

    Raises
    ------
    ConfigError
        The key or the value is malformed.

    >>> spec = parse_pair_spec("en-sw=talks.tsv.gz?source=0&target=2")
    >>> spec.paths[0].name, spec.source_column, spec.target_column
    ('talks.tsv.gz', '0', '2')
    """
    if value is None:
        key, _, value = key.partition("=")
    source, target = _languages(key)
    place, mark, query = value.strip().partition("?")
    if not place:
        raise ConfigError(f"{key}: no file is given", "Write the pair as en-sw=FILE.")
    options = _options(key, query) if mark else {}
    if place.startswith("starter:"):
        if options:
            raise ConfigError(f"{key}: {value!r} does not support a query", "Write it without '?...'.")
        return _starter(key, source, target, place.removeprefix("starter:"))
    if place.startswith(HUB):
        return PairSpec(source, target, **(options | parse_hub(key, place, options)))
    return PairSpec(source, target, paths=_paths(key, source, target, place), **options)


def pair_languages(name: str) -> tuple[str, str] | None:
    """Return the languages of a pair by its name; None for another name.

    >>> pair_languages("en-zh_Hans"), pair_languages("news, part 2")
    (('en', 'zh_Hans'), None)
    """
    codes = name.split("-")
    if len(codes) == 2 and all(LANGUAGE_CODE.fullmatch(code) for code in codes):
        return codes[0], codes[1]
    return None


def _languages(key: str) -> tuple[str, str]:
    found = pair_languages(key)
    if found is not None:
        return found
    hint = KEY_HINT
    if pair_languages(key.lower()) is not None:
        hint = f"Did you mean {key.lower()!r}?"
    raise ConfigError(f"{key!r} is not a pair of language codes", hint)


def _options(key: str, query: str) -> dict[str, Any]:
    given = parse_query(key, query, tuple(QUERY_KEYS))
    options: dict[str, Any] = {QUERY_KEYS[name]: text for name, text in given.items()}
    if "header" in options:
        text = options["header"].lower()
        if text not in TRUTH:
            raise ConfigError(f"{key}: header={text!r} is neither 1 nor 0", "Write ?header=1 or ?header=0.")
        options["header"] = TRUTH[text]
    return options


def _starter(key: str, source: str, target: str, text: str) -> PairSpec:
    pair, _, part = text.partition("@")
    for code in (source, target):
        if code not in starter_languages():
            raise ConfigError(f"{key}: no starter text in {code!r}", did_you_mean(code, starter_languages()))
    if pair not in (f"{source}-{target}", f"{target}-{source}"):
        raise ConfigError(f"{key}: starter:{text} is another pair", f"Write starter:{key}.")
    part = part or "train"
    if part not in starter_parts():
        raise ConfigError(f"{key}: no starter part {part!r}", did_you_mean(part, starter_parts()))
    return PairSpec(source, target, paths=(starter_path(part),), source_column=source, target_column=target)


def _paths(key: str, source: str, target: str, place: str) -> tuple[Path, ...]:
    found = BRACES.search(place)
    if found:
        names = [place[: found.start()] + side + place[found.end() :] for side in found.groups()]
    else:
        names = place.split(",")
    if len(names) > 2 or not all(name.strip() for name in names) or any(c in n for n in names for c in "{}"):
        raise ConfigError(
            f"{key}: {place!r} does not name one or two files", "Write FILE.en,FILE.sw or PREFIX.{en,sw}."
        )
    paths = tuple(expand(name.strip()) for name in names)
    if [split_suffix(path)[0] for path in paths] == [f".{target}".lower(), f".{source}".lower()]:
        raise ConfigError(
            f"{key}: {place!r} names the {target} file first", f"Put the {source} file first, as in the key."
        )
    return paths
