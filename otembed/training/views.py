"""What the report of a run shows of its models: the shape of the embedding space, and word links of held-out sentences."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal, Self

from otembed.errors import DataError, OtembedError
from otembed.results import Result
from otembed.training.result import WordFigures

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sentence_transformers import SentenceTransformer

    from otembed.training.held_out import Evaluation
    from otembed.training.preparation import Sentences

MOST_PAIRS, ALIGNED, SHOWN = 3, 50, 2
"""Language pairs with word links, sentences of each that are aligned, and those that are shown."""
RETRIEVED = 100
"""Sentences of these pairs whose words are retrieved."""


@dataclass(frozen=True)
class ModelView:
    """One model.

    ``metrics`` are those of the evaluation on held-out pairs, under the names of the training log. ``links`` maps a language
    pair to its examples, as :class:`otembed.words.examples.LinkedExample`; where there are none, ``reason`` says why.
    ``words`` are the figures of :func:`otembed.tasks.word_alignment.text_word_retrieval` on the last layer by language pair.
    """

    metrics: dict[str, float]
    links: dict[str, list[dict[str, Any]]]
    reason: str | None = None
    words: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Views(Result):
    """The starting and the released model; None without held-out pairs, or before the model exists."""

    before: ModelView | None = None
    after: ModelView | None = None

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Build both views."""
        views = {name: document.get(name) and ModelView(**document[name]) for name in ("before", "after")}
        return super().from_dict({**document, **views})

    def word_figures(self) -> WordFigures | None:
        """Return retrieval of words before and after, in the mean of language pairs; None if it was not measured."""
        if self.before is None or self.after is None:
            return None
        pairs = [pair for pair, each in self.before.words.items() if each["links"] and pair in self.after.words]
        if not pairs:
            return None
        before, after = (
            fmean(one.words[pair]["figures"]["centered_accuracy"] for pair in pairs)
            for one in (self.before, self.after)
        )
        return WordFigures(tuple(pairs), sum(self.before.words[pair]["links"] for pair in pairs), before, after)

    @classmethod
    def known(cls, path: Path) -> Self:
        """Return the stored views; empty ones if there is no readable file, so that a run never depends on it."""
        try:
            return cls.read(path)
        except DataError:
            return cls()


def add_view(
    path: Path,
    name: Literal["before", "after"],
    model: SentenceTransformer,
    held_out: Mapping[str, Sentences],
    evaluation: Evaluation,
    layer: int | None = None,
) -> None:
    """Store the view of a model beside the one that is there.

    Parameters
    ----------
    path
        ``views.json``.
    name
        Which of the two models it is.
    model, layer
        The model, and its layer for word alignment if it was chosen.
    held_out
        Sentences by language pair; the first three pairs have word links.
    evaluation
        The model's evaluation on them.
    """
    views = Views.known(path)
    metrics = {key: value for each in evaluation.metrics for key, value in each.items()}
    earlier = {} if views.before is None or name == "before" else views.before.links
    links, reason = _links(model, held_out, earlier, layer)
    words = _words(model, held_out)
    replace(views, **{name: ModelView(metrics, links, reason, words)}).to_json(path)


def _words(model: SentenceTransformer, held_out: Mapping[str, Sentences]) -> dict[str, dict[str, Any]]:
    """Return retrieval of the words that the text links; empty for a model without hidden layers."""
    from otembed.tasks.word_alignment import text_word_retrieval

    pairs = {
        pair: (source[:RETRIEVED], target[:RETRIEVED])
        for pair, (source, target) in list(held_out.items())[:MOST_PAIRS]
    }
    try:
        return {each.name: each.to_dict() for each in text_word_retrieval(model, pairs)}
    except OtembedError:
        return {}


def _links(
    model: SentenceTransformer,
    held_out: Mapping[str, Sentences],
    earlier: Mapping[str, list[dict[str, Any]]],
    layer: int | None,
) -> tuple[dict[str, list[dict[str, Any]]], str | None]:
    """Return word links of the same sentences as ``earlier``, and why there are none."""
    from otembed.words.examples import FEWEST_WORDS, MOST_WORDS, linked_examples

    found: dict[str, list[dict[str, Any]]] = {}
    for pair, (source, target) in list(held_out.items())[:MOST_PAIRS]:
        try:
            examples = linked_examples(
                model,
                source[:ALIGNED],
                target[:ALIGNED],
                count=SHOWN,
                rows=[each["row"] for each in earlier[pair]] if pair in earlier else None,
                layer="auto" if layer is None else layer,
            )
        except OtembedError as error:
            return {}, error.message
        if examples:
            found[pair] = [vars(each) for each in examples]
    if found:
        return found, None
    return (
        {},
        f"none of the first {ALIGNED} held-out sentences has {FEWEST_WORDS} to {MOST_WORDS} words on both sides",
    )
