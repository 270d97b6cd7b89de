"""The result of an evaluation of part-of-speech tagging, and its tables; torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import Any, Self

from otembed.results import Outcomes, Result, Table
from otembed.results.format import percent
from otembed.tasks.report import STAND_IN, Report

BEST = " (best in development)"


@dataclass(frozen=True)
class TaggingScore(Result):
    """Tagging of one language by the probe of one layer, or by a fine-tuned model (``layer`` None).

    ``accuracy`` is the share of correct words, ``macro_f1`` the plain mean of F1 over the tags that occur,
    ``majority`` the share of the most frequent tag, and ``missing`` the number of words without a prediction, which
    are errors. ``tags`` has number of words, number of predictions, precision, recall and F1 of each tag.
    """

    language: str
    layer: int | None
    sentences: int
    words: int
    accuracy: float
    macro_f1: float
    majority: float
    missing: int
    tags: dict[str, dict[str, float]]


@dataclass(frozen=True)
class LayerScore(Result):
    """The probe of a layer: accuracy on the development sentences, selected penalty, and whether the solver converged."""

    layer: int
    dev_accuracy: float
    strength: float
    converged: bool


@dataclass(frozen=True)
class TaggingReport(Report):
    """Zero-shot tagging of one model: a tagger trained in one language, tested in each language.

    Parameters
    ----------
    model
        Name of the model.
    protocol
        ``probe`` or ``finetune``.
    layer
        Layer of the probe: the one given, or the best on the development sentences; None for fine-tuning.
    scores
        One entry per language and layer, in the order of the languages.
    layers
        The probe of each layer that was fitted.
    dev_accuracy
        Accuracy on the development sentences, of ``layer`` or of the fine-tuned model.
    training
        Language, source, number of sentences and words, the same of the development sentences, and ``xtreme``:
        whether they are XTREME's English training part.
    data
        Language to the file of its test sentences.
    settings
        All settings of the protocol, and what training reports.
    seconds
        Wall time.
    outcomes
        Number of correct words (values) and of words (weights) of each sentence, by language and layer.
    """

    model: str
    protocol: str
    layer: int | None
    scores: tuple[TaggingScore, ...]
    layers: tuple[LayerScore, ...]
    dev_accuracy: float
    training: dict[str, Any]
    data: dict[str, str]
    settings: dict[str, Any]
    seconds: float
    outcomes: tuple[Outcomes, ...] = ()

    @property
    def label(self) -> str:
        """``stand-in`` if the training sentences are not XTREME's; published figures are not comparable then."""
        return "" if self.training.get("xtreme") else STAND_IN

    @property
    def train_language(self) -> str:
        """Language of the training sentences."""
        return str(self.training["language"])

    @property
    def tested_layers(self) -> tuple[int | None, ...]:
        """The layers with scores, in ascending order."""
        return tuple(dict.fromkeys(each.layer for each in self.scores))

    def of_layer(self, layer: int | None) -> tuple[TaggingScore, ...]:
        """Return the scores of one layer, one per language."""
        return tuple(each for each in self.scores if each.layer == layer)

    def mean(self, metric: str = "accuracy", *, layer: int | None = None, zero_shot: bool = True) -> float | None:
        """Return the plain mean of ``accuracy`` or ``macro_f1`` over languages.

        Parameters
        ----------
        metric
            Name of the figure.
        layer
            Layer; None for :attr:`layer`.
        zero_shot
            Leave out the language of the training sentences; None if no other language is tested.
        """
        values = [
            float(getattr(each, metric))
            for each in self.of_layer(self.layer if layer is None else layer)
            if not (zero_shot and each.language == self.train_language)
        ]
        return fmean(values) if values else None

    @property
    def accuracy(self) -> float:
        """Plain mean over all languages tested, of :attr:`layer`."""
        return fmean(each.accuracy for each in self.of_layer(self.layer))

    @property
    def zero_shot_accuracy(self) -> float | None:
        """Plain mean over the languages other than that of the training sentences; None without any."""
        return self.mean()

    @property
    def zero_shot_macro_f1(self) -> float | None:
        """The same of macro F1."""
        return self.mean("macro_f1")

    def table(self) -> Table:
        """Return the scores by language, of :attr:`layer`, and their means."""
        rows = [
            [
                one.language + (" (training language)" if one.language == self.train_language else ""),
                f"{one.sentences:,}",
                f"{one.words:,}",
                percent(one.accuracy),
                percent(one.macro_f1),
                percent(one.majority),
                f"{one.missing:,}",
            ]
            for one in self.of_layer(self.layer)
        ]
        others = [one for one in self.of_layer(self.layer) if one.language != self.train_language]
        if len(others) > 1:
            sums = (f"{sum(getattr(one, name) for one in others):,}" for name in ("sentences", "words"))
            means = (percent(fmean(getattr(one, name) for one in others)) for name in ("accuracy", "macro_f1"))
            rows.append(["mean, zero-shot", *sums, *means, "", f"{sum(one.missing for one in others):,}"])
        dev = self.training
        rows.append(
            [
                "development",
                f"{dev['dev_sentences']:,}",
                f"{dev['dev_words']:,}",
                percent(self.dev_accuracy),
                *[""] * 3,
            ]
        )
        label = f", {self.label}" if self.label else ""
        where = "" if self.layer is None else f", layer {self.layer}"
        return Table(
            ("language", "sentences", "words", f"accuracy{label}", "macro F1", "majority", "missing"),
            rows,
            title=f"{self.model}: {self.protocol}{where}{label}",
            notes=self._notes(),
        )

    def layer_table(self) -> Table:
        """Return the accuracy of every layer with scores, by language."""
        languages = [one.language for one in self.of_layer(self.layer)]
        dev = {one.layer: one.dev_accuracy for one in self.layers}
        rows = []
        for layer in self.tested_layers:
            if layer is None:
                continue
            mean = self.mean(layer=layer)
            rows.append(
                [
                    str(layer),
                    *(percent(one.accuracy) for one in self.of_layer(layer)),
                    "" if mean is None else percent(mean),
                    percent(dev[layer]) + (BEST if layer == self.layer else ""),
                ]
            )
        label = f", {self.label}" if self.label else ""
        return Table(
            ("layer", *languages, "mean, zero-shot", "development"),
            rows,
            title=f"Accuracy by layer{label}",
            align="r" * (len(languages) + 2) + "l",
        )

    def tables(self) -> tuple[Table, ...]:
        """Return :meth:`table`, and with several layers :meth:`layer_table`."""
        return (self.table(), self.layer_table()) if len(self.tested_layers) > 1 else (self.table(),)

    def _notes(self) -> list[str]:
        notes = [
            "Percent; macro F1: mean over the tags that occur; majority: accuracy of always predicting the most"
            " frequent tag; missing: words without a prediction, counted as errors."
        ]
        if self.layer is not None and len(self.layers) > 1:
            notes.append(f"Layer {self.layer} has the highest accuracy on the development sentences.")
        one = self.training
        notes.append(f"Trained on {one['sentences']:,} sentences ({one['words']:,} words) of {one['source']}.")
        if self.label:
            notes.append(
                "The training sentences are a stand-in for XTREME's: not comparable with published figures."
            )
        return notes

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, including the label and the means."""
        means = {
            "accuracy": self.accuracy,
            "zero_shot_accuracy": self.zero_shot_accuracy,
            "zero_shot_macro_f1": self.zero_shot_macro_f1,
            "by_layer": [
                {
                    "layer": layer,
                    "zero_shot_accuracy": self.mean(layer=layer),
                    "zero_shot_macro_f1": self.mean("macro_f1", layer=layer),
                }
                for layer in self.tested_layers
            ],
        }
        return {
            **super().to_dict(),
            "scores": [each.to_dict() for each in self.scores],
            "layers": [each.to_dict() for each in self.layers],
            "label": self.label,
            "means": means,
        }

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Build the report from the output of :meth:`to_dict`; label and means are recomputed."""
        changed = {
            "scores": tuple(TaggingScore.from_dict(each) for each in document.get("scores", ())),
            "layers": tuple(LayerScore.from_dict(each) for each in document.get("layers", ())),
        }
        return super().from_dict({**document, **changed})
