"""Interpolation after training: the released weights lie between the starting and the trained ones."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from otembed.models.merge import set_weights, trained_weights
from otembed.results.bootstrap import differences, interval, resampled_figures
from otembed.training.curve import InterpolationCurve, SharePoint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sentence_transformers import SentenceTransformer
    from torch import Tensor

    from otembed.config.train import ReleaseConfig
    from otembed.tasks.retrieval.report import RetrievalReport
    from otembed.training.held_out import Evaluation, HeldOutEvaluator

logger = logging.getLogger(__name__)

CONFIDENCE = 0.95
START = 0


def interpolates(config: ReleaseConfig) -> bool:
    """Whether the start is needed after training: for other weights than the trained ones, or to compare with them."""
    return config.interpolate != 1 or bool(config.other_pairs)


def evaluated_shares(config: ReleaseConfig) -> list[float]:
    """Return the shares of the curve in order: start, end and those to choose from or the given one."""
    between = config.shares if config.interpolate == "auto" else (config.interpolate,)
    return sorted({0.0, 1.0, *map(float, between)})


@dataclass(frozen=True)
class _Found:
    """The evaluation at one share, its report, and the report on other pairs."""

    evaluation: Evaluation
    report: RetrievalReport
    others: RetrievalReport | None


def interpolate(
    model: SentenceTransformer,
    start: Mapping[str, Tensor],
    config: ReleaseConfig,
    evaluator: HeldOutEvaluator | None,
    others: HeldOutEvaluator | None,
    step: int | None,
) -> tuple[InterpolationCurve | None, Evaluation | None]:
    """Set the weights of ``model`` to those between ``start`` and its own, and return the curve and the evaluation there.

    Parameters
    ----------
    model
        The trained model; changed in place.
    start
        The trained parameters as they were before training; all others are the same at every share.
    config
        The share, or the shares to choose from; see :func:`choose_share`.
    evaluator, others
        Held-out pairs, and pairs of other languages. Without held-out pairs there is no curve, only the given share.
    step
        The step of the trained weights, None for a mean of several steps.
    """
    trained = trained_weights(model)
    if evaluator is None:
        _release(model, start, trained, float(config.interpolate))
        return None, None
    found: dict[float, _Found] = {}
    for share in evaluated_shares(config):
        set_weights(model, start, trained, share)
        known = evaluator.known(START if share == 0 else step) if share in (0, 1) else None
        evaluation = known or evaluator.evaluate(model)
        elsewhere = None if others is None else others.report(model, f"share {share:g}")
        found[share] = _Found(evaluation, evaluator.report_of(evaluation, f"share {share:g}"), elsewhere)
        shown = "" if elsewhere is None else f", other pairs {elsewhere.accuracy:.1%}"
        logger.info("share %g: held-out accuracy %.1f%%%s", share, 100 * evaluation.score, shown)
    automatic = config.interpolate == "auto"
    points = curve_points(found, config.shares if automatic else [share for share in found if share > 0])
    share = choose_share(points, config.shares) if automatic else float(config.interpolate)
    logger.info("releasing share %g of the way from the starting to the trained weights", share)
    _release(model, start, trained, share)
    return InterpolationCurve(share, automatic, tuple(points)), found[share].evaluation


def _release(
    model: SentenceTransformer, start: Mapping[str, Tensor], trained: Mapping[str, Tensor], share: float
) -> None:
    """Set the weights of a share; the table of the card names the best evaluation as the saved checkpoint at 1 alone."""
    set_weights(model, start, trained, share)
    if share != 1:
        model.model_card_data.best_model_step = None


def choose_share(points: Sequence[SharePoint], shares: Sequence[float]) -> float:
    """Return the share to release.

    Among ``shares``, those remain that keep held-out retrieval: the interval of their difference to the best of them
    contains 0. Of these, the one with the highest accuracy on other pairs is chosen or, without other pairs, with the highest
    effective rank, which falls when the space collapses. Ties go to the smaller share, which is closer to the start.
    """
    kept = [each for each in points if each.keeps and each.share in shares]
    best = max(kept, key=lambda each: (each.effective_rank if each.others is None else each.others, -each.share))
    return best.share


def curve_points(found: Mapping[float, _Found], shares: Sequence[float]) -> list[SharePoint]:
    """Return the figures at each share, with intervals of the difference in accuracy to the best of ``shares``.

    Intervals are those of :func:`otembed.compare`: the paired bootstrap over the examples of each pair, and the mean over
    pairs.
    """
    reports = [each.report for each in found.values()]
    per_pair = []
    for pair in [scores.pair for scores in reports[0].scores]:
        outcomes = [next(each for each in one.outcomes if each.key[1:] == (pair, "accuracy")) for one in reports]
        per_pair.append(resampled_figures(outcomes))
    resampled = np.mean(per_pair, axis=0)
    accuracies = [report.accuracy for report in reports]
    best = max((index for index, share in enumerate(found) if share in shares), key=accuracies.__getitem__)
    points = []
    for index, (share, each) in enumerate(found.items()):
        low, high = interval(differences(resampled[index], resampled[best]), CONFIDENCE)
        geometry = {name: _mean_of(each.evaluation, name) for name in ("mean_cosine", "effective_rank")}
        points.append(
            SharePoint(
                share=share,
                accuracy=accuracies[index],
                low=low,
                high=high,
                keeps=high >= 0,
                others=None if each.others is None else each.others.accuracy,
                **geometry,
            )
        )
    return points


def _mean_of(evaluation: Evaluation, figure: str) -> float:
    """Return the mean of a figure over language pairs."""
    return float(
        np.mean(
            [value for each in evaluation.metrics for name, value in each.items() if name.endswith(f"_{figure}")]
        )
    )
