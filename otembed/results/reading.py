"""Reading small files as a whole: text and JSON, with errors that name the file."""

from __future__ import annotations

import errno
import json
import os
import stat
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from otembed.errors import DataError, OtembedError, did_you_mean

# A pipe below these was opened by the process that writes to it; any other may have no writer at all.
OPEN_FILES = ("/dev/fd/", "/dev/stdin", "/proc/self/fd/")
# How to fix what the system refuses.
HINTS = {
    errno.ENAMETOOLONG: "Use a shorter name.",
    errno.ELOOP: "Correct the symbolic links: they form a circle.",
    errno.ENOTDIR: "Check the path: one of its folders is a file.",
    errno.EMFILE: "Raise the limit of open files (ulimit -n).",
    errno.ENFILE: "Close other programs: the machine has too many open files.",
    errno.EIO: "Check the disk, or the connection to it.",
}
# Levels of a JSON document: what reads it may recurse.
DEEPEST = 100


class RepeatedKeyError(ValueError):
    """A JSON object has a key twice; the message is the key."""


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) < len(members):
        keys = [key for key, _ in members]
        raise RepeatedKeyError(next(key for key in found if keys.count(key) > 1))
    return found


DECODER = json.JSONDecoder(object_pairs_hook=_object)


def failure(error: OSError) -> OtembedError:
    """Return the error to show for one of the system: its file, its reason and how to fix it."""
    reason = error.strerror or str(error) or type(error).__name__
    if error.filename is None:
        return OtembedError(reason, HINTS.get(error.errno or 0))
    path = Path(os.fsdecode(error.filename)) if not isinstance(error.filename, int) else None
    return DataError(reason, _hint(error, path), path=path)


def read_failure(error: OSError, path: Path) -> DataError:
    """Return the error for a file that cannot be read."""
    return DataError(f"cannot read the file: {error.strerror}", _hint(error, path), path=path)


def _hint(error: OSError, path: Path | None) -> str:
    if error.errno not in (errno.EACCES, errno.EPERM) or path is None:
        return HINTS.get(error.errno or 0, "Check the path.")
    for folder in reversed(path.absolute().parents):
        if not os.access(folder, os.X_OK):
            return f"The folder {folder} cannot be entered: grant execute permission for it (chmod +x), or choose another place."
    return "Check its permissions."


def require_file(path: Path) -> None:
    """Raise a :class:`DataError` unless ``path`` is a file or a folder; its hint suggests a similar name in the folder.

    Devices and named pipes are rejected, because reading them may never end. A pipe that is already open, such as the
    shell's ``<(command)``, is a file.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise DataError(*_missing(path), path=path) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        if isinstance(error, OSError):
            raise read_failure(error, path) from error
        raise DataError(f"cannot read the file: {error}", "Check the path.", path=path) from error
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return
    if stat.S_ISFIFO(mode) and str(path).startswith(OPEN_FILES):
        return
    kind = "a named pipe" if stat.S_ISFIFO(mode) else "a device or a socket"
    raise DataError(f"{kind}, not a file", "Write the content to a file.", path=path)


def read_bytes(path: Path) -> bytes:
    """Return the content of a file; DataError if it is missing, not a file, or cannot be read."""
    require_file(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise read_failure(error, path) from error


def read_text(path: str | Path, hint: str) -> str:
    """Return the content of a UTF-8 file.

    Parameters
    ----------
    path
        The file.
    hint
        How to fix a file that is not UTF-8.

    Raises
    ------
    DataError
        The file is missing, not a file, cannot be read, or is not UTF-8; the last with its line.
    """
    path = Path(path)
    raw = read_bytes(path)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(f"not UTF-8: byte 0x{raw[error.start]:02x}", hint, path=path, line=line) from error


def read_json(path: str | Path, hint: str) -> Any:
    """Return the JSON document in a file.

    Raises
    ------
    DataError
        As :func:`read_text`, and if the content is not JSON, is nested too deeply, has a number with too many digits, or an
        object has a key twice.
    """
    return parse_json(read_text(path, hint), hint, path=path)


def parse_json(text: str, hint: str, *, path: str | Path | None = None, line: int | None = None) -> Any:
    """Return the JSON document in a text; ``path`` and ``line`` are named in errors, as in :func:`read_json`."""
    try:
        document = DECODER.decode(text.removeprefix("\ufeff"))
        if text.count("[") + text.count("{") > DEEPEST and _is_deep(document):
            raise RecursionError
        return document
    except json.JSONDecodeError as error:
        where = error.lineno if line is None else line
        raise DataError(
            f"not JSON at column {error.colno}: {error.msg}", hint, path=path, line=None if path is None else where
        ) from error
    except RepeatedKeyError as error:
        raise DataError(
            f"an object has the key {str(error)!r} twice", "Remove one of them.", path=path, line=line
        ) from error
    except RecursionError as error:
        raise DataError(f"JSON of more than {DEEPEST} levels", hint, path=path, line=line) from error
    except ValueError as error:
        raise DataError(f"not JSON: {error}", hint, path=path, line=line) from error


def require_files(folder: Path) -> None:
    """Raise a :class:`DataError` if a device, a socket or a named pipe is in a folder or in a folder below it."""
    for path in (*folder.glob("*"), *folder.glob("*/*")):
        if path.exists():
            require_file(path)


def _is_deep(document: Any) -> bool:
    level = [document]
    for _ in range(DEEPEST):
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _missing(path: Path) -> tuple[str, str]:
    """Return message and hint for a name that leads nowhere."""
    if path.is_symlink():
        return (
            f"a symbolic link to {path.readlink()}, which does not exist",
            "Correct the link, or use another file.",
        )
    try:
        names = [entry.name for entry in path.parent.iterdir() if entry.exists()] if path.parent.is_dir() else []
    except OSError:
        names = []
    close = get_close_matches(path.name, names, n=1)
    if close:
        hint = did_you_mean(path.name, close)
    elif path.parent.is_dir():
        hint = f"The folder {path.parent} has no file with a similar name."
    else:
        hint = f"The folder {path.parent} does not exist either; check the path."
    return "no such file", hint
