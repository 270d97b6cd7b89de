"""Executors of this machine, in this process or in others, and the choice of one by the engine's name."""

from __future__ import annotations

import errno
import logging
import os
import pickle
import signal
import sys
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, redirect_stdout, suppress
from itertools import islice
from multiprocessing import get_context
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING, Any

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from otembed.errors import ConfigError, OutputError
from otembed.runtime.processors import available_workers
from otembed.runtime.ray_cluster import RayCluster
from otembed.runtime.work import ATTEMPTS, died

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from multiprocessing.connection import Connection

    from otembed.config.encoding import EncodingConfig
    from otembed.runtime.work import Advance, Executor, Work

logger = logging.getLogger(__name__)

SHARED_MEMORY = "/dev/shm"
"""Where Linux keeps semaphores."""


class LocalExecutor:
    """Tasks in this process: one after the other, or in threads if the work allows it.

    Parameters
    ----------
    workers
        Maximum number of threads; by default all processors.

    Raises
    ------
    ConfigError
        ``workers`` is below 1.
    """

    remote = False

    def __init__(self, workers: int | None = None) -> None:
        if workers is not None and workers < 1:
            raise ConfigError(f"workers is {workers}", "Use an integer >= 1.")
        self.workers = workers or available_workers()

    def run(self, work: Work, tasks: Iterable[Any], advance: Advance | None = None) -> Iterator[Any]:
        """See :class:`otembed.runtime.work.Executor`."""
        queue = iter(tasks)
        if self.workers == 1 or not work.threaded:
            perform = work.open(None, advance)
            for task in queue:
                yield perform(task)
            return
        yield from self._in_threads(work, queue, advance)

    def _in_threads(self, work: Work, queue: Iterator[Any], advance: Advance | None) -> Iterator[Any]:
        stopped, lock = threading.Event(), threading.Lock()

        def guarded(count: int) -> None:
            if stopped.is_set():
                raise _Stopped
            if advance is not None:
                with lock:
                    advance(count)

        perform = work.open(None, guarded)
        # Each thread runs its own matrix products: with threads of BLAS there would be workers^2.
        pool = ThreadPoolExecutor(self.workers, initializer=_set_torch_threads, initargs=(1,))
        with threadpool_limits(1, "blas"), _torch_threads_kept(), pool:
            try:
                running: set[Future[Any]] = set()
                while True:
                    running |= {pool.submit(perform, task) for task in islice(queue, self.workers - len(running))}
                    if not running:
                        return
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield future.result()
            finally:
                stopped.set()


def _set_torch_threads(count: int) -> None:
    """Set the threads of torch's operations in this thread, and in threads that are started later."""
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(count)


@contextmanager
def _torch_threads_kept() -> Iterator[None]:
    """Restore the number of threads of torch's operations, which other threads change for all that start later."""
    if "torch" not in sys.modules:
        yield
        return
    import torch

    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Stopped(BaseException):
    """Stops a thread when its result is no longer needed."""


class ProcessPool:
    """Processes of this machine, started separately for each kind of work.

    They import the main module, so a script that uses them needs ``if __name__ == "__main__":``. They end at once when
    the work is finished or abandoned and when this process dies, however it dies.

    Parameters
    ----------
    workers
        Number of processes.
    threads
        Number of threads per process.
    """

    remote = True

    def __init__(self, workers: int, threads: int = 1) -> None:
        self.workers, self.threads = workers, threads

    def run(self, work: Work, tasks: Iterable[Any], advance: Advance | None = None) -> Iterator[Any]:
        """See :class:`otembed.runtime.work.Executor`."""
        queue, again, deaths = iter(tasks), list[Any](), 0
        while True:
            running: dict[Future[Any], Any] = {}
            context = get_context("spawn")
            # Workers hold the other end and end when this one is closed, by this process or by its death.
            theirs, lifeline = context.Pipe(duplex=False)
            with _semaphores():
                pool = ProcessPoolExecutor(
                    self.workers, context, initializer=_start, initargs=(theirs, _Sealed(work), self.threads)
                )
            try:
                while True:
                    self._fill(pool, queue, again, running)
                    if not running:
                        return
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        answer = future.result()
                        del running[future]
                        if advance is not None:
                            advance(work.units(answer))
                        yield answer
            except BrokenProcessPool:
                deaths += 1
                if deaths == ATTEMPTS:
                    raise died(deaths) from None
                logger.warning("a worker process died; its task is retried")
                again += running.values()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
                lifeline.close()
                theirs.close()

    def _fill(
        self, pool: ProcessPoolExecutor, queue: Iterator[Any], again: list[Any], running: dict[Future[Any], Any]
    ) -> None:
        while len(running) < self.workers:
            if not again:
                again += [task for task in [next(queue, None)] if task is not None]
            if not again:
                return
            # Removed from the list only after it was submitted, so that a broken pool loses no task.
            with _interrupts_blocked():
                running[pool.submit(_do, again[-1])] = again[-1]
            again.pop()


@contextmanager
def _semaphores() -> Iterator[None]:
    """Name the place of semaphores that cannot be created; the system's error does not.

    Raises
    ------
    OutputError
        Shared memory is read-only, full or missing, as in some containers.
    """
    try:
        yield
    except OSError as error:
        if sys.platform != "linux" or error.errno in (errno.EMFILE, errno.ENFILE):
            raise
        raise OutputError(
            f"cannot create semaphores for worker processes: {error.strerror}",
            "Mount it as a tmpfs that can be written to (in a container: --shm-size 64m), or use the engine local.",
            path=SHARED_MEMORY,
        ) from error


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block Ctrl-C in this thread; processes started meanwhile inherit this, and leave Ctrl-C to their parent."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Sealed:
    """Work that a worker unpickles with its first task: this may import torch, and a worker first has to watch."""

    def __init__(self, work: Work) -> None:
        self.work = work

    def __getstate__(self) -> bytes:
        return bytes(ForkingPickler.dumps(self.work))

    def __setstate__(self, content: bytes) -> None:
        self.content = content

    def unsealed(self) -> Work:
        work: Work = pickle.loads(self.content)
        return work


_opened: list[Any] = []


def _start(lifeline: Connection, work: _Sealed, threads: int) -> None:
    # Where signals cannot be blocked.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    _opened[:] = [work, threads]


def _end_with(lifeline: Connection) -> None:
    """End this process when the other end of ``lifeline`` is closed: nothing is ever sent."""
    with suppress(EOFError, OSError):
        lifeline.recv_bytes()
    os._exit(1)


def _do(task: Any) -> Any:
    # Opened with the first task, so that an error while opening reaches the caller.
    if len(_opened) == 2:
        work, threads = _opened
        _opened[:] = [work.unsealed().open(threads)]
    perform: Callable[[Any], Any] = _opened[0]
    return perform(task)


@contextmanager
def open_executor(config: EncodingConfig) -> Iterator[Executor]:
    """Yield the executor of ``config.engine``.

    Raises
    ------
    ConfigError
        Ray is not installed, or its cluster cannot be reached.
    """
    if config.engine == "local":
        yield LocalExecutor(config.workers)
    elif config.engine == "processes":
        cores = available_workers()
        workers = config.workers or cores
        yield ProcessPool(workers, max(1, cores // workers))
    else:
        # Ray reports on its workers on stdout, which is reserved for data.
        with redirect_stdout(sys.stderr):
            executor = RayCluster(config.workers, config.ray_address)
            try:
                yield executor
            finally:
                executor.close()
