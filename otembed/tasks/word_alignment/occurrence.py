"""Links that parallel text itself gives: words that occur in exactly the same sentence pairs; and retrieval of these words."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING
from unicodedata import category

from otembed.tasks.word_alignment.gold import GoldSentence
from otembed.tasks.word_alignment.word_retrieval import score_word_retrieval
from otembed.words.segment import WordSplitter
from otembed.words.vectors import WordEncoder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sentence_transformers import SentenceTransformer

    from otembed.tasks.word_alignment.scores import WordRetrievalScores

    Places = dict[tuple[int, ...], list[int]]


def occurrence_links(source: Sequence[Sequence[str]], target: Sequence[Sequence[str]]) -> list[GoldSentence]:
    """Return sure links between words that occur in the same sentence pairs and in no other.

    A word of the source and one of the target are linked if they occur in the same pairs, at least two, once in each, and
    no other word of either side occurs in exactly these. Case and punctuation around a word are ignored. No model takes
    part, so the links favor none.

    Parameters
    ----------
    source, target
        Parallel sentences as lists of words.

    Examples
    --------
    "slept" and "alilala" are alone in the last two pairs. "the" and "cat" are in the same pairs, so neither is linked.

    >>> source = [["the", "cat", "sat"], ["The", "cat", "slept"], ["A", "dog", "slept."]]
    >>> target = [["paka", "alikaa"], ["paka", "alilala"], ["mbwa", "alilala"]]
    >>> [sorted(each.sure) for each in occurrence_links(source, target)]
    [[], [(2, 1)], [(2, 1)]]
    """
    places, others = _places(source), _places(target)
    sure: list[set[tuple[int, int]]] = [set() for _ in source]
    for rows in places.keys() & others.keys():
        for row, word, other in zip(rows, places[rows], others[rows], strict=True):
            sure[row].add((word, other))
    return [GoldSentence(frozenset(each), frozenset(each)) for each in sure]


def text_word_retrieval(
    model: SentenceTransformer, pairs: Mapping[str, tuple[Sequence[str], Sequence[str]]], layer: int = -1
) -> list[WordRetrievalScores]:
    """Score contextual word retrieval on the links that the text gives; see :func:`occurrence_links`.

    Parameters
    ----------
    model
        As for :class:`otembed.words.vectors.WordEncoder`.
    pairs
        Name of the language pair to its source sentences and their translations. Each distinct sentence is encoded once.
    layer
        Layer of the word vectors.

    Raises
    ------
    ModelError
        The model does not expose hidden layers or character offsets.
    """
    splitter, encoder = WordSplitter(model.tokenizer), WordEncoder(model)
    number = encoder.layer(layer)
    texts = {text: splitter(text) for sides in pairs.values() for side in sides for text in side}
    vectors = dict(zip(texts, encoder.encode(list(texts.values()), [number]), strict=True))
    found = []
    for name, sides in pairs.items():
        source, target = ([texts[text].words for text in side] for side in sides)
        gold_set = source, target, occurrence_links(source, target)
        first, second = ([vectors[text] for text in side] for side in sides)
        found.append(score_word_retrieval(gold_set, first, second, number, name=name)[0])
    return found


def _places(sentences: Sequence[Sequence[str]]) -> Places:
    """Return the positions of words by the sentences in which they occur, where a single word occurs in just these."""
    occurrences: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for row, words in enumerate(sentences):
        for place, word in enumerate(words):
            occurrences[_bare(word)].append((row, place))
    occurrences.pop("", None)
    found: defaultdict[tuple[int, ...], list[list[int]]] = defaultdict(list)
    for each in occurrences.values():
        rows, places = zip(*each, strict=True)
        found[rows].append(list(places))
    return {
        rows: words[0]
        for rows, words in found.items()
        if len(words) == 1 and len(rows) > 1 and len(set(rows)) == len(rows)
    }


def _bare(word: str) -> str:
    """Return a word in lower case, without punctuation and symbols around it; marks of vowels belong to it."""
    inside = [place for place, character in enumerate(word) if category(character)[0] not in "PSZ"]
    return word[inside[0] : inside[-1] + 1].casefold() if inside else ""
