"""Durations as a person reads them."""

from __future__ import annotations


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
