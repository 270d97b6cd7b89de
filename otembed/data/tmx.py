"""Reader of TMX, the Translation Memory eXchange format (version 1.4b), one unit in memory at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, cast

from lxml import etree

from otembed.data.checks import is_blank
from otembed.data.compression import open_binary
from otembed.data.rows import PairCounts, Row
from otembed.data.tags import match_languages
from otembed.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otembed.data.spec import PairSpec

# Inline elements that contain native code, and the types that represent a break between words.
CODE = frozenset({"bpt", "ept", "it", "ph", "ut", "sub"})
BREAKS = frozenset({"lb", "pb", "cb", "x-lb", "x-br", "br"})
# Line numbers of libxml2's elements end here.
LAST_LINE = 65_535
XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"


def read_tmx(spec: PairSpec, counts: PairCounts) -> Iterator[Row]:
    """Read the two languages of every translation unit.

    Tags are matched by :func:`otembed.data.tags.match_languages`: ``en`` matches ``EN-US``, ``zh_Hans`` matches
    ``zh-CN`` and never ``zh-TW``. If a unit has several variants of a language, the first one with text is read and the
    others are counted as ``other_variant``. Units without one of the languages are counted as ``missing_language``.

    The inline elements ``bpt``, ``ept``, ``it``, ``ph``, ``ut`` and ``sub`` contain code and are left out, except for
    line breaks (type ``lb``); the text of ``hi`` and of all other elements is kept. Entities are not expanded and
    nothing is downloaded.

    Raises
    ------
    DataError
        The XML is malformed or uses an entity, or no unit has both languages.
    """
    path = spec.paths[0]
    found = False
    languages: set[str] = set()
    for unit, line in _units(path):
        variants: dict[str, list[etree._Element]] = {}
        for variant in unit.findall("{*}tuv"):
            variants.setdefault(_language(variant), []).append(variant)
        languages.update(variants)
        source, target = (match_languages(code, variants) for code in (spec.source_language, spec.target_language))
        # en-en_GB: a variant in en_GB is not also read as en.
        sides = [
            [tag for tag in side if tag not in other or len(side) < len(other)]
            for side, other in ((source, target), (target, source))
        ]
        if not all(sides):
            counts.drop("missing_language", line)
            continue
        found = True
        texts = [[_segment(each, path, line) for tag in side for each in variants[tag]] for side in sides]
        chosen = [next((index for index, text in enumerate(side) if not is_blank(text)), 0) for side in texts]
        yield Row(texts[0][chosen[0]], texts[1][chosen[1]], line)
        for side, index in zip(texts, chosen, strict=True):
            for _ in (text for text in side[index + 1 :] if not is_blank(text)):
                counts.drop("other_variant", line)
    if languages and not found:
        raise DataError(
            f"no unit has both {spec.source_language} and {spec.target_language}; "
            f"languages in the file: {', '.join(sorted(filter(None, languages))) or 'none'}",
            "Use two of these languages for the pair, with their scripts if a language has several.",
            path=path,
        )


class _CountedLines:
    """A binary file read line by line, so that the line number of each parsed element is known."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._complete = True
        self.line = 0

    def read(self, size: int) -> bytes:
        """Return the next bytes, up to the end of the line."""
        self.line += self._complete
        part = self._file.readline(size)
        self._complete = part.endswith(b"\n")
        return part


def _units(path: Path) -> Iterator[tuple[etree._Element, int]]:
    """Yield every unit with the line it starts on."""
    with open_binary(path) as file:
        lines = _CountedLines(file)
        events = etree.iterparse(
            lines, events=("start", "end"), tag="{*}tu", resolve_entities=False, no_network=True, load_dtd=False
        )
        start = 0
        try:
            for event, unit in events:
                if event == "start":
                    start = lines.line
                    continue
                # libxml2 counts lines in any encoding, but not beyond this number.
                line = cast("int", unit.sourceline)
                yield unit, line if line < LAST_LINE else start
                unit.clear()
                parent = unit.getparent()
                while parent is not None and unit.getprevious() is not None:
                    del parent[0]
        except etree.XMLSyntaxError as error:
            raise DataError(
                f"not well-formed XML: {error.msg}", "Fix the XML.", path=path, line=error.lineno or 1
            ) from error


def _language(variant: etree._Element) -> str:
    return variant.get(XML_LANG) or variant.get("lang") or ""


def _segment(variant: etree._Element, path: Path, line: int) -> str:
    segment = variant.find("{*}seg")
    return "" if segment is None else _text(segment, path, line)


def _text(element: etree._Element, path: Path, line: int) -> str:
    parts = [element.text or ""]
    for child in element:
        if child.tag is etree.Entity:
            raise DataError(
                f"entity {child.text} is not expanded",
                "Replace it with the character itself.",
                path=path,
                line=line,
            )
        # Comments and processing instructions have no name.
        if isinstance(child.tag, str):
            if etree.QName(child).localname not in CODE:
                parts.append(_text(child, path, line))
            elif child.get("type", "").lower() in BREAKS:
                parts.append("\n")
        parts.append(child.tail or "")
    return "".join(parts)
