"""Suite to the function that evaluates a model on it: a suite more is an entry more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otembed.evaluation import evaluate_alignment, evaluate_mining, evaluate_retrieval

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sentence_transformers import SentenceTransformer

    from otembed.outcomes import Outcomes

    Evaluate = Callable[[SentenceTransformer, Mapping[str, Any], dict[str, Any]], tuple[Outcomes, ...]]


def _retrieval(
    model: SentenceTransformer, pairs: Mapping[str, Any], settings: dict[str, Any]
) -> tuple[Outcomes, ...]:
    """Take language pair to source and target sentences."""
    return evaluate_retrieval(model, pairs, batch_size=settings["batch_size"], centred=settings["centred"]).outcomes


def _mining(model: SentenceTransformer, tasks: Mapping[str, Any], settings: dict[str, Any]) -> tuple[Outcomes, ...]:
    """Take language pair to source, target and known pairs, as for :func:`otembed.evaluate_mining`."""
    return tuple(
        outcome
        for name, (source, target, gold) in tasks.items()
        for outcome in evaluate_mining(source, target, gold, model, name=name).outcomes
    )


def _alignment(
    model: SentenceTransformer, sets: Mapping[str, Any], settings: dict[str, Any]
) -> tuple[Outcomes, ...]:
    """Take name to a gold set, as for :func:`otembed.evaluate_alignment`."""
    return evaluate_alignment(model, sets, batch_size=settings["batch_size"]).outcomes


SUITES: dict[str, Evaluate] = {"retrieval": _retrieval, "mining": _mining, "alignment": _alignment}
"""A function takes the model, the suite's material by task, and ``batch_size`` and ``centred``."""
