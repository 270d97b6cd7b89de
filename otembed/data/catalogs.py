"""Readers of gettext catalogs, PO and MO: message and translation as a pair."""

from __future__ import annotations

import gettext
import re
import struct
from typing import TYPE_CHECKING

import polib

from otembed.data.compression import open_binary, read_lines
from otembed.data.rows import PairCounts, Row
from otembed.data.tmx import match_language
from otembed.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otembed.data.spec import PairSpec

STRING_START = re.compile(r'(#~ ?)?(msg(id|str|ctxt|id_plural)(\[\d+\])?\s*)?"')
STRING_REST = re.compile(r'([^"\\]|\\.)*"')


def read_po(spec: PairSpec, counts: PairCounts) -> Iterator[Row]:
    """Read a PO catalog; fuzzy, obsolete and untranslated entries are counted and left out.

    ``msgid`` is in the first language of the key, unless the header's ``Language`` says that the
    translations are. Text stays as it is, accelerators and placeholders included. A plural entry gives
    its singular with the form for one, and its plural with every other form. The catalog is held in
    memory as a whole.

    Raises
    ------
    DataError
        The catalog is malformed or its ``Language`` is neither of the pair.
    """
    path = spec.paths[0]
    text = "\n".join(_checked_lines(path))
    if not text.strip():
        return
    try:
        # The line break in front makes the text impossible to mistake for a file name.
        catalog = polib.pofile("\n" + text)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        place = re.search(r"line (\d+)\)(: .*)?", str(error))
        reason = (place and place[2]) or ": no keyword, comment or string where one is due"
        raise DataError(
            f"not a PO catalog{reason}",
            "Check it with: msgfmt --check FILE",
            path=path,
            line=int(place[1]) - 1 if place else None,
        ) from error
    swapped = _is_swapped(spec, catalog, path)
    for entry in catalog:
        line = (entry.linenum or 1) - 1
        if entry.obsolete or entry.fuzzy:
            counts.drop("obsolete" if entry.obsolete else "fuzzy", line)
        else:
            yield from _pairs(entry, catalog, line, swapped, counts)


def read_mo(spec: PairSpec, counts: PairCounts) -> Iterator[Row]:
    """Read a compiled MO catalog in the way of :func:`read_po`; ``line`` is the entry's number.

    Raises
    ------
    DataError
        As :func:`read_po`.
    """
    path = spec.paths[0]
    with open_binary(path) as file:
        content = file.read()
    if not content:
        return
    try:
        catalog = polib.mofile(content)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, struct.error) as error:
        raise DataError(f"not an MO catalog: {error}", "Compile it again.", path=path) from error
    swapped = _is_swapped(spec, catalog, path)
    for number, entry in enumerate(catalog, start=1):
        yield from _pairs(entry, catalog, number, swapped, counts)


def _checked_lines(path: Path) -> Iterator[str]:
    for number, text in read_lines(path):
        start = STRING_START.match(text.strip())
        # polib drops the last character of a string that is not closed, without a word.
        if start and not STRING_REST.fullmatch(text.strip(), start.end()):
            raise DataError(
                "a string is not closed", 'End it with ", and write " inside it as \\".', path=path, line=number
            )
        yield text


def _is_swapped(spec: PairSpec, catalog: polib.POFile | polib.MOFile, path: Path) -> bool:
    """Return whether the translations are in the first language of the key."""
    language = str(catalog.metadata.get("Language", "")).strip()
    if not language or match_language(spec.target_language, [language]):
        return False
    if match_language(spec.source_language, [language]):
        return True
    raise DataError(
        f"the catalog is in {language!r}, which is neither {spec.source_language} nor {spec.target_language}",
        "Name the pair by the catalog's language, or mend 'Language:' in its header.",
        path=path,
    )


def _pairs(
    entry: polib.POEntry | polib.MOEntry,
    catalog: polib.POFile | polib.MOFile,
    line: int,
    swapped: bool,
    counts: PairCounts,
) -> Iterator[Row]:
    if entry.msgid_plural:
        forms = {int(index): text for index, text in entry.msgstr_plural.items()}
        one = _form_for_one(catalog)
        texts = [(entry.msgid if index == one else entry.msgid_plural, text) for index, text in forms.items()]
        if len(forms) == 1:
            texts.append((entry.msgid_plural, forms.get(one, "")))
    else:
        texts = [(entry.msgid, entry.msgstr)]
    for message, translation in texts:
        if not translation:
            counts.drop("untranslated", line)
        elif swapped:
            yield Row(translation, message, line)
        else:
            yield Row(message, translation, line)


def _form_for_one(catalog: polib.POFile | polib.MOFile) -> int:
    """Return which plural form stands with the number one, by the header's ``Plural-Forms``."""
    rule = re.search(r"plural\s*=\s*([^;]+)", str(catalog.metadata.get("Plural-Forms", "")))
    try:
        return gettext.c2py(rule[1].strip())(1) if rule else 0
    except ValueError:
        return 0
