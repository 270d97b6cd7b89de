"""The k nearest neighbors of every row of both sides, and the state of a search that can go on after a cut."""

from __future__ import annotations

import logging
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from otembed.mining.search import kernels
from otembed.mining.search.blocks import Block, save_arrays

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otembed.embeddings.vectors import Floats, Ids

logger = logging.getLogger(__name__)

# Bytes of one neighbor in a list: a float32 and an int64.
NEIGHBOR = 12


@dataclass(frozen=True, eq=False)
class Neighbors:
    """Neighbors of each row of one side among the rows of the other.

    Parameters
    ----------
    scores
        (n, k) float32 cosines, best first. Where a search found fewer than k, minus infinity.
    ids
        (n, k) int64 rows of the other side, ascending among equal scores. Where there is none, -1.
    """

    scores: Floats
    ids: Ids

    @classmethod
    def none(cls, rows: int, k: int) -> Neighbors:
        """Return lists with every place free."""
        return cls(np.full((rows, k), -np.inf, np.float32), np.full((rows, k), -1, np.int64))

    def merge(self, more: Neighbors) -> None:
        """Take up neighbors of the same rows; in any order, and again without harm."""
        kernels.merge_lists(self.scores, self.ids, more.scores, more.ids)


class SearchState:
    """What a search has found so far.

    Parameters
    ----------
    rows, columns
        Rows of the source and of the target.
    k
        Neighbors kept of each; with fewer rows on the other side, all of them.

    ``done`` says which columns were compared with all rows, ``blocks`` what else was compared; the lists hold all that
    was found there, and may hold more. ``recall`` is the measured recall of an approximate search, None of an exact one.
    """

    def __init__(self, rows: int, columns: int, k: int) -> None:
        self.forward = Neighbors.none(rows, min(k, columns))
        self.backward = Neighbors.none(columns, min(k, rows))
        self.done = np.zeros(columns, bool)
        self.blocks: set[Block] = set()
        self.recall: float | None = None

    def remaining(self, width: int) -> Iterator[tuple[int, int]]:
        """Yield ``(start, stop)`` of the columns that are not searched, at most ``width`` together."""
        edges = np.flatnonzero(np.diff(np.concatenate([[True], self.done, [True]]).astype(np.int8)))
        for start, stop in edges.reshape(-1, 2).tolist():
            for first in range(start, stop, width):
                yield first, min(first + width, stop)

    def add_block(self, block: Block, *lists: tuple[Floats, Ids]) -> bool:
        """Take up what was found in a block, and note it as done; False if the lists do not fit it."""
        rows, columns = slice(*block[:2]), slice(*block[2:])
        parts = [
            Neighbors(own.scores[part], own.ids[part])
            for own, part in ((self.forward, rows), (self.backward, columns))
        ]
        wide = [
            scores.shape == ids.shape and scores.ndim == 2 and len(ids) == len(own.ids)
            for (scores, ids), own in zip(lists, parts, strict=True)
        ]
        if not all(wide) or block.last_row > len(self.forward.ids) or block.last_column > len(self.done):
            return False
        for (scores, ids), own in zip(lists, parts, strict=True):
            own.merge(Neighbors(scores, ids))
        self.blocks.add(block)
        self._settle(columns)
        return True

    def _settle(self, columns: slice) -> None:
        """Note columns as done if blocks of just these columns cover all rows; done columns need no blocks."""
        reached = 0
        for block in sorted(each for each in self.blocks if slice(*each[2:]) == columns):
            if block.first_row <= reached:
                reached = max(reached, block.last_row)
        if reached == len(self.forward.ids):
            self.done[columns] = True
            self.blocks = {each for each in self.blocks if not self.done[slice(*each[2:])].all()}

    def covers(self, block: Block) -> bool:
        """Return whether the lists hold all that a block would find."""
        return bool(self.done[slice(*block[2:])].all()) or any(each.holds(block) for each in self.blocks)

    def save(self, path: Path) -> None:
        """Write the state whole or not at all."""
        save_arrays(
            path,
            done=self.done,
            blocks=np.array(sorted(self.blocks), np.int64).reshape(-1, 4),
            recall=np.array(np.nan if self.recall is None else self.recall),
            **{f"forward_{name}": getattr(self.forward, name) for name in ("scores", "ids")},
            **{f"backward_{name}": getattr(self.backward, name) for name in ("scores", "ids")},
        )

    def load(self, path: Path) -> None:
        """Take up a saved state; one that is damaged or of other shapes is left aside with a warning."""
        if not path.exists():
            return
        try:
            with np.load(path) as file:
                saved = {name: file[name] for name in file.files}
            done, recall = saved["done"], float(saved["recall"])
            blocks = {Block(*each) for each in saved["blocks"].tolist()}
            lists = [Neighbors(saved[f"{side}_scores"], saved[f"{side}_ids"]) for side in ("forward", "backward")]
            fits = done.shape == self.done.shape and all(
                found.scores.shape == found.ids.shape == own.ids.shape
                for found, own in zip(lists, (self.forward, self.backward), strict=True)
            )
        except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile):
            fits = False
        if not fits:
            logger.warning("%s: the state of an earlier search is damaged, the search starts again", path)
            return
        self.blocks = blocks
        self.done, self.recall = done, None if np.isnan(recall) else recall
        self.forward, self.backward = lists
