"""Temporary files and folders: locked while their process lives, so that what a killed one left can be removed."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from hashlib import blake2b
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

if sys.platform != "win32":  # where a file in use cannot be removed
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

PREFIX = "otembed-tmp-"
# What tempfile and token_hex put between a name and its suffix.
_UNIQUE = r"[a-z0-9_]{8}"
# Bytes of a name in a temporary one, which may have 255: two dots, the unique part, and a suffix of four.
_LONGEST = 255 - 14


def beside(path: Path) -> Path:
    """Return an unused hidden name next to ``path``."""
    return path.with_name(f".{_short(path.name)}.{token_hex(4)}.tmp")


def is_leftover(name: str, of: Iterable[str]) -> bool:
    """Return whether ``name`` is the temporary name of a file or folder with one of the names ``of``.

    >>> is_leftover(".model.1a2b3c4d.tmp", ["model", "results.json"])
    True
    """
    return any(_temporary_name(each).fullmatch(name) for each in of)


def remove_leftovers(path: Path) -> None:
    """Remove what killed writers of ``path`` left next to it; what a living process uses stays.

    A folder that such a writer had moved aside and not yet replaced is moved back.
    """
    pattern = _temporary_name(path.name)
    with suppress(OSError):
        for each in [each for each in path.parent.iterdir() if pattern.fullmatch(each.name)]:
            back = each.suffix == ".old" and not path.exists()
            _if_unused(each, partial(Path.rename, target=path) if back else _remove)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Keep other processes from removing ``path`` as a leftover; BlockingIOError if one is removing it."""
    handle = _lock(path)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


@contextmanager
def claimed(make: Callable[[], Path]) -> Iterator[Path]:
    """Yield the file or folder that ``make`` creates, held; removing it is up to the caller."""
    with ExitStack() as stack:
        while True:
            path = make()
            # Another process may take it for a leftover before it is held.
            with suppress(BlockingIOError, FileNotFoundError):
                stack.enter_context(held(path))
                if path.exists():
                    break
        yield path


@contextmanager
def fresh_file(path: Path) -> Iterator[Path]:
    """Yield an empty file next to ``path``, claimed, to be renamed to it; removed if the block fails.

    Its permissions are those that the umask grants. What killed writers of ``path`` left is removed first. The folder must exist.
    """
    remove_leftovers(path)
    with claimed(lambda: _new_file(path)) as temporary:
        try:
            yield temporary
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _new_file(path: Path) -> Path:
    fresh = beside(path)
    fresh.touch(exist_ok=False)
    return fresh


@contextmanager
def fresh_folder(path: Path) -> Iterator[Path]:
    """Yield an empty private folder next to ``path``, claimed; renaming or removing it is up to the caller.

    What killed writers of ``path`` left is removed first. The folder of ``path`` is created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path)
    with claimed(
        lambda: Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{_short(path.name)}.", suffix=".tmp"))
    ) as fresh:
        yield fresh


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield an empty temporary folder, removed at the end; folders that killed processes left are removed first.

    A forked child does not remove its parent's folder.
    """
    owner = os.getpid()
    own = re.compile(re.escape(PREFIX) + _UNIQUE)
    home = Path(tempfile.gettempdir())
    with suppress(OSError):
        for each in [each for each in home.iterdir() if own.fullmatch(each.name)]:
            _if_unused(each, _remove)
    with claimed(lambda: Path(tempfile.mkdtemp(prefix=PREFIX))) as folder:
        try:
            yield folder
        finally:
            if os.getpid() == owner:
                shutil.rmtree(folder, ignore_errors=True)


def _temporary_name(name: str) -> re.Pattern[str]:
    return re.compile(rf"\.{re.escape(_short(name))}\.{_UNIQUE}\.(?:tmp|old)")


def _short(name: str) -> str:
    """Return a name that leaves room for the rest of a temporary one; the end of a long one becomes a hash of it."""
    raw = os.fsencode(name)
    if len(raw) <= _LONGEST:
        return name
    end = f"~{blake2b(raw, digest_size=4).hexdigest()}"
    return raw[: _LONGEST - len(end)].decode("utf-8", "ignore") + end


def _if_unused(path: Path, act: Callable[[Path], object]) -> None:
    """Call ``act`` with a path that no process holds; what cannot be opened or locked stays."""
    with suppress(OSError):
        handle = _lock(path)
        try:
            if handle is not None or (sys.platform == "win32" and path.is_file()):
                act(path)
        finally:
            if handle is not None:
                os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _lock(path: Path) -> int | None:
    """Return a locked descriptor of ``path``, None where locks do not exist; BlockingIOError if it is held."""
    if sys.platform == "win32":
        return None
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise
    except OSError:  # a file system without locks
        os.close(handle)
        return None
    return handle
