"""The contract between work and what runs it: a task reads files and writes a file, wherever it runs.

A task is small and picklable, and what it reads and writes is stored in files. It can therefore run on any machine that
sees the files, run again after a worker has died, and be found finished by a later run with another engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from otembed.errors import OtembedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Advance = Callable[[int], object]

# A task whose worker has died this often is not retried: the task itself kills its workers.
ATTEMPTS = 3


class Work(Protocol):
    """One kind of task, with everything that its tasks share; picklable."""

    @property
    def gpu(self) -> bool:
        """Whether a remote worker should get a GPU where there is one."""

    @property
    def threaded(self) -> bool:
        """Whether several tasks can run at once in threads of one process."""

    def open(self, threads: int | None, advance: Advance | None = None) -> Callable[[Any], Any]:
        """Prepare a worker and return the function that runs one task.

        Parameters
        ----------
        threads
            Threads that the worker may use; ``None`` leaves the settings of this process unchanged.
        advance
            Called with the units finished since the last call, while a task runs.
        """

    def units(self, answer: Any) -> int:
        """Return the units of progress of a finished task."""


class Executor(Protocol):
    """What runs tasks."""

    workers: int
    remote: bool
    """Whether tasks leave this process: they then find their input only in files."""

    def run(self, work: Work, tasks: Iterable[Any], advance: Advance | None = None) -> Iterator[Any]:
        """Yield the answers of all tasks as they finish, in any order.

        A task is drawn when a worker is free for it. The error of a task is raised here; a task whose worker has died
        is run again. ``advance`` is called with finished units: during a task in this process, else after it.
        """


def died(times: int) -> OtembedError:
    """Return the error for workers that died too often."""
    return OtembedError(
        f"a worker process died {times} times",
        "It may have run out of memory: lower --workers. Finished work is kept: run again to resume.",
    )
