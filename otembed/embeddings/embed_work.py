"""The embedding task: convert a file of texts to a shard of vectors, in this process or in another."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from otembed.embeddings.cache import KEPT, OPTION
from otembed.embeddings.encode import encode_by_length
from otembed.embeddings.fingerprint import model_fingerprint
from otembed.embeddings.shards import write_shard
from otembed.errors import ModelError, NumericsError
from otembed.results import write_text, writing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from otembed.embeddings.listed import TextRows
    from otembed.embeddings.shards import Shard
    from otembed.runtime.arithmetic import Arithmetic
    from otembed.runtime.work import Advance


@dataclass(frozen=True)
class Encoding:
    """How texts are encoded: the settings of ``encode_by_length``, and the name of the texts for messages."""

    name: str
    prompt: str
    batch_size: int | None
    batch_tokens: int | None
    truncate_dim: int | None
    arithmetic: Arithmetic
    task: str | None = None

    def __call__(
        self,
        model: SentenceTransformer,
        texts: Sequence[str],
        ids: Sequence[int],
        progress: Callable[[int], object] | None = None,
    ) -> NDArray[np.float32]:
        """Return the unit vectors of texts with line numbers ``ids``; NumericsError for a zero or non-finite vector.

        ``progress`` is called after each batch with the number of its texts.
        """
        vectors = encode_by_length(
            model,
            texts,
            prompt=self.prompt,
            task=self.task,
            truncate_dim=self.truncate_dim,
            batch_tokens=self.batch_tokens,
            batch_size=self.batch_size,
            arithmetic=self.arithmetic,
            progress=progress,
        )
        bad = ~np.isfinite(vectors).all(axis=1) | ~vectors.any(axis=1)
        if bad.any():
            raise NumericsError(
                f"{self.name}: the model returns NaN, infinity or a zero vector for line {ids[int(bad.argmax())]}",
                "Check that line and the model's weights.",
            )
        return vectors


@dataclass(frozen=True)
class EmbedTask:
    """Rows from ``start`` on; their texts and line numbers are stored in a JSON file."""

    start: int
    texts: Path

    @classmethod
    def write(cls, folder: Path, lines: TextRows, start: int, stop: int) -> EmbedTask:
        """Write the file of the rows from ``start`` to before ``stop``; OutputError if that fails."""
        document: dict[str, Any] = {"ids": lines.ids[start:stop].tolist(), "texts": lines.texts(start, stop)}
        with writing(folder, option=OPTION, kept=KEPT):
            write_text(cls.path(folder, start), json.dumps(document))
        return cls(start, cls.path(folder, start))

    @staticmethod
    def path(folder: Path, start: int) -> Path:
        """Return the file of the rows from ``start`` on."""
        return folder / f"texts-{start:012d}.tmp"


@dataclass(frozen=True)
class EmbeddedShard:
    """A shard that was written, and the seconds it took."""

    shard: Shard
    seconds: float


@dataclass(frozen=True, eq=False)
class EncoderWork:
    """What all work that runs the encoder shares.

    Parameters
    ----------
    model, device
        A name, loaded by each worker on that device, or the encoder itself.
    fingerprint
        The fingerprint that the loaded model must have.
    """

    model: SentenceTransformer | str
    device: str | None
    fingerprint: str

    # An encoder uses several threads itself.
    threaded = False

    @property
    def gpu(self) -> bool:
        """Whether a worker should get a GPU; true unless another device is set."""
        return self.device is None or self.device.startswith("cuda")

    def encoder(self, threads: int | None) -> SentenceTransformer:
        """Return the model, loaded by name if necessary; ModelError if it is not the one of the run.

        ``threads`` limits the threads of a worker process; None in the main process.
        """
        import torch
        from transformers.utils.logging import disable_progress_bar

        from otembed.models import load_model

        if threads is not None:
            torch.set_num_threads(threads)
            # The progress bars of a worker would interfere with the main process's.
            disable_progress_bar()  # type: ignore[no-untyped-call]
        if not isinstance(self.model, str):
            return self.model
        loaded = load_model(self.model, device=self.device)
        if model_fingerprint(loaded) != self.fingerprint:
            raise ModelError(
                f"{self.model} on a worker is not the model with which the run started",
                "Use a folder shared by all machines, or update their copies.",
            )
        return loaded


@dataclass(frozen=True, eq=False)
class EmbedWork(EncoderWork):
    """The embedding tasks of one text.

    Parameters
    ----------
    model, device, fingerprint
        As for :class:`EncoderWork`.
    encoding, window
        Settings, and the lines encoded in one call.
    folder, precision
        Folder and precision of the shards.
    """

    encoding: Encoding
    window: int
    folder: Path
    precision: str

    def open(self, threads: int | None, advance: Advance | None = None) -> Callable[[EmbedTask], EmbeddedShard]:
        """Load the model."""
        return partial(self._embed, self.encoder(threads), advance)

    def units(self, answer: EmbeddedShard) -> int:
        """Return the lines of a shard."""
        return answer.shard.rows

    def _embed(self, model: SentenceTransformer, advance: Advance | None, task: EmbedTask) -> EmbeddedShard:
        began = monotonic()
        document = json.loads(task.texts.read_text(encoding="utf-8"))
        texts, ids = document["texts"], document["ids"]
        parts = [
            self.encoding(model, texts[at : at + self.window], ids[at : at + self.window], advance)
            for at in range(0, len(texts), self.window)
        ]
        shard = write_shard(self.folder, task.start, np.concatenate(parts), self.precision)
        return EmbeddedShard(shard, monotonic() - began)


class Schedule:
    """Ranges of rows for tasks: first one window, then the number that takes ``seconds`` at the measured speed.

    With several workers, the last tasks are smaller, so that all finish at about the same time.

    Parameters
    ----------
    missing
        ``(start, stop)`` of the rows to embed.
    window, most
        Rows of a task are a multiple of ``window``, and at most ``most``.
    seconds
        Intended duration of a task.
    workers
        Workers of the executor.
    """

    def __init__(
        self, missing: Sequence[tuple[int, int]], window: int, most: int, seconds: float, workers: int
    ) -> None:
        self.missing, self.window, self.most, self.seconds = missing, window, most, seconds
        self.workers = workers
        self.left = sum(stop - start for start, stop in missing)
        self.rate = 0.0

    def learn(self, rows: int, took: float) -> None:
        """Record the speed of a finished task."""
        self.rate = rows / max(took, 1e-3)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield ``(start, stop)`` of each task."""
        for start, stop in self.missing:
            while start < stop:
                rows = min(self.most, int(self.rate * self.seconds))
                if self.workers > 1:
                    rows = min(rows, self.left // (2 * self.workers))
                end = min(start + max(rows // self.window, 1) * self.window, stop)
                yield start, end
                self.left -= end - start
                start = end
