"""Bitext mining as an evaluator during training."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sentence_transformers.base.evaluation import BaseEvaluator

from otembed.config.mining import ENCODER_SETTINGS, VECTOR_SETTINGS, MiningConfig
from otembed.embeddings.encode import check_one_prompt
from otembed.embeddings.texts import embed_sides
from otembed.errors import ConfigError, DataError, check_count
from otembed.tasks.mining.evaluate import evaluate_mining

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy as np
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)


class MiningEvaluator(BaseEvaluator):
    """Bitext mining as an evaluator for ``SentenceTransformerTrainer`` or on its own.

    The primary metric is ``best_f1``; the others are ``average_precision`` and, at the threshold in use,
    ``precision``, ``recall`` and ``f1``, each prefixed with the name and ``_``.

    Parameters
    ----------
    source_sentences, target_sentences
        Two collections, not parallel, in which some lines have a translation on the other side.
    gold
        Known pairs of rows, counted from 0.
    name
        Name of the task.
    config
        Settings of mining; ``None``: the defaults.
    batch_size, prompt, prompt_name, truncate_dim, show_progress_bar
        As for :class:`BitextRetrievalEvaluator`.

    Raises
    ------
    ConfigError
        A setting is out of range.
    DataError
        A gold pair names a row that does not exist.
    """

    def __init__(
        self,
        source_sentences: Iterable[str],
        target_sentences: Iterable[str],
        gold: Collection[tuple[int, int]],
        *,
        name: str = "mining",
        config: MiningConfig | None = None,
        batch_size: int = 32,
        prompt: str | None = None,
        prompt_name: str | None = None,
        truncate_dim: int | None = None,
        show_progress_bar: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        check_count("batch_size", batch_size)
        check_one_prompt(prompt, prompt_name)
        self.sides = list(source_sentences), list(target_sentences)
        for pair in gold:
            if not all(0 <= row < len(side) for row, side in zip(pair, self.sides, strict=True)):
                raise DataError(
                    f"{name}: gold pair {pair} of {len(self.sides[0])} x {len(self.sides[1])} sentences",
                    "Count rows from 0.",
                )
        self.gold = [(source + 1, target + 1) for source, target in gold]
        self.name = name
        self.config = MiningConfig() if config is None else config
        self.config.refuse_unused("otembed eval mining")
        self.config.refuse(ENCODER_SETTINGS | VECTOR_SETTINGS, f"{name} encodes by the parameters of the evaluator")
        if self.config.rescore != "none":
            raise ConfigError(
                f"{name}: rescore is {self.config.rescore}, but this evaluator compares only sentence vectors",
                "Set rescore: none, or call evaluate_mining with the model.",
            )
        self.batch_size = batch_size
        self.prompt = prompt
        self.prompt_name = prompt_name
        self.truncate_dim = truncate_dim
        self.show_progress_bar = show_progress_bar
        self.primary_metric = "best_f1"

    def __call__(  # type: ignore[override]  # a sentence encoder, as for every evaluator of this family
        self, model: SentenceTransformer, output_path: str | None = None, epoch: int = -1, steps: int = -1
    ) -> dict[str, float]:
        """Return the metrics of ``model`` and store them for its model card."""
        vectors: list[NDArray[np.float32]] = embed_sides(
            model,
            self.sides,
            batch_size=self.batch_size,
            prompt=self.prompt,
            prompt_name=self.prompt_name,
            truncate_dim=self.truncate_dim,
            show_progress_bar=self.show_progress_bar,
            names=("source", "target"),
            languages=self.config.side_languages,
        )
        scores = evaluate_mining(
            *self.sides,
            self.gold,
            config=self.config,
            name=self.name,
            source_vectors=vectors[0],
            target_vectors=vectors[1],
        )
        keys = ("best_f1", "average_precision", "precision", "recall", "f1")
        values = {key: float(getattr(scores, key)) for key in keys}
        logger.info("%s: best F1 %.4f, average precision %.4f", self.name, values["best_f1"], values[keys[1]])
        metrics: dict[str, float] = self.prefix_name_to_metrics(values, self.name)
        self.store_metrics_in_model_card_data(model, metrics, epoch, steps)
        return metrics

    def get_config_dict(self) -> dict[str, Any]:
        """Return the settings that affect the scores, for the model card."""
        return {"k": self.config.k, "margin": self.config.margin}
