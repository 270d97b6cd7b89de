"""One side of a run, from the user's lines, vectors, or both, to unit rows that can be searched."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from otembed.config.mining import CENTER_FROM, ENCODER_SETTINGS, MiningConfig
from otembed.data.language import LanguageFilter
from otembed.embeddings.embed import embed_lines
from otembed.embeddings.lines import Lines, check_two_sides, read_side
from otembed.embeddings.routes import language_task
from otembed.embeddings.rows import UnitRows, scan
from otembed.embeddings.vectors import (
    Vectors,
    are_vectors,
    array_vectors,
    check_dimensions,
    is_headerless,
    open_vectors,
)
from otembed.errors import ConfigError, DataError
from otembed.results.format import counted
from otembed.runtime.executors import LocalExecutor
from otembed.runtime.progress import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentence_transformers import SentenceTransformer

    from otembed.runtime.work import Executor

logger = logging.getLogger(__name__)

Place = Lines | str | Path | Iterable[str] | np.ndarray
VectorPlace = str | Path | np.ndarray


@dataclass(frozen=True, eq=False)
class Side:
    """One side of a run.

    Parameters
    ----------
    lines
        Its distinct usable lines; None for vectors without text.
    vectors
        One vector for each line; None until the lines are embedded.
    language
        Language of the lines, for models that encode languages differently; None: unknown.
    left_out
        Rows of vectors without text that are left out, by reason.

    ``rows``, the unit rows that are searched, are available after :meth:`scanned`.
    """

    lines: Lines | None
    vectors: Vectors | None = None
    language: str | None = None
    left_out: dict[str, int] = field(default_factory=dict)
    unit_rows: UnitRows | None = None

    @property
    def name(self) -> str:
        """Name in messages."""
        named = self.vectors if self.lines is None else self.lines
        return "" if named is None else named.name

    @property
    def rows(self) -> UnitRows:
        """The unit rows, one for each line, or for each distinct vector that is not zero."""
        if self.unit_rows is None:
            raise RuntimeError(f"{self.name} has not been scanned")
        return self.unit_rows

    @property
    def known_vectors(self) -> Vectors:
        """The given or computed vectors."""
        if self.vectors is None:
            raise RuntimeError(f"{self.name} has not been embedded")
        return self.vectors

    @property
    def counts(self) -> dict[str, Any]:
        """Counts of lines read and left out, for reports."""
        if self.lines is not None:
            return {"name": self.name, **self.lines.counts.as_dict()}
        read = 0 if self.vectors is None else len(self.vectors)
        return {
            "name": self.name,
            "read": read,
            "kept": read - sum(self.left_out.values()),
            "dropped": self.left_out,
        }

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def id_of(self, row: int) -> int | str:
        """Return the id of a row: the id of its line, or its row number in the file of vectors, counted from 1."""
        return self.rows.vectors.row_number(row) if self.lines is None else self.lines.id_of(row)

    def text_of(self, row: int) -> str:
        """Return the text of a row, '' if it has none."""
        return "" if self.lines is None else self.lines[row]

    def embedded(
        self,
        encoder: SentenceTransformer | None,
        config: MiningConfig,
        *,
        cache: str | Path | None = None,
        executor: Executor | None = None,
        load_as: str | None = None,
        device: str | None = None,
        progress: Progress = silent,
    ) -> Side:
        """Return the side with vectors; lines without given vectors are embedded by ``encoder``."""
        if self.vectors is not None or self.lines is None or encoder is None:
            return self
        vectors = embed_lines(
            self.lines,
            encoder,
            cache=cache,
            prompt=config.prompt,
            prompt_name=config.prompt_name,
            task=language_task(encoder, self.language, self.name),
            truncate_dim=config.truncate_dim,
            precision=config.precision,
            arithmetic=config.arithmetic,
            batch_size=config.batch_size,
            executor=executor or LocalExecutor(1),
            load_as=load_as,
            device=device,
            progress=progress,
        )
        return replace(self, vectors=vectors)

    def scanned(self) -> Side:
        """Return the side with unit rows, after one pass that checks all vectors.

        Raises
        ------
        NumericsError
            A vector holds NaN or infinity.
        DataError
            A line with text has a zero vector, or all vectors are zero.
        """
        rows, left_out = scan(self.known_vectors, drop_repeated=self.lines is None)
        if self.lines is not None and left_out.zero:
            raise DataError(
                f"{self.name}: {counted(left_out.zero, 'line')} with text and a zero vector",
                "Embed these lines again.",
            )
        return replace(
            self, unit_rows=rows, left_out={key: value for key, value in vars(left_out).items() if value}
        )

    def centered(self, mean: np.ndarray | None = None) -> Side:
        """Return the side with ``mean`` subtracted from its rows; by default, the mean of the rows."""
        rows = self.rows
        return replace(self, unit_rows=replace(rows, mean=rows.mean if mean is None else mean, centered=True))


def open_sides(
    source: Place,
    target: Place,
    source_vectors: VectorPlace | None,
    target_vectors: VectorPlace | None,
    config: MiningConfig,
) -> tuple[Side, Side]:
    """Read the lines and open the vectors of both sides; errors as in :func:`otembed.mining.mine.mine_bitext`."""
    if isinstance(source, str | Path) and isinstance(target, str | Path):
        check_two_sides(source, target)
    filters = language_filters(config)
    opened = (
        _open(source, source_vectors, "source", config, filters[0]),
        _open(target, target_vectors, "target", config, filters[1]),
    )
    left, right = config.side_languages
    return replace(opened[0], language=left), replace(opened[1], language=right)


def language_filters(config: MiningConfig) -> tuple[LanguageFilter | None, LanguageFilter | None]:
    """Return the filter of each side that leaves out lines in other languages; None where all are kept."""
    source, target = (
        None if code is None else LanguageFilter(code, config.min_language_probability)
        for code in (config.source_language, config.target_language)
    )
    return source, target


def _open(
    place: Place, vectors: VectorPlace | None, name: str, config: MiningConfig, language: LanguageFilter | None
) -> Side:
    if are_vectors(place):
        if vectors is not None:
            raise ConfigError(f"{name}: vectors are given twice", f"Pass the lines, and {name}_vectors for them.")
        texts_only = {
            f"{name}_language": None if language is None else language.language,
            "max_length_ratio": config.max_length_ratio,
        }
        for setting, value in texts_only.items():
            if value is not None:
                raise ConfigError(
                    f"{setting} is {value!r}, but the {name} has vectors without text",
                    f"Pass the lines, and {name}_vectors for them, or leave {setting} out.",
                )
        return Side(None, _open_vectors(place, name, config))
    lines = read_side(place, name=name, max_characters=config.max_characters, language=language)
    if vectors is None:
        return Side(lines)
    opened = _open_vectors(vectors, name, config)
    if len(opened) != lines.counts.read:
        raise DataError(
            f"{lines.name} has {counted(lines.counts.read, 'line')}, but {opened.name} has {counted(len(opened), 'row')}",
            "Pass one row per line, including empty lines.",
        )
    return Side(lines, opened.choose(lines.ids - 1))


def _open_vectors(place: VectorPlace, name: str, config: MiningConfig) -> Vectors:
    if isinstance(place, np.ndarray):
        return array_vectors(place, f"{name} vectors")
    return open_vectors(place, dimension=config.vector_dimension, dtype=config.vector_dtype)


@dataclass(frozen=True, eq=False)
class NamedEncoder:
    """An encoder that was loaded by its name, for several runs: workers in other processes load it by that name."""

    name: str
    encoder: SentenceTransformer


def load_encoder(
    model: SentenceTransformer | NamedEncoder | str | Path | None,
    sides: Sequence[Side],
    device: str | None = None,
) -> SentenceTransformer | None:
    """Return the encoder, loaded by name if necessary; None if no side requires one."""
    if all(each.vectors is not None for each in sides):
        return None
    if isinstance(model, NamedEncoder):
        return model.encoder
    if model is None:
        raise ConfigError(
            "a side has lines without vectors, and no model is given",
            "Pass --model NAME, or vectors of both sides.",
        )
    if not isinstance(model, str | Path):
        return model
    from otembed.models import load_model

    return load_model(model, device=device)


def load_once(
    model: SentenceTransformer | str | Path | None,
    sides: Sequence[Side],
    config: MiningConfig,
    device: str | None = None,
) -> SentenceTransformer | NamedEncoder | str | Path | None:
    """Return the model of several runs over these sides, loaded if it is given by name and a side requires it."""
    # The workers of other engines load their own, so that the one of this process only describes it.
    encoder = load_encoder(model, sides, device if config.engine == "local" else "cpu")
    return NamedEncoder(str(model), encoder) if encoder is not None and isinstance(model, str | Path) else model


def name_to_load(model: object) -> str | None:
    """Return the name by which workers load the model; None if it was not given by name."""
    if isinstance(model, NamedEncoder):
        return model.name
    return str(model) if isinstance(model, str | Path) else None


def encoded_dimension(encoder: SentenceTransformer, config: MiningConfig) -> int | None:
    """Return the dimension of the vectors that an encoder will return, None if only encoding tells."""
    return config.truncate_dim or encoder.get_embedding_dimension()


def check_run(sides: Sequence[Side], encoder: SentenceTransformer | None, config: MiningConfig) -> None:
    """Reject, before lines are embedded, what would fail or have no effect afterwards.

    Raises
    ------
    ConfigError
        A setting of the encoder is set, but none runs; or one of vectors in files, but there are none.
    DataError
        Given vectors have another dimension than those of another side.
    """
    if encoder is None:
        config.refuse(ENCODER_SETTINGS, "all sides are vectors, and no encoder runs")
    if all(each.lines is None for each in sides):
        config.refuse({"max_characters"}, "all sides are vectors without text")
    given = [each.vectors for each in sides if each.vectors is not None]
    if not any(map(is_headerless, given)):
        config.refuse({"vector_dtype"}, "no file of vectors lacks a NumPy header")
    if not any(part.array is None for each in given for part in each.parts):
        config.refuse({"vector_dimension"}, "no side has vectors in a file")
    encoded = None if encoder is None else encoded_dimension(encoder, config)
    dimensions = [(each.name, encoded if each.vectors is None else each.vectors.dimension) for each in sides]
    known = [(name, dimension) for name, dimension in dimensions if dimension is not None]
    for other in known[1:]:
        check_dimensions(known[0], other)


def center_both(left: Side, right: Side, center: bool | None) -> tuple[Side, Side]:
    """Return both sides centered, or unchanged; ``None`` decides by the number of lines."""
    if center is None:
        center = min(len(left), len(right)) >= CENTER_FROM
        if not center:
            logger.info("not centered: a side has fewer than %d lines", CENTER_FROM)
    return (left.centered(), right.centered()) if center else (left, right)
