"""Readers of gettext catalogs, PO and MO: message and translation as a pair."""

from __future__ import annotations

import gettext
import re
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from otembed.data.compression import open_binary, read_lines
from otembed.data.rows import PairCounts, Row
from otembed.data.tags import match_language
from otembed.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otembed.data.spec import PairSpec

TOKEN = re.compile(
    r"[ \t\r\v\f]*(?:"
    r"(?P<obsolete>\#~(?!\|))"
    r"|(?P<comment>\#.*)"
    r"|(?P<keyword>msgid_plural|msgctxt|msgid|msgstr|domain)(?!\w)(?:[ \t]*\[[ \t]*(?P<index>\d{1,3})[ \t]*\])?"
    r'|"(?P<string>(?:[^"\\]|\\.)*)"'
    r")",
    re.DOTALL,
)
BLANKS = " \t\r\v\f"
FLAG = re.compile(r"[\s,]+")
# The escapes of C strings; a backslash before any other character stays.
ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]+)|([0-7]{1,3})|(.))", re.DOTALL)
SIMPLE = {
    b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v", b"\\": b"\\", b'"': b'"',
}  # fmt: skip
MO_MAGIC = {b"\xde\x12\x04\x95": "<", b"\x95\x04\x12\xde": ">"}
PO_HINT = "Check it with: msgfmt --check FILE"


@dataclass
class _Entry:
    """One message of a catalog with its translations by plural form."""

    line: int
    message: str | None = None
    plural: str | None = None
    translations: dict[int, str] = field(default_factory=dict)
    context: str | None = None
    fuzzy: bool = False
    obsolete: bool = False

    @property
    def is_header(self) -> bool:
        """Whether the translation is the catalog's header."""
        return self.message == "" and self.context is None and not self.obsolete


def read_po(spec: PairSpec, counts: PairCounts) -> Iterator[Row]:
    """Read a PO catalog; fuzzy, obsolete and untranslated entries are counted and left out.

    ``msgid`` is in the first language of the key, unless the header's ``Language`` names that language for the
    translations. Text is not changed, including accelerators and placeholders. A plural entry yields the singular with
    the form for one, and the plural with every other form. The whole catalog is held in memory. As in GNU gettext, only
    a line feed ends a line, adjacent strings are joined, and strings use the escapes of C.

    Raises
    ------
    DataError
        The catalog is malformed, or its ``Language`` is not one of the pair's languages.
    """
    path = spec.paths[0]
    yield from _rows(spec, _po_entries(path), counts)


def read_mo(spec: PairSpec, counts: PairCounts) -> Iterator[Row]:
    """Read a compiled MO catalog as in :func:`read_po`; ``line`` is the entry's number.

    Raises
    ------
    DataError
        As in :func:`read_po`.
    """
    path = spec.paths[0]
    with open_binary(path) as file:
        content = file.read()
    if content:
        yield from _rows(spec, _mo_entries(content, path), counts)


def _rows(spec: PairSpec, entries: list[_Entry], counts: PairCounts) -> Iterator[Row]:
    header = next((each.translations.get(0, "") for each in entries if each.is_header), "")
    metadata = dict(re.findall(r"(?m)^([^:\n]+):[ \t]*(.*)$", header))
    swapped = _is_swapped(spec, metadata.get("Language", "").strip())
    one = _form_for_one(metadata.get("Plural-Forms", ""))
    for entry in entries:
        if entry.is_header:
            continue
        if entry.obsolete or entry.fuzzy:
            counts.drop("obsolete" if entry.obsolete else "fuzzy", entry.line)
            continue
        for message, translation in _pairs(entry, one):
            if not translation:
                counts.drop("untranslated", entry.line)
            elif swapped:
                yield Row(translation, message, entry.line)
            else:
                yield Row(message, translation, entry.line)


def _is_swapped(spec: PairSpec, language: str) -> bool:
    """Return whether the translations are in the first language of the key."""
    if not language or match_language(spec.target_language, [language]):
        return False
    if match_language(spec.source_language, [language]):
        return True
    raise DataError(
        f"the catalog is in {language!r}, which is neither {spec.source_language} nor {spec.target_language}",
        "Use the catalog's language in the pair, or fix 'Language:' in its header.",
        path=spec.paths[0],
    )


def _pairs(entry: _Entry, one: int) -> list[tuple[str, str]]:
    message = entry.message or ""
    if entry.plural is None:
        return [(message, entry.translations.get(0, ""))]
    forms = entry.translations or {0: ""}
    pairs = [(message if index == one else entry.plural, text) for index, text in forms.items()]
    if len(forms) == 1:
        pairs.append((entry.plural, forms.get(one, "")))
    return pairs


def _form_for_one(rule: str) -> int:
    """Return the plural form for the number one, from the header's ``Plural-Forms``."""
    found = re.search(r"plural\s*=\s*([^;]+)", rule)
    try:
        return int(gettext.c2py(found[1].strip())(1)) if found else 0
    except (ValueError, ArithmeticError, RecursionError):
        return 0


@dataclass
class _Statement:
    """A keyword of a PO file with its joined strings."""

    line: int
    keyword: str
    index: int
    obsolete: bool
    # The first comment before it, and whether one of them flags the message as fuzzy.
    start: int
    fuzzy: bool
    strings: list[str] = field(default_factory=list)

    def text(self, path: Path) -> str:
        """Return the strings as one, escapes replaced."""
        if not self.strings:
            raise _not_po(f"no string after {self.keyword}", path, self.line)
        raw = ESCAPE.sub(_unescaped, "".join(self.strings).encode("utf-8"))
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"escapes in the string produce byte 0x{raw[error.start]:02x}, which is not UTF-8",
                "Convert the catalog: msgconv --to-code=UTF-8 FILE",
                path=path,
                line=self.line,
            ) from error


