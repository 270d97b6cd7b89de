"""Readers of natural language inference: premise, hypothesis and one of three labels, in the published formats."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from otembed.data.checks import SURROGATE, clean_text
from otembed.data.records import as_text
from otembed.data.rows import PairCounts
from otembed.data.sampling import draw
from otembed.errors import DataError
from otembed.results.outcomes import digest_of
from otembed.tasks.xnli.formats import LABELS, label_name, open_records

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

MISSING = ("", "-")
KNOWN = f"{', '.join(LABELS[:2])} or {LABELS[2]}"
MNLI_GENRES = frozenset({"fiction", "government", "slate", "telephone", "travel"})
MNLI_ROWS = 392_702
MNLI_NAMES = ("nyu-mll/multi_nli", "nyu-mll/glue", "multi_nli", "glue")


class NliExample(NamedTuple):
    """A pair of sentences, the index of its label in ``LABELS``, and its line or record."""

    premise: str
    hypothesis: str
    label: int
    line: int


@dataclass(frozen=True)
class NliSet:
    """Labeled pairs of one language.

    Parameters
    ----------
    where
        The file or dataset that they come from.
    examples
        The pairs in the order of the file.
    counts
        Counts of pairs read and left out.
    is_mnli
        Whether they are the training part of MultiNLI or a sample of it.
    """

    where: str
    examples: tuple[NliExample, ...]
    counts: PairCounts = field(default_factory=PairCounts)
    is_mnli: bool = False

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.examples)

    def labels(self) -> NDArray[np.int64]:
        """Return the label of each pair."""
        return np.array([each.label for each in self.examples], np.int64)

    def digest(self) -> str:
        """Return a hash of the pairs and their labels in order."""
        return digest_of(
            text for each in self.examples for text in (each.premise, each.hypothesis, str(each.label))
        )

    def without(self, other: NliSet) -> NliSet:
        """Return the pairs that are not in ``other``, compared by their lines."""
        lines = {each.line for each in other.examples}
        return replace(self, examples=tuple(each for each in self.examples if each.line not in lines))

    def sample(self, limit: int | None, seed: int = 0) -> NliSet:
        """Return ``limit`` pairs sampled uniformly with the seed, in their order; all if there are fewer."""
        if limit is None or limit >= len(self):
            return self
        return replace(self, examples=tuple(self.examples[row] for row in draw(len(self), limit, seed)))


def read_nli(place: NliSet | str | Path, *, language: str | None = None, for_test: bool = False) -> NliSet:
    """Read labeled sentence pairs.

    Parameters
    ----------
    place
        A TSV (``.tsv``, ``.txt``), CSV or JSON lines file, compressed by its suffix (.gz .bz2 .xz .zst), or Parquet:
        the published files of SNLI, MultiNLI and XNLI, XTREME's three columns without a header, or any file with
        ``premise hypothesis label``. Or ``hub:OWNER/NAME[:CONFIG][@SPLIT]``, ``mnli`` (the training part of
        MultiNLI), ``xnli`` or ``xnli@SPLIT`` (one language of ``facebook/xnli``), or a folder of
        ``Dataset.save_to_disk`` with ``?split=``. For other field names, with dots for nested fields, use
        ``?premise=FIELD&hypothesis=FIELD&label=FIELD``. An ``NliSet`` is returned as it is.
    language
        Keep the rows of this language if there is a column ``language``; required for ``xnli``.
    for_test
        Raise DataError on a pair without a gold label or with an empty sentence. Otherwise such pairs are left out
        and counted: SNLI and MultiNLI mark pairs without agreement with ``-``.

    Raises
    ------
    DataError
        With file and line: malformed rows, an unknown label, a numeric label from a source that does not name its
        classes, no pairs in the language.
    ConfigError
        The place is malformed.
    """
    if isinstance(place, NliSet):
        return place
    where, records = open_records(str(place), language)
    counts = PairCounts()
    examples: list[NliExample] = []
    languages: set[str] = set()
    genres: set[str] = set()
    for line, record in records:
        if isinstance(told := record.get("language"), str):
            languages.add(told)
            if language is not None and told != language:
                continue
        fault, example = _checked(record, where, line)
        if fault is not None:
            if for_test:
                raise DataError(
                    f"a test pair with {FAULTS[fault]}", "Fix or remove that line.", path=where, line=line
                )
            counts.drop(fault, line)
            continue
        counts.keep()
        examples.append(example)
        if isinstance(genre := record.get("genre"), str):
            genres.add(genre)
    if language is None and len(languages) > 1:
        raise DataError(
            f"several languages: {', '.join(sorted(languages))}", "Set the language to read.", path=where
        )
    if not examples:
        hint = f"Available: {', '.join(sorted(languages))}." if languages else "Check that this is the right file."
        what = f"no labeled pair in {language}" if languages and language else "no labeled pair"
        raise DataError(what + (f": {counts.summary()}" if counts.read else ""), hint, path=where)
    return NliSet(where, tuple(examples), counts, _is_mnli(where, genres, counts.read))


FAULTS = {
    "no_label": "no gold label",
    "empty": "an empty sentence",
    "unpaired_surrogate": "an unpaired surrogate, which is not a character",
}


def _checked(record: Mapping[str, Any], where: str, line: int) -> tuple[str | None, NliExample]:
    premise, hypothesis = (_text(record[name], name, where, line) for name in ("premise", "hypothesis"))
    label = _label(record["label"], where, line)
    fault = None
    if label is None:
        fault = "no_label"
    elif not premise or not hypothesis:
        fault = "empty"
    elif SURROGATE.search(premise) or SURROGATE.search(hypothesis):
        fault = "unpaired_surrogate"
    return fault, NliExample(premise, hypothesis, -1 if label is None else label, line)


def _text(value: object, name: str, where: str, line: int) -> str:
    hint = (
        "Specify the configuration of one language: hub:facebook/xnli:sw@test."
        if isinstance(value, dict)
        else f"Specify the field of the sentence: ?{name}=FIELD."
    )
    return clean_text(as_text(value, name, where, line, hint))


def _label(value: object, where: str, line: int) -> int | None:
    """Return the index of a label, None if there is none."""
    if value is None:
        return None
    text = label_name(value)
    if text in MISSING:
        return None
    if text in LABELS:
        return LABELS.index(text)
    if re.fullmatch(r"-?\d+", text):
        raise DataError(
            f"label {text!r} is a number, but the file does not name its classes",
            f"Use {KNOWN}: published files number the classes in different orders.",
            path=where,
            line=line,
        )
    # No suggestion by spelling: not_entailment would be closest to its opposite.
    raise DataError(f"unknown label {str(value)[:40]!r}", f"Write {KNOWN}.", path=where, line=line)


def _is_mnli(where: str, genres: set[str], rows: int) -> bool:
    """Whether this is MultiNLI's training part: by its name on the hub, or a file of its genres and size."""
    found = re.fullmatch(r"hub:([^:@]+)(?::([^@]+))?@train", where)
    if found:
        return found[1] in MNLI_NAMES and (found[2] == "mnli" or "multi_nli" in found[1])
    return genres == MNLI_GENRES and rows == MNLI_ROWS
