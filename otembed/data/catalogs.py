"""Readers of gettext catalogs, PO and MO: message and translation as a pair.

They are written here because polib, the usual library, loses the last letter of strings with characters such as U+0085,
and reads some C escapes as backslashes.
"""

from __future__ import annotations

import gettext
import re
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from otembed.data.compression import open_binary, read_lines
from otembed.data.rows import PairCounts, Row
from otembed.data.tags import match_language, match_languages
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
    # Possessive, because positions to backtrack to would take far more memory than the string.
    r'|"(?P<string>[^"\\]*+(?:\\.[^"\\]*+)*+)"'
    r")",
    re.DOTALL,
)
# Comments without flags, which take the most lines of large catalogs.
PLAIN_COMMENTS = ("# ", "#.", "#:", "#|")
BLANKS = " \t\r\v\f"
FLAG = re.compile(r"[\s,]+")
# The escapes of C strings; a backslash before any other character stays.
ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]+)|([0-7]{1,3})|(.))", re.DOTALL)
SIMPLE = {
    b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v", b"\\": b"\\", b'"': b'"',
}  # fmt: skip
MO_MAGIC = {b"\xde\x12\x04\x95": "<", b"\x95\x04\x12\xde": ">"}
PO_HINT = "Check it with: msgfmt --check FILE"


@dataclass(slots=True)
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
    the form for one, and the plural with every other form. The file is read up to its header first, then streamed. As
    in GNU gettext, only a line feed ends a line, adjacent strings are joined, and strings use the escapes of C.

    Raises
    ------
    DataError
        The catalog is malformed, or its ``Language`` is not one of the pair's languages.
    """
    path = spec.paths[0]
    header = next((each for each in _po_entries(path) if each.is_header), None)
    yield from _rows(spec, header, _po_entries(path), counts)


def read_mo(spec: PairSpec, counts: PairCounts) -> Iterator[Row]:
    """Read a compiled MO catalog as in :func:`read_po`; ``line`` is the entry's number. The file is held in memory.

    Raises
    ------
    DataError
        As in :func:`read_po`.
    """
    path = spec.paths[0]
    with open_binary(path) as file:
        content = file.read()
    if content:
        header = next((each for each in _mo_entries(content, path) if each.is_header), None)
        yield from _rows(spec, header, _mo_entries(content, path), counts)


def _rows(spec: PairSpec, header: _Entry | None, entries: Iterator[_Entry], counts: PairCounts) -> Iterator[Row]:
    text = "" if header is None else header.translations.get(0, "")
    metadata = dict(re.findall(r"(?m)^([^:\n]+):[ \t]*(.*)$", text))
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
    if not language:
        return False
    fits = [code for code in (spec.source_language, spec.target_language) if match_language(code, [language])]
    if fits:
        # en_GB-en: a catalog in en_GB fits both.
        return spec.target_language not in (match_languages(language, fits) or fits)
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
        raw = _unescaped("".join(self.strings).encode("utf-8"))
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"escapes in the string produce byte 0x{raw[error.start]:02x}, which is not UTF-8",
                "Convert the catalog: msgconv --to-code=UTF-8 FILE",
                path=path,
                line=self.line,
            ) from error


def _unescaped(raw: bytes) -> bytes:
    """Return a string with its escapes replaced; ``re.sub`` would hold two objects for each of them."""
    if b"\\" not in raw:
        return raw
    done, position = bytearray(), 0
    for match in ESCAPE.finditer(raw):
        done += raw[position : match.start()] + _replacement(match)
        position = match.end()
    return bytes(done + raw[position:])


def _replacement(match: re.Match[bytes]) -> bytes:
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
        if text.startswith(PLAIN_COMMENTS):
            start = start or line
            continue
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
                if token["string"] or not current.strings:
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
            rest = text[position : position + 80].lstrip(BLANKS)
            reason = "a string is not closed" if rest.startswith('"') else f"unexpected {rest[:40]!r}"
            raise _not_po(reason, path, line)
        position = token.end()
        yield token


def _po_entries(path: Path) -> Iterator[_Entry]:
    entry: _Entry | None = None
    for each in _po_statements(path):
        text = each.text(path)
        if each.keyword in ("domain", "msgctxt", "msgid") and (entry is None or entry.message is not None):
            if entry is not None and not entry.translations:
                raise _not_po(f"{each.keyword} before the msgstr of line {entry.line}", path, each.line)
            if entry is not None:
                yield entry
            entry = None
            if each.keyword == "domain":
                continue
            entry = _Entry(each.start, obsolete=each.obsolete)
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
    if entry is not None:
        yield entry


def _mo_entries(content: bytes, path: Path) -> Iterator[_Entry]:
    """Parse a compiled catalog (https://www.gnu.org/software/gettext/manual/html_node/MO-Files.html)."""
    try:
        order = MO_MAGIC[content[:4]]
        _, count, *tables = struct.unpack_from(f"{order}4I", content, 4)
        # Two rows of (length, start) for each entry: of its message, and of its translation.
        places = [np.frombuffer(content, f"{order}u4", 2 * count, table).reshape(count, 2) for table in tables]
    except KeyError:
        raise _not_mo("it does not start with the magic number", path) from None
    except (struct.error, ValueError) as error:
        raise _not_mo(f"it is truncated ({error})", path) from error
    if any((side.sum(axis=1, dtype=np.uint64) > len(content)).any() for side in places):
        raise _not_mo("a string is beyond the end of the file", path)
    if sum(int(side[:, 0].sum(dtype=np.uint64)) for side in places) > len(content):
        raise _not_mo("its strings overlap", path)

    def strings(row: int) -> tuple[bytes, bytes]:
        (length, start), (length_2, start_2) = (side[row].tolist() for side in places)
        return content[start : start + length], content[start_2 : start_2 + length_2]

    headers = np.flatnonzero(places[0][:, 0] == 0)
    charset = re.search(rb"charset=([A-Za-z0-9._:-]+)", strings(int(headers[0]))[1] if len(headers) else b"")
    first_is_header = count > 0 and places[0][0, 0] == 0
    for row in range(count):
        # The header has no number.
        number = row + (0 if first_is_header and row else 1)
        message, translation = strings(row)
        try:
            encoding = charset[1].decode("ascii") if charset else "utf-8"
            text, translated = message.decode(encoding), translation.decode(encoding)
        # Python also has encodings of bytes as bytes, such as hex.
        except (LookupError, ValueError) as error:
            raise _not_mo(f"entry {number}: {error}", path) from error
        context, separator, text = text.rpartition("\x04")
        singular, *plural = text.split("\0")
        yield _Entry(
            number,
            singular,
            plural[0] if plural else None,
            dict(enumerate(translated.split("\0"))),
            context if separator else None,
        )


def _not_mo(reason: str, path: Path) -> DataError:
    return DataError(f"not an MO catalog: {reason}", "Compile it again with msgfmt.", path=path)
