"""Files written atomically, failures to write as one kind of error, and readable JSON documents."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import shutil
import stat
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from otembed.errors import OutputError
from otembed.results.paths import expand
from otembed.results.temporary import fresh_file

if TYPE_CHECKING:
    from collections.abc import Iterator

_NUMBER = r"-?\d[\d.eE+-]*"
# JSON escapes line breaks in strings, so this never matches inside a string.
_NUMBERS = re.compile(rf"\[\n\s+{_NUMBER}(?:,\n\s+{_NUMBER})*\n\s+\]")

FULL = (errno.ENOSPC, errno.EDQUOT)
# A file system without locks, such as NFS without its lock service.
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP)
# Reasons that only writing has: they are recognized in any error, wherever it was raised.
WRITING_ONLY = (*FULL, errno.EFBIG, errno.EROFS, *NO_LOCKS)
UNKNOWN = 0
ELSEWHERE = "choose another place"
# torch says only that a file is shorter than what was written to it.
TORCH_WRITER = re.compile(r"PytorchStreamWriter|inline_container.*unexpected pos")
# Paths of open files of this process, which it may share with other programs.
DESCRIPTORS = re.compile(r"/dev/(stdout|stderr)|/(?:dev|proc/self)/fd/(\d+)")


@contextmanager
def writing(path: str | Path, *, needed: int | None = None, option: str = "", kept: str = "") -> Iterator[None]:
    """Turn every failure to write inside the block into an OutputError that names the file and the way out.

    Libraries report a full disk in their own ways: OSErrors without a file name, SafetensorError, RuntimeError, bare
    Exception. All of them are recognized. Other errors pass unchanged.

    Parameters
    ----------
    path
        The file or folder that is written, for the message.
    needed
        Bytes that the block writes, if known.
    option
        How another place is chosen, such as ``--cache FOLDER``.
    kept
        A sentence on what an interruption leaves and how to continue, added to the hint.

    Raises
    ------
    OutputError
        Something could not be written. One raised by an inner block keeps its message and gets ``option`` and ``kept``.
    """
    try:
        yield
    except OutputError as error:
        if option and error.hint:
            error.hint = error.hint.replace(f"{ELSEWHERE}.", f"{ELSEWHERE} with {option}.")
        if kept and kept not in str(error):
            error.hint = f"{error.hint} {kept}" if error.hint else kept
        raise
    except Exception as error:
        found = output_error(error, path, needed=needed, option=option, kept=kept)
        if found is None:
            raise
        raise found from error


def output_error(
    error: Exception, path: str | Path | None, *, needed: int | None = None, option: str = "", kept: str = ""
) -> OutputError | None:
    """Return the error to raise for a failure to write to ``path``; ``None`` if ``error`` is of another kind.

    ``path`` is ``None`` if it is not known what was written; then a file that ``error`` names is taken, if any, and only
    reasons count that reading does not have.
    """
    path = None if path is None else Path(path)
    code = _code(error, path)
    if code is None:
        return None
    if path is None and isinstance(error, OSError) and error.filename is not None:
        path = Path(os.fsdecode(error.filename))
    # A file in place of a folder: "File exists" would not explain it.
    reason = os.strerror(errno.ENOTDIR if code == errno.EEXIST else code) if code else "the file is incomplete"
    elsewhere = f"{ELSEWHERE} with {option}" if option else ELSEWHERE
    if code in (*FULL, UNKNOWN):
        reason += _space(path, needed)
    limit = "raise the limit of the size of a file (ulimit -f)"
    ways = {UNKNOWN: f"Free some disk space, {limit}", errno.EFBIG: limit.capitalize()}
    ways |= dict.fromkeys(FULL, "Free some disk space")
    ways |= dict.fromkeys(NO_LOCKS, "Mount its file system with locks")
    hint = f"{ways.get(code, 'Check its permissions')}, or {elsewhere}."
    return OutputError(f"cannot write: {reason}", f"{hint} {kept}".rstrip(), path=path)


def _code(error: BaseException | None, path: Path | None) -> int | None:
    """Return the errno of a failure to write, or None for other errors; causes are searched, too."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno is not None:
            if error.errno in WRITING_ONLY or _concerns(error, path):
                return error.errno
        else:
            text = str(error)
            named = next((code for code in WRITING_ONLY if os.strerror(code) in text), None)
            if named is not None or TORCH_WRITER.search(text):
                return named or UNKNOWN
        error = error.__cause__ or error.__context__
    return None


