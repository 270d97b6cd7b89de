"""Numbers as a person reads them."""

from __future__ import annotations


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
