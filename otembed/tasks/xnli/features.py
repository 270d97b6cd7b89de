"""Features of a sentence pair from two frozen sentence embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]


def pair_features(premises: Floats, hypotheses: Floats) -> Floats:
    """Return u, v, |u - v| and u * v side by side: (n, d) twice gives (n, 4 d).

    References
    ----------
    Conneau et al. (2017), Supervised Learning of Universal Sentence Representations from Natural Language Inference
    Data, EMNLP.

    Examples
    --------
    >>> pair_features(np.array([[1.0, 2.0]], np.float32), np.array([[3.0, -1.0]], np.float32)).tolist()
    [[1.0, 2.0, 3.0, -1.0, 2.0, 3.0, 3.0, -2.0]]
    """
    return np.concatenate([premises, hypotheses, np.abs(premises - hypotheses), premises * hypotheses], axis=1)
