"""From the trained weights to the released model: interpolation, centering, and the evaluation of the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otembed.training.centering import center_release
from otembed.training.held_out import NO_STEP, HeldOutEvaluator
from otembed.training.interpolation import interpolate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sentence_transformers import SentenceTransformer
    from torch import Tensor

    from otembed.config.train import ReleaseConfig
    from otembed.tasks.retrieval.report import RetrievalReport
    from otembed.training.curve import InterpolationCurve
    from otembed.training.held_out import Evaluation
    from otembed.training.preparation import Material


@dataclass(frozen=True)
class Released:
    """What is reported of the released model; see :class:`otembed.training.result.TrainResult`.

    ``evaluation`` is the one that ``after`` reports.
    """

    after: RetrievalReport | None
    interpolation: InterpolationCurve | None
    mean_lengths: dict[str, float] | None
    evaluation: Evaluation | None


def prepare_release(
    model: SentenceTransformer,
    start: Mapping[str, Tensor],
    config: ReleaseConfig,
    material: Material,
    evaluator: HeldOutEvaluator | None,
    step: int | None,
    name: str,
) -> Released:
    """Turn the trained model into the released one, in place, and put its figures into its card.

    Everything here follows from the trained weights, so a run that is killed in this phase repeats it to the same bytes.

    Parameters
    ----------
    model
        The trained model with the weights of ``step``, None for a mean of several steps.
    start
        The trained parameters as they were before training; empty if they are not needed.
    config, material
        The settings, and the text of the run.
    evaluator
        The evaluator of the run; None without held-out pairs.
    name
        The model's name in the report.
    """
    curve, found = None, None
    if start:
        others = HeldOutEvaluator(material.others) if material.others else None
        curve, found = interpolate(model, start, config, evaluator, others, step)
    if evaluator is not None:
        found = found or evaluator.known(step) or evaluator.evaluate(model, steps=NO_STEP if step is None else step)
    means = None
    if config.center != "none":
        means, found = center_release(model, config, material, evaluator, found)
    after = None if evaluator is None or found is None else evaluator.release(model, found, name)
    return Released(after, curve, None if means is None else means.lengths(), found)
