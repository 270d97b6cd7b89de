"""The report of a run as a page: the answer, accuracy by language, learning curves, the embedding space, word links."""

from __future__ import annotations

import shlex
from html import escape
from statistics import fmean
from typing import TYPE_CHECKING, Any

from otembed.data.rows import SPLIT_OFF
from otembed.errors import DataError, OtembedError
from otembed.page.curves import curve_panel, panels, three_digits
from otembed.page.document import html_page, plain_table, section
from otembed.page.marks import bar_table, dot, letter
from otembed.page.words import word_figure
from otembed.results import write_text
from otembed.results.format import counted, percent, points
from otembed.training.curve import InterpolationCurve
from otembed.training.report import REPORT, run_report
from otembed.training.result import weights_from

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from otembed.training.result import TrainResult

    Document = dict[str, Any]
    Line = list[tuple[float, float]]

MODELS = ("before training", "after training")
# Figures of the log that are not terms of the loss, with their headings.
OTHERS = {
    "converged": "Converged OT plans, %",
    "iterations": "Iterations of the OT solver",
    "grad_norm": "Norm of the gradient",
    "learning_rate": "Learning rate",
}
NO_TERM = {"step", "epoch", "loss", *OTHERS}
SPACE = {"mean_cosine": "Mean cosine", "effective_rank": "Effective rank"}
MOST_LINES = 6
"""Language pairs up to which each has a curve of its own."""
REASONS = {SPLIT_OFF: "held out", "held_out": "as held-out text"}
"""Headings of reasons for leaving out pairs that are not clear by themselves."""


def write_report(folder: Path, result: TrainResult | None = None) -> Path:
    """Write ``report.html`` of a run folder; parameters and errors as of :func:`render_report`."""
    return write_text(folder / REPORT, render_report(folder, result)[1])


def render_report(folder: str | Path, result: TrainResult | None = None) -> tuple[Document, str]:
    """Return the figures of a run and their page; parameters and errors as of :func:`otembed.training.report.run_report`."""
    try:
        found = run_report(folder, result)
        return found, run_page(found)
    except (KeyError, TypeError, AttributeError, ValueError, IndexError, ArithmeticError) as error:
        if isinstance(error, OtembedError):
            raise
        raise DataError(f"a file of the run is damaged: {error!r}", "Train again.", path=folder) from error


def run_page(found: Document) -> str:
    """Return the page of a run.

    Parameters
    ----------
    found
        The output of :func:`otembed.training.report.run_report`. The page shows its figures and embeds it as JSON, in the
        element with the id ``run``.
    """
    parts = [
        f"<header>{_answer(found)}</header>",
        _accuracy(found),
        _curves(found["curve"], found["views"]["before"]),
        _space(found["views"]),
        _words(found["views"]),
        _links(found["views"]),
        _interpolation(found["interpolation"], centered_later=found["mean_lengths"] is not None),
        _text(found["pairs"]),
        _made(found),
    ]
    return html_page(f"Training run {found['name']}", parts, name="run", data=found)


def _answer(found: Document) -> str:
    heading = f"Training run {found['name']}: {counted(found['steps'], 'step')}"
    lines = []
    decisive = _decisive(found["retrieval"])
    if decisive is not None:
        before, after = decisive["figures"]
        gain = decisive["differences"][0]
        low, high = points(0, gain["low"]), points(0, gain["high"])
        heading = f"Held-out accuracy {percent(before['value'])} → {percent(after['value'])} %: {gain['verdict']}"
        share = f"{100 * found['retrieval']['confidence']:g} %"
        lines.append(
            f"{found['name']}: {points(0, gain['value'])} points after training, {share} interval {low} to {high}"
            f" ({_size(decisive)})."
        )
    else:
        lines.append("No pairs were held out, so there are no figures before and after.")
    trained, every = (f"{found[name] / 1e6:,.1f}" for name in ("trained_parameters", "parameters"))
    kept = weights_from(found["best_step"], found["averaged_steps"])
    lines.append(f"{counted(found['steps'], 'step')}, {counted(found['epochs'], 'epoch', '.3g')}{kept}.")
    lines.append(f"{trained} of {every} million parameters of {found['model']} were trained.")
    if found["converged"] is not None:
        lines.append(f"{found['converged']:.1%} of the OT plans of the last log interval converged.")
    if found["mean_lengths"]:
        lines.append("The released model subtracts the mean of its training text.")
    items = "".join(f"<li>{escape(each)}</li>" for each in lines)
    return f'<h1>{escape(heading)}</h1><ul class="answer">{items}</ul>'


