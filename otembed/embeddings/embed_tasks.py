"""Embedding a shard: texts to vectors in windows, in this process or as a task elsewhere."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from otembed.embeddings.encode import encode_by_length
from otembed.embeddings.shards import write_shard
from otembed.errors import ModelError, NumericsError
from otembed.results import write_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from otembed.embeddings.listed import TextRows
    from otembed.embeddings.shards import Shard, ShardFolder
    from otembed.runtime.executors import Executor
    from otembed.runtime.progress import Progress


@dataclass(frozen=True)
class Encoding:
    """How texts are encoded: settings of ``encode_by_length``, and the name of the text for messages."""

    name: str
    prompt: str
    batch_size: int | None
    batch_tokens: int | None
    truncate_dim: int | None

    def __call__(
        self,
        model: SentenceTransformer,
        texts: Sequence[str],
        ids: Sequence[int],
        progress: Callable[[int], object] | None = None,
    ) -> NDArray[np.float32]:
        """Return unit vectors of texts, whose line numbers are ``ids``; NumericsError where one is none.

        ``progress`` is called after each batch with the number of its texts.
        """
        vectors = encode_by_length(
            model,
            texts,
            prompt=self.prompt,
            truncate_dim=self.truncate_dim,
            batch_tokens=self.batch_tokens,
            batch_size=self.batch_size,
            progress=progress,
        )
        bad = ~np.isfinite(vectors).all(axis=1) | ~vectors.any(axis=1)
        if bad.any():
            raise NumericsError(
                f"{self.name}: the model gives NaN, infinity or a zero vector for line {ids[int(bad.argmax())]}",
                "Look at that line, and at the model.",
            )
        return vectors


@dataclass(frozen=True)
class EmbedTask:
    """Rows from ``start`` on, whose texts and line numbers lie in a JSON file."""

    start: int
    texts: Path


@dataclass(frozen=True, eq=False)
class EmbedWork:
    """Embedding tasks of one text.

    Parameters
    ----------
    model, device
        A name, loaded by each worker on that device, or the encoder itself, which travels to it.
    fingerprint
        What the loaded model must have.
    encoding, window
        Settings, and the lines encoded in one call.
    folder, precision
        Where shards are written, and as what.
    """

    model: SentenceTransformer | str
    device: str | None
    fingerprint: str
    encoding: Encoding
    window: int
    folder: Path
    precision: str

    @property
    def gpu(self) -> bool:
        """Whether a GPU serves: unless another device is named."""
        return self.device is None or self.device.startswith("cuda")

    def open(self, threads: int) -> Callable[[EmbedTask], tuple[Shard, float]]:
        """Load the model."""
        import torch
        from transformers.utils.logging import disable_progress_bar

        from otembed.embeddings.fingerprint import model_fingerprint
        from otembed.models import load_model

        torch.set_num_threads(threads)
        # Nobody watches a worker; its bars would run into those of the one who waits.
        disable_progress_bar()  # type: ignore[no-untyped-call]
        model = self.model
        if isinstance(model, str):
            model = load_model(model, device=self.device)
            if model_fingerprint(model) != self.fingerprint:
                raise ModelError(
                    f"{self.model} is another model on a worker than where the run began",
                    "Name a folder that all machines share, or bring their copies up to date.",
                )
        return partial(self._embed, model)

    def _embed(self, model: SentenceTransformer, task: EmbedTask) -> tuple[Shard, float]:
        """Write the shard; return its record, and the seconds it took."""
        began = monotonic()
        document = json.loads(task.texts.read_text(encoding="utf-8"))
        texts, ids = document["texts"], document["ids"]
        parts = [
            self.encoding(model, texts[at : at + self.window], ids[at : at + self.window])
            for at in range(0, len(texts), self.window)
        ]
        shard = write_shard(self.folder, task.start, np.concatenate(parts), self.precision)
        return shard, monotonic() - began


def embed_apart(
    lines: TextRows,
    folder: ShardFolder,
    work: EmbedWork,
    executor: Executor,
    *,
    shard_rows: int,
    seconds: float,
    progress: Progress,
) -> None:
    """Have the missing shards made by an executor, each of at most ``shard_rows`` lines and about ``seconds``."""
    folder.make()
    plan = _Plan(list(folder.missing(folder.rows)), work.window, shard_rows, seconds, executor.workers)

    def tasks() -> Iterator[EmbedTask]:
        for start, stop in plan:
            path = folder.path / f"texts-{start:012d}.tmp"
            document: dict[str, Any] = {"ids": lines.ids[start:stop].tolist(), "texts": lines.texts(start, stop)}
            write_text(path, json.dumps(document))
            yield EmbedTask(start, path)

    for shard, took in executor.run(work, tasks()):
        folder.record(shard)
        (folder.path / f"texts-{shard.start:012d}.tmp").unlink(missing_ok=True)
        plan.learn(shard.rows, took)
        progress(f"embedding {lines.name}", folder.finished, len(lines))


class _Plan:
    """Ranges for tasks: a window at first, then what the speed seen so far does in the time, fewer at the end."""

    def __init__(
        self, missing: list[tuple[int, int]], window: int, most: int, seconds: float, workers: int
    ) -> None:
        self.missing, self.window, self.most, self.seconds = missing, window, most, seconds
        self.workers = workers
        self.left = sum(stop - start for start, stop in missing)
        self.rate = 0.0

    def learn(self, rows: int, took: float) -> None:
        self.rate = rows / max(took, 1e-3)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for start, stop in self.missing:
            while start < stop:
                rows = min(self.most, int(self.rate * self.seconds), self.left // (2 * self.workers))
                end = min(start + max(rows // self.window, 1) * self.window, stop)
                yield start, end
                self.left -= end - start
                start = end
