"""A page as one file: HTML, CSS, inline SVG and the JSON of its figures, without network access."""

from __future__ import annotations

import json
from base64 import b64encode
from hashlib import sha256
from html import escape
from typing import TYPE_CHECKING, Any

from otembed.page.style import STYLE

if TYPE_CHECKING:
    from collections.abc import Iterable


def html_page(title: str, parts: Iterable[str], *, name: str, data: Any, style: str = "", script: str = "") -> str:
    """Return a self-contained page, light or dark by the reader's preference.

    Parameters
    ----------
    title
        Plain text.
    parts
        HTML of the sections, escaped by :func:`html.escape`; empty ones are left out.
    name, data
        The figures of the page, embedded as JSON in the element with the id ``name``.
    style, script
        CSS and JavaScript of this kind of page, after the common styles and at the end of the page. The page's
        policy allows this script alone, by its hash, and no network access, regardless of the text in the page.
    """
    allowed = f"; script-src 'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" if script else ""
    # Only "<" can end a script element early; JSON allows it as an escape anywhere.
    embedded = json.dumps(data, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'{allowed}\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}{style}</style></head>\n<body><main>\n"
        + "\n".join(each for each in parts if each)
        + f'\n</main>\n<script type="application/json" id="{name}">{embedded}</script>\n'
        + (f"<script>{script}</script>\n" if script else "")
        + "</body></html>\n"
    )


def section(heading: str, *parts: str, name: str = "", note: str = "") -> str:
    """Return a section with plain text as heading and note, and HTML as parts; nothing without parts."""
    whole = "".join(parts)
    if not whole:
        return ""
    place = f' id="{escape(name)}"' if name else ""
    said = f'<p class="soft">{escape(note)}</p>' if note else ""
    return f"<section{place}><h2>{escape(heading)}</h2>{said}{whole}</section>"


def plain_table(header: Iterable[str], rows: Iterable[Iterable[str]], *, numbers: Iterable[int] = ()) -> str:
    """Return a table of plain text, the first column of which names the rows.

    Parameters
    ----------
    header
        Column headings; without any, the table has no head.
    rows
        Cells of each row.
    numbers
        Columns of numbers, aligned to the right.
    """
    right = set(numbers)

    def kind(column: int) -> str:
        return " class=num" if column in right else ""

    heads = "".join(f"<th scope=col{kind(column)}>{escape(each)}</th>" for column, each in enumerate(header))
    body = "".join(
        "<tr>"
        + "".join(
            f"<th scope=row>{escape(cell)}</th>" if not column else f"<td{kind(column)}>{escape(cell)}</td>"
            for column, cell in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    head = f"<thead><tr>{heads}</tr></thead>" if heads else ""
    return f"<div class=scroll><table class=plain>{head}<tbody>{body}</tbody></table></div>"
