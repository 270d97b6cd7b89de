"""Which layer's words find their translations: chosen from parallel text alone, without gold links."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from otembed.alignment.encoding import WordEncoder, WordVectors
from otembed.alignment.words import WordSplitter, WordText
from otembed.errors import DataError, ModelError
from otembed.results import write_text

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

FEWEST_PAIRS = 50
MOST_PAIRS = 300
SHARE_OF_DEPTH = 7 / 12
"""Where the best layer of the encoders that were measured lies."""


@dataclass(frozen=True)
class LayerChoice:
    """A layer, how it was chosen (given, stored, text, default), and the score of each layer tried."""

    layer: int
    origin: str
    scores: tuple[tuple[int, float], ...] = ()


def choose_layer(
    model: SentenceTransformer,
    source: Sequence[str | Sequence[str]],
    target: Sequence[str | Sequence[str]],
    *,
    batch_size: int = 32,
) -> LayerChoice:
    r"""Choose the layer for word alignment from parallel sentences without gold links.

    The score of a layer is the share of words whose nearest word on the other side has them as its nearest,

    .. math:: o = \frac{2 \sum_s |\{(i, j) : j = \arg\max_k c_{ik},\ i = \arg\max_k c_{kj}\}|}{\sum_s (n_s + m_s)}

    by cosine c of centred words, corrected for chance as Cohen's kappa is: :math:`(o - e) / (1 - e)` with e the
    same share in sentences paired wrongly. The highest score wins, the lower layer where two are equal. Layer
    0, the embeddings, is not tried.

    Parameters
    ----------
    model
        As for :class:`otembed.alignment.WordAligner`.
    source, target
        Parallel sentences, at least 50; the first 300 are used.
    batch_size
        Sentences encoded at a time.

    Raises
    ------
    DataError
        If there are too few pairs.
    ModelError
        If the model gives no hidden layers.
    """
    encoder = WordEncoder(model)
    split = WordSplitter(model.tokenizer)
    sides = [[split(text) for text in side] for side in (source, target)]
    if min(map(len, sides)) < FEWEST_PAIRS or len(sides[0]) != len(sides[1]):
        raise DataError(
            f"{len(sides[0])} source and {len(sides[1])} target sentences to choose a layer from",
            f"Give at least {FEWEST_PAIRS} pairs, or name the layer.",
        )
    return choose_layer_of(encoder, *sides, batch_size=batch_size)


def choose_layer_of(
    encoder: WordEncoder, source: Sequence[WordText], target: Sequence[WordText], *, batch_size: int
) -> LayerChoice:
    """Choose as :func:`choose_layer`; from too few pairs, return the layer at 7/12 of the depth."""
    if len(source) < FEWEST_PAIRS:
        return LayerChoice(round(SHARE_OF_DEPTH * encoder.depth), "default")
    layers = range(1, encoder.depth + 1)
    sides = [encoder.encode(side[:MOST_PAIRS], layers, batch_size=batch_size) for side in (source, target)]
    scores = tuple((layer, _score(sides, layer)) for layer in layers)
    best = max(scores, key=lambda each: (each[1], -each[0]))[0]
    return LayerChoice(best, "text", scores)


def _score(sides: list[list[WordVectors]], layer: int) -> float:
    clouds = []
    for side in sides:
        vectors = [each.layers[layer][each.seen] for each in side]
        mean = torch.cat(vectors).mean(0)
        clouds.append([torch.nn.functional.normalize(each - mean, dim=1) for each in vectors])
    source, target = clouds
    by_chance = agreement(source, target[1:] + target[:1])
    return (agreement(source, target) - by_chance) / (1.0 - by_chance) if by_chance < 1 else 0.0


def agreement(source: Sequence[Tensor], target: Sequence[Tensor]) -> float:
    """Return the share of words in mutual nearest pairs; unit vectors (n, D) and (m, D) a sentence pair.

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
    """Write the choice into a saved model's folder, where :func:`stored_layer` finds it again.

    ``SentenceTransformer(folder)`` does not read the file.
    """
    document = {"alignment_layer": choice.layer, "scores": [list(each) for each in choice.scores]}
    write_text(Path(folder) / FILE, json.dumps(document, indent=2) + "\n")


def stored_layer(model: SentenceTransformer, depth: int) -> LayerChoice | None:
    """Return the layer that was stored with a local model, ``None`` if there is none.

    Raises
    ------
    ModelError
        If the file is damaged or names a layer that the model does not have.
    """
    name = getattr(model[0], "model", None)
    folder = getattr(getattr(name, "config", None), "_name_or_path", "") or ""
    path = Path(folder) / FILE
    if not folder or not path.is_file():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        layer = document["alignment_layer"]
        scores = tuple((int(each), float(score)) for each, score in document.get("scores", ()))
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{path}: no stored layer in it: {error}", "Delete the file, or name the layer."
        ) from error
    if not isinstance(layer, int) or not 0 <= layer <= depth:
        raise ModelError(
            f"{path}: layer {layer!r}, the model has 0 to {depth}", "Delete the file, or name the layer."
        )
    return LayerChoice(layer, "stored", scores)
