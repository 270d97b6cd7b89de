"""Numbers and names formatted for display."""

from __future__ import annotations

import json
import unicodedata

# Overrides and isolates of the direction of writing reorder the rest of a terminal line.
REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

# Signs of our own tables for encodings that lack one of them.
SPELLED = str.maketrans({"→": "->", "←": "<-", "↓": "v", "±": "+/-"})


def printable(text: str) -> str:
    r"""Return text in one line without control characters, for a terminal, a table or a file.

    Runs of white space become one space; other control characters, lone surrogates, and overrides of the
    direction of writing are shown as escapes.

    >>> print(printable("a\tb\x1b[31m\n"))
    a b\x1b[31m
    """
    return " ".join("".join(map(_visible, text)).split())


def _visible(char: str) -> str:
    hidden = char in REORDERING or (unicodedata.category(char) in ("Cc", "Cs") and not char.isspace())
    return ascii(char)[1:-1] if hidden else char


def printable_lines(text: str) -> str:
    r"""Return text as :func:`printable`, but keep line feeds and runs of spaces, for messages.

    >>> print(printable_lines("step 1  \x1b[31mloss\rx"))
    step 1  \x1b[31mloss x
    """
    return "".join(char if char in " \n" else " " if char.isspace() else _visible(char) for char in text)


def encodable(text: str, encoding: str) -> str:
    r"""Return text in the characters of an encoding, for layouts: arrows are spelled, other characters escaped.

    >>> print(encodable("87.5→89.6 猫", "ascii"), encodable("→ é", "utf-8"))
    87.5->89.6 \u732b → é
    """
    if _fits(text, encoding):
        return text
    return "".join(char if _fits(char, encoding) else json.dumps(char)[1:-1] for char in text.translate(SPELLED))


def _fits(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def percent(share: float) -> str:
    """Return a share of 1 in percent with one decimal.

    >>> percent(0.8749)
    '87.5'
    """
    return f"{100 * share:.1f}"


def points(before: float, after: float) -> str:
    """Return the change of a share in percentage points, signed, rounded once from the unrounded figures.

    >>> points(0.8749, 0.8961), points(0.5, 0.49999)
    ('+2.1', '+0.0')
    """
    # Adding 0 turns -0.0 into 0.0: a change too small to see has no direction.
    return f"{round(100 * (after - before), 1) + 0:+.1f}"


def change(before: float, after: float | None) -> str:
    """Return a share before and after, and the change in points; only the share if ``after`` is None.

    >>> change(0.8749, 0.8961), change(0.5, None)
    ('87.5→89.6 +2.1', '50.0')
    """
    return percent(before) if after is None else f"{percent(before)}→{percent(after)} {points(before, after)}"


def counted(number: float, unit: str, form: str = ",") -> str:
    """Return a count with its unit, in the singular where the count reads "1".

    >>> counted(1, "pair"), counted(12345, "pair"), counted(2, "batch")
    ('1 pair', '12,345 pairs', '2 batches')
    >>> counted(1.0004, "epoch", ".3g"), counted(1.5, "epoch", ".3g")
    ('1 epoch', '1.5 epochs')
    """
    text = format(number, form)
    if text == "1":
        return f"{text} {unit}"
    return f"{text} {unit}{'es' if unit.endswith(('x', 'tch', 'ss')) else 's'}"


def format_seconds(seconds: float) -> str:
    """Render a duration.

    >>> format_seconds(4.2), format_seconds(90), format_seconds(7300)
    ('4 s', '1 min 30 s', '2 h 01 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
