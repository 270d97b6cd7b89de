"""What several commands parse alike."""

from __future__ import annotations

from otembed.errors import ConfigError


def named_pairs(values: list[str], flag: str) -> dict[str, str]:
    """Turn ``XX-YY=FILE`` values of ``flag`` into a mapping from language pair to place."""
    named: dict[str, str] = {}
    for value in values:
        pair, equals, place = value.partition("=")
        if not equals or not pair or not place:
            raise ConfigError(f"{flag} {value!r} names no language pair", f"Write {flag} en-sw=FILE.")
        if pair in named:
            raise ConfigError(f"{flag} names {pair} twice", "Join the files, or name the second pair otherwise.")
        named[pair] = place
    return named
