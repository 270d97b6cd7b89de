"""Seeded mutations of files: bytes, and the values of JSON documents."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

HUGE = (b"9" * 5000, b"1e999", b"-1", b"4294967296", b"18446744073709551616", b"NaN", b"0")
BYTES = (
    b"\x00",
    b"\x1b[31m",
    b"\r",
    b"\xc2\x85",
    b"\xe2\x80\xa8",
    b"\xff\xfe",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\xf5\x80\x80\x80",
    b"\\ud800",
    b"\xe2\x80\xae",
)
NESTED = (b"[", b'{"a":', b"<seg><hi>", b"&a &a ", b"- ", b"(")
DEPTH = 3000
# Stands for a number with more digits than Python converts.
DIGITS = "5000 digits"
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, DIGITS, 1e308, float("nan"), "", "\x1b]0;x\x07", "\ud800", "../../outside", "x" * 20_000, [], {}, [[]],
    [None], {"": None},
)  # fmt: skip


def mutate(data: bytes, random: Random) -> bytes:
    """Return ``data`` with one to three mutations; JSON objects are mutated as text or by their values."""
    if data[:1] in (b"{", b"[") and random.random() < 0.5:
        try:
            return _document(json.loads(data), random)
        except ValueError:
            pass
    # A shift of bytes ends a binary format at its first offset; only the others reach what is behind it.
    binary = b"\0" in data and random.random() < 0.6
    for _ in range(random.randint(1, 3)):
        data = random.choice(IN_PLACE if binary else MUTATIONS)(data, random)
    return data


def _flip(data: bytes, random: Random) -> bytes:
    """Flip up to eight bits."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 8) if data else 0):
        changed[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _truncate(data: bytes, random: Random) -> bytes:
    return data[: random.randint(0, len(data))]


def _remove(data: bytes, random: Random) -> bytes:
    start, stop = _span(data, random)
    return data[:start] + data[stop:]


def _repeat(data: bytes, random: Random) -> bytes:
    start, stop = _span(data, random)
    return data[:stop] + data[start:stop] * random.choice((1, 1, 2, 50)) + data[stop:]


def _swap(data: bytes, random: Random) -> bytes:
    start, stop = _span(data, random)
    at = random.randint(stop, len(data))
    return data[:start] + data[stop:at] + data[start:stop] + data[at:]


def _insert(data: bytes, random: Random) -> bytes:
    """Insert control characters, or bytes that are not UTF-8."""
    return _inserted(data, random.choice(BYTES) * random.choice((1, 1, 3)), random)


def _number(data: bytes, random: Random) -> bytes:
    """Replace a number, or insert one."""
    digits = [at for at, byte in enumerate(data[:100_000]) if 48 <= byte <= 57]
    if not digits:
        return _inserted(data, random.choice(HUGE), random)
    at = random.choice(digits)
    return data[:at] + random.choice(HUGE) + data[at + 1 :]


def _nest(data: bytes, random: Random) -> bytes:
    return _inserted(data, random.choice(NESTED) * DEPTH, random)


def _header(data: bytes, random: Random) -> bytes:
    """Overwrite up to eight of the first 128 bytes."""
    start = random.randint(0, min(len(data), 128))
    many = random.randint(1, 8)
    return data[:start] + random.randbytes(many) + data[start + many :]


def _fill(data: bytes, random: Random) -> bytes:
    start, stop = _span(data, random)
    return data[:start] + random.choice((b"\x00", b"\xff")) * (stop - start) + data[stop:]


MUTATIONS: tuple[Callable[[bytes, Random], bytes], ...] = (
    _flip, _truncate, _remove, _repeat, _swap, _insert, _insert, _number, _number, _nest, _header, _fill,
)  # fmt: skip
IN_PLACE = (_flip, _flip, _header, _fill)


def _span(data: bytes, random: Random) -> tuple[int, int]:
    start = random.randint(0, len(data))
    return start, min(len(data), start + random.choice((1, 4, 16, 64, 256)))


def _inserted(data: bytes, more: bytes, random: Random) -> bytes:
    at = random.randint(0, len(data))
    return data[:at] + more + data[at:]


def _document(document: Any, random: Random) -> bytes:
    """Replace, remove or wrap one to three values of a JSON document."""
    for _ in range(random.randint(1, 3)):
        places = [(None, None), *_places(document)]
        owner, key = random.choice(places[1:] or places)
        value = deepcopy(random.choice(VALUES))
        if owner is None:
            document = value
        elif random.random() < 0.2:
            del owner[key]
        elif random.random() < 0.2:
            owner[key] = [owner[key]]
        else:
            owner[key] = value
    return json.dumps(document).replace(f'"{DIGITS}"', "9" * 5000).encode()


def _places(node: Any) -> list[tuple[Any, Any]]:
    """Return ``(container, key)`` of every value below ``node``."""
    keys = list(node) if isinstance(node, dict) else list(range(len(node))) if isinstance(node, list) else []
    return [place for key in keys for place in [(node, key), *_places(node[key])]]