def _size(task: Document) -> str:
    return (
        f"mean of {task['tasks']} language pairs"
        if task["tasks"] > 1
        else f"{task['task']}, {counted(task['examples'], 'pair')}"
    )


def _decisive(retrieval: Document | None) -> Document | None:
    """Return the mean over language pairs, or the only pair, without centering."""
    if retrieval is None:
        return None
    plain = [each for each in (*retrieval["means"], *retrieval["tasks"]) if not _variant(each)]
    return plain[0] if plain else None


def _variant(task: Document) -> str:
    return str(task["task"]).partition(", ")[2]


def _accuracy(found: Document) -> str:
    retrieval = found["retrieval"]
    if retrieval is None:
        return ""
    rows = [*retrieval["means"], *retrieval["tasks"]]
    tables = []
    for kind in dict.fromkeys(map(_variant, rows)):
        table = bar_table([each for each in rows if _variant(each) == kind], MODELS, "accuracy")
        summary = f"<details><summary>With embeddings {escape(kind)}</summary>{table}</details>"
        tables.append(summary if kind else table)
    key = "".join(
        f"<li>{dot(index)}<strong>{letter(index)}</strong> {name}</li>" for index, name in enumerate(MODELS)
    )
    share = f"{100 * retrieval['confidence']:g} %"
    note = (
        "The share of held-out sentences whose nearest neighbor is their translation, mean of both directions. Bars are"
        f" figures, thin lines their {share} intervals. Dots are differences to A with their intervals: the model is better"
        " or worse where the interval excludes 0."
    )
    return section("Does it find translations?", f'<ul class="key">{key}</ul>', *tables, name="accuracy", note=note)


def _curves(curve: Sequence[Document], before: Document | None) -> str:
    """Return a panel for every quantity that was logged at least twice."""
    terms = dict.fromkeys(
        key for each in curve for key in each if key not in NO_TERM and not key.startswith("eval_")
    )
    found = list(_panels(curve, {"loss": "Training loss", **{term: f"Loss term: {term}" for term in terms}}))
    start = {} if before is None else {f"eval_{key}": value for key, value in before["metrics"].items()}
    evaluated = ([{"step": 0, **start}] if start else []) + [each for each in curve if _evaluated(each)]
    found += _held_out(evaluated, "accuracy", "Held-out accuracy, %", percent)
    for name, heading in SPACE.items():
        found += _held_out(evaluated, name, f"{heading} of held-out vectors", three_digits)
    more = list(_panels(curve, OTHERS))
    folded = f"<details><summary>More curves</summary>{panels(more)}</details>" if more else ""
    note = "Each panel ranges from its lowest to its highest value."
    return section("Learning curves", panels(found), folded, name="curves", note=note)


def _evaluated(record: Document) -> bool:
    return any(key.startswith("eval_") for key in record)


def _panels(curve: Sequence[Document], headings: Mapping[str, str]) -> Iterator[str]:
    for key, heading in headings.items():
        line: Line = [(each["step"], each[key]) for each in curve if key in each]
        if len(line) > 1:
            yield curve_panel(heading, {1: line}, {1: ""}, percent if key == "converged" else three_digits)


def _held_out(curve: Sequence[Document], figure: str, heading: str, shown: Callable[[float], str]) -> Iterator[str]:
    """Yield a panel with a curve for each language pair, or with their mean if there are many."""
    suffix = f"_{figure}"
    keys = dict.fromkeys(key for each in curve for key in each if key.startswith("eval_") and key.endswith(suffix))
    lines: dict[str, Line] = {
        key.removeprefix("eval_").removesuffix(suffix): [(each["step"], each[key]) for each in curve if key in each]
        for key in keys
    }
    if len(lines) > MOST_LINES:
        means = [(each["step"], [value for key, value in each.items() if key in keys]) for each in curve]
        lines = {f"mean of {len(lines)} pairs": [(step, fmean(values)) for step, values in means if values]}
    lines = {name: line for name, line in lines.items() if len(line) > 1}
    if lines:
        order = range(1, len(lines) + 1)
        yield curve_panel(
            heading, dict(zip(order, lines.values(), strict=True)), dict(zip(order, lines, strict=True)), shown
        )


