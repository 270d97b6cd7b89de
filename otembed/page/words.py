"""Word links of a sentence pair: a heat map of all probabilities, or the linked words numbered in the texts."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WORD_DARKEST = 0.85
"""Opacity of a certain link."""
HUES = 6


def word_figure(
    heading: str,
    source: Sequence[str],
    target: Sequence[str],
    probabilities: Sequence[Sequence[float]],
    links: Iterable[Sequence[int]],
) -> str:
    """Return one sentence pair by one model: source words in rows, target words in columns, links framed.

    Parameters
    ----------
    heading
        HTML.
    source, target
        Words.
    probabilities
        (source words, target words) probabilities of the links.
    links
        (source, target) indices of the predicted links.
    """
    linked = {tuple(each) for each in links}

    def cell(row: int, column: int, probability: float) -> str:
        framed = ' class="link"' if (row, column) in linked else ""
        says = f"{probability:.2f}{', linked' if framed else ''}"
        return (
            f'<td{framed} title="{says}" style="background:rgb(var(--heat) / {WORD_DARKEST * probability:.3f})">'
            f'<span class="hidden">{says}</span></td>'
        )

    head = "".join(f'<th scope=col><span dir="auto">{escape(word)}</span></th>' for word in target)
    body = "".join(
        f'<tr><th scope=row dir="auto">{escape(word)}</th>'
        f"{''.join(cell(row, column, each) for column, each in enumerate(probabilities[row]))}</tr>"
        for row, word in enumerate(source)
    )
    return (
        f"<figure><h4>{heading}</h4><div class=scroll><table class=words><thead><tr><td></td>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div></figure>"
    )


def linked_texts(
    texts: tuple[str, str], words: tuple[Sequence[str], Sequence[str]], links: Iterable[Sequence[int]]
) -> tuple[str, str]:
    """Return both texts as HTML, with linked words numbered: words with the same number are linked.

    Words that are linked directly or through each other have one number. A side whose words are not in its text, in
    their order, stays plain text.

    >>> linked_texts(("a cat", "Katze"), (("a", "cat"), ("Katze",)), [(1, 0)])
    ('a <b class="w0">cat<sub>1</sub></b>', '<b class="w0">Katze<sub>1</sub></b>')
    """
    numbers = _groups(links)
    return _numbered(texts[0], words[0], numbers[0]), _numbered(texts[1], words[1], numbers[1])


def _groups(links: Iterable[Sequence[int]]) -> tuple[dict[int, int], dict[int, int]]:
    """Return the number of the group of each linked word of both sides, from 1, in the order of the source."""
    above: dict[tuple[int, int], tuple[int, int]] = {}

    def root(node: tuple[int, int]) -> tuple[int, int]:
        while above.setdefault(node, node) != node:
            node = above[node]
        return node

    for source, target in links:
        first, second = sorted((root((0, source)), root((1, target))))
        above[second] = first
    order = {top: number for number, top in enumerate(sorted({root(node) for node in above}), 1)}
    found: tuple[dict[int, int], dict[int, int]] = {}, {}
    for side, word in above:
        found[side][word] = order[root((side, word))]
    return found


def _numbered(text: str, words: Sequence[str], numbers: dict[int, int]) -> str:
    parts: list[str] = []
    end = 0
    for index, word in enumerate(words):
        start = text.find(word, end)
        if start < 0:
            return escape(text)
        shown = escape(word)
        if number := numbers.get(index):
            shown = f'<b class="w{(number - 1) % HUES}">{shown}<sub>{number}</sub></b>'
        parts += [escape(text[end:start]), shown]
        end = start + len(word)
    return "".join([*parts, escape(text[end:])])
