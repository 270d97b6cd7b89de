"""Links of documents against gold links: strict and lax precision, recall and F1, as published aligners are scored."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from otembed.errors import DataError
from otembed.results.outcomes import Outcomes, digest_of
from otembed.tasks.documents.report import DocumentScores

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from otembed.tasks.documents.gold import GoldLink


def link_scores(links: Iterable[GoldLink], gold: Iterable[GoldLink], *, name: str = "gold") -> DocumentScores:
    r"""Count links of one pair of documents against gold.

    Strict: a link is correct if it is a gold link. Lax: if one of its source sentences and one of its target sentences
    are in the same gold link; for recall, the same with both sides exchanged. Sentences without a translation,
    links with one empty side, count in precision, where they are correct if gold has the same, and not in recall [1]_.

    Parameters
    ----------
    links, gold
        Numbers of source sentences and of target sentences of each link.
    name
        Name of the documents.

    Raises
    ------
    DataError
        Gold has no link with both sides.

    References
    ----------
    .. [1] B. Thompson, P. Koehn, "Vecalign: Improved Sentence Alignment in Linear Time and Space", EMNLP 2019, and the
       scorer published with it, after R. Sennrich, M. Volk, "Iterative, MT-based Sentence Alignment of Parallel
       Texts", NODALIDA 2011.

    Examples
    --------
    Of three predicted links, one is a gold link, one shares sentences with one, and one gold sentence has no translation.

    >>> gold = [((0,), (0,)), ((1, 2), (1,)), ((), (2,)), ((3,), (3,))]
    >>> found = link_scores([((0,), (0,)), ((1,), (1,)), ((), (2,))], gold)
    >>> round(found.precision, 3), round(found.lax_precision, 3), round(found.recall, 3), round(found.lax_recall, 3)
    (0.667, 1.0, 0.333, 0.667)
    """
    made, truth = (_distinct(each) for each in (links, gold))
    pairs, true_pairs = ({link for link in each if link[0] and link[1]} for each in (made, truth))
    if not true_pairs:
        raise DataError(f"{name}: gold has no link with both sides", "Pass the gold links of these documents.")
    return DocumentScores(
        name=name,
        links=len(made),
        pairs=len(pairs),
        gold=len(true_pairs),
        correct=len(made & truth),
        correct_pairs=len(pairs & true_pairs),
        lax_correct=len(made & truth) + _touching(pairs - truth, truth),
        lax_found=len(pairs & true_pairs) + _touching(true_pairs - pairs, pairs),
    )


def _distinct(links: Iterable[GoldLink]) -> set[GoldLink]:
    found = ((tuple(source), tuple(target)) for source, target in links)
    return {link for link in found if link[0] or link[1]}


def _touching(links: set[GoldLink], others: set[GoldLink]) -> int:
    """Count the links that share a sentence on both sides with one of the others."""
    partners: defaultdict[int, set[int]] = defaultdict(set)
    for source, target in others:
        for sentence in source:
            partners[sentence] |= set(target)
    return sum(any(partners[each] & set(target) for each in source) for source, target in links)


def link_outcomes(
    links: Sequence[GoldLink], gold: Sequence[GoldLink], texts: Sequence[str], sentences: int, *, name: str
) -> tuple[Outcomes, ...]:
    """Return the contribution of each source sentence to the F1 of links with both sides.

    A link belongs to its first source sentence. The value of a sentence is twice its number of correct links, its
    weight the number of its predicted and gold links.

    Parameters
    ----------
    links, gold, name
        As for :func:`link_scores`.
    texts
        Sentences of both sides, which identify the documents when two models are compared.
    sentences
        Number of lines of the source.
    """
    made, truth = ({link for link in _distinct(each) if link[0] and link[1]} for each in (links, gold))
    lines = max([sentences, *(link[0][0] + 1 for link in made | truth)])
    values, weights = [0] * lines, [0] * lines
    for link in made:
        values[link[0][0]] += 2 * (link in truth)
        weights[link[0][0]] += 1
    for link in truth:
        weights[link[0][0]] += 1
    examples = digest_of([*texts, *(repr(link) for link in sorted(truth))])
    return (Outcomes("documents", name, "link_f1", examples, tuple(values), tuple(weights)),)
