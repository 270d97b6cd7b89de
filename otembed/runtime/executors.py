"""Work that leaves this process: tasks of files in and a file out, done by processes here or by a Ray cluster.

A task is small and picklable; what it reads and writes lies in files. So it may be done anywhere the files are, done
again after a worker has died, and found finished by another run, whatever did it.
"""

from __future__ import annotations

import logging
import sys
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, redirect_stdout
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, Protocol

from otembed.errors import ConfigError, OtembedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from otembed.config.mining import MiningConfig

logger = logging.getLogger(__name__)

# A task whose worker dies so often is not given out again: it is the task that kills it.
ATTEMPTS = 3


class Work(Protocol):
    """One kind of task and all that its tasks have in common; picklable."""

    @property
    def gpu(self) -> bool:
        """Whether a worker should have a GPU of its own where there is one."""

    def open(self, threads: int) -> Callable[[Any], Any]:
        """Make ready in a worker, once, with so many threads; return what does a task and gives its answer."""


class Executor(Protocol):
    """What does tasks."""

    workers: int

    def run(self, work: Work, tasks: Iterable[Any]) -> Iterator[Any]:
        """Yield the answers of all tasks as they come, in any order.

        Tasks are drawn when a worker is free for them. An error of a task is raised here; a task whose worker has
        died is given out again.
        """


def died(times: int) -> OtembedError:
    """Return the error of workers that died too often."""
    return OtembedError(
        f"a worker process died, {times} times over",
        "It may have been killed for its memory: lower --workers. What is finished stays: run again to go on.",
    )


class ProcessPool:
    """Processes of this machine, started anew for each kind of work.

    They import the main module: a script that uses them needs ``if __name__ == "__main__":``.

    Parameters
    ----------
    workers
        Processes.
    threads
        Threads of each.
    """

    def __init__(self, workers: int, threads: int = 1) -> None:
        self.workers, self.threads = workers, threads

    def run(self, work: Work, tasks: Iterable[Any]) -> Iterator[Any]:
        """See :class:`Executor`."""
        queue, again, deaths = iter(tasks), list[Any](), 0
        while True:
            running: dict[Future[Any], Any] = {}
            pool = ProcessPoolExecutor(
                self.workers, get_context("spawn"), initializer=_start, initargs=(work, self.threads)
            )
            try:
                while True:
                    self._fill(pool, queue, again, running)
                    if not running:
                        return
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        answer = future.result()
                        del running[future]
                        yield answer
            except BrokenProcessPool:
                deaths += 1
                if deaths == ATTEMPTS:
                    raise died(deaths) from None
                logger.warning("a worker process died; its task is given out again")
                again += running.values()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _fill(
        self, pool: ProcessPoolExecutor, queue: Iterator[Any], again: list[Any], running: dict[Future[Any], Any]
    ) -> None:
        while len(running) < self.workers:
            if not again:
                again += [task for task in [next(queue, None)] if task is not None]
            if not again:
                return
            # Taken out of the list only when it is handed over: a broken pool loses no task.
            running[pool.submit(_do, again[-1])] = again[-1]
            again.pop()


_opened: list[Any] = []


def _start(work: Work, threads: int) -> None:
    _opened[:] = [work, threads]


def _do(task: Any) -> Any:
    # Opened with the first task, so that an error of it reaches the one who waits.
    if len(_opened) == 2:
        work, threads = _opened
        _opened[:] = [work.open(threads)]
    return _opened[0](task)


@contextmanager
def open_executor(config: MiningConfig) -> Iterator[Executor | None]:
    """Give what does the tasks under ``config.engine``; None for ``local``, which needs none.

    Raises
    ------
    ConfigError
        Ray is not installed, or its cluster cannot be reached.
    """
    if config.engine == "local":
        yield None
        return
    if config.engine == "ray":
        from otembed.runtime.ray_cluster import RayCluster

        # Ray prints what befalls its workers to stdout, where data belongs.
        with redirect_stdout(sys.stderr):
            executor = RayCluster(config.workers, config.ray_address)
            try:
                yield executor
            finally:
                executor.close()
        return
    from otembed.runtime.processors import available_workers

    cores = available_workers()
    workers = config.workers or cores
    yield ProcessPool(workers, max(1, cores // workers))


def refuse_memory(name: str) -> ConfigError:
    """Return the error of vectors that lie in no file."""
    return ConfigError(
        f"{name} lies in memory, and workers read files", "Save it with numpy.save, or leave the engine local."
    )
