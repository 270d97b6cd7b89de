"""Additional views of a comparison: the shape of the embedding space, and word links in example sentences."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from otembed.comparison.report import Shape, WordMap
from otembed.data.spec import pair_languages
from otembed.embeddings.texts import checked_sides, embed_sides
from otembed.errors import ModelError
from otembed.tasks.retrieval import effective_rank, mean_cosine
from otembed.words.examples import linked_examples

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

SHAPE_ROWS = 200
WINDOW = 100
Sides = tuple[Sequence[Any], Sequence[Any]]


def space_shapes(model: SentenceTransformer, pairs: Mapping[str, Any], *, batch_size: int) -> tuple[Shape, ...]:
    """Return mean cosine and effective rank of the first 200 rows of each language pair, both sides together."""
    listed = {name: checked_sides(*sides, pair=name) for name, sides in pairs.items()}
    short = [side[:SHAPE_ROWS] for sides in listed.values() for side in sides]
    vectors = embed_sides(
        model,
        short,
        batch_size=batch_size,
        prompt=None,
        prompt_name=None,
        truncate_dim=None,
        show_progress_bar=False,
        names=[f"{name}, {side}" for name in listed for side in ("source", "target")],
        languages=[language for name in listed for language in pair_languages(name) or (None, None)],
    )
    both = [np.concatenate(two) for two in zip(vectors[::2], vectors[1::2], strict=True)]
    return tuple(
        Shape(name, len(each), mean_cosine(each), effective_rank(each))
        for name, each in zip(listed, both, strict=True)
    )


def word_maps(
    model: SentenceTransformer,
    texts: Mapping[str, Sides],
    place: int,
    chosen: dict[str, list[int]],
    *,
    count: int,
    batch_size: int,
) -> tuple[WordMap, ...]:
    """Align the words of a few sentences of each task.

    Parameters
    ----------
    model, place
        The encoder and its index among the models.
    texts
        Task to source and target, sentences or lists of words; the first 100 pairs are aligned and used to center.
    chosen
        Task to the rows shown, filled in by the first model: the longest with 4 to 12 words on both sides.
    count
        Maximum number of sentences per task.

    Returns
    -------
    tuple of WordMap
        Empty if the model does not expose hidden layers or character offsets.
    """
    found = []
    for task, (source, target) in texts.items():
        try:
            examples = linked_examples(
                model,
                source[:WINDOW],
                target[:WINDOW],
                count=count,
                rows=chosen.get(task),
                batch_size=batch_size,
            )
        except ModelError as error:
            logger.warning("word alignment is not shown: %s", error.message)
            return ()
        chosen[task] = [each.row for each in examples]
        found += [
            WordMap(task, each.row + 1, place, each.layer, each.source, each.target, each.probabilities, each.links)
            for each in examples
        ]
    return tuple(found)
