"""Tasks run by actors of a Ray cluster, or of Ray on this machine only; requires ``otembed[ray]``.

This uses actors rather than Ray Data, which chooses batches and file names itself: a shard must have the same windows
and the same name with every engine, otherwise the bytes would differ and a run could not resume. An actor loads the
model, or opens the vectors, once and then runs task after task.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from otembed.errors import ConfigError, OtembedError
from otembed.runtime.processors import available_workers
from otembed.runtime.work import ATTEMPTS, died

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from otembed.runtime.work import Advance, Work

logger = logging.getLogger(__name__)


class _Worker:
    """Actor that runs tasks. Errors of otembed are returned as results, because Ray would wrap them."""

    def __init__(self) -> None:
        self.perform: Callable[[Any], Any] | None = None

    def ready(self) -> None:
        """Return when the actor has been placed in the cluster."""

    def do(self, shared: list[Any], task: Any) -> Any:
        """Return the result of a task, or the error that it raised.

        ``shared`` is a list with a reference to the work: Ray would resolve a bare reference for every task.
        """
        import ray

        try:
            if self.perform is None:
                self.perform = ray.get(shared[0]).open(1)
            return self.perform(task)
        except OtembedError as error:
            return error


class RayCluster:
    """A :class:`otembed.runtime.work.Executor` on Ray.

    If Ray is already initialized in this process, it is used. Otherwise a cluster is joined or started, and left or
    stopped at the end. Usage reporting is turned off.

    Parameters
    ----------
    workers
        Number of actors, with one processor each, and one GPU each for embeddings if the cluster has GPUs. ``None``:
        one for each processor, or each GPU.
    address
        Address of a cluster to join, such as ``head:6379`` or ``auto``; ``None``: this machine only.

    Raises
    ------
    ConfigError
        Ray is not installed, or there is no cluster at the address.
    """

    remote = True

    def __init__(self, workers: int | None, address: str | None) -> None:
        # Set before the import, when Ray reads it.
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        try:
            with _own_termination():
                import ray
        except ImportError:
            raise ConfigError("engine ray requires Ray", 'Install it: pip install "otembed[ray]".') from None
        self._ray: Any = ray
        self._started = not ray.is_initialized()
        if self._started:
            here: dict[str, Any] = {} if address else {"num_cpus": workers or available_workers()}
            try:
                with _own_termination():
                    ray.init(
                        address or "local",
                        include_dashboard=None if address else False,
                        log_to_driver=False,
                        logging_level=logging.ERROR,
                        **here,
                    )
            except (ray.exceptions.RayError, ValueError, RuntimeError, OSError) as error:
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
                raise ConfigError(
                    f"cannot reach a Ray cluster{f' at {address}' if address else ''}: {reason}",
                    "Check ray_address, start a cluster with `ray start --head`, or remove ray_address.",
                ) from error
        resources: dict[str, float] = self._ray.cluster_resources()
        self.gpus = int(resources.get("GPU", 0))
        self.workers = workers or max(1, int(resources.get("CPU", 1)))

    def run(self, work: Work, tasks: Iterable[Any], advance: Advance | None = None) -> Iterator[Any]:
        """See :class:`otembed.runtime.work.Executor`."""
        ray, queue = self._ray, iter(tasks)
        gpu = work.gpu and self.gpus > 0
        options = {
            "num_cpus": 1,
            "num_gpus": 1 if gpu else 0,
            "max_restarts": -1,
            "max_task_retries": ATTEMPTS - 1,
        }
        actor, shared = ray.remote(**options)(_Worker), [ray.put(work)]
        pool = [actor.remote() for _ in range(min(self.workers, self.gpus) if gpu else self.workers)]
        # A busy cluster may place some actors late or never: tasks go to the actors that are ready.
        waiting: dict[Any, tuple[Any, bool]] = {each.ready.remote(): (each, False) for each in pool}
        try:
            exhausted = False
            while not exhausted or any(busy for _, busy in waiting.values()):
                (reference,), _ = ray.wait(list(waiting), num_returns=1)
                worker, busy = waiting.pop(reference)
                try:
                    answer = ray.get(reference)
                except ray.exceptions.RayActorError:
                    raise died(ATTEMPTS) from None
                except ray.exceptions.RayError as error:
                    reason = str(error).strip().splitlines()[-1].strip()
                    raise OtembedError(
                        f"a task failed on a worker: {reason}",
                        "Check that every machine of the cluster has the same version of otembed and access to the files of the run.",
                    ) from error
                if isinstance(answer, OtembedError):
                    raise answer
                task = None if exhausted else next(queue, None)
                exhausted = task is None
                if not exhausted:
                    waiting[worker.do.remote(shared, task)] = worker, True
                if busy:
                    if advance is not None:
                        advance(work.units(answer))
                    yield answer
        finally:
            for each in pool:
                ray.kill(each)

    def close(self) -> None:
        """Leave the cluster, or stop it if it was started here."""
        if self._started:
            self._ray.shutdown()


@contextmanager
def _own_termination() -> Iterator[None]:
    """Keep this process's handler of SIGTERM, which Ray replaces when it is imported and initialized.

    A signal that Ray's handler receives meanwhile is sent again to the former one.
    """
    before = signal.getsignal(signal.SIGTERM)

    def restore() -> None:
        # Ray replaces it in the main thread only, and a handler from outside Python cannot be set.
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)

    try:
        yield
    except SystemExit:  # from Ray's handler
        restore()
        signal.raise_signal(signal.SIGTERM)
        raise
    finally:
        restore()
