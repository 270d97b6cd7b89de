"""From lines to embedding shards: each distinct line once, resumable, cached under a key of all dependencies."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otembed.embeddings.cache import cache_home, cache_lock, make_cache_folder
from otembed.embeddings.embed_work import EmbedTask, EmbedWork, Encoding, Schedule
from otembed.embeddings.encode import resolve_prompt
from otembed.embeddings.fingerprint import model_fingerprint
from otembed.embeddings.shards import ShardFolder, tidy_complete
from otembed.embeddings.vectors import DTYPES
from otembed.errors import ConfigError
from otembed.runtime.arithmetic import resolve_arithmetic
from otembed.runtime.executors import LocalExecutor
from otembed.runtime.progress import Progress, counting, silent

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from otembed.embeddings.listed import TextRows
    from otembed.embeddings.vectors import Vectors
    from otembed.runtime.arithmetic import Arithmetic
    from otembed.runtime.work import Executor

logger = logging.getLogger(__name__)

# Number of lines that are sorted by length into batches together. The last bits of a vector depend on its batch, so
# shards consist of whole windows: the vectors do not depend on the number of shards.
WINDOW = 1024
SHARD_ROWS = 64 * WINDOW
# Shards of a slow encoder are smaller, so that an interruption loses at most this much work.
SHARD_SECONDS = 60
DIGEST_BYTES = 16


@dataclass(frozen=True)
class EmbeddingKey:
    """Everything that the vectors of a text depend on; the hash is the name of the folder in the cache."""

    model: str
    prompt: str
    dimension: int
    precision: str
    text: str
    arithmetic: Arithmetic = "float32"
    task: str | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """The key as the manifest stores it: without the arithmetic float32 and no task, the only ones of earlier caches."""
        usual = {"arithmetic": "float32", "task": None}
        return {name: value for name, value in asdict(self).items() if name not in usual or value != usual[name]}

    @property
    def digest(self) -> str:
        """Return the name of the cache folder."""
        document = json.dumps(self.settings, sort_keys=True)
        return blake2b(document.encode(), digest_size=DIGEST_BYTES).hexdigest()


def embed_lines(
    lines: TextRows,
    model: SentenceTransformer,
    *,
    cache: str | Path | None = None,
    prompt: str | None = None,
    prompt_name: str | None = None,
    task: str | None = None,
    truncate_dim: int | None = None,
    precision: str = "float32",
    arithmetic: str = "float32",
    batch_size: int | None = 32,
    batch_tokens: int | None = None,
    shard_rows: int = SHARD_ROWS,
    executor: Executor | None = None,
    load_as: str | None = None,
    device: str | None = None,
    fingerprint: str | None = None,
    progress: Progress = silent,
) -> Vectors:
    """Encode lines into shards on disk and return them; shards from earlier runs are reused.

    Parameters
    ----------
    lines
        From :func:`otembed.embeddings.lines.read_side`, or :class:`otembed.embeddings.listed.ListedTexts`.
    model
        The encoder. The cache identifies it by its weights and settings, not by its name.
    cache
        Folder of the cache; by default ``mining`` in :func:`otembed.runtime.cache.default_cache_dir`.
    prompt, prompt_name
        Text to prepend to every line, or its name in ``model.prompts``; ``None``: the model's default.
    task
        Route of a model with a Router; see :func:`otembed.embeddings.routes.language_task`.
    truncate_dim
        Keep this many leading dimensions, for models trained with truncated dimensions.
    precision
        ``float32``, or ``float16``, which halves the disk space and keeps about 3 decimal digits.
    arithmetic
        ``float32``, ``bf16`` (autocast), or ``auto``: bf16 where the device of the model computes it faster.
    batch_size, batch_tokens
        Maximum number of lines and of tokens in a batch; see :func:`otembed.embeddings.encode.encode_by_length`.
    shard_rows
        Maximum number of lines in a shard, rounded up to whole windows of 1,024. A shard of a slow encoder is smaller
        and takes about a minute.
    executor
        Runs one task for each shard; ``None``: this process.
    load_as, device
        For workers in other processes: the name by which they load the model, and the device. Without a name, the model
        itself is sent to them.
    fingerprint
        Fingerprint of the model, if the caller knows it: computing it reads all weights.
    progress
        Called with the stage, the finished lines and the total.

    Returns
    -------
    Vectors
        (lines, dimension) unit vectors.

    Raises
    ------
    NumericsError
        The model returns NaN, infinity or a zero vector; the line is named.
    ConfigError
        A setting is out of range.
    OutputError
        The cache cannot be written.
    ModelError
        A worker loads a different model under ``load_as``.
    """
    executor = executor or LocalExecutor(1)
    text = resolve_prompt(model, prompt, prompt_name)
    key = embedding_key(lines, model, text, truncate_dim, precision, arithmetic, fingerprint, task)
    folder = shard_folder(key, lines, cache)
    if not any(folder.missing(folder.rows)):
        tidy_complete(folder, cache, "embeddings", key.digest)
        return folder.vectors(lines.name)
    with cache_lock(make_cache_folder(cache, "embeddings"), key.digest):
        folder = shard_folder(key, lines, cache)
        folder.tidy()
        missing = list(folder.missing(folder.rows))
        if not missing:
            return folder.vectors(lines.name)
        if folder.finished:
            logger.info(
                "%s: %d of %d lines are in the cache (%s)", lines.name, folder.finished, len(lines), folder.path
            )
        folder.make()
        work = EmbedWork(
            model=load_as or model if executor.remote else model,
            device=device,
            fingerprint=key.model,
            encoding=Encoding(lines.name, text, batch_size, batch_tokens, truncate_dim, key.arithmetic, key.task),
            window=WINDOW,
            folder=folder.path.absolute(),
            precision=precision,
        )
        most = -(-shard_rows // WINDOW) * WINDOW
        # In this process one task runs at a time, because the encoder uses several threads itself.
        schedule = Schedule(missing, WINDOW, most, SHARD_SECONDS, executor.workers if executor.remote else 1)
        tasks = (EmbedTask.write(work.folder, lines, start, stop) for start, stop in schedule)
        advance = counting(progress, f"embedding {lines.name}", len(lines), folder.finished)
        for found in executor.run(work, tasks, advance):
            folder.record(found.shard)
            EmbedTask.path(work.folder, found.shard.start).unlink(missing_ok=True)
            schedule.learn(found.shard.rows, found.seconds)
    return folder.vectors(lines.name)


def embedding_key(
    lines: TextRows,
    model: SentenceTransformer,
    prompt: str,
    truncate_dim: int | None,
    precision: str,
    arithmetic: str = "float32",
    fingerprint: str | None = None,
    task: str | None = None,
) -> EmbeddingKey:
    """Return the key of the vectors; ConfigError if a setting is out of range."""
    if precision not in DTYPES:
        raise ConfigError(f"precision is {precision!r}", f"Choose one of: {', '.join(DTYPES)}.")
    dimension = model.get_embedding_dimension() or len(model.encode("x", show_progress_bar=False))
    if truncate_dim is not None and not 1 <= truncate_dim <= dimension:
        raise ConfigError(
            f"truncate_dim is {truncate_dim}", f"Use a number from 1 to {dimension}, the dimension of the model."
        )
    known = fingerprint or model_fingerprint(model)
    chosen = resolve_arithmetic(arithmetic, model.device)
    return EmbeddingKey(known, prompt, truncate_dim or dimension, precision, lines.digest(), chosen, task)


def shard_folder(key: EmbeddingKey, lines: TextRows, cache: str | Path | None) -> ShardFolder:
    """Return the cached shards for a key; writes nothing."""
    return ShardFolder(
        cache_home(cache) / "embeddings" / key.digest,
        key.settings,
        rows=len(lines),
        dimension=key.dimension,
        precision=key.precision,
    )
