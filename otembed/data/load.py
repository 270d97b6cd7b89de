"""From a :class:`PairSpec` to a checked, memory-mapped dataset ready for training or evaluation."""

from __future__ import annotations

import atexit
import os
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from otembed.config.train import DataConfig, PairChecks
from otembed.data.checks import clean_pairs
from otembed.data.reading import NEGATIVE, read_pairs
from otembed.data.rows import PairCounts, Row
from otembed.data.sampling import draw
from otembed.data.spec import PairSpec, parse_pair_spec
from otembed.data.tags import match_languages
from otembed.errors import ConfigError, DataError
from otembed.results import writing
from otembed.results.temporary import temporary_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from datasets.arrow_dataset import Dataset

BATCH_ROWS = 1024


@dataclass(frozen=True, eq=False)
class ParallelText:
    """Checked sentence pairs of two languages.

    Parameters
    ----------
    pair
        Key of the pair, such as ``en-sw``.
    source_language, target_language
        Language codes of the dataset's two columns.
    dataset
        Columns ``source`` and ``target``, both strings, in the order of the file; memory-mapped. Hard negatives, if the
        spec asks for them, follow as ``negative_1``, ``negative_2``, ...
    counts
        Counts of pairs read, kept and dropped.
    path
        The files or the hub dataset that the pairs come from.
    """

    pair: str
    source_language: str
    target_language: str
    dataset: Dataset
    counts: PairCounts
    path: str

    def __len__(self) -> int:
        """Return the number of sentence pairs."""
        return len(self.dataset)

    @property
    def negatives(self) -> list[str]:
        """The columns of hard negatives."""
        return self.dataset.column_names[2:]

    def with_pivot(self, pivot: str | None) -> ParallelText:
        """Return the same pairs with the pivot language as the target, if it is one of the two.

        Nothing is copied. ``None``, a third language, and a pivot that is already the target have no effect. The pivot is the
        side that matches it best as a language tag (:func:`otembed.data.tags.match_languages`): ``en`` matches ``en_GB`` and
        ``eng_Latn``. If both sides match equally well, neither is the pivot.

        Raises
        ------
        ConfigError
            The sides would change, and there are hard negatives, which replace the target.
        """
        if not is_pivot(self.source_language, self.target_language, pivot):
            return self
        if self.negatives:
            key = f"{self.target_language}-{self.source_language}"
            raise ConfigError(
                f"{self.pair}: the hard negatives replace {self.target_language}, but the pivot {self.source_language} "
                "becomes the target",
                f"If the sources are in {self.source_language}, keep them so: --set data.pivot={self.target_language}. Only "
                f"if the sources in the file are in {self.target_language}, write {key}=FILE.",
            )
        swapped = self.dataset.rename_columns({"source": "target", "target": "source"})
        return replace(
            self,
            source_language=self.target_language,
            target_language=self.source_language,
            dataset=swapped.select_columns(["source", "target"]),
        )


def load_pairs(
    spec: PairSpec | str,
    checks: PairChecks | None = None,
    limit: int | None = None,
    seed: int | None = None,
    *,
    exclude: AbstractSet[int] = frozenset(),
) -> ParallelText:
    """Read, check and store the sentence pairs of one language pair, in the order in which the key names them.

    Rows stream through the checks into an Arrow file in a temporary folder (``TMPDIR``), which is removed
    when the process ends; the dataset maps that file, so memory does not grow with the text.

    Parameters
    ----------
    spec
        ``en-sw=FILE`` (see :func:`parse_pair_spec`), or the result of that function.
    checks
        Limits; ``None`` means the defaults of :class:`PairChecks`.
    limit
        Maximum number of pairs: the first that pass the checks; reading stops there. ``None`` means all.
    seed
        With ``limit``: sample the pairs at random from all that pass, instead of the first; ``counts.kept``
        then counts all that passed. Without ``limit``, it has no effect.
    exclude
        Digests of sentences to leave out, as in :func:`clean_pairs`.

    Returns
    -------
    ParallelText
        A dataset with the columns ``source`` and ``target``, the languages of both, and the counts of what was read, kept
        and dropped.

    Raises
    ------
    DataError
        The text cannot be read, or no pair passes the checks; the message counts the reasons.
    ConfigError
        ``limit`` or ``seed`` is out of range, or the string is malformed.
    """
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise ConfigError(f"limit is {limit!r}", "Use a whole number of at least 1, or null.")
    spec = parse_pair_spec(spec) if isinstance(spec, str) else spec
    counts = PairCounts()
    rows = clean_pairs(read_pairs(spec, counts), checks or PairChecks(), counts, exclude=exclude)
    dataset = store_rows(rows if seed is not None else islice(rows, limit))
    if not len(dataset):
        raise DataError(
            f"no sentence pair passes the checks: {counts.summary()}",
            "Fix these lines or relax the checks.",
            path=spec.where,
        )
    if seed is not None and limit is not None and limit < len(dataset):
        dataset = dataset.select(draw(len(dataset), limit, seed))
    return ParallelText(spec.key, spec.source_language, spec.target_language, dataset, counts, spec.where)


def is_pivot(code: str, other: str, pivot: str | None) -> bool:
    """Return whether ``code``, the first language, is the pivot and ``other`` is not."""
    return pivot is not None and match_languages(pivot, (code, other)) == [code]


def refuse_idle_pivot(setting: str, pivot: str | None, specs: Sequence[PairSpec]) -> None:
    """Raise ConfigError if a pivot other than the default is a language of no pair, since it would have no effect."""
    codes = [code for spec in specs for code in (spec.source_language, spec.target_language)]
    if pivot not in (None, DataConfig().pivot) and not match_languages(str(pivot), codes):
        raise ConfigError(
            f"{setting} = {pivot} is in no language pair: {', '.join(spec.key for spec in specs)}",
            f"Set {setting} to a language of the pairs, or remove it.",
        )


def store_rows(rows: Iterator[Row]) -> Dataset:
    """Write rows with equal numbers of hard negatives to an Arrow file of this process, and map it."""
    import pyarrow as pa  # type: ignore[import-untyped]
    from datasets.arrow_dataset import Dataset

    batch = list(islice(rows, BATCH_ROWS))
    names = [f"{NEGATIVE}_{number}" for number in range(1, len(batch[0].negatives) + 1)] if batch else []
    schema = pa.schema([(name, pa.string()) for name in ("source", "target", *names)])
    handle, name = tempfile.mkstemp(dir=_session_folder(), suffix=".arrow")
    os.close(handle)
    with writing(name, option="TMPDIR=FOLDER"), pa.ipc.new_stream(name, schema) as writer:
        while batch:
            columns = zip(*((row.source, row.target, *row.negatives) for row in batch), strict=True)
            writer.write_batch(pa.record_batch(list(map(list, columns)), schema=schema))
            batch = list(islice(rows, BATCH_ROWS))
    return Dataset.from_file(name)


@cache
def _session_folder() -> Path:
    """Return this process's temporary folder; it outlives every dataset so that workers can map the files."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(temporary_folder())
