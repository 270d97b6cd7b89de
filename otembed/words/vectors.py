"""Vectors of the words of sentences, from chosen layers of an encoder.

Axes: B sentences, T tokens, U words (of the fullest row), D dimension.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from otembed.errors import ModelError, NumericsError, check_count
from otembed.models.architecture import depth_of, layer_index
from otembed.models.batches import default_tokens, token_batches
from otembed.models.hidden import hidden_states
from otembed.models.slices import sliced
from otembed.words.segment import WordText, word_of_tokens
from otembed.words.units import Pooling, pool_units

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


NOT_FOR_THE_MODEL = frozenset({"offset_mapping", "special_tokens_mask"})


@dataclass(frozen=True, eq=False)
class WordVectors:
    """Word vectors of one sentence by layer, each (U, D) float32 on the CPU; ``seen`` (U,) bool.

    A word beyond the model's length limit, or one that the tokenizer drops entirely, is not seen; its vector is 0.
    """

    layers: dict[int, Tensor]
    seen: Tensor


class WordEncoder:
    """Encode the words of sentences in batches of similar length.

    Parameters
    ----------
    model
        A SentenceTransformer whose first module is a transformer over text, with a fast tokenizer. No prompt is
        prepended to the sentences.
    pooling
        How a word's vector is computed from the states of its tokens.

    Raises
    ------
    ModelError
        The model does not expose hidden layers, or its tokenizer does not provide character offsets.
    """

    def __init__(self, model: SentenceTransformer, pooling: Pooling = "mean") -> None:
        self.model = model
        self._pooling = pooling
        self._transformer: Any = getattr(cast("Any", model)[0], "model", None)
        self.depth = depth_of(model)
        if not getattr(model.tokenizer, "is_fast", False):
            raise ModelError(
                f"the tokenizer, {type(model.tokenizer).__name__}, does not provide character offsets",
                "Save the model with a fast tokenizer.",
            )

    def layer(self, number: int) -> int:
        """Return the index of a layer, counted from 0, the embeddings; negative numbers count from the end.

        Raises
        ------
        ConfigError
            The model does not have this layer.
        """
        return layer_index(number, self.depth)

    @torch.no_grad()
    def encode(
        self, texts: Sequence[WordText], layers: Iterable[int], *, batch_size: int = 32
    ) -> list[WordVectors]:
        """Return the word vectors of each text, in the order given.

        Batches contain texts of similar length: at most ``batch_size`` texts, and the tokens of
        :func:`otembed.models.batches.default_tokens`. Padding is not computed, as in :func:`otembed.models.sliced`.

        Raises
        ------
        ConfigError
            The model does not have one of the layers, or ``batch_size`` is below 1.
        NumericsError
            The model returns NaN or infinity for a word.
        """
        check_count("batch_size", batch_size)
        self.model.eval()
        wanted = [self.layer(number) for number in layers]
        tokens = [self._tokenized(text) for text in texts]
        counts = np.array([len(each["input_ids"]) for each in tokens], np.int64)
        found: dict[int, WordVectors] = {}
        with sliced(self._transformer):
            for rows in token_batches(counts, default_tokens(self._transformer), batch_size):
                batch = self._batch([texts[row] for row in rows], [tokens[row] for row in rows], wanted)
                found |= zip(rows.tolist(), batch, strict=True)
        return [found[row] for row in range(len(texts))]

    def _tokenized(self, text: WordText) -> dict[str, list[Any]]:
        encoded = self.model.tokenizer(
            text.text,
            truncation=True,
            max_length=self.model.max_seq_length,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
        )
        return dict(encoded)

    def _batch(
        self, texts: list[WordText], tokens: list[dict[str, list[Any]]], layers: list[int]
    ) -> list[WordVectors]:
        ids = []
        for text, row in zip(texts, tokens, strict=True):
            words = word_of_tokens(text, row["offset_mapping"])
            special = row["special_tokens_mask"]
            ids.append(torch.tensor([-1 if mark else word for word, mark in zip(words, special, strict=True)]))
        unit_ids = pad_sequence(ids, batch_first=True, padding_value=-1).long().to(self.model.device)
        inputs = self.model.tokenizer.pad(
            [{name: row[name] for name in row if name not in NOT_FOR_THE_MODEL} for row in tokens],
            padding_side="right",
            return_tensors="pt",
        )
        on_device = {name: tensor.to(self.model.device) for name, tensor in inputs.items()}
        hidden = hidden_states(self._transformer, on_device, layers)
        pooled = {layer: pool_units(hidden[layer], unit_ids, self._pooling) for layer in layers}
        if not all(bool(units.isfinite().all()) for units, _ in pooled.values()):
            raise NumericsError("the model returns NaN or infinity for some words", "Check the model's weights.")
        mask = next(iter(pooled.values()))[1].cpu()
        return [self._cut(row, len(text.spans), pooled, mask) for row, text in enumerate(texts)]

    @staticmethod
    def _cut(row: int, words: int, pooled: dict[int, tuple[Tensor, Tensor]], mask: Tensor) -> WordVectors:
        """Return one sentence of a batch, with a zero vector for each word without tokens."""
        seen = torch.zeros(words, dtype=torch.bool)
        width = min(words, mask.shape[1])
        seen[:width] = mask[row, :width]
        layers = {}
        for layer, (units, _) in pooled.items():
            vectors = torch.zeros(words, units.shape[2])
            vectors[:width] = units[row, :width].float().cpu()
            layers[layer] = vectors
        return WordVectors(layers, seen)
