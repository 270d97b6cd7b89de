"""Draw the picture of the start page: the transport plan of a sentence pair under the offline encoder.

``python website/plan_picture.py`` writes ``docs/images/plan.svg``.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import otembed
from otembed.results import write_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentence_transformers import SentenceTransformer

    from otembed.words import SentenceAlignment

PLACE = Path(__file__).parent.parent / "docs" / "images" / "plan.svg"
SENTENCES = (
    "Yesterday the black cat slept in my new chair",
    "Gestern schlief die schwarze Katze in meinem neuen Stuhl",
)
WIDTH, HEIGHT, MARGIN, TOP, BOTTOM = 720, 226, 20, 46, 194
# Weaker cells would be thinner than half a pixel.
LEAST = 0.05
STYLE = """
.card { fill: #fff; stroke: #ddd; } text { fill: #222; font: 20px system-ui, sans-serif; text-anchor: middle; }
path { fill: none; stroke: #9aa; } path.link { stroke: #3f51b5; }
@media (prefers-color-scheme: dark) {
.card { fill: #1e2129; stroke: #444; } text { fill: #e6e6e6; } path { stroke: #778; } path.link { stroke: #8c9eff; } }
"""


def plan(model: SentenceTransformer) -> SentenceAlignment:
    """Return the plan of the two sentences as links and link probabilities."""
    (found,) = otembed.align([SENTENCES[0]], [SENTENCES[1]], model=model)
    return found


def svg(alignment: SentenceAlignment) -> str:
    """Return the picture: words in two rows, and a band for every cell, as wide as its link is probable."""
    upper, lower = _centers(alignment.source_words), _centers(alignment.target_words)
    links = {(link.source, link.target) for link in alignment.links}
    bands = []
    for (row, column), probability in sorted(_cells(alignment), key=lambda cell: cell[1]):
        x, y, middle = upper[row], lower[column], (TOP + BOTTOM) / 2
        words = f"{alignment.source_words[row]} – {alignment.target_words[column]}: {probability:.2f}"
        bands.append(
            f"<path{' class=' + chr(34) + 'link' + chr(34) if (row, column) in links else ''}"
            f' stroke-width="{12 * probability:.1f}" stroke-opacity="{0.35 + 0.5 * probability:.2f}"'
            f' d="M{x:.0f} {TOP + 10}C{x:.0f} {middle:.0f} {y:.0f} {middle:.0f} {y:.0f} {BOTTOM - 20}">'
            f"<title>{escape(words)}</title></path>"
        )
    texts = [
        f'<text x="{center:.0f}" y="{height}">{escape(word)}</text>'
        for words, centers, height in (
            (alignment.source_words, upper, TOP),
            (alignment.target_words, lower, BOTTOM),
        )
        for word, center in zip(words, centers, strict=True)
    ]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        "<title>Transport plan between the words of an English and a German sentence</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="card" x=".5" y=".5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="12"/>',
        *bands,
        *texts,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _cells(alignment: SentenceAlignment) -> list[tuple[tuple[int, int], float]]:
    rows, columns = alignment.probabilities.shape
    cells = [
        ((row, column), float(alignment.probabilities[row, column]))
        for row in range(rows)
        for column in range(columns)
    ]
    return [cell for cell in cells if cell[1] >= LEAST]


def _centers(words: Sequence[str]) -> list[float]:
    """Return the horizontal centers of words: each gets space by its length."""
    sizes = [len(word) + 2 for word in words]
    unit = (WIDTH - 2 * MARGIN) / sum(sizes)
    return [MARGIN + unit * (sum(sizes[:place]) + size / 2) for place, size in enumerate(sizes)]


def main() -> None:
    """Write the picture."""
    write_text(PLACE, svg(plan(otembed.load_model("offline:multilingual-e5-small"))))
    print(PLACE)


if __name__ == "__main__":
    main()
