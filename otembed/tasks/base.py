"""Interface of a task: how its data is located, read and evaluated; imports nothing slow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sentence_transformers import SentenceTransformer

    from otembed.tasks.report import Report


@dataclass(frozen=True)
class TaskOptions:
    """Settings shared by the evaluations of several tasks; a task ignores settings that do not apply.

    Parameters
    ----------
    batch_size
        Number of sentences encoded at a time.
    centered
        Score retrieval a second time with centered embeddings.
    nli
        English training pairs of an inference probe: a place, or an ``NliSet``.
    tagging
        English training sentences of a tagging probe: a file, or a ``TaggedSet``; None if there are none.
    cache
        Folder of cached embeddings; None: no cache.
    """

    batch_size: int = 32
    centered: bool = False
    nli: Any = "mnli"
    tagging: Any = None
    cache: str | Path | None = None


class Task(ABC):
    """A task that models are evaluated and compared on; :data:`otembed.tasks.registry.TASKS` lists all of them.

    Attributes
    ----------
    name
        In ``otembed eval NAME``, in the suite of its outcomes, and as a key of ``suites`` in
        :func:`otembed.compare`.
    question
        What it measures, as a heading.
    primary_metrics
        The metrics that decide a comparison, one for each protocol; if the models have none of them, the first available one.
    option, key, metavar, help
        The option of ``otembed compare``, the meaning of the part before ``=``, and the form and help of the value.
    parallel
        ``words`` or ``sentences`` if data maps a name to parallel source and target rows; else None.
    """

    name: ClassVar[str]
    question: ClassVar[str]
    primary_metrics: ClassVar[tuple[str, ...]]
    option: ClassVar[str]
    key: ClassVar[str]
    metavar: ClassVar[str]
    help: ClassVar[str]
    parallel: ClassVar[Literal["words", "sentences"] | None] = None

    @abstractmethod
    def parse(self, places: Mapping[str, str], option: str) -> dict[str, Any]:
        """Check the mapping from name to place, as given to ``option``, before slow imports.

        Raises
        ------
        ConfigError, DataError
            A place is malformed or does not exist.
        """

    def check(self, options: TaskOptions) -> None:  # noqa: B027  # most tasks have nothing to check
        """Reject invalid options before slow imports; called if the task has data."""

    def read(self, places: Mapping[str, Any], *, limit: int | None, index_base: Literal[0, 1]) -> dict[str, Any]:
        """Read the places returned by :meth:`parse` into the data of :meth:`evaluate`; by default, that reads them itself.

        Parameters
        ----------
        places
            Name to checked place.
        limit
            Maximum number of rows of parallel text; None for all.
        index_base
            Whether gold links count words from 0 or 1.
        """
        return dict(places)

    def load(self, data: Mapping[str, Any], options: TaskOptions) -> tuple[Mapping[str, Any], TaskOptions]:
        """Read the files that data and options still name, once for all models and before any of them is loaded.

        Parameters
        ----------
        data
            As for :meth:`evaluate`.

        Raises
        ------
        ConfigError, DataError
            A file is missing or malformed.
        """
        return data, options

    @abstractmethod
    def evaluate(
        self, model: SentenceTransformer, data: Mapping[str, Any], options: TaskOptions
    ) -> tuple[Report, ...]:
        """Evaluate a model on the data by name; the outcomes of the reports have the suite :attr:`name`."""
