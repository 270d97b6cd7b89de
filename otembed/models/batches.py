"""Batches of rows of similar length, with a limited number of tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from otembed.models.slices import computes_flat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from sentence_transformers.base import BaseModel
    from transformers import PreTrainedModel

# Tokens of a batch, padding included. Small batches fit into the caches of a CPU, where those without padding may be
# larger; an accelerator needs large ones.
CPU_TOKENS = 512
FLAT_TOKENS = 2048
ACCELERATOR_TOKENS = 16_384


def default_tokens(model: BaseModel | PreTrainedModel) -> int:
    """Return the default number of tokens in a batch of a model, padding included."""
    if model.device.type != "cpu":
        return ACCELERATOR_TOKENS
    return FLAT_TOKENS if computes_flat(model) else CPU_TOKENS


def token_batches(counts: NDArray[np.int64], tokens: int, texts: int | None = None) -> Iterator[NDArray[np.int64]]:
    """Yield batches of rows of similar length, longest first, so that out-of-memory errors occur immediately.

    ``counts`` (n,) int64 are the tokens of each row. A batch has at least one row, at most ``texts`` rows, and at most
    ``tokens`` tokens, padding included.
    """
    order = np.argsort(-counts, kind="stable")
    start = 0
    while start < len(order):
        longest = max(int(counts[order[start]]), 1)
        stop = start + min(max(tokens // longest, 1), texts or len(order))
        yield order[start:stop]
        start = stop
