"""The errors that otembed raises: what is wrong, which value, where, and how to fix it."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST = 1500
"""Characters of a message or hint; values from input may have any length."""


class OtembedError(Exception):
    """Base class of all errors that otembed raises.

    Parameters
    ----------
    message
        What is wrong, including the value and its location.
    hint
        One sentence on how to fix it.

    Notes
    -----
    Both are limited to :data:`LONGEST` characters: the middle of a longer text is left out.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        self.message = _shortened(message)
        self.hint = hint if hint is None else _shortened(hint)
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


def _shortened(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    tail = LONGEST // 5
    return f"{text[: LONGEST - tail]} [{len(text) - LONGEST:,} characters left out] {text[-tail:]}"


class ConfigError(OtembedError, ValueError):
    """A setting or argument is unknown, out of range, of the wrong shape, or contradicts another."""


class DataError(OtembedError):
    """A file is missing or malformed, or lacks required content.

    ``path`` and ``line`` (counted from 1) are prepended to the message as ``file:line``.
    """

    def __init__(
        self,
        message: str,
        hint: str | None = None,
        *,
        path: str | Path | None = None,
        line: int | None = None,
    ) -> None:
        where = "" if path is None else f"{path}: " if line is None else f"{path}:{line}: "
        super().__init__(where + message, hint)
        self.path = path
        self.line = line


class OutputError(DataError):
    """A file or folder cannot be written: the disk is full or read-only, or permissions are missing."""


class ModelError(OtembedError):
    """A model cannot be found, loaded, or used as requested."""


class HubError(OtembedError):
    """The Hugging Face hub refuses a request, or cannot be reached."""


class NumericsError(OtembedError, ValueError):
    """Values are NaN or infinite, or do not satisfy a numerical requirement such as equal total masses."""


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return a hint that names the closest choice, or lists all of them if none is close.

    >>> did_you_mean("epsilom", ["epsilon", "weight"])
    "Did you mean 'epsilon'?"
    """
    known = sorted(choices)
    close = get_close_matches(word, known, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Choose one of: {', '.join(known)}."


def first_line(error: BaseException) -> str:
    """Return the first line of the message of an error, or the name of its class if it has no message.

    >>> first_line(ValueError("\\n  no tokenizer\\nTraceback")), first_line(TimeoutError())
    ('no tokenizer', 'TimeoutError')
    """
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


def named_line(error: BaseException) -> str:
    """Return the name of the class of an error and the first line of its message.

    >>> named_line(ValueError("no tokenizer")), named_line(TimeoutError())
    ('ValueError: no tokenizer', 'TimeoutError')
    """
    name, reason = type(error).__name__, first_line(error)
    return name if reason == name else f"{name}: {reason}"


def check_count(name: str, value: int) -> None:
    """Raise ConfigError if ``value`` is not a positive integer."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{name} is {value!r}, not a positive integer", f"Set {name} to 1 or more.")
