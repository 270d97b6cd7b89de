"""Rescoring: candidates are also compared by the transport cost between their words.

Only neighbors that the search has found are compared. ``words.py`` stores the word vectors, ``word_scores.py`` compares
lines by them, and this module goes through the neighbor lists.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np

from otembed.embeddings.cache import cache_home, make_cache_folder
from otembed.embeddings.embed import DIGEST_BYTES
from otembed.embeddings.fingerprint import model_fingerprint
from otembed.errors import ConfigError
from otembed.mining.rescoring.word_scores import BLOCK, CELLS, WORDS, batch_bytes, word_similarity
from otembed.mining.rescoring.words import WordStore, center_words
from otembed.mining.search import blocks
from otembed.mining.search.neighbors import CANDIDATE, NEIGHBOR, Neighbors, list_places
from otembed.mining.search.state import SearchState
from otembed.models.architecture import middle_layer
from otembed.runtime.progress import Progress, silent
from otembed.words.layer_choice import stored_layer
from otembed.words.vectors import WordEncoder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from otembed.config.mining import MiningConfig
    from otembed.mining.rescoring.words import WordSide
    from otembed.mining.side import Side

    Floats = NDArray[np.float32]
    Ids = NDArray[np.int64]

RESCORE_SCHEMA = 1
# Folder of the cache.
RESCORES = "rescores"
# Additional bytes of a neighbor, for its transport value and its similarity.
VALUES = 8
# Bytes that locate a line, and a word, in the stored vectors.
LINE_PLACE, WORD_PLACE = 16, 9


@dataclass(frozen=True, eq=False)
class Rescorer:
    """The word vectors of both sides of a run, and the scores computed from them.

    Parameters
    ----------
    stores
        Word vectors of source and target.
    config
        ``rescore_weight``, ``rescore_epsilon`` and ``batch_size``.
    cache
        As for :func:`otembed.mine_bitext`.
    """

    stores: tuple[WordStore, WordStore]
    config: MiningConfig
    cache: str | Path | None

    def words(self, *, center: bool, progress: Progress = silent) -> tuple[WordSide, WordSide]:
        """Return the words of both sides; lines that are not in the cache are encoded."""
        left, right = (store.fill(batch_size=self.config.batch_size, progress=progress) for store in self.stores)
        return center_words(left, right, center=center)

    def lists(
        self, forward: Neighbors, backward: Neighbors, *, center: bool, progress: Progress = silent
    ) -> Rescored:
        """Return the lists of a search with the similarity of :func:`rescore`, centered if the lines are."""
        words = self.words(center=center, progress=progress)
        make_cache_folder(self.cache, RESCORES)
        return rescore(
            forward,
            backward,
            words,
            weight=self.config.rescore_weight,
            epsilon=self.config.rescore_epsilon,
            state_file=self._state_file(forward, backward, words),
            progress=progress,
        )

    def is_stored(self, forward: Neighbors, backward: Neighbors, *, center: bool) -> bool:
        """Return whether the cache has the words, and transport values for these lists; nothing is written."""
        if any(lines for lines, _ in (store.missing() for store in self.stores)):
            return False
        left, right = (store.stored() for store in self.stores)
        return self._state_file(forward, backward, center_words(left, right, center=center)).exists()

    def _state_file(self, forward: Neighbors, backward: Neighbors, words: tuple[WordSide, WordSide]) -> Path:
        name = state_name(forward, backward, *words, self.config.rescore_epsilon)
        return cache_home(self.cache) / RESCORES / f"{name}.npz"

    def memory(self, k: int) -> int:
        """Return the maximum bytes of comparing words and of pairing, without the libraries and the model."""
        lines = [len(store.lines) for store in self.stores]
        words = sum(store.words for store in self.stores)
        longest = max(store.longest for store in self.stores)
        states = LINE_PLACE * sum(lines) + WORD_PLACE * words
        at_once = batch_bytes(self.stores[0].dimension, longest, min(k, max(lines)))
        places = list_places(lines[0], lines[1], k)
        return (NEIGHBOR + VALUES) * places + max(states + at_once, CANDIDATE * places)


def open_rescorer(
    sides: Sequence[Side],
    encoder: SentenceTransformer | None,
    config: MiningConfig,
    *,
    cache: str | Path | None,
) -> Rescorer | None:
    """Return the rescorer, None if ``config.rescore`` is ``none``; encodes only the first line of each side.

    Raises
    ------
    ConfigError
        A side has precomputed vectors, the model does not have the layer, or the memory limit is too low.
    ModelError
        The model does not expose layers or character offsets.
    """
    if config.rescore == "none":
        return None
    left, right = sides[:2]
    for each in (left, right):
        if each.vectors is not None:
            raise ConfigError(
                f"rescore {config.rescore} requires texts and their encoder, but {each.name} has precomputed vectors",
                "Pass lines and a model instead of vectors, or set rescore: none.",
            )
    if left.lines is None or right.lines is None or encoder is None:
        raise ConfigError(f"rescore {config.rescore} requires a model", "Pass --model NAME.")
    words, fingerprint = WordEncoder(encoder), model_fingerprint(encoder)
    if config.rescore_layer != "auto":
        layer = config.rescore_layer
    else:
        stored = stored_layer(encoder, words.depth)
        layer = middle_layer(words.depth) if stored is None else stored.layer
    first, second = (
        WordStore(lines, words, fingerprint, layer=layer, cache=cache) for lines in (left.lines, right.lines)
    )
    found = Rescorer((first, second), config, cache)
    needed = found.memory(config.k)
    if config.memory_gb is not None and needed > config.memory_gb * 1e9:
        raise ConfigError(
            f"comparing the words of {len(left.lines)} and {len(right.lines)} lines with k = {config.k} needs "
            f"{needed / 1e6:,.1f} MB, memory_gb is {config.memory_gb:g}",
            "Raise memory_gb, lower k or max_characters, or set rescore: none.",
        )
    return found


@dataclass(frozen=True, eq=False)
class Rescored:
    """Neighbor lists of both sides with the mixed similarity as scores, in the order of the search.

    ``words``, ``weight`` and ``epsilon`` are used for pairs that are in no list.
    """

    forward: Neighbors
    backward: Neighbors
    words: tuple[WordSide, WordSide]
    weight: float
    epsilon: float

    def pairs(self, rows: Ids, columns: Ids, cosines: Floats) -> Floats:
        """Return the similarity (p,) of pairs of lines with their cosines; pairs in the lists keep their similarity."""
        values = np.empty(len(rows), np.float32)
        for start in range(0, len(rows), BLOCK):
            part = slice(start, start + BLOCK)
            x, y = rows[part], columns[part]
            there, back = self.forward.ids[x] == y[:, None], self.backward.ids[y] == x[:, None]
            listed = np.concatenate([there, back], axis=1)
            known = np.concatenate([self.forward.scores[x], self.backward.scores[y]], axis=1)
            found = np.where(listed, known, -np.inf).max(axis=1)
            fresh = ~listed.any(axis=1)
            words = word_similarity(*self.words, x[fresh], y[fresh], self.epsilon)
            found[fresh] = mix(cosines[part][fresh], words, self.weight)
            values[part] = found
        return values


def rescore(
    forward: Neighbors,
    backward: Neighbors,
    words: tuple[WordSide, WordSide],
    *,
    weight: float,
    epsilon: float,
    state_file: Path | None = None,
    progress: Progress = silent,
) -> Rescored:
    r"""Compute a similarity that includes words for every pair in the lists of a search.

    .. math:: s(x, y) = (1 - w) \cos(x, y) + w \, (1 - \mathrm{OT}_\varepsilon(x, y))

    where :math:`\mathrm{OT}_\varepsilon` is the balanced transport value between the lines' words under the cosine cost
    and uniform masses (the negative of :func:`otembed.words.ot_similarity`). Both terms are at most 1, and near 0 for
    unrelated lines of centered vectors. If the encoder saw no word of a line, the similarity is the cosine alone.

    Parameters
    ----------
    forward, backward
        Full lists of a search; a pair may occur in one or both of them.
    words
        Words of source and target.
    weight
        :math:`w`, from 0 to 1.
    epsilon
        Entropic strength; 0 for exact transport.
    state_file
        File in which transport values are saved once a minute, and from which an interrupted run resumes.
    progress
        Called with the stage, the finished lists and the total.

    Returns
    -------
    Rescored
        A pair has the same similarity in both lists.

    Notes
    -----
    Batches depend only on the lists and the numbers of words, so the same word vectors give the same bytes after any
    interruption and for any number of shards. The last bits can differ between machines and numbers of torch threads.
    """
    state = SearchState(0, 0, 1)
    state.forward, state.backward = _unsolved(forward), _unsolved(backward)
    if state_file is not None:
        state.load(state_file)
    total, saved, fresh = len(forward.ids) + len(backward.ids), monotonic(), False
    for own, before in ((state.forward, 0), (state.backward, len(forward.ids))):
        for start in range(0, len(own.ids), BLOCK):
            values, lists = own.scores[start : start + BLOCK], own.ids[start : start + BLOCK]
            done = before + start + len(lists)
            if np.isneginf(values).any():
                lines = np.repeat(np.arange(start, start + len(lists)), lists.shape[1])
                if own is state.forward:
                    solved = word_similarity(*words, lines, lists.ravel(), epsilon)
                else:
                    solved = _turned(state.forward, words, lists.ravel(), lines, epsilon)
                values[:] = solved.reshape(values.shape)
                fresh = True
            if state_file is not None and fresh and (done == total or monotonic() - saved > blocks.SAVE_SECONDS):
                state.save(state_file)
                saved, fresh = monotonic(), False
            progress("comparing words", done, total)
    there, back = (
        Neighbors(mix(found.scores, own.scores, weight), found.ids)
        for found, own in ((forward, state.forward), (backward, state.backward))
    )
    return Rescored(there, back, words, weight, epsilon)


def mix(cosines: Floats, words: Floats, weight: float) -> Floats:
    """Return the weighted mean of cosines and word similarities; the cosine where the latter are NaN."""
    mixed = (1 - weight) * cosines.astype(np.float64) + weight * words
    found: Floats = np.where(np.isnan(words), cosines, mixed).astype(np.float32)
    return found


def state_name(forward: Neighbors, backward: Neighbors, source: WordSide, target: WordSide, epsilon: float) -> str:
    """Return the cache key of transport values: a hash of everything they depend on."""
    total = blake2b(digest_size=DIGEST_BYTES)
    sides = [(each.rows.digest, each.rows.centered, each.rows.mean.tobytes()) for each in (source, target)]
    total.update(repr((RESCORE_SCHEMA, sides, epsilon, BLOCK, CELLS, WORDS)).encode())
    for array in (source.bounds, target.bounds, forward.ids, backward.ids):
        total.update(repr(array.shape).encode())
        total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()


def _unsolved(found: Neighbors) -> Neighbors:
    """Return the lists with minus infinity in place of transport values."""
    return Neighbors(np.full(found.ids.shape, -np.inf, np.float32), found.ids)


def _turned(
    forward: Neighbors, words: tuple[WordSide, WordSide], rows: Ids, columns: Ids, epsilon: float
) -> Floats:
    """Return the values of the target's lists, reusing those of pairs in the source's lists."""
    known = forward.ids[rows] == columns[:, None]
    values: Floats = np.where(known, forward.scores[rows], -np.inf).max(axis=1)
    fresh = ~known.any(axis=1)
    values[fresh] = word_similarity(*words, rows[fresh], columns[fresh], epsilon)
    return values
