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

    from otembed.tasks.base import TaskOptions
    from otembed.tasks.mining.evaluate import MiningScores


class MiningTask(Task):
    """Data maps a language pair to source, target and known pairs, in the form of :func:`otembed.tasks.mining.evaluate_mining`."""

    name = "mining"
    question = "Mining: are translations found in two collections?"
    primary_metrics = ("f1",)
    option, key, metavar = "--mining", "language pair", "XX-YY=SOURCE,TARGET,GOLD"
    help = "Mining with known pairs; repeat."

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
        """Read the known pairs; the collections are read when they are mined."""
        from otembed.tasks.mining.evaluate import read_gold

        return {name: (source, target, read_gold(gold)) for name, (source, target, gold) in places.items()}

    def evaluate(
        self, model: SentenceTransformer, data: Mapping[str, Any], options: TaskOptions
    ) -> tuple[MiningScores, ...]:
        """Mine each language pair; one report each."""
        from otembed.config.mining import MiningConfig
        from otembed.data.spec import pair_languages
        from otembed.tasks.mining.evaluate import evaluate_mining

        found = []
        for name, (source, target, gold) in data.items():
            config = MiningConfig(languages=pair_languages(name))
            found.append(
                evaluate_mining(source, target, gold, model, config=config, name=name, cache=options.cache)
            )
        return tuple(found)