def _space(views: Document) -> str:
    both = [views[name]["metrics"] if views[name] else {} for name in ("before", "after")]
    pairs = dict.fromkeys(
        key.removesuffix(f"_{figure}")
        for each in both
        for key in each
        for figure in SPACE
        if key.endswith(f"_{figure}")
    )
    if not pairs:
        return ""

    def cell(pair: str, figure: str, metrics: Document) -> str:
        value = metrics.get(f"{pair}_{figure}")
        return "–" if value is None else f"{value:.3f}" if figure == "mean_cosine" else f"{value:.1f}"

    rows = [(pair, *(cell(pair, figure, each) for figure in SPACE for each in both)) for pair in pairs]
    heads = [f"{heading.lower()} {when}" for heading in SPACE.values() for when in ("before", "after")]
    note = (
        "A mean cosine near 1 or a much lower effective rank shows a collapse: embeddings of different sentences point in one"
        " direction. Measured on the held-out sentences of each pair, both languages together."
    )
    return section(
        "Does the embedding space collapse?",
        plain_table(("pair", *heads), rows, numbers=range(1, 1 + len(heads))),
        name="space",
        note=note,
    )


def _words(views: Document) -> str:
    """Return retrieval of words by language pair; empty if it was not measured for both models."""
    both = [views[name]["words"] if views[name] else {} for name in ("before", "after")]
    rows = [
        (pair, f"{each['links']:,}", *(percent(one[pair]["figures"]["centered_accuracy"]) for one in both))
        for pair, each in both[0].items()
        if each["links"] and pair in both[1]
    ]
    if not rows:
        return ""
    note = (
        "The share of words whose nearest word of the other language, by the centered cosine on the last layer, is their"
        " translation in the same sentence. Translations are words that occur in the same held-out sentence pairs, at least"
        " two, and share them with no other word."
    )
    heads = ("pair", "linked words", "before, %", "after, %")
    return section(
        "Does a word find its translation?",
        plain_table(heads, rows, numbers=range(1, len(heads))),
        name="word-retrieval",
        note=note,
    )


def _links(views: Document) -> str:
    present = [views[name] for name in ("before", "after") if views[name]]
    if not present:
        return ""
    reason = next((each["reason"] for each in present if each["reason"]), None)
    blocks = []
    for pair, examples in present[0]["links"].items():
        for place, example in enumerate(examples):
            figures = [
                word_figure(
                    f"{dot(index)}{letter(index)} {MODELS[index]}, layer {each['layer']}",
                    each["source"],
                    each["target"],
                    each["probabilities"],
                    each["links"],
                )
                for index, view in enumerate(present)
                if (each := _at(view["links"].get(pair, ()), place, example["row"]))
            ]
            blocks.append(
                f"<h3>{escape(pair)}, held-out pair {example['row'] + 1}</h3><div class=panels>{''.join(figures)}</div>"
            )
    if not blocks:
        return section(
            "Word links of held-out sentences",
            f"<p>Not shown: {escape(reason or 'none were found')}.</p>",
            name="words",
        )
    note = "Stronger colors are more probable links; predicted links are framed. Nothing was trained on these sentences."
    return section("Word links of held-out sentences", *blocks, name="words", note=note)


def _at(examples: Sequence[Document], place: int, row: int) -> Document | None:
    return examples[place] if place < len(examples) and examples[place]["row"] == row else None


def _interpolation(curve: Document | None, *, centered_later: bool) -> str:
    if curve is None:
        return ""
    table = InterpolationCurve.from_dict(curve).table(centered_later=centered_later)
    return section(
        "Interpolation with the starting model",
        plain_table(table.columns, table.rows, numbers=range(1, len(table.columns) - 1)),
        name="interpolation",
        note=" ".join(table.notes),
    )


def _text(pairs: Document) -> str:
    reasons = list(dict.fromkeys(reason for each in pairs.values() for reason in each["dropped"]))
    rows = [
        (
            name,
            f"{each['read']:,}",
            *(f"{each['dropped'].get(reason, 0):,}" for reason in reasons),
            f"{each['trained']:,}",
        )
        for name, each in pairs.items()
    ]
    heads = ("pair", "read", *(REASONS.get(reason, reason.replace("_", " ")) for reason in reasons), "trained on")
    note = "Pairs read, dropped by the checks, and trained on in one pass; held-out pairs are not trained on."
    return section("Training text", plain_table(heads, rows, numbers=range(1, len(heads))), name="text", note=note)


def _made(found: Document) -> str:
    rows = [(each["setting"], each["value"], each["default"] or "none") for each in found["settings"]]
    command = f'<pre id="command">{escape(shlex.join(found["command"]))}</pre>' if found["command"] else ""
    versions = ", ".join(f"{name} {each or 'not installed'}" for name, each in found["versions"].items())
    return section(
        "Settings and command",
        plain_table(("setting", "value", "default"), rows) if rows else "<p>All settings have their defaults.</p>",
        command,
        f'<p class="soft">{escape(versions)}</p>' if versions else "",
        name="settings",
        note="Settings that differ from their defaults; config.yaml in the run folder has all of them.",
    )
