"""The page from top to bottom: the answer, the scores, pairs around the threshold, random pairs, what was left out."""

from __future__ import annotations

import json
from dataclasses import asdict
from html import escape
from typing import TYPE_CHECKING, Any

from otembed.mining.page.links import shown_pairs
from otembed.mining.page.scores import SAMPLE, score_view
from otembed.mining.page.script import SCRIPT, STYLE
from otembed.page.document import html_page, plain_table, section
from otembed.page.words import linked_texts
from otembed.results.format import counted, percent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from otembed.mining.output import MinedPair

    Document = dict[str, Any]

COLUMNS = ("precision", "recall")


def page_document(
    scores: NDArray[np.float64],
    threshold: float | None,
    pairs_at: Callable[[Sequence[int]], Sequence[MinedPair]],
    encoder: SentenceTransformer | None,
    **rest: Any,
) -> Document:
    """Return everything that the page shows, as plain values.

    Parameters
    ----------
    scores
        (n,) scores of all pairs, those below the threshold included.
    threshold
        Minimum score of the pairs that are kept; None: all.
    pairs_at
        Returns the pairs with these indices.
    encoder
        The model that links words; None if vectors were given.
    rest
        ``score``, the name of the score; ``facts``, sentences; ``left_out``, tables of counts as header and rows;
        ``calibration`` as a document or None, with ``from`` if other things than known pairs were planted; ``settings``, as :func:`otembed.config.changes.changed_settings`.
    """
    view = score_view(scores, threshold)
    chosen = list(dict.fromkeys([*view.above, *view.below, *(each for band in view.bands for each in band.shown)]))
    place = {index: number for number, index in enumerate(chosen)}
    shown, reason = shown_pairs(pairs_at(chosen), encoder)
    document = {
        "threshold": threshold,
        "kept": len(scores) if threshold is None else int((scores >= threshold).sum()),
        "total": len(scores),
        "histogram": {"edges": view.edges, "counts": view.counts},
        "stops": view.stops,
        "above": [place[each] for each in view.above],
        "below": [place[each] for each in view.below],
        "bands": [{**asdict(band), "shown": [place[each] for each in band.shown]} for band in view.bands],
        "pairs": shown,
        "no_links": reason,
        **rest,
    }
    # Tuples become lists, as in the page.
    plain: Document = json.loads(json.dumps(document))
    return plain


def mining_page(found: Document) -> str:
    """Return the page of a document of :func:`page_document`, embedded as JSON in the element with the id ``mining``."""
    parts = [
        f"<header>{_answer(found)}</header>",
        _scores(found),
        _around(found),
        _bands(found),
        *(
            section(
                heading,
                plain_table(header, rows, numbers=range(1, len(header))),
                name="left-out" if not place else "",
            )
            for place, (heading, header, rows) in enumerate(found["left_out"])
        ),
        _settings(found),
    ]
    return html_page(_heading(found), parts, name="mining", data=found, style=STYLE, script=SCRIPT)


def _heading(found: Document) -> str:
    if found["threshold"] is None:
        return f"{counted(found['kept'], 'pair')}, no threshold"
    return f"{counted(found['kept'], 'pair')} with a {found['score']} of {found['threshold']:g} or above"


def _answer(found: Document) -> str:
    lines = list(found["facts"])
    if found["threshold"] is not None and found["total"]:
        share = percent(found["kept"] / found["total"])
        lines.insert(
            0, f"{share} % of {counted(found['total'], 'pair')} without a threshold; each line is in at most one."
        )
    chosen = found["calibration"]
    if chosen is not None:
        figures = ", ".join(f"{name} {chosen[name]:.3f} ± {chosen[f'{name}_error']:.3f}" for name in COLUMNS)
        lines.append(f"Expected from {chosen['planted']:,} {chosen.get('from', 'known pairs')}: {figures}.")
    items = "".join(f"<li>{escape(each)}</li>" for each in lines)
    return f'<h1>{escape(_heading(found))}</h1><ul class="answer">{items}</ul>'


def _scores(found: Document) -> str:
    if not found["total"]:
        return ""
    stops = found["stops"]
    now = next((place for place, each in enumerate(stops) if each[0] == found["threshold"]), 0)
    slider = (
        '<div class="tools" hidden><label for="slider">Threshold: move it to see what it keeps</label>'
        f'<input type="range" id="slider" min="0" max="{len(stops) - 1}" value="{now}">'
        '<output id="kept" for="slider"></output></div>'
    )
    note = (
        "The number of pairs by score; gray bars are below the threshold. Where true pairs and chance pairs form two peaks, the"
        " threshold belongs between them."
    )
    return section("Scores", _histogram(found), slider, _kept(found), name="scores", note=note)


