"""The page from top to bottom: the answer, the figures, examples, training curves and the method."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from otembed.comparison.page.curves import curve_panels
from otembed.comparison.page.heat import direction_map, matrix_maps
from otembed.comparison.tables import metric_name
from otembed.page.document import html_page
from otembed.page.marks import bar_table, dot, letter
from otembed.page.words import word_figure
from otembed.tasks.registry import TASKS

if TYPE_CHECKING:
    from collections.abc import Sequence

    Document = dict[str, Any]

NOTES = ("Note on ", "Not compared")


def comparison_page(found: Document) -> str:
    """Return the page of a comparison's document.

    Parameters
    ----------
    found
        The output of ``Comparison.to_dict``. The page shows its numbers and embeds it as JSON, in the element with
        the id ``comparison``.
    """
    names = [model["name"] for model in found["models"]]
    title = f"{' and '.join(names[1:])} against {names[0]}"
    parts = [
        f"<header>{_answer(found)}{_key(found['models'])}</header>",
        *(_suite(found, suite, names) for suite in dict.fromkeys(each["suite"] for each in found["tasks"])),
        _words(found, names),
        _curves(found),
        _shapes(found),
        _not_compared(found),
        _made(found),
    ]
    return html_page(title, parts, name="comparison", data=found)


def _answer(found: Document) -> str:
    heads = "".join(f"<span>{escape(each)}</span>" for each in found["headlines"])
    rest = "".join(
        f"<li{' class=note' if each.startswith(NOTES) else ''}>{escape(each)}</li>" for each in found["summary"]
    )
    return f'<h1>{heads}</h1><ul class="answer">{rest}</ul>'


def _key(models: Sequence[Document]) -> str:
    items = "".join(
        f"<li>{dot(index)}<strong>{letter(index)}</strong> {escape(model['name'])}"
        f' <span class="soft">{escape(model["origin"])}{", the baseline" if index == 0 else ""}</span></li>'
        for index, model in enumerate(models)
    )
    return f'<ul class="key">{items}</ul>'


def _suite(found: Document, suite: str, names: Sequence[str]) -> str:
    """Return the primary metric in full, and the others collapsed."""
    tasks = [each for each in (*found["tasks"], *found["means"]) if each["suite"] == suite]
    metrics = dict.fromkeys(each["metric"] for each in tasks)
    shown = [name for name in metrics if any(each["primary"] for each in tasks if each["metric"] == name)]
    parts = [
        f"<h2>{escape(TASKS[suite].question if suite in TASKS else suite)}</h2>",
        f'<p class="soft">{_reading(found)}</p>',
    ]
    for metric in (*shown, *(name for name in metrics if name not in shown)):
        rows = _means_first([each for each in tasks if each["metric"] == metric])
        label = metric_name(metric)
        table = bar_table(rows, names, label)
        folded = f"<details><summary>{escape(label)}</summary>{table}</details>"
        parts.append(table if metric in shown else folded)
        parts.append(matrix_maps([each for each in rows if each["tasks"] == 1], names, label))
        if metric in shown:
            parts.append(direction_map(tasks, names))
    return f'<section id="{escape(suite)}">{"".join(parts)}</section>'


def _means_first(rows: Sequence[Document]) -> list[Document]:
    """Order by variant, with the mean, which decides, first."""
    variants = dict.fromkeys(each["task"].partition(", ")[2] for each in rows)
    return [
        each
        for kind in variants
        for each in sorted(
            (row for row in rows if row["task"].partition(", ")[2] == kind), key=lambda row: row["tasks"] == 1
        )
    ]


def _reading(found: Document) -> str:
    share = f"{100 * found['confidence']:g} %"
    return (
        f"Bars are figures; thin lines are their {share} intervals. Dots are differences to A with their intervals: the"
        f" model is better or worse where the interval excludes 0."
    )


def _words(found: Document, names: Sequence[str]) -> str:
    groups: dict[tuple[str, int], list[Document]] = {}
    for each in found["word_maps"]:
        groups.setdefault((each["task"], each["row"]), []).append(each)
    if not groups:
        return ""
    blocks = "".join(
        f"<h3>{escape(task)}, pair {row}</h3><div class=panels>"
        f"{''.join(_word_map(each, names[each['model']]) for each in group)}</div>"
        for (task, row), group in groups.items()
    )
    return (
        "<section><h2>Word links in example sentences</h2><p class=soft>Stronger colors are more probable links;"
        f" predicted links are framed. The examples are long sentences of at most 12 words from the start of each text.</p>{blocks}</section>"
    )


def _word_map(each: Document, name: str) -> str:
    heading = f"{dot(each['model'])}{letter(each['model'])} {escape(name)}, layer {each['layer']}"
    return word_figure(heading, each["source"], each["target"], each["probabilities"], each["links"])


def _curves(found: Document) -> str:
    panels = curve_panels(found["models"])
    if not panels:
        return ""
    return f"<section><h2>Training curves</h2><p class=soft>Each panel ranges from its lowest to its highest value.</p>{panels}</section>"


def _shapes(found: Document) -> str:
    """Return a row per task, with the models side by side."""
    shapes = {
        (each["task"], index): each for index, model in enumerate(found["models"]) for each in model["shapes"]
    }
    if not shapes:
        return ""
    places = sorted({index for _, index in shapes})
    columns = [(index, name) for name in ("mean_cosine", "effective_rank") for index in places]

    def cell(task: str, index: int, name: str) -> str:
        each = shapes.get((task, index))
        shown = "–" if each is None else f"{each[name]:.3f}" if name == "mean_cosine" else f"{each[name]:.1f}"
        return f"<td class=num>{shown}</td>"

    rows = "".join(
        f"<tr><th scope=row>{escape(task)}</th>{''.join(cell(task, *column) for column in columns)}</tr>"
        for task in dict.fromkeys(task for task, _ in shapes)
    )
    heads = "".join(
        f"<th scope=col class=num>{dot(index)}{letter(index)} {name.replace('_', ' ')}</th>"
        for index, name in columns
    )
    most = max(each["sentences"] for each in shapes.values())
    return (
        "<section><h2>Does the embedding space collapse?</h2><p class=soft>A mean cosine near 1 or a much lower"
        " effective rank shows a collapse: embeddings of different sentences point in one direction. Measured on at most"
        f" {most} sentences of each task, both languages together.</p><div class=scroll><table class=plain><thead>"
        f"<tr><th scope=col>task</th>{heads}</tr></thead><tbody>{rows}</tbody></table></div></section>"
    )


def _not_compared(found: Document) -> str:
    if not found["not_compared"]:
        return ""
    rows = "".join(
        f"<tr><th scope=row>{escape(each['suite'])} {escape(each['task'])}</th><td>{escape(each['metric'])}</td>"
        f"<td>{letter(each['model'])}</td><td>{escape(each['reason'])}</td></tr>"
        for each in found["not_compared"]
    )
    return (
        "<section><h2>Not compared</h2><table class=plain><thead><tr><th scope=col>task</th><th scope=col>metric</th>"
        f"<th scope=col>model</th><th scope=col>reason</th></tr></thead><tbody>{rows}</tbody></table></section>"
    )


def _made(found: Document) -> str:
    corrected = (
        "Verdicts on tasks use Holm's correction over the tasks of a suite and metric."
        if found["correction"] == "holm"
        else f"No correction for multiple tasks: about one in {round(1 / (1 - found['confidence']))} tasks without a"
        f" true difference shows one by chance."
    )
    commands = [found["command"], *(each for model in found["models"] for each in model["commands"])]
    places = "".join(
        f"<tr><th scope=row>{letter(index)}</th><td>{escape(', '.join(model['places']))}</td>"
        f"<td>{escape('; '.join(model['notes']))}</td></tr>"
        for index, model in enumerate(found["models"])
    )
    versions = ", ".join(f"{name} {each or 'not installed'}" for name, each in (found["versions"] or {}).items())
    counts = "".join(
        f"<tr><th scope=row>{escape(each['suite'])} {escape(each['task'])} {escape(each['metric'])}</th>"
        f"<td class=num>{each['examples']}</td>"
        + "".join(
            "<td class=num>–</td><td class=num>–</td>"
            if one is None
            else f"<td class=num>{one['differing']}</td><td class=num>{one['p_adjusted']:.4f}</td>"
            for one in each["differences"]
        )
        + "</tr>"
        for each in (*found["tasks"], *found["means"])
    )
    heads = "".join(
        f"<th scope=col class=num>{letter(index + 1)} differing</th><th scope=col class=num>p</th>"
        for index in range(len(found["models"]) - 1)
    )
    return (
        "<section><h2>Method</h2>"
        f"<p>Paired bootstrap: the same examples are resampled with replacement for all models,"
        f" {found['resamples']:,} times (seed {found['seed']}); intervals are the middle"
        f" {100 * found['confidence']:g} % of the resamples. A verdict requires an interval that excludes 0 and at least"
        f" six examples with different scores. {corrected}</p>"
        f"<table class=plain><tbody>{places}</tbody></table>"
        f"{''.join(f'<pre>{escape(each)}</pre>' for each in commands if each)}"
        f'<p class="soft">{escape(versions)}</p>'
        "<details><summary>Examples and p-values of every figure</summary><div class=scroll><table class=plain><thead>"
        f"<tr><th scope=col>figure</th><th scope=col class=num>examples</th>{heads}</tr></thead>"
        f"<tbody>{counts}</tbody></table></div></details></section>"
    )
