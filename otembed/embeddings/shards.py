"""A folder of embedding shards with a manifest: finished shards are kept, corrupt ones are detected."""

from __future__ import annotations

import json
import logging
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from otembed.embeddings.cache import KEPT, OPTION, cache_lock, make_cache_folder, make_folder
from otembed.embeddings.vectors import DTYPES, Part, Vectors
from otembed.errors import OutputError
from otembed.results import write_text, writing
from otembed.runtime.sealed import DIGEST_BYTES, file_digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

SCHEMA = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Shard:
    """A finished file with the rows ``start`` to ``start + rows`` (exclusive), and the hash of its bytes."""

    file: str
    start: int
    rows: int
    digest: str


class ShardFolder:
    """The embeddings of one text by one model, in shards that are written one by one.

    A shard is written atomically, then recorded in the manifest, so an interruption never loses a finished shard.
    Opening the folder hashes every shard; a shard that does not match is recomputed.

    Parameters
    ----------
    path
        The folder; created when the first shard is written.
    key
        The settings that the vectors depend on; stored in the manifest for reference.
    rows, dimension, precision
        Shape of the whole matrix, and ``float32`` or ``float16``.
    """

    def __init__(self, path: Path, key: dict[str, Any], *, rows: int, dimension: int, precision: str) -> None:
        self.path = path
        self.rows = rows
        self.dimension = dimension
        self.precision = precision
        self._head = {"schema": SCHEMA, **key, "rows": rows, "dimension": dimension, "precision": precision}
        self._shards = {shard.start: shard for shard in self._recorded() if self._is_sound(shard)}

    def missing(self, shard_rows: int) -> Iterator[tuple[int, int]]:
        """Yield ``(start, stop)`` of every range that no finished shard covers, at most ``shard_rows`` long."""
        start = 0
        while start < self.rows:
            if start in self._shards:
                start += self._shards[start].rows
                continue
            stop = min(start + shard_rows, self.rows, *(other for other in self._shards if other > start))
            yield start, stop
            start = stop

    @property
    def finished(self) -> int:
        """Number of rows in finished shards."""
        return sum(shard.rows for shard in self._shards.values())

    def tidy(self) -> None:
        """Remove incomplete files of an interrupted run; call it only while no other process writes here."""
        for left in self.path.glob("*.tmp"):
            left.unlink()

    def write(self, start: int, values: NDArray[np.floating[Any]]) -> None:
        """Write the rows from ``start`` on as a shard, and record it."""
        self.make()
        self.record(write_shard(self.path, start, values, self.precision))

    def make(self) -> None:
        """Create the folder."""
        make_folder(self.path)

    def record(self, shard: Shard) -> None:
        """Record a written shard in the manifest."""
        self._shards[shard.start] = shard
        shards = [asdict(self._shards[each]) for each in sorted(self._shards)]
        with writing(self.path, option=OPTION, kept=KEPT):
            write_text(self.path / MANIFEST, json.dumps({**self._head, "shards": shards}, indent=1) + "\n")

    def vectors(self, name: str) -> Vectors:
        """Return the finished matrix."""
        ordered = [self._shards[start] for start in sorted(self._shards)]
        parts = [Part(self.path / shard.file, shard.rows, DTYPES[self.precision]) for shard in ordered]
        return Vectors(name, parts, self.dimension)

    def _recorded(self) -> list[Shard]:
        manifest = self.path / MANIFEST
        if not manifest.exists():
            return []
        try:
            document = json.loads(manifest.read_text(encoding="utf-8"))
            shards = [Shard(**entry) for entry in document.pop("shards")]
        except (ValueError, KeyError, TypeError, AttributeError):
            document, shards = None, []
        if document != self._head:
            logger.warning(
                "%s: the manifest is corrupt or of another version; all shards are recomputed", self.path
            )
            return []
        return shards

    def _is_sound(self, shard: Shard) -> bool:
        if not isinstance(shard.start, int) or shard.file != _file_name(shard.start, self.precision):
            logger.warning("%s: the manifest is corrupt; the shard at row %s is recomputed", self.path, shard.start)
            return False
        path = self.path / shard.file
        if not path.is_file():
            logger.warning("%s: the shard is missing and is recomputed", path)
            return False
        size = self.dimension * np.dtype(DTYPES[self.precision]).itemsize
        if path.stat().st_size != shard.rows * size or file_digest(path) != shard.digest:
            logger.warning("%s: the shard is corrupt or truncated and is recomputed", path)
            return False
        return True


def _file_name(start: int, precision: str) -> str:
    return f"rows-{start:012d}.{precision}"


def write_shard(folder: Path, start: int, values: NDArray[np.floating[Any]], precision: str) -> Shard:
    """Write the rows from ``start`` on to a new file, atomically; any process may.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    data = np.ascontiguousarray(values, DTYPES[precision])
    digest = blake2b(data.data, digest_size=DIGEST_BYTES).hexdigest()
    name = _file_name(start, precision)
    # A unique name: a worker presumed dead may still be writing the same rows.
    temporary = folder / f"{name}.{uuid4().hex}.tmp"
    with writing(folder / name, needed=data.nbytes, option=OPTION, kept=KEPT):
        try:
            with temporary.open("wb") as file:
                file.write(data.data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(folder / name)
        except OSError:
            with suppress(OSError):
                temporary.unlink()
            raise
    return Shard(name, start, len(data), digest)


def tidy_complete(folder: ShardFolder, cache: str | Path | None, name: str, digest: str) -> None:
    """Tidy the folder of complete vectors, unless the cache cannot be written: reading them needs no writing."""
    with suppress(OutputError), cache_lock(make_cache_folder(cache, name), digest):
        folder.tidy()
