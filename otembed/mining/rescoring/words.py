"""The word vectors of one side's lines: each line is encoded once, stored in half precision, and read by line."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np
import torch

from otembed.embeddings import row_kernels
from otembed.embeddings.cache import cache_home, cache_lock, make_cache_folder
from otembed.embeddings.embed import DIGEST_BYTES, SHARD_SECONDS
from otembed.embeddings.rows import UnitRows, scan
from otembed.embeddings.shards import ShardFolder, tidy_complete
from otembed.embeddings.vectors import DTYPES
from otembed.errors import NumericsError
from otembed.runtime.progress import Progress, silent
from otembed.words.plan import FEWEST_WORDS
from otembed.words.segment import WordSplitter
from otembed.words.vectors import WordEncoder

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from otembed.embeddings.lines import Lines

    Ids = NDArray[np.int64]

# Version of the stored vectors; increase it if the vectors or the segmentation into words change.
WORDS_SCHEMA = 1
PRECISION = "float16"
# Lines encoded in one call, which sorts them by length; shards hold whole windows, so their number changes no byte.
WINDOW = 256
SHARD_BYTES = 32_000_000


@dataclass(frozen=True, eq=False)
class WordSide:
    """Words of the lines of one side.

    Parameters
    ----------
    rows
        One row for each word that the encoder saw, line after line.
    bounds
        (lines + 1,) index of the first word of each line, and at the end the number of words.
    """

    rows: UnitRows
    bounds: Ids

    def lengths(self, lines: Ids) -> Ids:
        """Return the number of words of each line."""
        return self.bounds[lines + 1] - self.bounds[lines]

    def clouds(self, lines: Ids) -> tuple[Tensor, Tensor]:
        """Return the words of lines in any order: (B, N, D) float32, padded with zeros, and the mask (B, N).

        A line that occurs several times is read once.
        """
        different, places = np.unique(lines, return_inverse=True)
        counts = self.lengths(different)
        mask = np.arange(max(int(counts.max(initial=0)), 1)) < counts[:, None]
        words = self.bounds[different][:, None] + np.arange(mask.shape[1])
        vectors = np.zeros((*mask.shape, self.rows.vectors.dimension), np.float32)
        vectors[mask] = self.rows.gather(words[mask])
        index = torch.from_numpy(places)
        return torch.from_numpy(vectors)[index], torch.from_numpy(mask)[index]


class WordStore:
    """The word vectors of a text by a model, stored in the cache.

    The vector of a word is the mean of its tokens' states in one layer, at unit length, in half precision. Words are
    defined as in :class:`otembed.words.WordAligner`: separated by spaces, or vocabulary pieces in scripts without
    spaces.

    Parameters
    ----------
    lines
        From :func:`otembed.embeddings.lines.read_side`.
    encoder
        The encoder; lines are encoded without a prompt.
    fingerprint
        Fingerprint of its model, from :func:`otembed.embeddings.fingerprint.model_fingerprint`.
    layer
        Hidden layer, as in :meth:`otembed.words.vectors.WordEncoder.layer`.
    cache
        As for :func:`otembed.embeddings.embed.embed_lines`.

    Raises
    ------
    ConfigError
        The model does not have this layer.
    """

    def __init__(
        self, lines: Lines, encoder: WordEncoder, fingerprint: str, *, layer: int, cache: str | Path | None
    ) -> None:
        self.lines = lines
        self.layer = encoder.layer(layer)
        self._encoder = encoder
        self._split = WordSplitter(encoder.model.tokenizer)
        self._cache = cache
        counts = [len(self._split(lines[row]).spans) for row in range(len(lines))]
        self.bounds: Ids = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        (first,) = encoder.encode([self._split(lines[0])], [self.layer])
        self.dimension = first.layers[self.layer].shape[1]
        self._key = {"words": WORDS_SCHEMA, "model": fingerprint, "layer": self.layer, "text": lines.digest()}
        self._digest = blake2b(repr(self._key).encode(), digest_size=DIGEST_BYTES).hexdigest()

    @property
    def words(self) -> int:
        """Number of words of all lines, including words that the encoder does not see."""
        return int(self.bounds[-1])

    @property
    def longest(self) -> int:
        """Maximum number of words per line."""
        return int(np.diff(self.bounds).max())

    def missing(self) -> tuple[int, int]:
        """Return the number of lines whose words are not in the cache, and the bytes that they will take."""
        folder = self._folder()
        lines = sum(last - first for first, last in self._gaps(folder))
        return lines, DTYPES[PRECISION].itemsize * self.dimension * (self.words - folder.finished)

    def fill(self, *, batch_size: int = 32, progress: Progress = silent) -> WordSide:
        """Encode missing lines into shards, and return the words; finished shards of interrupted runs are reused.

        Raises
        ------
        NumericsError
            The model returns NaN or infinity; the line is named.
        OutputError
            The cache cannot be written.
        """
        folder = self._folder()
        if self._gaps(folder):
            self._encode_missing(batch_size, progress)
        else:
            tidy_complete(folder, self._cache, "words", self._digest)
        return self.stored()

    def stored(self) -> WordSide:
        """Return the words, all of which are in the cache; nothing is written."""
        rows, _ = scan(self._folder().vectors(f"words of {self.lines.name}"))
        kept = rows.vectors.rows
        return WordSide(rows, self.bounds if kept is None else np.searchsorted(kept, self.bounds))

    def _encode_missing(self, batch_size: int, progress: Progress) -> None:
        with cache_lock(make_cache_folder(self._cache, "words"), self._digest):
            folder = self._folder()
            folder.tidy()
            done = len(self.lines) - sum(last - first for first, last in self._gaps(folder))
            for first, last in list(self._gaps(folder)):
                begin, blocks, opened = first, [], monotonic()
                for start in range(first, last, WINDOW):
                    stop = min(start + WINDOW, last)
                    blocks.append(self._states(start, stop, batch_size))
                    done += stop - start
                    progress(f"encoding words of {self.lines.name}", done, len(self.lines))
                    full = sum(each.nbytes for each in blocks) > SHARD_BYTES
                    if full or monotonic() - opened > SHARD_SECONDS or stop == last:
                        folder.write(int(self.bounds[begin]), np.concatenate(blocks))
                        begin, blocks, opened = stop, [], monotonic()

    def _folder(self) -> ShardFolder:
        path = cache_home(self._cache) / "words" / self._digest
        return ShardFolder(path, self._key, rows=self.words, dimension=self.dimension, precision=PRECISION)

    def _gaps(self, folder: ShardFolder) -> list[tuple[int, int]]:
        """Return ``(first, last)`` lines, last exclusive, that no shard covers; every line has a word, so both are exact."""
        gaps = folder.missing(max(self.words, 1))
        return [(int(a), int(b)) for a, b in (np.searchsorted(self.bounds, gap) for gap in gaps)]

    def _states(self, start: int, stop: int, batch_size: int) -> NDArray[np.float16]:
        texts = [self._split(text) for text in self.lines.texts(start, stop)]
        try:
            found = self._encoder.encode(texts, [self.layer], batch_size=batch_size)
        except NumericsError as error:
            raise NumericsError(
                f"{self.lines.name}: {error.message} (lines {self.lines.ids[start]} to {self.lines.ids[stop - 1]})",
                error.hint,
            ) from error
        rows = np.concatenate([each.layers[self.layer].numpy() for each in found])
        # The maximum of half precision is 65,504: entries of some encoders exceed it, unit rows cannot.
        row_kernels.scale_to_unit(rows, np.empty(len(rows), np.uint8))
        return rows.astype(np.float16)


def center_words(source: WordSide, target: WordSide, *, center: bool) -> tuple[WordSide, WordSide]:
    """Return both sides centered as lines are; by their joint mean if a side has fewer than 100 words."""
    if not center:
        return source, target
    means = [each.rows.mean for each in (source, target)]
    sizes = [len(each.rows) for each in (source, target)]
    if min(sizes) < FEWEST_WORDS:
        joint = (means[0] * sizes[0] + means[1] * sizes[1]) / sum(sizes)
        means = [joint, joint]
    left, right = (
        replace(each, rows=replace(each.rows, mean=mean, centered=True))
        for each, mean in zip((source, target), means, strict=True)
    )
    return left, right
