"""Baseline objectives that are not part of the library: distances to linked words, and distillation of sentences.

Axes: B sentence pairs, N source units, M target units, D dimension.
"""

from __future__ import annotations

from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import MSELoss
from torch import Tensor, nn

from otembed.losses.encoder import EncoderTap
from otembed.models import frozen_copy
from otembed.transport import center
from otembed.words import WordSegmenter, pool_units


def mutual_links(similarity_BNM: Tensor, mask_BN: Tensor, mask_BM: Tensor) -> Tensor:
    """Cells (B, N, M) bool that are the largest in their row and in their column.

    >>> similarity = torch.tensor([[[0.9, 0.8], [0.7, 0.1]]])
    >>> mutual_links(similarity, torch.ones(1, 2).bool(), torch.ones(1, 2).bool()).int().tolist()
    [[[1, 0], [0, 0]]]
    """
    real = mask_BN[:, :, None] & mask_BM[:, None, :]
    scores = similarity_BNM.masked_fill(~real, -torch.inf)
    return real & (scores == scores.amax(2, keepdim=True)) & (scores == scores.amax(1, keepdim=True))


class LinkedWordsLoss(nn.Module):
    r"""Squared distance of linked words, with the target side anchored to the starting model.

    .. math:: \operatorname{mean}_{(i, j) \in A} |x_i - y_j|^2 + \operatorname{mean}_j |y_j - y^0_j|^2

    The links A are the mutual argmax of the centered cosine under the current model, without gradient.

    References
    ----------
    The objective of Cao, Kitaev and Klein, Multilingual alignment of contextual word representations, ICLR 2020, who
    sum over the links of a statistical aligner.
    """

    def __init__(self, model: SentenceTransformer, layer: int = -1) -> None:
        super().__init__()
        self.model = model
        self._tap = EncoderTap(model, layer)
        self._segment = WordSegmenter(model.tokenizer)
        self._reference = [frozen_copy(model)[0]]

    def forward(self, sentence_features: Any, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Return the terms ``links`` and ``anchor``."""
        columns = list(sentence_features)
        with self._tap.recording(self.model) as passes:
            for features in columns:
                self.model(features)
        sides = [self._tap.states(columns[side], passes, side) for side in (0, 1)]
        ids = [self._segment(side.input_ids, side.content) for side in sides]
        (x, mask_x), (y, mask_y) = (pool_units(side.states, each) for side, each in zip(sides, ids, strict=True))
        with torch.no_grad():
            directions = [
                nn.functional.normalize(center(units, mask), dim=-1) for units, mask in ((x, mask_x), (y, mask_y))
            ]
            links = mutual_links(directions[0] @ directions[1].mT, mask_x, mask_y)
            start = self._tap.reference(self._reference[0].to(y.device), columns[1])
            origin, _ = pool_units(start, ids[1])
        row, i, j = links.nonzero(as_tuple=True)
        apart = (x[row, i] - y[row, j]).square().sum() / max(len(row), 1)
        moved = (y - origin).square().sum() / mask_y.sum().clamp_min(1)
        return {"links": apart, "anchor": moved}


class DistillationLoss(nn.Module):
    """Pull both sides toward the starting model's vectors of the target side (Reimers and Gurevych, EMNLP 2020)."""

    def __init__(self, model: SentenceTransformer) -> None:
        super().__init__()
        self.model = model
        self._loss = MSELoss(model)
        self._teacher = [frozen_copy(model)]

    def forward(self, sentence_features: Any, labels: Tensor | None = None) -> Tensor:
        """Mean squared error of both sides' sentence vectors, times the dimension."""
        columns = list(sentence_features)
        with torch.no_grad():
            teacher = self._teacher[0].to(columns[1]["input_ids"].device)
            wanted = teacher(dict(columns[1]))["sentence_embedding"]
        # The mean over 384 components of unit vectors is too small for AdamW's epsilon and the digits of the log.
        error: Tensor = self._loss(columns, wanted) * wanted.shape[1]
        return error
