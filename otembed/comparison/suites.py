"""Suite to the function that evaluates a model on it: a suite more is an entry more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otembed.tasks.mining import evaluate_mining
from otembed.tasks.retrieval import evaluate_retrieval
from otembed.tasks.word_alignment import evaluate_alignment
from otembed.tasks.xnli import evaluate_xnli
from otembed.tasks.xquad import evaluate_xquad

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sentence_transformers import SentenceTransformer

    Evaluate = Callable[[SentenceTransformer, Mapping[str, Any], dict[str, Any]], tuple[Any, ...]]


def _retrieval(model: SentenceTransformer, pairs: Mapping[str, Any], settings: dict[str, Any]) -> tuple[Any, ...]:
    """Take language pair to source and target sentences."""
    chosen = {name: settings[name] for name in ("batch_size", "centered", "cache")}
    return (evaluate_retrieval(model, pairs, **chosen),)


def _mining(model: SentenceTransformer, tasks: Mapping[str, Any], settings: dict[str, Any]) -> tuple[Any, ...]:
    """Take language pair to source, target and known pairs, as for :func:`otembed.tasks.mining.evaluate_mining`."""
    return tuple(
        evaluate_mining(source, target, gold, model, name=name, cache=settings["cache"])
        for name, (source, target, gold) in tasks.items()
    )


def _alignment(model: SentenceTransformer, sets: Mapping[str, Any], settings: dict[str, Any]) -> tuple[Any, ...]:
    """Take name to a gold set, as for :func:`otembed.tasks.word_alignment.evaluate_alignment`."""
    return (evaluate_alignment(model, sets, batch_size=settings["batch_size"]),)


def _xnli(model: SentenceTransformer, tests: Mapping[str, Any], settings: dict[str, Any]) -> tuple[Any, ...]:
    """Take language to test pairs, as for :func:`otembed.tasks.xnli.evaluate_xnli`; by a probe."""
    return (evaluate_xnli(model, tests, train=settings["nli"], cache=settings["cache"]),)


def _xquad(model: SentenceTransformer, data: Mapping[str, Any], settings: dict[str, Any]) -> tuple[Any, ...]:
    """Take language to questions, as for :func:`otembed.tasks.xquad.evaluate_xquad`; retrieval, without training."""
    return (evaluate_xquad(model, data, batch_size=settings["batch_size"], cache=settings["cache"]),)


SUITES: dict[str, Evaluate] = {
    "retrieval": _retrieval,
    "mining": _mining,
    "alignment": _alignment,
    "xnli": _xnli,
    "xquad": _xquad,
}
"""A function takes the model, the suite's material by task, and ``batch_size``, ``centered``, ``nli`` (the training
pairs of a probe) and ``cache`` (a folder of sentence vectors, or None); it returns reports, results that hold ``outcomes``."""
