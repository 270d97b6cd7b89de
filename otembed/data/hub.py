"""Readers of datasets: a folder written by ``save_to_disk``, and a dataset on the Hugging Face hub."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otembed.data.columns import find_columns, pick
from otembed.data.rows import PairCounts, Row
from otembed.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from datasets.arrow_dataset import Dataset

    from otembed.data.spec import PairSpec

DEFAULT_SPLIT = "train"
SAVED_FILES = ("dataset_info.json", "dataset_dict.json")


def is_saved_dataset(path: Path) -> bool:
    """Return whether the folder was written by ``save_to_disk``."""
    return any((path / name).is_file() for name in SAVED_FILES)


def read_saved(spec: PairSpec, counts: PairCounts) -> Iterator[Row]:
    """Read a saved dataset, memory-mapped; of a dataset dictionary the split ``?split=`` (``train``).

    Raises
    ------
    DataError
        The folder is no saved dataset, has no such split, or lacks the columns.
    """
    path = spec.paths[0]
    data = open_saved(path, spec.split)
    places = find_columns(data.column_names, spec, str(path))
    yield from _rows(data.select_columns(list(dict.fromkeys(p[0] for p in places))), spec, str(path))


def open_saved(path: Path, split: str | None) -> Dataset:
    """Return a saved dataset; of a dataset dictionary one split, ``train`` if None; errors of :func:`read_saved`."""
    from datasets.dataset_dict import DatasetDict
    from datasets.load import load_from_disk

    if not is_saved_dataset(path):
        raise DataError(
            "the folder is no saved dataset",
            "Name a file in it, or a folder that Dataset.save_to_disk has written.",
            path=path,
        )
    try:
        data = load_from_disk(str(path))
    except Exception as error:  # a damaged folder fails in many ways: JSON, Arrow, keys, files
        raise DataError(f"not a sound saved dataset: {error}", "Save it again.", path=path) from error
    if isinstance(data, DatasetDict):
        chosen = split or DEFAULT_SPLIT
        if chosen not in data:
            raise DataError(f"no split {chosen!r}", _split_hint(chosen, list(map(str, data))), path=path)
        return data[chosen]
    if split is not None:
        raise DataError("the dataset has no splits", "Leave ?split= out.", path=path)
    return data


def _split_hint(split: str, splits: Iterable[str]) -> str:
    hint = did_you_mean(split, splits)
    return hint if hint.startswith("Did") else f"Name one with ?split=: {', '.join(splits)}."


def read_hub(spec: PairSpec, counts: PairCounts) -> Iterator[Row]:
    """Stream one split of a dataset on the Hugging Face hub; ``line`` is the row's number.

    Raises
    ------
    DataError
        The dataset, its configuration or split cannot be had, or it lacks the columns.
    """
    records, _ = open_hub(str(spec.hub), spec.config, spec.split, spec.where)
    yield from _rows(records, spec, spec.where)


def open_hub(
    name: str, config: str | None, split: str | None, where: str
) -> tuple[Iterator[dict[str, Any]], Mapping[str, Any]]:
    """Return the streamed records of one split, ``train`` if None, and the features; errors of :func:`read_hub`.

    ``where`` is what messages call the dataset.
    """
    from datasets.load import load_dataset

    with _hub_errors(where):
        data = load_dataset(name, config, split=split or DEFAULT_SPLIT, streaming=True)
        return _guarded(iter(data), where), getattr(data, "features", None) or {}


def _guarded(records: Iterator[dict[str, Any]], where: str) -> Iterator[dict[str, Any]]:
    while True:
        with _hub_errors(where):
            record = next(records, None)
        if record is None:
            return
        yield record


@contextlib.contextmanager
def _hub_errors(where: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the hub's clients raise dozens of unrelated types
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"cannot read {where}: {reason}",
            "Check the name and the network; without a network, save the dataset with save_to_disk where "
            "there is one and name that folder.",
        ) from error


def _rows(records: Iterable[Mapping[str, Any]], spec: PairSpec, path: str) -> Iterator[Row]:
    places = None
    for number, record in enumerate(records, start=1):
        places = places or find_columns(list(record), spec, path)
        yield pick(record, places, path, number)
