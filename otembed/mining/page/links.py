"""Texts of the pairs that a page shows, with their word links."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otembed.errors import OtembedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentence_transformers import SentenceTransformer

    from otembed.mining.output import MinedPair

MOST_CHARACTERS = 300
NO_MODEL = "the vectors were given, so there is no model to link words with"
NO_TEXT = "there are no texts"


def shown_pairs(
    pairs: Sequence[MinedPair], encoder: SentenceTransformer | None
) -> tuple[list[dict[str, Any]], str | None]:
    """Return pairs as plain values: scores, ids, texts of up to 300 characters, words and links; and why there are no links."""
    shown = [
        {**pair._asdict(), "source": shortened(pair.source), "target": shortened(pair.target)} for pair in pairs
    ]
    texts = [
        (place, each["source"], each["target"])
        for place, each in enumerate(shown)
        if each["source"] and each["target"]
    ]
    if not texts or encoder is None:
        return shown, NO_TEXT if not texts else NO_MODEL
    from otembed.words import WordAligner

    try:
        aligned = list(WordAligner(encoder).align((source, target) for _, source, target in texts))
    except OtembedError as error:
        return shown, error.message
    for (place, *_), each in zip(texts, aligned, strict=True):
        shown[place] |= {
            "words": [list(each.source_words), list(each.target_words)],
            "links": [[link.source, link.target] for link in each.links],
        }
    return shown, None


def shortened(text: str) -> str:
    """Return the start of a long text, cut at a space if there is one near the end.

    >>> shortened("a" * 301) == "a" * 300 + " …"
    True
    """
    if len(text) <= MOST_CHARACTERS:
        return text
    start = text[:MOST_CHARACTERS]
    head, _, rest = start.rpartition(" ")
    return f"{head if head and len(rest) < 40 else start} …"
