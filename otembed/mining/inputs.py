"""What goes into a run: lines, ready vectors or both of each side, and the sides made of them."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from otembed.config.mining import CENTER_FROM, MiningConfig
from otembed.data.language import LanguageFilter
from otembed.embeddings.embed import embed_lines
from otembed.embeddings.lines import Lines, check_two_sides, read_side
from otembed.embeddings.vectors import Vectors, array_vectors, open_vectors
from otembed.errors import ConfigError, DataError
from otembed.mining.mined import Collection
from otembed.mining.search.sides import scan
from otembed.runtime.progress import Progress

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from otembed.runtime.executors import Executor

logger = logging.getLogger(__name__)

Place = str | Path | Iterable[str] | np.ndarray
VectorPlace = str | Path | np.ndarray
VECTOR_SUFFIX = ".npy"


@dataclass(frozen=True)
class Input:
    """One side as it was given: lines, vectors, or both."""

    lines: Lines | None
    vectors: Vectors | None

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.lines.name if self.lines is not None else self.vectors.name if self.vectors is not None else ""

    @property
    def dimension(self) -> int | None:
        """Dimension of its vectors, None if there are none yet."""
        return None if self.vectors is None else self.vectors.dimension


def open_inputs(
    source: Place,
    target: Place,
    source_vectors: VectorPlace | None,
    target_vectors: VectorPlace | None,
    config: MiningConfig,
    *,
    dimension: int | None,
    dtype: str | None,
) -> list[Input]:
    """Read the lines and open the vectors of both sides; errors as in :func:`otembed.mining.mine.mine_bitext`."""
    if isinstance(source, str | Path) and isinstance(target, str | Path):
        check_two_sides(source, target)
    sides = (
        (source, source_vectors, "source", config.source_language),
        (target, target_vectors, "target", config.target_language),
    )
    filters = [
        None if code is None else LanguageFilter(code, config.min_language_probability) for *_, code in sides
    ]
    return [
        _open(place, vectors, name, config, dimension, dtype, language)
        for (place, vectors, name, _), language in zip(sides, filters, strict=True)
    ]


def _open(
    place: Place,
    vectors: VectorPlace | None,
    name: str,
    config: MiningConfig,
    dimension: int | None,
    dtype: str | None,
    language: LanguageFilter | None,
) -> Input:
    if isinstance(place, np.ndarray) or (isinstance(place, str | Path) and str(place).endswith(VECTOR_SUFFIX)):
        if vectors is not None:
            raise ConfigError(f"{name}: vectors are given twice", "Give the lines, and their vectors beside them.")
        if language is not None:
            raise ConfigError(
                f"{name}: vectors alone have no language to tell", "Give the lines, and their vectors beside them."
            )
        return Input(None, _open_vectors(place, name, dimension, dtype))
    lines = read_side(place, name=name, max_characters=config.max_characters, language=language)
    if vectors is None:
        return Input(lines, None)
    opened = _open_vectors(vectors, name, dimension, dtype)
    if len(opened) != lines.counts.read:
        raise DataError(
            f"{lines.name} has {lines.counts.read} lines, but {opened.name} {len(opened)} rows",
            "Give one row for each line, empty ones too.",
        )
    return Input(lines, opened.choose(lines.ids - 1))


def _open_vectors(place: VectorPlace, name: str, dimension: int | None, dtype: str | None) -> Vectors:
    if isinstance(place, np.ndarray):
        return array_vectors(place, f"{name} vectors")
    return open_vectors(place, dimension=dimension, dtype=dtype)


def load_encoder(
    model: SentenceTransformer | str | Path | None, inputs: list[Input], device: str | None = None
) -> SentenceTransformer | None:
    """Return the encoder, loaded if it is a name; None if no side needs one."""
    if all(each.vectors is not None for each in inputs):
        return None
    if model is None:
        raise ConfigError("lines without vectors need a model", "Give --model NAME, or vectors of both sides.")
    if not isinstance(model, str | Path):
        return model
    from otembed.models import load_model

    return load_model(model, device=device)


def embed_input(
    given: Input,
    encoder: SentenceTransformer | None,
    config: MiningConfig,
    *,
    cache: str | Path | None,
    progress: Progress,
    executor: Executor | None = None,
    load_as: str | None = None,
    device: str | None = None,
) -> Vectors:
    """Return the vectors of a side, embedding its lines if it has none; by an executor where there is one."""
    if given.vectors is not None or given.lines is None or encoder is None:
        return given.vectors  # type: ignore[return-value]  # load_encoder has seen to it
    return embed_lines(
        given.lines,
        encoder,
        cache=cache,
        prompt=config.prompt,
        prompt_name=config.prompt_name,
        truncate_dim=config.truncate_dim,
        precision=config.precision,
        batch_size=config.batch_size,
        executor=executor,
        load_as=load_as,
        device=device,
        progress=progress,
    )


def collect(given: Input, vectors: Vectors) -> Collection:
    """Check the vectors of a side and join them with its lines."""
    lines = given.lines
    side, left_out = scan(vectors, drop_repeated=lines is None)
    if lines is not None:
        if left_out.zero:
            raise DataError(
                f"{vectors.name}: {left_out.zero} lines with text have a zero vector", "Embed these lines again."
            )
        return Collection(side, lines, {"name": lines.name, **lines.counts.as_dict()})
    dropped = {key: value for key, value in vars(left_out).items() if value}
    return Collection(
        side, None, {"name": vectors.name, "read": len(vectors), "kept": len(side), "dropped": dropped}
    )


def center_both(left: Collection, right: Collection, center: bool | None) -> tuple[Collection, Collection]:
    """Return both sides centered, or as they are; ``None`` leaves it to the number of lines."""
    if center is None:
        center = min(len(left), len(right)) >= CENTER_FROM
        if not center:
            logger.info("not centered: a side has fewer than %d lines", CENTER_FROM)
    if not center:
        return left, right
    first, second = (replace(each, side=replace(each.side, centered=True)) for each in (left, right))
    return first, second
