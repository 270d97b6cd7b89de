"""A sentence pair with its line, as yielded by readers, and the counts of pairs read, kept and dropped."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

EXAMPLES_KEPT = 3
SPLIT_OFF = "split_off"
"""The reason of pairs that are not lost, but moved to the held-out part."""


class Row(NamedTuple):
    """A sentence pair, unchanged from the file.

    ``source`` is text in the first language of the pair's key, ``target`` in the second. ``line`` counts
    from 1: the line where the pair begins, or the record's number in formats without lines. ``negatives`` are the hard
    negatives of the pair, if they are read.
    """

    source: str
    target: str
    line: int
    negatives: tuple[str, ...] = ()


@dataclass
class PairCounts:
    """How many sentence pairs were read, kept and dropped, and why.

    ``dropped`` maps a reason to a count, ``examples`` the same reason to the first three line numbers.
    ``read == kept + sum(dropped.values())`` always holds.

    >>> counts = PairCounts()
    >>> counts.keep(); counts.drop("empty", line=2)
    >>> counts.as_dict()
    {'read': 2, 'kept': 1, 'dropped': {'empty': 1}, 'examples': {'empty': [2]}}
    """

    read: int = 0
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[int]] = field(default_factory=dict)

    def keep(self) -> None:
        """Count one row that passed every check."""
        self.read += 1
        self.kept += 1

    def drop(self, reason: str, line: int) -> None:
        """Count one row that is dropped for ``reason``."""
        self.read += 1
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
        lines = self.examples.setdefault(reason, [])
        if len(lines) < EXAMPLES_KEPT:
            lines.append(line)

    def withdraw(self, reason: str, rows: int) -> None:
        """Count previously kept rows that are now dropped; their line numbers are no longer known."""
        if rows:
            self.kept -= rows
            self.dropped[reason] = self.dropped.get(reason, 0) + rows

    def as_dict(self) -> dict[str, Any]:
        """Return a copy as plain Python values."""
        return {
            "read": self.read,
            "kept": self.kept,
            "dropped": dict(self.dropped),
            "examples": {reason: list(lines) for reason, lines in self.examples.items()},
        }

    def summary(self) -> str:
        """Return one line: ``5 read, 2 kept, dropped: duplicate 2 (lines 4, 5), empty 1 (line 3)``.

        Pairs moved to the held-out part follow the kept ones.
        """
        reasons = {reason: count for reason, count in self.dropped.items() if reason != SPLIT_OFF}
        ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
        dropped = ", ".join(f"{reason} {count}{self._lines(reason)}" for reason, count in ordered)
        moved = f", {self.dropped[SPLIT_OFF]} held out" if SPLIT_OFF in self.dropped else ""
        return f"{self.read} read, {self.kept} kept{moved}" + (f", dropped: {dropped}" if dropped else "")

    def _lines(self, reason: str) -> str:
        lines = self.examples.get(reason, [])
        more = ", ..." if lines and self.dropped[reason] > len(lines) else ""
        word = "line" if len(lines) == 1 and not more else "lines"
        return f" ({word} {', '.join(map(str, lines))}{more})" if lines else ""
