"""Checks on sentence pairs: noise is dropped and counted by reason."""

from __future__ import annotations

import re
import unicodedata
from hashlib import blake2b
from typing import TYPE_CHECKING

from otembed.config.train import PairChecks
from otembed.data.rows import PairCounts, Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Set as AbstractSet

# Only from the start of white space: from each of its characters, a long run would take time in proportion to its square.
LINE_BREAKS = re.compile(r"(?<!\s)\s*[\n\r\v\f\x85\u2028\u2029]\s*")
CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ufffd\ud800-\udfff\ue000-\uf8ff\U000f0000-\U0010fffd]")

SURROGATE = re.compile("[\ud800-\udfff]")
SPACES = "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
JOINERS = "\u200c\u200d"
# Invisible characters: soft hyphens, fillers, zero-width spaces, direction marks, variation selectors.
INVISIBLE = "".join(
    chr(code)
    for first, last in (
        (0x00AD, 0x00AD), (0x034F, 0x034F), (0x061C, 0x061C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
        (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF),
        (0xFFA0, 0xFFA0),
    )
    for code in range(first, last + 1)
)  # fmt: skip
BLANK = SPACES + INVISIBLE
BLANKS = frozenset(BLANK)
VIRAMA = 9  # canonical combining class


def clean_text(text: str, *, nfc: bool = False) -> str:
    r"""Return ``text`` trimmed, with inner line breaks replaced by single spaces, optionally in normal form C.

    White space and invisible characters (zero-width spaces, direction marks, soft hyphens, ...) are trimmed at both
    ends, so a text of such characters only becomes empty. A joiner after a virama is kept, because it changes the
    letter.

    >>> clean_text("  two \n lines\u200b ")
    'two lines'
    """
    if nfc:
        text = unicodedata.normalize("NFC", text)
    if text and (text[0] in BLANKS or text[-1] in BLANKS):
        whole, text = text, text.strip(BLANK)
        if text and unicodedata.combining(text[-1]) == VIRAMA:
            end = whole.index(text) + len(text)
            text += whole[end : end + 1] if whole[end : end + 1] in JOINERS else ""
    # No line break is printable, and the test takes a fraction of the search.
    return text if text.isprintable() else LINE_BREAKS.sub(" ", text)


def is_blank(text: str) -> bool:
    """Return whether a text consists of white space and invisible characters only."""
    return not text.strip(BLANK)


def text_digest(*texts: str) -> int:
    """Return the 8-byte BLAKE2b digest of one or several texts as an integer.

    Among n different texts, two have the same digest with a probability of about n^2 / 2^65: one in 400,000 for
    ten million.
    """
    data = "\n".join(texts).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=8).digest())


def clean_pairs(
    rows: Iterable[Row], checks: PairChecks, counts: PairCounts, *, exclude: AbstractSet[int] = frozenset()
) -> Iterator[Row]:
    """Yield the rows that pass, with text cleaned by :func:`clean_text`; count the others by their first reason.

    Reasons in order of testing: ``control_characters``, ``empty``, ``identical``, ``too_short``,
    ``too_long``, ``length_ratio``, ``false_negative``, ``held_out``, ``duplicate``. Hard negatives must not be empty, too long or
    equal to a side of their pair (``false_negative``).

    Parameters
    ----------
    rows
        From :func:`read_pairs`.
    checks
        The limits.
    counts
        Updated while rows are drawn.
    exclude
        Digests by :func:`text_digest` of held-out sentences: a row with one of them on either side, or as a hard
        negative, is dropped as ``held_out``.

    Notes
    -----
    Memory: with ``drop_duplicates``, one integer (about 70 bytes with its slot in the set) for each kept row,
    regardless of the length of the text; otherwise none.
    """
    seen: set[int] = set()
    for row in rows:
        source = clean_text(row.source, nfc=checks.normalize_nfc)
        target = clean_text(row.target, nfc=checks.normalize_nfc)
        negatives = tuple(clean_text(each, nfc=checks.normalize_nfc) for each in row.negatives)
        reason = _fault(source, target, checks) or _negative_fault(source, target, negatives, checks)
        if reason is None and exclude and not exclude.isdisjoint(map(text_digest, (source, target, *negatives))):
            reason = "held_out"
        if reason is None and checks.drop_duplicates:
            digest = text_digest(source, target, *negatives)
            reason = "duplicate" if digest in seen else None
            seen.add(digest)
        if reason is None:
            counts.keep()
            yield Row(source, target, row.line, negatives)
        else:
            counts.drop(reason, row.line)


def _fault(source: str, target: str, checks: PairChecks) -> str | None:
    """Return the first reason to drop the pair that does not depend on other rows."""
    broken = CONTROL if checks.drop_control_characters else SURROGATE
    if broken.search(source) or broken.search(target):
        return "control_characters"
    if not source or not target:
        return "empty"
    if checks.drop_identical and source == target:
        return "identical"
    short, long = sorted((len(source), len(target)))
    if checks.min_characters is not None and short < checks.min_characters:
        return "too_short"
    if checks.max_characters is not None and long > checks.max_characters:
        return "too_long"
    if (
        checks.max_length_ratio is not None
        and long >= checks.ratio_from_characters
        and long > checks.max_length_ratio * short
    ):
        return "length_ratio"
    return None


def _negative_fault(source: str, target: str, negatives: tuple[str, ...], checks: PairChecks) -> str | None:
    """Return the first reason to drop a pair for its hard negatives."""
    broken = CONTROL if checks.drop_control_characters else SURROGATE
    for text in negatives:
        if broken.search(text):
            return "control_characters"
        if not text:
            return "empty"
        if checks.max_characters is not None and len(text) > checks.max_characters:
            return "too_long"
        if text in (source, target):
            return "false_negative"
    return None
