"""Tasks done by the actors of a Ray cluster, or of a Ray of this machine alone; needs ``otembed[ray]``.

Actors rather than Ray Data: a shard has to hold the very windows that one process would encode, under the very name,
or neither the bytes nor the resuming would be those of the other engines; Ray Data batches and writes by rules of its
own. An actor loads the model, or opens the vectors, once and does task after task.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from otembed.errors import ConfigError, OtembedError
from otembed.runtime.executors import ATTEMPTS, died

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from otembed.runtime.executors import Work

logger = logging.getLogger(__name__)


class _Worker:
    """What runs in an actor; errors of otembed are answers, for Ray would wrap them."""

    def __init__(self) -> None:
        self.perform: Callable[[Any], Any] | None = None

    def ready(self) -> None:
        """Return when the actor has its place in the cluster."""

    def do(self, shared: list[Any], task: Any) -> Any:
        """Return the answer of a task, or the error that it ended with.

        ``shared`` holds a reference to the work, in a list: Ray would else fetch it anew for every task.
        """
        import ray

        try:
            if self.perform is None:
                self.perform = ray.get(shared[0]).open(1)
            return self.perform(task)
        except OtembedError as error:
            return error


class RayCluster:
    """A :class:`otembed.runtime.executors.Executor` on Ray.

    A Ray that is running in this process is used as it is; else one is joined or started, and left at the end. A Ray
    that is started here reports nothing to its makers.

    Parameters
    ----------
    workers
        Actors, one processor each (and one GPU each for embeddings, where the cluster has GPUs); ``None``: as many
        as there are processors, or GPUs.
    address
        Of a cluster to join, such as ``head:6379`` or ``auto``; ``None``: this machine alone.

    Raises
    ------
    ConfigError
        Ray is not installed, or there is no cluster at the address.
    """

    def __init__(self, workers: int | None, address: str | None) -> None:
        # Before the import: Ray reads it once.
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        try:
            import ray
        except ImportError:
            raise ConfigError("the engine ray needs Ray", 'Install it: pip install "otembed[ray]".') from None
        self._ray: Any = ray
        self._started = not ray.is_initialized()
        if self._started:
            from otembed.runtime.processors import available_workers

            here: dict[str, Any] = {} if address else {"num_cpus": workers or available_workers()}
            try:
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
                    f"no Ray cluster{f' at {address}' if address else ''}: {reason}",
                    "Check the address, start one with `ray start --head`, or leave --ray-address out.",
                ) from error
        resources: dict[str, float] = self._ray.cluster_resources()
        self.gpus = int(resources.get("GPU", 0))
        self.workers = workers or max(1, int(resources.get("CPU", 1)))

    def run(self, work: Work, tasks: Iterable[Any]) -> Iterator[Any]:
        """See :class:`otembed.runtime.executors.Executor`."""
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
        # A full cluster places some actors late or never: tasks go to those that have answered.
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
                        "Every machine of the cluster needs this version of otembed and the files of the run.",
                    ) from error
                if isinstance(answer, OtembedError):
                    raise answer
                task = None if exhausted else next(queue, None)
                exhausted = task is None
                if not exhausted:
                    waiting[worker.do.remote(shared, task)] = worker, True
                if busy:
                    yield answer
        finally:
            for each in pool:
                ray.kill(each)

    def close(self) -> None:
        """Leave the cluster, and stop it if it was started here."""
        if self._started:
            self._ray.shutdown()
