"""Choice of the layer for word alignment, from parallel text alone, without gold links."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from otembed.errors import DataError, ModelError
from otembed.models.architecture import middle_layer
from otembed.results import write_text
from otembed.words.segment import WordSplitter, WordText
from otembed.words.vectors import WordEncoder, WordVectors

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

FEWEST_PAIRS = 50
MOST_PAIRS = 300
Corpus = tuple[Sequence[str | Sequence[str]], Sequence[str | Sequence[str]]]


@dataclass(frozen=True)
class LayerChoice:
    """A layer, its origin (given, stored, text or default), and the score of each layer that was tried."""

    layer: int
    origin: str
    scores: tuple[tuple[int, float], ...] = ()


def choose_layer(model: SentenceTransformer, *corpora: Corpus, batch_size: int = 32) -> LayerChoice:
    r"""Choose the layer for word alignment from parallel sentences without gold links.

    The score of a layer is the share of words that are mutual nearest neighbors across the two sides,

    .. math:: o = \frac{2 \sum_s |\{(i, j) : j = \arg\max_k c_{ik},\ i = \arg\max_k c_{kj}\}|}{\sum_s (n_s + m_s)}

    by the cosine c of centered word vectors, corrected for chance as in Cohen's kappa: :math:`(o - e) / (1 - e)`, where
    e is the same share in mismatched sentence pairs. The layer with the highest mean over the corpora is chosen; ties
    go to the lower layer. Layer 0, the embeddings, is not tried.

    Parameters
    ----------
    model
        As for :class:`otembed.words.WordAligner`.
    *corpora
        Source and target sentences, raw text or lists of words: one tuple per language pair, with at least 50
        sentence pairs each. The first 300 are used.
    batch_size
        Number of sentences encoded at a time.

    Raises
    ------
    DataError
        There is no corpus, a corpus has too few pairs or sides of different length, or every layer scores 0.
    ModelError
        The model does not expose hidden layers or character offsets, or its vocabulary does not mark words.
    NumericsError
        The model returns NaN or infinity.
    """
    if not corpora:
        raise DataError("no parallel text to choose a layer from", "Pass (source, target), or set the layer.")
    for source, target in corpora:
        if len(source) != len(target) or len(source) < FEWEST_PAIRS:
            raise DataError(
                f"{len(source)} source and {len(target)} target sentences to choose a layer from",
                f"Pass at least {FEWEST_PAIRS} pairs and sides of equal length, or set the layer.",
            )
    encoder = WordEncoder(model)
    split = WordSplitter(model.tokenizer)
    scores = [
        layer_scores(
            encoder, *([split(text) for text in side[:MOST_PAIRS]] for side in corpus), batch_size=batch_size
        )
        for corpus in corpora
    ]
    best = _best({layer: fmean(each[layer] for each in scores) for layer in scores[0]})
    if best is None:
        raise DataError(
            "the score of every layer is 0: the sentences are no evidence for a layer",
            "Pass translations of each other in the same order, or set the layer.",
        )
    return best


def choose_layer_of(
    encoder: WordEncoder, source: Sequence[WordText], target: Sequence[WordText], *, batch_size: int
) -> LayerChoice:
    """Choose as in :func:`choose_layer`; with too few pairs or no evidence, return the middle layer."""
    best = None
    if len(source) >= FEWEST_PAIRS:
        best = _best(layer_scores(encoder, source[:MOST_PAIRS], target[:MOST_PAIRS], batch_size=batch_size))
    return best or LayerChoice(middle_layer(encoder.depth), "default")


def layer_scores(
    encoder: WordEncoder, source: Sequence[WordText], target: Sequence[WordText], *, batch_size: int
) -> dict[int, float]:
    """Return the score of each layer from 1, see :func:`choose_layer`."""
    layers = range(1, encoder.depth + 1)
    sides = [encoder.encode(side, layers, batch_size=batch_size) for side in (source, target)]
    return {layer: agreement_beyond_chance(sides[0], sides[1], layer) for layer in layers}


def _best(scores: dict[int, float]) -> LayerChoice | None:
    """Return the layer with the highest score, None if all scores are 0."""
    best = max(scores, key=lambda layer: (scores[layer], -layer))
    return LayerChoice(best, "text", tuple(scores.items())) if any(scores.values()) else None


def agreement_beyond_chance(source: Sequence[WordVectors], target: Sequence[WordVectors], layer: int) -> float:
    """Return the score of one layer, at most 1; 0 is chance level."""
    clouds = []
    for side in (source, target):
        vectors = [each.layers[layer][each.seen] for each in side]
        mean = torch.cat(vectors).mean(0)
        clouds.append([torch.nn.functional.normalize(each - mean, dim=1) for each in vectors])
    by_chance = agreement(clouds[0], clouds[1][1:] + clouds[1][:1])
    return (agreement(*clouds) - by_chance) / (1.0 - by_chance) if by_chance < 1 else 0.0


def agreement(source: Sequence[Tensor], target: Sequence[Tensor]) -> float:
    """Return the share of words in mutual nearest pairs; each sentence pair has unit vectors (n, D) and (m, D).

    >>> agreement([torch.eye(2)], [torch.eye(2)[:1]])
    0.6666666666666666
    """
    mutual = total = 0
    for x, y in zip(source, target, strict=True):
        if len(x) and len(y):
            cosine = x @ y.T
            best = (cosine == cosine.amax(0)) & (cosine == cosine.amax(1, keepdim=True))
            mutual += int(best.sum())
            total += len(x) + len(y)
    return 2 * mutual / total if total else 0.0


FILE = "otembed.json"


def store_layer(folder: str | Path, choice: LayerChoice) -> None:
    """Store the choice in a saved model's folder, where :func:`stored_layer` reads it.

    ``SentenceTransformer(folder)`` does not read the file.
    """
    document = {"alignment_layer": choice.layer, "scores": [list(each) for each in choice.scores]}
    write_text(Path(folder) / FILE, json.dumps(document, indent=2) + "\n")


def stored_layer(model: SentenceTransformer, depth: int) -> LayerChoice | None:
    """Return the layer stored with a local model, ``None`` if there is none.

    Raises
    ------
    ModelError
        The file is corrupt or names a layer that the model does not have.
    """
    transformer = getattr(model[0], "model", None)
    folder = getattr(getattr(transformer, "config", None), "_name_or_path", "") or ""
    path = Path(folder) / FILE
    if not folder or not path.is_file():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        layer = document["alignment_layer"]
        scores = tuple((int(each), float(score)) for each, score in document.get("scores", ()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(
            f"{path}: cannot read the stored layer: {error}", "Delete the file, or name the layer."
        ) from error
    if isinstance(layer, bool) or not isinstance(layer, int) or not 0 <= layer <= depth:
        raise ModelError(
            f"{path}: layer {layer!r} is stored, but the model has layers 0 to {depth}",
            "Delete the file, or name the layer.",
        )
    return LayerChoice(layer, "stored", scores)
