"""The layer for word alignment, chosen from the training text and stored with the released model."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from otembed.errors import OtembedError
from otembed.words import choose_layer, store_layer
from otembed.words.layer_choice import FEWEST_PAIRS, MOST_PAIRS

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from otembed.training.preparation import Material
    from otembed.words.layer_choice import LayerChoice

logger = logging.getLogger(__name__)

MOST_LANGUAGES = 6


def store_alignment_layer(model: SentenceTransformer, material: Material, folder: Path) -> LayerChoice | None:
    """Choose the layer from up to 300 training pairs of up to six language pairs, without gold links, and return it.

    If no language pair has 50 pairs, or the model does not support word alignment, nothing is stored and the reason is
    logged; the run does not fail.
    """
    large = {name: rows for name, rows in material.train.items() if len(rows) >= FEWEST_PAIRS}
    chosen = sorted(large, key=lambda name: (-len(large[name]), name))[:MOST_LANGUAGES]
    if not chosen:
        logger.info("word alignment layer not stored: fewer than %d training pairs", FEWEST_PAIRS)
        return None
    share = max(MOST_PAIRS // len(chosen), FEWEST_PAIRS)
    heads = [large[name][:share] for name in chosen]
    try:
        choice = choose_layer(model, *((rows["source"], rows["target"]) for rows in heads))
    except OtembedError as error:
        logger.warning("word alignment layer not stored: %s", error.message)
        return None
    store_layer(folder, choice)
    logger.info("word alignment layer: %d", choice.layer)
    return choice