def _unescaped(match: re.Match[bytes]) -> bytes:
    if match[1] or match[2]:
        # As in C, a value beyond one byte is truncated to it.
        return bytes([(int(match[1], 16) if match[1] else int(match[2], 8)) & 0xFF])
    return SIMPLE.get(match[3], match[0])


def _not_po(reason: str, path: Path, line: int) -> DataError:
    return DataError(f"not a PO catalog: {reason}", PO_HINT, path=path, line=line)


def _po_statements(path: Path) -> Iterator[_Statement]:
    current: _Statement | None = None
    start, fuzzy = 0, False
    for line, text in read_lines(path):
        obsolete = False
        for token in _tokens(text, path, line):
            if token["obsolete"]:
                obsolete = True
            elif token["comment"]:
                start = start or line
                fuzzy = fuzzy or (token["comment"].startswith("#,") and "fuzzy" in FLAG.split(token["comment"]))
            elif token["keyword"]:
                if current is not None:
                    yield current
                index = int(token["index"] or 0)
                current = _Statement(line, token["keyword"], index, obsolete, start or line, fuzzy)
                start, fuzzy = 0, False
            elif current is None:
                raise _not_po("a string without a keyword", path, line)
            else:
                current.strings.append(token["string"])
                start = 0
    if current is not None:
        yield current


def _tokens(text: str, path: Path, line: int) -> Iterator[re.Match[str]]:
    """Split one line into tokens without surrounding blanks."""
    position, end = 0, len(text.rstrip(BLANKS))
    while position < end:
        token = TOKEN.match(text, position, end)
        if token is None:
            rest = text[position:end].lstrip(BLANKS)
            reason = "a string is not closed" if rest.startswith('"') else f"unexpected {rest[:40]!r}"
            raise _not_po(reason, path, line)
        position = token.end()
        yield token


def _po_entries(path: Path) -> list[_Entry]:
    entries: list[_Entry] = []
    entry: _Entry | None = None
    for each in _po_statements(path):
        text = each.text(path)
        if each.keyword in ("domain", "msgctxt", "msgid") and (entry is None or entry.message is not None):
            if entry is not None and not entry.translations:
                raise _not_po(f"{each.keyword} before the msgstr of line {entry.line}", path, each.line)
            entry = None
            if each.keyword == "domain":
                continue
            entry = _Entry(each.start, obsolete=each.obsolete)
            entries.append(entry)
        if entry is None or (each.keyword != "msgid" and each.keyword != "msgctxt" and entry.message is None):
            raise _not_po(f"{each.keyword} without msgid", path, each.line)
        entry.fuzzy = entry.fuzzy or each.fuzzy
        if each.keyword == "msgctxt":
            if entry.context is not None:
                raise _not_po("msgctxt twice", path, each.line)
            entry.context = text
        elif each.keyword == "msgid":
            entry.message = text
        elif each.keyword == "msgid_plural":
            if entry.plural is not None or entry.translations:
                raise _not_po("msgid_plural in the wrong place", path, each.line)
            entry.plural = text
        elif each.index in entry.translations:
            raise _not_po(f"two translations of line {entry.line}", path, each.line)
        else:
            entry.translations[each.index] = text
    if entry is not None and not entry.translations:
        raise _not_po("no msgstr at the end", path, entry.line)
    return entries


def _mo_entries(content: bytes, path: Path) -> list[_Entry]:
    """Parse a compiled catalog (https://www.gnu.org/software/gettext/manual/html_node/MO-Files.html)."""
    try:
        order = MO_MAGIC[content[:4]]
        _, count, *tables = struct.unpack_from(f"{order}4I", content, 4)
        places = [
            [struct.unpack_from(f"{order}2I", content, table + 8 * row) for table in tables] for row in range(count)
        ]
    except KeyError:
        raise _not_mo("it does not start with the magic number", path) from None
    except struct.error as error:
        raise _not_mo(f"it is truncated ({error})", path) from error
    if any(start + length > len(content) for pair in places for length, start in pair):
        raise _not_mo("a string is beyond the end of the file", path)
    if sum(length for pair in places for length, _ in pair) > len(content):
        raise _not_mo("its strings overlap", path)
    raw = [tuple(content[start : start + length] for length, start in pair) for pair in places]
    header = next((translation for message, translation in raw if not message), b"")
    charset = re.search(rb"charset=([A-Za-z0-9._:-]+)", header)
    entries: list[_Entry] = []
    for message, translation in raw:
        # The header has no number.
        number = len(entries) + (0 if entries and entries[0].is_header else 1)
        try:
            encoding = charset[1].decode("ascii") if charset else "utf-8"
            text, translated = message.decode(encoding), translation.decode(encoding)
        except (LookupError, ValueError) as error:
            raise _not_mo(f"entry {number}: {error}", path) from error
        context, separator, text = text.rpartition("\x04")
        singular, *plural = text.split("\0")
        entries.append(
            _Entry(
                number,
                singular,
                plural[0] if plural else None,
                dict(enumerate(translated.split("\0"))),
                context if separator else None,
            )
        )
    return entries


def _not_mo(reason: str, path: Path) -> DataError:
    return DataError(f"not an MO catalog: {reason}", "Compile it again with msgfmt.", path=path)
