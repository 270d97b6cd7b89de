"""Functions compiled by numba: their machine code on disk, a note while they compile, and compiling ahead.

Imports numba, but no torch, so that a process which only compiles starts at once.
"""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
import tempfile
import time
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Any, TypeVar

from numba import njit
from numba.core import config
from numba.core.caching import FunctionCache, _Cache
from numba.core.sigutils import normalize_signature

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

logger = logging.getLogger(__name__)

Function = TypeVar("Function", bound="Callable[..., Any]")
PATIENCE_SECONDS = 1.0
# Said when a function is first called: logging is set up after the functions are imported.
_unsaid: list[str] = []
_AHEAD = "compiled_ahead"


def jit(*, ahead: str | Sequence[str] = (), **options: Any) -> Callable[[Function], Function]:
    """Return a decorator that compiles a function on its first call and releases the GIL while it runs.

    The machine code is kept on disk. If no folder for it can be written, or its files are damaged, the function is
    compiled again.

    Parameters
    ----------
    ahead
        The types that the function is usually called with, as one numba signature or several; :func:`compile_beside`
        compiles it for each.
    **options
        Options of ``numba.njit``.
    """

    def decorate(function: Function) -> Function:
        dispatcher: Any = njit(nogil=True, **options)(function)
        dispatcher._cache = KernelCache(function)
        if ahead:
            setattr(dispatcher, _AHEAD, (ahead,) if isinstance(ahead, str) else tuple(ahead))
        kept: Function = dispatcher
        return kept

    return decorate


class KernelCache(_Cache):
    """Machine code of a function on disk, which only saves time: nothing that happens to it is an error."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._disk = _disk_cache(function)

    @property
    def cache_path(self) -> str | None:
        """The folder, None if there is none."""
        return None if self._disk is None else str(self._disk.cache_path)

    @property
    def filled(self) -> bool:
        """Whether code of the present source is stored; only the index is read."""
        try:
            return self._disk is not None and bool(self._disk._cache_file._load_index())
        except Exception:  # as in _load
            return False

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the code for the types ``sig``, None if it has to be compiled."""
        while _unsaid:
            logger.info(_unsaid.pop())
        found = self._load(sig, target_context)
        if found is None and _helpers:
            _notice.start()
            _wait_for_helpers()
            _notice.stop()
            found = self._load(sig, target_context)
        if found is None:
            _notice.start()
        return found

    def _load(self, sig: Any, target_context: Any) -> Any:
        if self._disk is None:
            return None
        try:
            return self._disk.load_overload(sig, target_context)
        except Exception as error:  # a damaged file makes pickle raise almost anything
            logger.debug("cannot read compiled code in %s: %s", self.cache_path, error)
            self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Store the code that was compiled after :meth:`load_overload` returned None."""
        _notice.stop()
        if self._disk is None:
            return
        try:
            self._disk.save_overload(sig, data)
        except Exception as error:  # a full disk, or a damaged index
            logger.debug("cannot write compiled code to %s: %s", self.cache_path, error)

    def flush(self) -> None:
        """Forget what is stored."""
        try:
            if self._disk is not None:
                self._disk.flush()
        except OSError as error:
            logger.debug("cannot write to %s: %s", self.cache_path, error)

    def enable(self) -> None:
        """Use the folder; numba's switch."""
        if self._disk is not None:
            self._disk.enable()

    def disable(self) -> None:
        """Do not use the folder; numba's switch."""
        if self._disk is not None:
            self._disk.disable()


def _disk_cache(function: Callable[..., Any]) -> Any:
    """Return numba's cache beside the source or in the home folder, else in a temporary folder, else None."""
    # Without a home folder numba would write to a folder named "~" in the working directory.
    if os.path.expanduser("~") != "~":  # noqa: PTH111  pathlib raises an error
        try:
            return FunctionCache(function)  # type: ignore[no-untyped-call]
        except (RuntimeError, OSError):
            pass
    folder = _temporary_folder()
    if folder is None:
        return None
    settings: Any = config
    before, settings.CACHE_DIR = settings.CACHE_DIR, folder
    try:
        return FunctionCache(function)  # type: ignore[no-untyped-call]
    except (RuntimeError, OSError):
        return None
    finally:
        settings.CACHE_DIR = before


@cache
def _temporary_folder() -> str | None:
    """Return a folder of this user below the folder for temporary files, None if there is none.

    Stored code is run, so a folder that another user could have filled is not used.
    """
    try:
        folder = Path(tempfile.gettempdir()) / f"otembed-code-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        private = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
    except (OSError, AttributeError):  # no temporary folder that can be written; Windows has no user ids
        private = False
    where = f"it is kept in {folder}" if private else "every process compiles for itself; set NUMBA_CACHE_DIR"
    _unsaid.append(f"compiled code can be written neither beside otembed nor to the home folder: {where}")
    return str(folder) if private else None


class _Notice:
    """Says once that this process compiles, or waits for compiled code, when that has taken a second in all."""

    def __init__(self) -> None:
        self._depth, self._spent, self._begun = 0, 0.0, 0.0
        self._timer: Timer | None = None

    def start(self) -> None:
        """Begin a compilation; one may contain another."""
        if self._depth == 0 and self._spent < PATIENCE_SECONDS:
            self._begun = time.monotonic()
            self._timer = Timer(PATIENCE_SECONDS - self._spent, self._say)
            self._timer.daemon = True
            self._timer.start()
        self._depth += 1

    def stop(self) -> None:
        """End a compilation."""
        self._depth -= 1
        if self._depth == 0 and self._timer is not None:
            self._timer.cancel()
            self._spent += time.monotonic() - self._begun

    def _say(self) -> None:
        self._spent = PATIENCE_SECONDS
        logger.info("compiling numerical code for this machine (first use only)")


_notice = _Notice()
_helpers: list[subprocess.Popen[bytes]] = []


def compile_beside(*modules: str) -> None:
    """Start a process that compiles the functions of some modules, unless they are on disk or there is one processor.

    Call it before slow imports. The first call of such a function waits for the process and reads its result.
    """
    names = [name for name in modules if any(not each._cache.filled for each in _ahead(name))]
    shared = all(each._cache.cache_path is not None for name in names for each in _ahead(name))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not names or not shared or cores < 2 or os.environ.get("LOCAL_RANK", "0") != "0":
        return
    code = f"from {__name__} import compile_ahead; compile_ahead(*{names!r})"
    silent: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    try:
        _helpers.append(subprocess.Popen([sys.executable, "-P", "-c", code], **silent))
    except OSError as error:  # no process can be started: the functions are compiled here, on their first call
        logger.debug("cannot start a process that compiles: %s", error)


def compile_ahead(*modules: str) -> None:
    """Compile the functions of some modules for the types they are usually called with."""
    for name in modules:
        for each in _ahead(name):
            for signature in getattr(each, _AHEAD):
                types, _ = normalize_signature(signature)  # type: ignore[no-untyped-call]
                each.compile(types)  # a call looks its code up by the same types; by a string it would miss it


def _ahead(module: str) -> list[Any]:
    return [each for each in vars(import_module(module)).values() if hasattr(each, _AHEAD)]


def _wait_for_helpers() -> None:
    while _helpers:
        _helpers.pop().wait()
