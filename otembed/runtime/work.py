"""The interface between work and its executors: a task reads files and writes a file, on any machine.

A task is small and picklable, and its input and output are stored in files. It can therefore run on any machine with
access to the files and be retried after a worker has died, and a later run with another engine can reuse its output.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from otembed.errors import OtembedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Advance = Callable[[int], object]

# A task is not retried after this many of its workers have died: the task itself is likely the cause.
ATTEMPTS = 3


class Work(Protocol):
    """One kind of task, with the data shared by its tasks; picklable."""

    @property
    def gpu(self) -> bool:
        """Whether a remote worker should get a GPU if there is one."""

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
    """Runs tasks."""

    workers: int
    remote: bool
    """Whether tasks leave this process: they then find their input only in files."""

    def run(self, work: Work, tasks: Iterable[Any], advance: Advance | None = None) -> Iterator[Any]:
        """Yield the results of all tasks as they finish, in any order.

        The next task is created when a worker is free. An error in a task is raised here; a task is retried if its
        worker dies. ``advance`` is called with finished units: during a task in this process, otherwise after it.
        """


def died(times: int) -> OtembedError:
    """Return the error for workers that died too often."""
    return OtembedError(
        f"a worker process died {times} times",
        "It may have run out of memory: lower --workers. Finished work is kept: run again to resume.",
    )
