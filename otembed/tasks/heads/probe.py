"""A linear probe: multinomial logistic regression on frozen vectors, which XNLI and tagging share."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from otembed.errors import NumericsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from otembed.runtime.progress import Progress

    Floats = NDArray[np.float32]
    Labels = NDArray[np.int64]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Probe:
    """A fitted probe and how it was selected.

    ``strength`` is the selected C, ``dev_accuracies`` the development accuracy of each C, and ``converged`` whether
    the solver converged for the selected C within the maximum number of iterations.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    classifier: Any
    strength: float
    dev_accuracies: tuple[float, ...]
    converged: bool

    def predict(self, features: Floats) -> Labels:
        """Return the label of each row."""
        found: Labels = self.classifier.predict(standardized(features, self.mean, self.scale))
        return found


def standardized(features: Floats, mean: NDArray[np.float64], scale: NDArray[np.float64]) -> Floats:
    """Return the features minus ``mean``, divided by ``scale``, as float32."""
    return ((features - mean.astype(np.float32)) / scale.astype(np.float32)).astype(np.float32, copy=False)


def fit_probe(
    features: Floats,
    labels: Labels,
    dev_features: Floats,
    dev_labels: Labels,
    *,
    strengths: Sequence[float],
    max_iter: int,
    progress: Progress,
    what: str = "sentence",
) -> Probe:
    r"""Fit the regression for each strength and select the one with the best development accuracy.

    With each feature standardized by the mean and deviation of the training rows, the loss is

    .. math:: \frac12 \|W\|^2 + C \sum_i -\log \mathrm{softmax}(W x_i + b)_{y_i}.

    Ties go to the smaller C. The probe is not refitted on the development rows.

    Parameters
    ----------
    features, labels
        (n, m) float32 and (n,) training rows of at least two classes. A class that does not occur is never predicted.
    dev_features, dev_labels
        Rows that choose C.
    strengths
        The values of C.
    max_iter
        Maximum number of L-BFGS iterations.
    progress
        Called after each fit.
    what
        What a row is, for messages.

    Raises
    ------
    NumericsError
        A feature is NaN or infinite.
    """
    for name, values in (("training", features), ("development", dev_features)):
        if not np.isfinite(values).all():
            raise NumericsError(
                f"the model returns NaN or infinity for a {name} {what}", "Check the model's weights."
            )
    mean = features.mean(axis=0, dtype=np.float64)
    scale = features.std(axis=0, dtype=np.float64)
    scale[scale == 0] = 1.0
    rows, dev_rows = standardized(features, mean, scale), standardized(dev_features, mean, scale)
    fitted = []
    ordered = sorted(strengths)
    for number, strength in enumerate(ordered, start=1):
        classifier: Any = LogisticRegression(C=strength, max_iter=max_iter)  # type: ignore[no-untyped-call]
        classifier.fit(rows, labels)
        accuracy = float(np.mean(classifier.predict(dev_rows) == dev_labels))
        fitted.append((accuracy, classifier))
        progress("fitting", number, len(ordered))
    accuracies = tuple(accuracy for accuracy, _ in fitted)
    best = int(np.argmax(accuracies))
    classifier = fitted[best][1]
    converged = bool(classifier.n_iter_.max() < max_iter)
    if not converged:
        logger.warning("the probe did not converge in %d iterations", max_iter)
    return Probe(mean, scale, classifier, float(ordered[best]), accuracies, converged)
