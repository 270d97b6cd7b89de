"""From sentence lists to vectors: checked, each different sentence encoded once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from otembed.errors import ConfigError, DataError, did_you_mean
from otembed.evaluation.bitext import check_count

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer


def checked_sides(source: Iterable[str], target: Iterable[str], *, pair: str) -> tuple[list[str], list[str]]:
    """Return both sides as lists of equal length; DataError if they are not that."""
    sides = []
    for side, texts in (("source", source), ("target", target)):
        listed = [] if isinstance(texts, str) else list(texts)
        strange = next((index for index, text in enumerate(listed) if not isinstance(text, str)), None)
        if strange is not None:
            raise DataError(
                f"{pair}: {side} sentence {strange} (counted from 0) is {listed[strange]!r}, no text",
                "Give a list of strings.",
            )
        if not listed:
            raise DataError(f"{pair}: the {side} side has no sentences", "Give a list of strings, one at least.")
        sides.append(listed)
    first, second = sides
    if len(first) != len(second):
        raise DataError(
            f"{pair}: {len(first)} source sentences, but {len(second)} target sentences",
            "Give the translation of each source sentence at the same place.",
        )
    return first, second


def check_one_prompt(prompt: str | None, prompt_name: str | None) -> None:
    """Raise ConfigError if a prompt and a prompt's name are both given."""
    if prompt is not None and prompt_name is not None:
        raise ConfigError(f"both a prompt {prompt!r} and a prompt name {prompt_name!r} are given", "Give one.")


def embed_sides(
    model: SentenceTransformer,
    sides: Sequence[Sequence[str]],
    *,
    batch_size: int,
    prompt: str | None,
    prompt_name: str | None,
    truncate_dim: int | None,
    show_progress_bar: bool,
) -> list[NDArray[np.float32]]:
    """Return one (n, d) array of unit vectors a side; a sentence that comes again is encoded once."""
    check_count("batch_size", batch_size)
    check_one_prompt(prompt, prompt_name)
    if prompt_name is not None and prompt_name not in model.prompts:
        raise ConfigError(f"the model has no prompt {prompt_name!r}", did_you_mean(prompt_name, model.prompts))
    row: dict[str, int] = {}
    rows = [np.array([row.setdefault(text, len(row)) for text in side]) for side in sides]
    vectors = model.encode(
        list(row),
        batch_size=batch_size,
        prompt=prompt,
        prompt_name=prompt_name,
        truncate_dim=truncate_dim,
        show_progress_bar=show_progress_bar,
        convert_to_numpy=True,
        normalize_embeddings=True,
    )
    return [vectors[chosen] for chosen in rows]
