"""Reader of TMX, the Translation Memory eXchange format (version 1.4b), one unit in memory at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from lxml import etree

from otembed.data.compression import open_binary
from otembed.data.rows import PairCounts, Row
from otembed.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otembed.data.spec import PairSpec

XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"


def read_tmx(spec: PairSpec, counts: PairCounts) -> Iterator[Row]:
    """Read the two languages of every translation unit.

    Languages are matched without regard to case, by the whole tag first and by the primary subtag
    otherwise (``en`` finds ``EN-US``), never across two different scripts. Of inline markup the text of
    ``hi`` is kept, that of ``bpt``, ``ept``, ``ph``, ``it``, ``ut`` and ``sub`` is code and dropped.
    Units without one of the languages are counted as ``missing_language``. No entity is expanded and
    nothing is fetched.

    Raises
    ------
    DataError
        The XML is broken, uses entities of its own, or no unit has both languages.
    """
    path = spec.paths[0]
    found = False
    languages: set[str] = set()
    for unit in _units(path):
        variants: dict[str, etree._Element] = {}
        for variant in unit.findall("{*}tuv"):
            variants.setdefault(_language(variant), variant)
        languages.update(variants)
        source = match_language(spec.source_language, list(variants))
        target = match_language(spec.target_language, list(variants))
        line = _line(unit)
        if source is None or target is None or source == target:
            counts.drop("missing_language", line)
            continue
        found = True
        yield Row(_segment(variants[source], path), _segment(variants[target], path), line)
    if languages and not found:
        raise DataError(
            f"no unit has both {spec.source_language} and {spec.target_language}; "
            f"languages in the file: {', '.join(sorted(filter(None, languages))) or 'none is marked'}",
            "Name the pair by two of these languages.",
            path=path,
        )


def _units(path: Path) -> Iterator[etree._Element]:
    with open_binary(path) as file:
        units = etree.iterparse(
            file, events=("end",), tag="{*}tu", resolve_entities=False, no_network=True, load_dtd=False
        )
        try:
            for _, unit in units:
                yield unit
                unit.clear()
                parent = unit.getparent()
                while parent is not None and unit.getprevious() is not None:
                    del parent[0]
        except etree.XMLSyntaxError as error:
            raise DataError(
                f"not sound XML: {error.msg}", "Mend the file there.", path=path, line=error.lineno
            ) from error


def _line(element: etree._Element) -> int:
    return cast("int", element.sourceline)


def _language(variant: etree._Element) -> str:
    return variant.get(XML_LANG) or variant.get("lang") or ""


def match_language(code: str, tags: list[str]) -> str | None:
    """Return the tag that means ``code``: the same one, or the first of the same primary language.

    >>> match_language("pt_BR", ["PT-pt", "pt-br"]), match_language("en", ["sw", "EN-US"])
    ('pt-br', 'EN-US')
    >>> match_language("zh_Hans", ["zh-Hant"]) is None
    True
    """
    wanted = _subtags(code)
    for tag in tags:
        if _subtags(tag) == wanted:
            return tag
    for tag in tags:
        other = _subtags(tag)
        scripts = {part for parts in (wanted, other) for part in parts[1:] if len(part) == 4 and part.isalpha()}
        if other[0] == wanted[0] and len(scripts) < 2:
            return tag
    return None


def _subtags(tag: str) -> list[str]:
    return tag.lower().replace("_", "-").split("-")


def _segment(variant: etree._Element, path: Path) -> str:
    segment = variant.find("{*}seg")
    return "" if segment is None else _text(segment, path)


def _text(element: etree._Element, path: Path) -> str:
    parts = [element.text or ""]
    for child in element:
        if child.tag is etree.Entity:
            raise DataError(
                f"entity {child.text} is not expanded",
                "Write the character itself in its place.",
                path=path,
                line=_line(element),
            )
        if isinstance(child.tag, str) and etree.QName(child).localname == "hi":
            parts.append(_text(child, path))
        parts.append(child.tail or "")
    return "".join(parts)