def _histogram(found: Document) -> str:
    edges, counts = found["histogram"]["edges"], found["histogram"]["counts"]
    low, width, top = edges[0], edges[-1] - edges[0], max(counts)
    bars = "".join(
        f'<rect x="{100 * (left - low) / width:.3f}" width="{100 * (right - left) / width * 0.92:.3f}"'
        f' y="{100 - 96 * count / top:.3f}" height="{96 * count / top:.3f}"'
        f' fill="var({"--m1" if _is_kept(left, found["threshold"]) else "--m0"})">'
        f"<title>{left:g} to {right:g}: {counted(count, 'pair')}</title></rect>"
        for left, right, count in zip(edges[:-1], edges[1:], counts, strict=True)
    )
    at = low if found["threshold"] is None else min(max(found["threshold"], low), edges[-1])
    x = f"{100 * (at - low) / width:.3f}"
    return (
        "<figure><div class='chart tall'>"
        f"<div class=y><span>{top:,}</span><span>0</span></div>"
        f'<svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label="Histogram of {len(counts)} bins">'
        f'{bars}<line id="mark" x1="{x}" x2="{x}" y1="0" y2="100" stroke="var(--ink)" stroke-width="2"'
        ' vector-effect="non-scaling-stroke"/></svg>'
        f"<div class=x><span>{escape(found['score'])} {low:g}</span><span>{(low + edges[-1]) / 2:g}</span>"
        f"<span>{edges[-1]:g}</span></div></div></figure>"
    )


def _is_kept(score: float, threshold: float | None) -> bool:
    return threshold is None or score >= threshold


def _kept(found: Document) -> str:
    """Return what thresholds keep as a table: the limits of the bands, and the threshold in use."""
    limits = {band["low"] for band in found["bands"]} | {found["threshold"]}
    rows = [
        (
            f"{score:g}{', in use' if score == found['threshold'] else ''}",
            f"{count:,}",
            percent(count / found["total"]),
        )
        for score, count in found["stops"]
        if score in limits
    ]
    table = plain_table(("threshold", "pairs kept", "%"), rows, numbers=(1, 2)) if rows else ""
    curve = (found["calibration"] or {}).get("curve") or ()
    expected = plain_table(
        ("threshold", "expected precision", "expected recall"),
        ((f"{score:g}", f"{precision:.3f}", f"{recall:.3f}") for score, precision, recall in curve),
        numbers=(1, 2),
    )
    parts = [f"<details><summary>What a threshold keeps</summary>{table}</details>"] if table else []
    if curve:
        parts.append(f"<details><summary>Expected precision and recall by threshold</summary>{expected}</details>")
    return "".join(parts)


def _around(found: Document) -> str:
    search = (
        '<div class="tools" hidden><label for="search">Search in the pairs on this page</label>'
        '<input type="search" id="search" autocomplete="off"><output id="found" for="search"></output></div>'
    )
    links = (
        f"No word links: {found['no_links']}."
        if found["no_links"]
        else "Words with the same number are linked by the model; look closely at pairs with few links."
    )
    note = f"Score, line ids and texts; long texts are cut. {links}"
    if found["threshold"] is None:
        return section("Pairs", search, name="search-pairs", note=note) if found["total"] else ""
    if not found["total"]:
        return ""
    cut = f'<p class="cut">threshold {found["threshold"]:g}: pairs below are not kept</p>'
    lists = [_list(found, found[name]) for name in ("above", "below")]
    return section("Pairs around the threshold", search, lists[0], cut, lists[1], name="around", note=note)


def _bands(found: Document) -> str:
    blocks = []
    for band in found["bands"]:
        low, high = band["low"], band["high"]
        heading = (
            "All scores"
            if low is None and high is None
            else f"Below {high:g}"
            if low is None
            else f"{low:g} or above"
            if high is None
            else f"{low:g} to {high:g}"
        )
        heading += f": {counted(band['count'], 'pair')}" + (
            f", {len(band['shown'])} of them" if band["count"] > SAMPLE else ""
        )
        blocks.append(f"<h3>{escape(heading)}</h3>{_list(found, band['shown'])}")
    return section("Random pairs by score", *blocks, name="bands")


def _list(found: Document, places: Sequence[int]) -> str:
    items = []
    for place in places:
        each = found["pairs"][place]
        texts = (each["source"] or str(each["source_id"]), each["target"] or str(each["target_id"]))
        if each.get("words"):
            shown = linked_texts(texts, each["words"], each["links"])
        else:
            shown = escape(texts[0]), escape(texts[1])
        ids = f"{each['source_id']} · {each['target_id']}"
        items.append(
            f'<li class="pair" data-pair="{place}"><span class="score">{each["score"]:.5f}'
            f'<span class="ids">{escape(ids)}</span></span><p dir="auto">{shown[0]}</p><p dir="auto">{shown[1]}</p></li>'
        )
    return f'<ul class="pairs">{"".join(items)}</ul>' if items else '<p class="soft">None.</p>'


def _settings(found: Document) -> str:
    rows = [(name, value, default or "none") for name, value, default in found["settings"]]
    body = (
        plain_table(("setting", "value", "default"), rows) if rows else "<p>All settings have their defaults.</p>"
    )
    return section("Settings", body, name="settings", note="Settings that differ from their defaults.")