def _concerns(error: OSError, path: Path | None) -> bool:
    """Return whether an error is about ``path``, and not about a file that the block only reads."""
    if path is None or error.filename is None:
        return False
    place, named = (Path(os.path.realpath(os.fsdecode(name))) for name in (path, error.filename))
    if place.is_relative_to(named):
        return True
    beside = named.relative_to(place.parent).parts if named.is_relative_to(place.parent) else ("",)
    return beside[0].startswith(f".{place.name}.")


def _space(path: Path | None, needed: int | None) -> str:
    """Return the free space for a message, and the needed space if it is known; nothing for a device."""
    if path is None or (path.exists() and not (path.is_file() or path.is_dir())):
        return ""
    with suppress(OSError):
        above = next(each for each in (path, *path.absolute().parents) if each.exists())
        wanted = "" if needed is None else f"{needed / 1e6:,.1f} MB needed, "
        return f" ({wanted}{shutil.disk_usage(above).free / 1e6:,.1f} MB free)"
    return ""


def is_stream(path: str | Path) -> bool:
    """Return whether ``path`` is a terminal, a pipe or a device such as ``/dev/null``: written through, not replaced.

    Raises
    ------
    OutputError
        It is a folder, a socket or a disk.
    """
    try:
        mode = Path(path).stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise OutputError(f"cannot write: {error.strerror}", "Choose another file.", path=path) from error
    if stat.S_ISREG(mode):
        return _descriptor(path) is not None
    if stat.S_ISCHR(mode) or stat.S_ISFIFO(mode):
        return True
    found = "a folder" if stat.S_ISDIR(mode) else "a socket" if stat.S_ISSOCK(mode) else "a block device"
    raise OutputError(f"{found}, not a file", "Choose another file.", path=path)


def _descriptor(path: str | Path) -> int | None:
    found = DESCRIPTORS.fullmatch(os.path.normpath(path))
    if found is None:
        return None
    return int(found[2]) if found[2] else {"stdout": 1, "stderr": 2}[found[1]]


def _open_stream(path: str | Path, mode: str, **options: Any) -> IO[Any]:
    descriptor = _descriptor(path)
    if descriptor is None:
        return Path(path).open(mode, **options)
    if sys.stdout is not None:
        sys.stdout.flush()
    # Opened by its path, a file behind /dev/stdout would be written from its start, over what is already there.
    return os.fdopen(os.dup(descriptor), mode, **options)


@contextmanager
def whole_file(path: str | Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary file that is renamed to ``path`` when the block succeeds, and deleted when it fails.

    A symbolic link is followed: the file that it points to is replaced. Terminals, pipes and devices such as
    ``/dev/stdout`` are written through. What killed writers of the file left is removed first.

    Raises
    ------
    OutputError
        The file cannot be written; an earlier file is kept.
    """
    path = expand(path)
    text: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    if is_stream(path):
        with writing(path), _open_stream(path, mode, **text) as stream:
            yield stream
        return
    target = Path(os.path.realpath(path))
    with writing(path):
        target.parent.mkdir(parents=True, exist_ok=True)
        earlier = target.stat().st_mode & 0o777 if target.exists() else None
        with fresh_file(target) as temporary:
            with temporary.open(mode, **text) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if earlier is not None:
                temporary.chmod(earlier)
            os.replace(temporary, target)


def write_text(path: str | Path, text: str) -> Path:
    """Write ``text`` as UTF-8 atomically, as :func:`whole_file` does."""
    with whole_file(path, "w") as file:
        # File names that are not UTF-8 hold surrogates; \\udcff is also how JSON spells one.
        file.write(text.encode("utf-8", "backslashreplace").decode("utf-8"))
    return Path(path)


def finite_or_none(value: Any) -> Any:
    """Replace NaN and infinity by ``None`` at any depth, because JSON cannot represent them."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: finite_or_none(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite_or_none(item) for item in value]
    return value


def json_text(document: Any) -> str:
    """Return a JSON document indented by two spaces, with lists of numbers on one line and a final line break.

    >>> print(json_text({"values": [1, 0.5]}), end="")
    {
      "values": [1, 0.5]
    }
    """
    text = json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False)
    return (
        _NUMBERS.sub(lambda found: re.sub(r"\s+", " ", found[0]).replace("[ ", "[").replace(" ]", "]"), text) + "\n"
    )
