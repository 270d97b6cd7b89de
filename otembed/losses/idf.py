"""Inverse document frequencies of vocabulary entries, for the idf marginals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from otembed.errors import ConfigError
from otembed.transport import idf_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

BATCH = 1024


def inverse_document_frequencies(tokenizer: PreTrainedTokenizerBase, sentences: Sequence[str]) -> Tensor:
    """Return the smoothed idf of each vocabulary entry over ``sentences``: (V,) float32.

    A sentence counts once for each of its entries; entries that never occur get the largest weight.

    Raises
    ------
    ConfigError
        If there is no sentence.
    """
    if not sentences:
        raise ConfigError(
            "idf marginals need sentences to count in", "Pass idf_sentences, or use uniform marginals."
        )
    counts = torch.zeros(len(tokenizer), dtype=torch.float32)
    for start in range(0, len(sentences), BATCH):
        encoded = tokenizer(list(sentences[start : start + BATCH]), add_special_tokens=False, truncation=True)
        for ids in encoded["input_ids"]:
            counts[torch.tensor(sorted(set(ids)), dtype=torch.long)] += 1
    return idf_weights(counts, len(sentences))
