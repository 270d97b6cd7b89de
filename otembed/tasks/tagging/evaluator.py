"""Part-of-speech tagging as an evaluator during training."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentence_transformers.base.evaluation import BaseEvaluator

from otembed.config.tagging import TaggingProbeConfig
from otembed.errors import ConfigError
from otembed.tasks.csv_rows import add_row, csv_name
from otembed.tasks.tagging.data import TaggedSet, read_tagged
from otembed.tasks.tagging.evaluate import evaluate_tagging

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)


class TaggingEvaluator(BaseEvaluator):
    """Score tagging of one language by a probe during training; the trainer can select the best checkpoint by it.

    Each call fits a new probe on the training sentences, because the encoder has changed.

    Parameters
    ----------
    train, dev, test
        Training, development and test sentences: CoNLL-U files, or sets. ``dev`` None sets a tenth of ``train`` aside.
    name
        Name of the language; prefix of the metrics.
    config
        Settings of the probe. A fixed ``layer``, by default the last, makes figures of different steps comparable; with
        ``auto``, the layer may change.
    write_csv
        When called with an output folder, as in the trainer, append a row to ``tagging_<name>_results.csv`` there.

    Raises
    ------
    ConfigError
        ``config.layer`` is ``all``.
    DataError
        A file is malformed.

    Notes
    -----
    Metrics are ``accuracy``, the primary one, and ``macro_f1``. The evaluator does not communicate with other processes,
    so it can run on rank 0 only, as in the trainer.
    """

    def __init__(
        self,
        train: TaggedSet | str | Path,
        test: TaggedSet | str | Path,
        *,
        dev: TaggedSet | str | Path | None = None,
        name: str = "tagging",
        config: TaggingProbeConfig | None = None,
        write_csv: bool = True,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.config = config or TaggingProbeConfig(layer=-1)
        if self.config.layer == "all":
            raise ConfigError("layer = all has no single figure", "Set layer to a number or auto.")
        self.train, self.test = read_tagged(train), read_tagged(test)
        self.dev = None if dev is None else read_tagged(dev)
        self.name = name
        self.write_csv = write_csv
        self.csv_file = csv_name("tagging", name)
        self.primary_metric = "accuracy"

    def __call__(  # type: ignore[override]
        self, model: SentenceTransformer, output_path: str | None = None, epoch: int = -1, steps: int = -1
    ) -> dict[str, float]:
        """Return the metrics of ``model``, store them for its model card and, with ``write_csv``, in the CSV file."""
        report = evaluate_tagging(
            model, {self.name: self.test}, train=self.train, dev=self.dev, config=self.config, name=self.name
        )
        (scores,) = report.scores
        values = {"accuracy": scores.accuracy, "macro_f1": scores.macro_f1}
        logger.info("%s: accuracy %.4f on layer %d", self.name, scores.accuracy, report.layer)
        if output_path is not None and self.write_csv:
            add_row(Path(output_path) / self.csv_file, {"epoch": epoch, "steps": steps, **values})
        metrics: dict[str, float] = self.prefix_name_to_metrics(values, self.name)
        self.store_metrics_in_model_card_data(model, metrics, epoch, steps)
        return metrics

    def get_config_dict(self) -> dict[str, Any]:
        """Return the settings that change the figures, for the model card."""
        return asdict(self.config)
