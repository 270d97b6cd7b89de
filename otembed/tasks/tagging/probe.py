"""Frozen word vectors of several layers in one pass, and a linear probe on each."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from otembed.errors import DataError
from otembed.runtime.progress import counting
from otembed.tasks.heads.probe import Probe, fit_probe
from otembed.tasks.tagging.pieces import split_long
from otembed.tasks.tagging.report import LayerScore
from otembed.tasks.tagging.scores import MISSING
from otembed.words.segment import joined
from otembed.words.vectors import WordEncoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from otembed.config.tagging import TaggingProbeConfig
    from otembed.runtime.progress import Progress
    from otembed.tasks.tagging.data import TaggedSet

    Floats = NDArray[np.float32]
    Labels = NDArray[np.int64]

logger = logging.getLogger(__name__)

# Pieces encoded between two reports of progress; batches within them are filled by tokens.
WINDOW = 512


@dataclass(frozen=True, eq=False)
class WordFeatures:
    """Vectors of all words of a set by layer, each (n, d) float32, and ``seen`` (n,) bool: words that have tokens."""

    layers: dict[int, Floats]
    seen: NDArray[np.bool_]


def word_features(
    encoder: WordEncoder, data: TaggedSet, layers: Sequence[int], *, name: str, progress: Progress
) -> WordFeatures:
    """Encode the words of a set once and keep the vectors of every layer named.

    Sentences longer than the model's limit are split between words. Memory: 4 bytes per word, layer and dimension.

    Raises
    ------
    NumericsError
        The model returns NaN or infinity.
    """
    words = [each.words for each in data.sentences]
    pieces = split_long(encoder.model.tokenizer, words, encoder.model.max_seq_length)
    texts = [joined(words[piece.sentence][piece.start : piece.stop]) for piece in pieces]
    total = sum(map(len, words))
    seen = np.zeros(total, bool)
    found: dict[int, Floats] = {}
    advance = counting(progress, f"encoding {name}", len(texts))
    place = 0
    for begin in range(0, len(texts), WINDOW):
        part = texts[begin : begin + WINDOW]
        for each in encoder.encode(part, layers, batch_size=WINDOW):
            stop = place + len(each.seen)
            seen[place:stop] = each.seen.numpy()
            for layer, vectors in each.layers.items():
                if layer not in found:
                    found[layer] = np.zeros((total, vectors.shape[1]), np.float32)
                found[layer][place:stop] = vectors.numpy()
            place = stop
        advance(len(part))
    return WordFeatures(found, seen)


@dataclass(frozen=True, eq=False)
class TagProbes:
    """A fitted probe for each layer, and the layer that is best on the development sentences."""

    encoder: WordEncoder
    probes: dict[int, Probe]
    scores: tuple[LayerScore, ...]
    best: int

    def predict(
        self, data: TaggedSet, layers: Sequence[int], *, name: str, progress: Progress
    ) -> dict[int, Labels]:
        """Return the tag of each word by layer, ``MISSING`` for words without tokens; the text is encoded once."""
        features = word_features(self.encoder, data, layers, name=name, progress=progress)
        return {layer: _predicted(self.probes[layer], features, layer) for layer in layers}


def fit_tag_probes(
    encoder: WordEncoder, train: TaggedSet, dev: TaggedSet, config: TaggingProbeConfig, progress: Progress
) -> TagProbes:
    """Fit a probe on each layer of ``config.layer``: one layer, or with ``auto`` and ``all`` every layer.

    Training words without tokens are left out; development words without tokens are errors.

    Raises
    ------
    ConfigError
        The model does not have the layer.
    DataError
        The training words have only one tag, or the tokenizer keeps no word.
    NumericsError
        The model returns NaN or infinity.
    """
    chosen = config.layer
    layers = list(range(encoder.depth + 1)) if isinstance(chosen, str) else [encoder.layer(chosen)]
    features = word_features(encoder, train, layers, name="training sentences", progress=progress)
    dev_features = word_features(encoder, dev, layers, name="development sentences", progress=progress)
    labels, dev_labels = train.tags()[features.seen], dev.tags()
    for part, seen in ((train, features.seen), (dev, dev_features.seen)):
        if not seen.any():
            raise DataError(
                "the tokenizer of the model keeps no word of the text", "Check the text.", path=part.where
            )
    if len(np.unique(labels)) < 2:
        raise DataError(
            "all training words have the same tag", "Pass sentences with several tags.", path=train.where
        )
    advance = counting(progress, "fitting", len(layers) * len(config.strengths))
    probes: dict[int, Probe] = {}
    scores = []
    for layer in layers:
        probe = fit_probe(
            features.layers.pop(layer)[features.seen],
            labels,
            dev_features.layers[layer][dev_features.seen],
            dev_labels[dev_features.seen],
            strengths=config.strengths,
            max_iter=config.max_iter,
            progress=lambda *_: advance(1),
            what="word",
        )
        found = _predicted(probe, dev_features, layer)
        accuracy = float(np.mean(found == dev_labels))
        scores.append(LayerScore(layer, accuracy, probe.strength, probe.converged))
        probes[layer] = probe
        logger.info("layer %d: development accuracy %.1f%% (C = %g)", layer, 100 * accuracy, probe.strength)
    best = max(scores, key=lambda score: (score.dev_accuracy, -score.layer)).layer
    return TagProbes(encoder, probes, tuple(scores), best)


def _predicted(probe: Probe, features: WordFeatures, layer: int) -> Labels:
    found = np.full(len(features.seen), MISSING, np.int64)
    if features.seen.any():
        found[features.seen] = probe.predict(features.layers[layer][features.seen])
    return found
