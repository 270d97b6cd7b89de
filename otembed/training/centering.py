"""Mean sentence vectors of the training text, subtracted by the released model."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from otembed.embeddings.arrays import unit_vectors
from otembed.embeddings.encode import encode_by_length, resolve_prompt
from otembed.errors import ConfigError
from otembed.models.center import OVERALL, center, check_centerable

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from otembed.config.train import ReleaseConfig
    from otembed.training.held_out import Evaluation, HeldOutEvaluator
    from otembed.training.preparation import Material

    Vector = NDArray[np.float64]

logger = logging.getLogger(__name__)

MOST_SENTENCES = 1000
"""Sentences of a language; the mean of unit vectors then has a standard error of at most 1 / 32 in length."""
FEWEST_SENTENCES = 20


@dataclass(frozen=True)
class Means:
    """Mean unit vectors by language, and their mean ``overall``, in which all languages have the same weight."""

    overall: Vector
    by_language: dict[str, Vector]

    def of(self, language: str) -> Vector:
        """Return the mean that the model subtracts for a language: ``overall`` for one that it does not know."""
        return self.by_language.get(language, self.overall)

    def lengths(self) -> dict[str, float]:
        """Return the length of each mean, 0 for directions that cancel, up to 1 for equal ones."""
        named = {OVERALL: self.overall, **self.by_language}
        return {name: float(np.linalg.norm(each)) for name, each in named.items()}


def check_center(config: ReleaseConfig, model: SentenceTransformer, material: Material) -> None:
    """Reject settings that cannot work, before training starts.

    Raises
    ------
    ConfigError
        The model does not compare vectors by cosine, or a language has too little text for a mean.
    """
    if config.center == "none":
        return
    check_centerable(model)
    for language, sentences in training_sentences(material).items():
        if len(sentences) < FEWEST_SENTENCES:
            raise ConfigError(
                f"release.center = {config.center}: {len(sentences)} training sentences of {language}, too few for a mean",
                f"Add text up to {FEWEST_SENTENCES} sentences, or set release.center to none.",
            )


def training_sentences(material: Material) -> dict[str, list[str]]:
    """Return up to 1,000 different training sentences of each language, evenly spaced in the text of its pairs."""
    found: dict[str, list[str]] = {}
    for pair, languages in material.languages.items():
        rows = material.train[pair]
        for side, language in zip(("source", "target"), languages, strict=True):
            found.setdefault(language, []).extend(rows[_spread(len(rows))][side])
    distinct = {language: list(dict.fromkeys(texts)) for language, texts in sorted(found.items())}
    return {language: [texts[row] for row in _spread(len(texts))] for language, texts in distinct.items()}


def _spread(count: int) -> list[int]:
    """Return up to 1,000 of ``count`` rows, evenly spaced."""
    rows: list[int] = np.linspace(0, count - 1, min(count, MOST_SENTENCES)).round().astype(int).tolist()
    return rows


def measure_means(model: SentenceTransformer, material: Material) -> Means:
    """Return the mean unit vector of each language from training text; held-out text is not part of it."""
    prompt = resolve_prompt(model, None, None)
    truncated, model.truncate_dim = model.truncate_dim, None
    try:
        means = {
            language: encode_by_length(model, sentences, prompt=prompt).mean(axis=0, dtype=np.float64)
            for language, sentences in training_sentences(material).items()
        }
    finally:
        model.truncate_dim = truncated
    return Means(np.mean(list(means.values()), axis=0), means)


def center_release(
    model: SentenceTransformer,
    config: ReleaseConfig,
    material: Material,
    evaluator: HeldOutEvaluator | None,
    found: Evaluation | None,
) -> tuple[Means, Evaluation | None]:
    """Center ``model`` in place, and return the means and its evaluation.

    The evaluation is computed from the vectors of the uncentered model, unless the model keeps only its first dimensions.

    With means by language, the evaluation subtracts from each side the mean of its language, as ``encode(..., task=)``
    does.
    """
    means = measure_means(model, material)
    if config.center == "global":
        means = Means(means.overall, {})
    logger.info("centering: length of the mean vector %.3f", np.linalg.norm(means.overall))
    center(model, means.overall, means.by_language)
    if evaluator is not None and found is not None:
        languages = [language for pair in evaluator.pairs for language in pair.split("-")]
        if model.truncate_dim is None:
            vectors = [
                unit_vectors(each - means.of(language).astype(np.float32), language)
                for each, language in zip(found.vectors, languages, strict=True)
            ]
        else:
            # The lengths after the subtraction depend on the dimensions that are left out.
            vectors = evaluator.encode(model, languages)
        found = evaluator.evaluate(model, steps=found.step, vectors=vectors)
    return means, found
