"""Results of a run in the metadata of its model card, and in the hub's form for benchmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from huggingface_hub import EvalResult, EvalResultEntry, ModelCard, eval_result_entries_to_yaml

from otembed.data import parse_pair_spec
from otembed.results.format import counted, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otembed.config.train import TrainConfig
    from otembed.tasks.retrieval.report import RetrievalScores
    from otembed.training.result import TrainResult

TASK = "sentence-similarity"
LOCAL = "parallel-text"
FIGURES = {
    "accuracy": "top-1 accuracy, mean of both directions",
    "f1": "weighted F1, mean of both directions",
    "xsim": "xSIM error rate, mean of both directions",
}
# What the hub requires of a license that is not in its list.
LICENSE_FIELDS = ("license_name", "license_link")


def with_metadata(card: str, result: TrainResult, config: TrainConfig, license: Mapping[str, Any]) -> str:
    """Return the card with the retrieval of the released model as ``model-index``, and the datasets of the hub.

    Parameters
    ----------
    card
        The card with its metadata.
    result, config
        The run, and its settings as they may be published.
    license
        More fields of the license.
    """
    found = ModelCard(card)
    data: Any = found.data
    scores = () if result.after is None else result.after.scores
    data.eval_results = [each for one in scores for each in _results(one, config)] or None
    data.model_name = data.model_name or config.output  # required with results
    data.metrics = list(FIGURES) if scores else None
    names = [parse_pair_spec(pair, place).hub for pair, place in config.pairs.items() if place.startswith("hub:")]
    data.datasets = sorted({name for name in names if name}) or None
    for field, value in license.items():
        setattr(data, field, value)
    return str(found)


def _results(scores: RetrievalScores, config: TrainConfig) -> Iterator[EvalResult]:
    place = config.held_out.pairs.get(scores.pair, config.pairs.get(scores.pair, ""))
    spec = parse_pair_spec(scores.pair, place) if place.startswith("hub:") else None
    for metric, name in FIGURES.items():
        yield EvalResult(
            task_type=TASK,
            task_name="Bitext retrieval",
            dataset_type=LOCAL if spec is None or spec.hub is None else spec.hub,
            dataset_name=f"{scores.pair}, {scores.sentences} held-out pairs of {printable(place)}",
            # Results of one type, configuration and split are merged: local text is told apart by its language pair.
            dataset_config=scores.pair if spec is None else spec.config,
            dataset_split=None if spec is None else spec.split,
            metric_type=metric,
            metric_name=f"{scores.pair}: {name}",
            metric_value=getattr(scores, metric),
        )


def benchmark_results(result: TrainResult, config: TrainConfig, version: str) -> list[dict[str, Any]]:
    """Return the accuracy of the pairs in ``hub.benchmarks`` as the hub reads it from ``.eval_results``."""
    entries = []
    for one in () if result.after is None else result.after.scores:
        dataset, _, task = config.hub.benchmarks.get(one.pair, "").partition(":")
        if dataset:
            notes = f"top-1 accuracy, mean of both directions, {counted(one.sentences, 'pair')}; otembed {version}"
            entries.append(EvalResultEntry(dataset_id=dataset, task_id=task, value=one.accuracy, notes=notes))
    return eval_result_entries_to_yaml(entries)
