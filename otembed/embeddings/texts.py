"""From sentence lists to vectors: checked, each distinct sentence encoded once."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from tqdm.auto import tqdm  # type: ignore[import-untyped]

from otembed.embeddings.embed import embed_lines
from otembed.embeddings.encode import encode_by_length, resolve_prompt
from otembed.embeddings.fingerprint import model_fingerprint
from otembed.embeddings.listed import ListedTexts
from otembed.embeddings.routes import language_task
from otembed.errors import DataError, check_count
from otembed.runtime.progress import counting, silent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from otembed.runtime.progress import Progress
    from otembed.runtime.work import Executor


def checked_sides(source: Iterable[str], target: Iterable[str], *, pair: str) -> tuple[list[str], list[str]]:
    """Return both sides as lists of strings of equal length; DataError for anything else."""
    sides = []
    for side, texts in (("source", source), ("target", target)):
        listed = [] if isinstance(texts, str) else list(texts)
        strange = next((index for index, text in enumerate(listed) if not isinstance(text, str)), None)
        if strange is not None:
            raise DataError(
                f"{pair}: {side} sentence {strange} (counted from 0) is {listed[strange]!r}, not a string",
                "Pass a list of strings.",
            )
        if not listed:
            raise DataError(f"{pair}: the {side} side has no sentences", "Pass at least one string.")
        sides.append(listed)
    first, second = sides
    if len(first) != len(second):
        raise DataError(
            f"{pair}: {len(first)} source sentences, but {len(second)} target sentences",
            "Pass one target sentence for each source sentence, in the same order.",
        )
    return first, second


def embed_sides(
    model: SentenceTransformer,
    sides: Sequence[Sequence[str]],
    *,
    batch_size: int | None,
    prompt: str | None,
    prompt_name: str | None,
    truncate_dim: int | None,
    show_progress_bar: bool,
    batch_tokens: int | None = None,
    cache: str | Path | None = None,
    names: Sequence[str] = (),
    languages: Sequence[str | None] = (),
    precision: str = "float32",
    arithmetic: str = "float32",
    fingerprint: str | None = None,
    executor: Executor | None = None,
    load_as: str | None = None,
    device: str | None = None,
    progress: Progress = silent,
) -> list[NDArray[np.float32]]:
    """Return one (n, d) array of unit vectors for each side; repeated sentences of a language are encoded once.

    Parameters
    ----------
    model, prompt, prompt_name, truncate_dim
        As in :func:`otembed.embeddings.embed.embed_lines`.
    sides
        Non-empty lists of sentences.
    batch_size, batch_tokens
        Maximum number of sentences and of tokens in a batch; ``None`` as in
        :func:`otembed.embeddings.encode.encode_by_length`.
    show_progress_bar
        Show a progress bar on stderr; for use without a cache.
    cache
        Folder in which vectors are stored and reused, as in mining; ``None``: nothing is stored. The entry of a side
        contains the sentences that do not occur on an earlier side of the same task.
    names
        Names of the sides in messages and progress.
    languages
        Languages of the sides, for a model with a route for each language; without them, all are unknown.
    precision, arithmetic, fingerprint, executor, load_as, device
        With a cache: as in :func:`otembed.embeddings.embed.embed_lines`.
    progress
        Called with the stage, the finished sentences and the total.

    Raises
    ------
    ConfigError
        A setting is out of range, or the prompt name is unknown.
    NumericsError, DataError
        With a cache: the model returns NaN, infinity or a zero vector; the folder cannot be written.
    """
    if batch_size is not None:
        check_count("batch_size", batch_size)
    text = resolve_prompt(model, prompt, prompt_name)
    names = names or [f"side {number}" for number in range(1, len(sides) + 1)]
    spoken = languages or [None] * len(sides)
    tasks = [language_task(model, language, name) for language, name in zip(spoken, names, strict=True)]
    row: dict[tuple[str | None, str], int] = {}
    bounds, rows = [0], []
    for side, task in zip(sides, tasks, strict=True):
        rows.append(np.array([row.setdefault((task, sentence), len(row)) for sentence in side]))
        bounds.append(len(row))
    sentences = list(row)
    if cache is None:
        vectors = _encode(
            model, sentences, text, truncate_dim, batch_tokens, batch_size, show_progress_bar, progress
        )
        return [vectors[chosen] for chosen in rows]
    parts, known = [], fingerprint or model_fingerprint(model)
    for name, task, (start, stop) in zip(names, tasks, pairwise(bounds), strict=True):
        if start == stop:
            continue
        listed = ListedTexts(name, [sentence for _, sentence in sentences[start:stop]])
        found = embed_lines(
            listed,
            model,
            cache=cache,
            prompt=text,
            task=task,
            truncate_dim=truncate_dim,
            batch_size=batch_size,
            batch_tokens=batch_tokens,
            precision=precision,
            arithmetic=arithmetic,
            fingerprint=known,
            executor=executor,
            load_as=load_as,
            device=device,
            progress=progress,
        )
        block = np.empty((stop - start, found.dimension), np.float32)
        block[listed.ids - 1] = found.read(0, stop - start)
        parts.append(block)
    everything = np.concatenate(parts)
    return [everything[chosen] for chosen in rows]


def _encode(
    model: SentenceTransformer,
    sentences: list[tuple[str | None, str]],
    prompt: str,
    truncate_dim: int | None,
    batch_tokens: int | None,
    batch_size: int | None,
    show_progress_bar: bool,
    progress: Progress,
) -> NDArray[np.float32]:
    told = counting(progress, "embedding", len(sentences))
    with tqdm(total=len(sentences), disable=not show_progress_bar, desc="encoding", unit="sentence") as bar:

        def advance(count: int) -> None:
            bar.update(count)
            told(count)

        parts, order = [], []
        for task in dict.fromkeys(task for task, _ in sentences):
            chosen = [place for place, (other, _) in enumerate(sentences) if other == task]
            order += chosen
            parts.append(
                encode_by_length(
                    model,
                    [sentences[place][1] for place in chosen],
                    prompt=prompt,
                    task=task,
                    truncate_dim=truncate_dim,
                    batch_tokens=batch_tokens,
                    batch_size=batch_size,
                    progress=advance,
                )
            )
    if len(parts) == 1:
        return parts[0]
    vectors = np.concatenate(parts)
    vectors[order] = vectors.copy()
    return vectors
