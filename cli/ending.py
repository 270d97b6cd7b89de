"""How a command ends before it is done: Ctrl-C, SIGTERM, a closed terminal, or a pipe that its reader has closed."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import socket
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

from typer import TyperException
from typer.core import TyperGroup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# A closed terminal or connection sends SIGHUP, which Windows does not have.
SIGNALS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))
# The exit code of a process that a signal ended is 128 + its number, as shells count.
EXIT_SIGNAL = 128
EXIT_CLOSED_PIPE = EXIT_SIGNAL + 13
# From a signal to the end of the process, if code outside Python does not let it clean up.
GRACE_SECONDS = 1.2
AGAIN = "run the same command again"
# A process of multiprocessing removes the semaphores that a signal leaves, and would then report them after our line. It
# inherits this option, as do workers.
NO_REPORT = "ignore::UserWarning:multiprocessing.resource_tracker"


class ClosedPipe(Exception):
    """The reader of stdout or stderr is gone, as in ``otembed ... | head -1``."""


class Commands(TyperGroup):
    """All commands.

    A closed pipe passes Typer, which would exit with 1, a negative result. Typer's own errors quote the arguments; control
    characters in them are escaped.
    """

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Parse; help and version are printed here."""
        with _own_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with _own_errors():
            return super().invoke(ctx)


@contextmanager
def _own_errors() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise ClosedPipe from error
    except TyperException as error:
        from otembed.results.format import printable_lines

        if isinstance(message := getattr(error, "message", None), str):
            vars(error)["message"] = printable_lines(message)
        raise


class _Interruption:
    """The signal that ended the command, and what to say about it."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self.hint: Callable[[], str] = lambda: AGAIN
        self._unsaid = threading.Lock()

    def handle(self, number: int, frame: object) -> None:
        """Interrupt the main thread once; what fails while the command ends is not reported."""
        if self.signal is not None:
            return
        self.signal = number
        logging.disable()
        sys.unraisablehook = lambda _: None
        threading.excepthook = lambda _: None
        raise KeyboardInterrupt

    def say(self, write: Callable[[str], object]) -> None:
        """Write the line once."""
        # Of the processes that torchrun starts, the first one speaks.
        if not self._unsaid.acquire(blocking=False) or os.environ.get("RANK", "0") != "0":
            return
        from otembed.results.format import printable_lines

        # Clears the line of the progress.
        start = "\r\x1b[K" if sys.stderr is not None and sys.stderr.isatty() else ""
        with suppress(OSError):
            write(f"{start}interrupted; to resume: {printable_lines(self.hint())}\n")


_now = _Interruption()


def resume_by(hint: str, *, once_written: Path | None = None) -> None:
    """Set what an interrupted command says after "to resume:"; by default, to run the same command again.

    With ``once_written``, only if the command has written that file by then: before, there is nothing to resume.
    """
    before = _stamp(once_written)
    _now.hint = lambda: hint if once_written is None or _stamp(once_written) not in (None, before) else AGAIN


def _stamp(path: Path | None) -> tuple[int, int] | None:
    if path is None or not path.is_file():
        return None
    found = path.stat()
    return found.st_ino, found.st_mtime_ns


@contextmanager
def interruptions() -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP end the block, and the process soon after, with one line on stderr.

    The main thread is interrupted by a KeyboardInterrupt and cleans up. If it does not end within ``GRACE_SECONDS``,
    because code outside Python keeps it or swallows the exception, a thread ends the process: all files are written so
    that this loses nothing, and worker processes end with their parent.

    Raises
    ------
    SystemExit
        With 130, after a KeyboardInterrupt without a signal.
    """
    global _now
    _now = own = _Interruption()
    kept, close = _install(own)
    try:
        yield
    except BaseException as error:
        if own.signal is None and not isinstance(error, KeyboardInterrupt):
            raise
        own.say(_on_stderr)
        if own.signal is not None:
            _leave(EXIT_SIGNAL + own.signal)
        raise SystemExit(EXIT_SIGNAL + signal.SIGINT) from None
    finally:
        if own.signal is None:  # otherwise the thread watches until the process has ended
            for number, handler in kept.items():
                signal.signal(number, handler)
            close()


def _install(own: _Interruption) -> tuple[dict[signal.Signals, Any], Callable[[], None]]:
    """Install the handlers and the thread; return the former handlers, and what removes the thread."""
    if threading.current_thread() is not threading.main_thread():
        return {}, lambda: None
    if NO_REPORT not in sys.warnoptions:
        sys.warnoptions.append(NO_REPORT)
    # An ignored signal stays ignored: nohup and shells ignore SIGINT for processes in the background.
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    kept = {number: handler for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    former = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader, own, frozenset(kept)), daemon=True).start()
    for number in kept:
        signal.signal(number, own.handle)

    def close() -> None:
        signal.set_wakeup_fd(former)
        writer.close()

    return kept, close


def _watch(reader: socket.socket, own: _Interruption, numbers: frozenset[signal.Signals]) -> None:
    """End the process some time after a signal; its number arrives here even while the main thread is busy."""
    with reader:
        while received := reader.recv(1):
            if received[0] in numbers:
                break
        else:
            return
    threading.Event().wait(GRACE_SECONDS)
    with suppress(OSError, AttributeError):  # Windows has it from Python 3.12 on
        os.set_blocking(2, False)
    own.say(lambda text: os.write(2, text.encode(errors="replace")))
    os._exit(EXIT_SIGNAL + received[0])


def _leave(code: int) -> NoReturn:
    """Clean up what is registered for the end of the process, and end it; Python would free torch first, for seconds."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):
            stream.flush()
    os._exit(code)


def _on_stderr(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(text)
        sys.stderr.flush()


def leave_broken_streams() -> None:
    """Point stdout and stderr to nowhere if they are closed or full, so that Python can flush them when it exits."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        except (AttributeError, ValueError):
            continue
