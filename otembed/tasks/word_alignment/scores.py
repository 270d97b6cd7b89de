"""Predicted against gold links: counts over a corpus, precision, recall, F1 and alignment error rate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from otembed.errors import DataError
from otembed.results import Result
from otembed.results.outcomes import Outcomes, digest_of
from otembed.tasks.word_alignment.gold import GoldSentence


@dataclass(frozen=True)
class AlignmentScores(Result):
    """Predicted links of one set against gold links, counted over the whole corpus.

    Parameters
    ----------
    name
        Name of the set.
    sentences
        Sentence pairs.
    links, sure, possible
        Number of predicted links, of sure gold links, and of possible gold links, which include the sure ones.
    correct_sure, correct_possible
        Number of predicted links that are sure, and that are possible.
    """

    name: str
    sentences: int
    links: int
    sure: int
    possible: int
    correct_sure: int
    correct_possible: int

    @property
    def precision(self) -> float:
        """Share of the predicted links that are possible; 0 without predicted links."""
        return self.correct_possible / self.links if self.links else 0.0

    @property
    def recall(self) -> float:
        """Share of the sure links that were predicted; 0 without sure links."""
        return self.correct_sure / self.sure if self.sure else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0

    @property
    def aer(self) -> float:
        r"""Alignment error rate :math:`1 - (|A \cap S| + |A \cap P|) / (|A| + |S|)`; lower is better."""
        total = self.links + self.sure
        return 1.0 - (self.correct_sure + self.correct_possible) / total if total else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, including the four figures."""
        figures = {name: getattr(self, name) for name in ("precision", "recall", "f1", "aer")}
        return {**super().to_dict(), "figures": figures}


@dataclass(frozen=True)
class WordRetrievalScores(Result):
    """Contextual word retrieval of one set: top-1 accuracy of sure one-to-one links among all words of the set.

    Parameters
    ----------
    name
        Name of the set.
    links
        Sure links whose two words have no other sure link.
    source_words, target_words
        Number of words of each side that the encoder saw: the candidates.
    source_to_target, target_to_source
        Share of links for which the word of one side finds that of the other.
    centered_source_to_target, centered_target_to_source
        The same after subtracting each side's mean word vector.
    """

    name: str
    links: int
    source_words: int
    target_words: int
    source_to_target: float
    target_to_source: float
    centered_source_to_target: float
    centered_target_to_source: float

    @property
    def accuracy(self) -> float:
        """Mean of both directions."""
        return (self.source_to_target + self.target_to_source) / 2

    @property
    def centered_accuracy(self) -> float:
        """Mean of both directions, centered."""
        return (self.centered_source_to_target + self.centered_target_to_source) / 2

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, including the means of both directions."""
        figures = {name: getattr(self, name) for name in ("accuracy", "centered_accuracy")}
        return {**super().to_dict(), "figures": figures}


def alignment_scores(
    links: Iterable[Iterable[tuple[int, int]]], gold: Sequence[GoldSentence], *, name: str = "gold"
) -> AlignmentScores:
    """Count links of every sentence against gold.

    Parameters
    ----------
    links
        (source, target) word indices of each sentence pair, from 0.
    gold
        Gold links of the same number of sentence pairs.

    Raises
    ------
    DataError
        The numbers of sentence pairs differ, or there are none.

    References
    ----------
    Och and Ney, A systematic comparison of various statistical alignment models, Computational Linguistics 2003.

    Examples
    --------
    Two predicted links, one sure and both possible, and two sure gold links: 1 - (1 + 2) / (2 + 2).

    >>> gold = [GoldSentence(frozenset({(0, 0), (2, 2)}), frozenset({(0, 0), (1, 1), (2, 2)}))]
    >>> alignment_scores([[(0, 0), (1, 1)]], gold).aer
    0.25
    """
    made = [set(each) for each in links]
    if not gold or len(made) != len(gold):
        raise DataError(
            f"{name}: {len(made)} sentence pairs with links, {len(gold)} with gold links",
            "Pass one entry per sentence pair.",
        )
    return AlignmentScores(
        name=name,
        sentences=len(gold),
        links=sum(map(len, made)),
        sure=sum(len(each.sure) for each in gold),
        possible=sum(len(each.possible) for each in gold),
        correct_sure=sum(len(found & each.sure) for found, each in zip(made, gold, strict=True)),
        correct_possible=sum(len(found & each.possible) for found, each in zip(made, gold, strict=True)),
    )


def alignment_outcomes(
    links: Iterable[Iterable[tuple[int, int]]],
    sentences: Iterable[tuple[Sequence[str], Sequence[str]]],
    gold: Sequence[GoldSentence],
    *,
    name: str = "gold",
) -> tuple[Outcomes, ...]:
    """Return the contribution of each sentence pair to the alignment error rate.

    With predicted links A, sure links S and possible links P, the value of a pair is
    ``|A| + |S| - |A & S| - |A & P|`` and its weight ``|A| + |S|``. Empty if the whole set has neither predicted nor
    sure links.

    Parameters
    ----------
    links, gold, name
        As for :func:`alignment_scores`.
    sentences
        Words of both sides; with the gold links they identify the set when two models are compared.
    """
    values, weights = [], []
    for each, truth in zip(links, gold, strict=True):
        made = set(each)
        weights.append(len(made) + len(truth.sure))
        values.append(weights[-1] - len(made & truth.sure) - len(made & truth.possible))
    if not any(weights):
        return ()
    examples = gold_digest(sentences, gold)
    return (Outcomes("alignment", name, "aer", examples, tuple(values), tuple(weights), higher_is_better=False),)


def gold_digest(sentences: Iterable[tuple[Sequence[str], Sequence[str]]], gold: Sequence[GoldSentence]) -> str:
    """Return a hash of the words and the gold links of a set."""
    texts = [repr((list(source), list(target))) for source, target in sentences]
    truths = [repr((sorted(each.sure), sorted(each.possible))) for each in gold]
    return digest_of([*texts, *truths])
