"""From lines to embedding shards: each different line once, resumable, cached by what the vectors depend on."""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock

from otembed.embeddings.embed_tasks import EmbedWork, Encoding, embed_apart
from otembed.embeddings.encode import resolve_prompt
from otembed.embeddings.fingerprint import model_fingerprint
from otembed.embeddings.shards import ShardFolder
from otembed.embeddings.vectors import DTYPES
from otembed.errors import ConfigError, DataError
from otembed.runtime.cache import default_cache_dir
from otembed.runtime.progress import Progress, counting, silent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from otembed.embeddings.listed import TextRows
    from otembed.embeddings.vectors import Vectors
    from otembed.runtime.executors import Executor

logger = logging.getLogger(__name__)

# Lines sorted by length into batches together. The last bits of a vector depend on the
# batch it was in, so shards hold whole windows: their number then changes nothing.
WINDOW = 1024
SHARD_ROWS = 64 * WINDOW
# A slow encoder's shards end earlier, so that a kill loses no more than this.
SHARD_SECONDS = 60
DIGEST_BYTES = 16


@dataclass(frozen=True)
class EmbeddingKey:
    """What the vectors of a text depend on: the cache is found under its hash."""

    model: str
    prompt: str
    dimension: int
    precision: str
    text: str

    @property
    def digest(self) -> str:
        """Return the name of the cache folder."""
        document = json.dumps(asdict(self), sort_keys=True)
        return blake2b(document.encode(), digest_size=DIGEST_BYTES).hexdigest()


def embed_lines(
    lines: TextRows,
    model: SentenceTransformer,
    *,
    cache: str | Path | None = None,
    prompt: str | None = None,
    prompt_name: str | None = None,
    truncate_dim: int | None = None,
    precision: str = "float32",
    batch_size: int | None = 32,
    batch_tokens: int | None = None,
    shard_rows: int = SHARD_ROWS,
    executor: Executor | None = None,
    load_as: str | None = None,
    device: str | None = None,
    fingerprint: str | None = None,
    progress: Progress = silent,
) -> Vectors:
    """Encode lines into shards on disk and return them; what earlier runs have finished is not done again.

    Parameters
    ----------
    lines
        From :func:`otembed.embeddings.lines.read_side`, or :class:`otembed.embeddings.listed.ListedTexts`.
    model
        The encoder. Its name does not matter: the cache knows it by its weights and settings.
    cache
        Folder of the cache; by default ``mining`` in :func:`otembed.cache.default_cache_dir`.
    prompt, prompt_name
        A text put before every line, or its name in ``model.prompts``; ``None``: the model's default.
    truncate_dim
        Keep this many leading dimensions, for models trained so.
    precision
        ``float32``, or ``float16``, which halves the disk and costs about 3 decimal digits.
    batch_size, batch_tokens
        Most lines and most tokens encoded at a time; see :func:`otembed.embeddings.encode.encode_by_length`.
    shard_rows
        Most lines of a shard, rounded up to whole windows of 1,024; a shard also ends after a minute.
    executor
        Does the shards as tasks of its workers; ``None``: they are done here.
    load_as, device
        The name by which workers load the model, and where to; without a name the model travels to them.
    fingerprint
        That of the model, where the caller has it already: it takes a pass over all weights.
    progress
        Called with the stage, the lines done and all lines.

    Returns
    -------
    Vectors
        (lines, dimension) unit vectors.

    Raises
    ------
    NumericsError
        The model gives NaN, infinity or a zero vector for a line, which is named.
    ConfigError
        A setting is out of range.
    DataError
        The cache cannot be written.
    ModelError
        A worker has another model under ``load_as``.
    """
    text = resolve_prompt(model, prompt, prompt_name)
    key = embedding_key(lines, model, text, truncate_dim, precision, fingerprint)
    encoding = Encoding(lines.name, text, batch_size, batch_tokens, truncate_dim)
    with cache_lock(make_cache_folder(cache, "embeddings"), key.digest):
        folder = shard_folder(key, lines, cache)
        folder.tidy()
        done = folder.finished
        if done:
            logger.info("%s: %d of %d lines are embedded already (%s)", lines.name, done, len(lines), folder.path)
        if executor is not None:
            work = EmbedWork(
                load_as or model, device, key.model, encoding, WINDOW, folder.path.absolute(), precision
            )
            embed_apart(
                lines,
                folder,
                work,
                executor,
                shard_rows=-(-shard_rows // WINDOW) * WINDOW,
                seconds=SHARD_SECONDS,
                progress=progress,
            )
            return folder.vectors(lines.name)
        advance = counting(progress, f"embedding {lines.name}", len(lines), done)
        for start, stop in folder.missing(-(-shard_rows // WINDOW) * WINDOW):
            blocks: list[NDArray[np.float32]] = []
            opened = monotonic()
            for first in range(start, stop, WINDOW):
                last = min(first + WINDOW, stop)
                blocks.append(encoding(model, lines.texts(first, last), lines.ids[first:last].tolist(), advance))
                if monotonic() - opened > SHARD_SECONDS or last == stop:
                    folder.write(start, np.concatenate(blocks))
                    start, blocks, opened = last, [], monotonic()
    return folder.vectors(lines.name)


def embedding_key(
    lines: TextRows,
    model: SentenceTransformer,
    prompt: str,
    truncate_dim: int | None,
    precision: str,
    fingerprint: str | None = None,
) -> EmbeddingKey:
    """Return what the vectors depend on; ConfigError if a setting is out of range."""
    if precision not in DTYPES:
        raise ConfigError(f"precision is {precision!r}", f"Choose one of: {', '.join(DTYPES)}.")
    dimension = model.get_embedding_dimension() or len(model.encode("x", show_progress_bar=False))
    if truncate_dim is not None and not 1 <= truncate_dim <= dimension:
        raise ConfigError(f"truncate_dim is {truncate_dim}", f"Give 1 to {dimension}, the model's dimension.")
    known = fingerprint or model_fingerprint(model)
    return EmbeddingKey(known, prompt, truncate_dim or dimension, precision, lines.digest())


def shard_folder(key: EmbeddingKey, lines: TextRows, cache: str | Path | None) -> ShardFolder:
    """Return the shards of a key as they lie in the cache; writes nothing."""
    return ShardFolder(
        cache_home(cache) / "embeddings" / key.digest,
        asdict(key),
        rows=len(lines),
        dimension=key.dimension,
        precision=key.precision,
    )


def cache_home(cache: str | Path | None) -> Path:
    """Return the folder of mining's cache."""
    return default_cache_dir() / "mining" if cache is None else Path(cache).expanduser()


def make_cache_folder(cache: str | Path | None, name: str) -> Path:
    """Return a folder of the cache and make it; DataError if that cannot be."""
    folder = cache_home(cache) / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"cannot write the cache: {error.strerror}", "Name another folder: --cache FOLDER.", path=folder
        ) from error
    return folder


@contextmanager
def cache_lock(folder: Path, name: str) -> Iterator[None]:
    """Let one process at a time write what the cache holds under a name; the others wait, and find them finished."""
    lock = FileLock(folder / f".{name}.lock")
    try:
        lock.acquire()
    except OSError as error:
        raise DataError(
            f"cannot write the cache: {error.strerror}", "Name another folder: --cache FOLDER.", path=folder
        ) from error
    try:
        yield
    finally:
        lock.release()
