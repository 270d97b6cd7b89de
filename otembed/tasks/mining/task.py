"""Bitext mining against known pairs as a task; torch is imported when a model is evaluated."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from otembed.errors import ConfigError
from otembed.results.paths import expand
from otembed.tasks.base import Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sentence_transformers import SentenceTransformer

    from otembed.config.mining import MiningConfig
    from otembed.tasks.base import TaskOptions
    from otembed.tasks.mining.evaluate import MiningScores


class MiningTask(Task):
    """Data maps a language pair to source, target and known pairs, in the form of :func:`otembed.tasks.mining.evaluate_mining`."""

    name = "mining"
    question = "Mining: are translations found in two collections?"
    primary_metrics = ("f1",)
    option, key, metavar = "--mining", "language pair", "XX-YY=SOURCE,TARGET,GOLD"
    help = "Mining with known pairs; repeat for more."

    def parse(self, places: Mapping[str, str], option: str) -> dict[str, tuple[str, str, Path]]:
        """Split each place into source, target and the file of known pairs."""
        found = {}
        for name, place in places.items():
            parts = place.split(",")
            if len(parts) != 3 or not all(parts):
                raise ConfigError(
                    f"{option} {name}={place}: expected three files", f"Write {option} {self.metavar}."
                )
            found[name] = parts[0], parts[1], expand(parts[2])
        return found

    def read(
        self,
        places: Mapping[str, tuple[str, str, Path]],
        *,
        limit: int | None = None,
        index_base: Literal[0, 1] = 1,
    ) -> dict[str, Any]:
        """Read the known pairs; :meth:`load` reads the collections."""
        from otembed.tasks.mining.evaluate import read_gold

        return {name: (source, target, read_gold(gold)) for name, (source, target, gold) in places.items()}

    def load(self, data: Mapping[str, Any], options: TaskOptions) -> tuple[dict[str, Any], TaskOptions]:
        """Read the lines of both collections; vectors are only opened."""
        from otembed.mining.side import open_sides

        found = {}
        for name, (source, target, gold) in data.items():
            left, right = open_sides(source, target, None, None, _config(name))
            found[name] = left.lines or source, right.lines or target, gold
        return found, options

    def evaluate(
        self, model: SentenceTransformer, data: Mapping[str, Any], options: TaskOptions
    ) -> tuple[MiningScores, ...]:
        """Mine each language pair; one report each."""
        from otembed.tasks.mining.evaluate import evaluate_mining

        return tuple(
            evaluate_mining(source, target, gold, model, config=_config(name), name=name, cache=options.cache)
            for name, (source, target, gold) in data.items()
        )


def _config(name: str) -> MiningConfig:
    """Return the settings of a language pair."""
    from otembed.config.mining import MiningConfig
    from otembed.data.spec import pair_languages

    return MiningConfig(languages=pair_languages(name))
