"""Word alignment as a task; torch is imported when a model is evaluated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from otembed.errors import ConfigError
from otembed.results.paths import expand
from otembed.tasks.base import Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sentence_transformers import SentenceTransformer

    from otembed.tasks.base import TaskOptions
    from otembed.tasks.word_alignment.gold import GoldSet
    from otembed.tasks.word_alignment.report import AlignmentReport


class AlignmentTask(Task):
    """Data maps a name to a gold set: source sentences and target sentences as lists of words, and gold links."""

    name = "alignment"
    question = "Word alignment: are words linked to their translations?"
    primary_metrics = ("aer",)
    option, key, metavar = "--gold", "gold set", "NAME=TEXT,LINKS"
    help = "Word alignment: as for otembed eval alignment; repeat for more."
    parallel = "words"

    def parse(self, places: Mapping[str, str], option: str) -> dict[str, list[str]]:
        """Split each place into its two or three files."""
        found = {name: place.split(",") for name, place in places.items()}
        for name, files in found.items():
            if len(files) not in (2, 3) or not all(files):
                raise ConfigError(
                    f"{option} {name}={places[name]}: expected two or three files",
                    f"Write {option} NAME=TEXT,LINKS or {option} NAME=SOURCE,TARGET,LINKS.",
                )
        return {name: [str(expand(each)) for each in files] for name, files in found.items()}

    def read(
        self, places: Mapping[str, list[str]], *, limit: int | None, index_base: Literal[0, 1]
    ) -> dict[str, GoldSet]:
        """Read the first pairs of each gold set."""
        from otembed.tasks.word_alignment.gold import read_gold_set

        sets: dict[str, GoldSet] = {}
        for name, (*sides, links) in places.items():
            source, target, gold = read_gold_set(links, *sides, index_base=index_base)
            sets[name] = source[:limit], target[:limit], gold[:limit]
        return sets

    def evaluate(
        self, model: SentenceTransformer, data: Mapping[str, Any], options: TaskOptions
    ) -> tuple[AlignmentReport, ...]:
        """Evaluate all gold sets in one report."""
        from otembed.tasks.word_alignment.evaluate import evaluate_alignment

        return (evaluate_alignment(model, data, batch_size=options.batch_size),)
