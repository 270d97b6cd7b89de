"""Claim: what each language gains by training, against the number of steps and of training pairs.

Reads documents that ``ablation.py`` wrote with different steps or pairs, and draws the gain of one objective over the untrained
encoder: Tatoeba top-1 accuracy, mean of both directions, in points, mean over seeds.

    python benchmarks/gains.py --steps A.json --steps B.json --pairs C.json -o benchmarks/results/gains.json
    python benchmarks/gains.py --table benchmarks/results/gains.json
    python benchmarks/gains.py --plot docs/images/gains.svg benchmarks/results/gains.json
"""

from __future__ import annotations

import argparse
import statistics
import sys
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from document import command_line, head, read_document, write_document

from otembed.results import Table
from otembed.results.plot import check_plot, drawing, save_plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

AXES = ("steps", "pairs")
LABELS = {"steps": "steps of 32 pairs", "pairs": "pairs of each trained language"}


def accuracies(run: dict[str, Any]) -> dict[str, float]:
    """Return the accuracy of each pair of languages in percent, mean of both directions."""
    return {
        score["pair"]: 50 * (score["accuracy_source_to_target"] + score["accuracy_target_to_source"])
        for score in run["retrieval"]["scores"]
    }


def point(path: Path, document: dict[str, Any], objective: str) -> dict[str, Any]:
    """Return the gains of a document: steps, pairs, number of seeds, its command, and points by pair of languages."""
    (start,) = (accuracies(run) for run in document["runs"] if run["objective"] == "untrained")
    runs = [
        accuracies(run) for run in document["runs"] if run["objective"] == objective and run.get("share", 1.0) == 1
    ]
    if not runs:
        raise SystemExit(f"{path}: no run of {objective}")
    return {
        "steps": document["settings"]["steps"],
        "pairs": document["settings"]["limit"],
        "seeds": len(runs),
        "command": document["environment"]["command"],
        "gains": {pair: statistics.mean(run[pair] - start[pair] for run in runs) for pair in start},
    }


def collect(options: argparse.Namespace) -> dict[str, Any]:
    """Return the gains along both axes."""
    if not options.steps + options.pairs:
        raise SystemExit("give --steps or --pairs")
    documents = {path: read_document(path) for path in options.steps + options.pairs}
    trained = {tuple(each["settings"]["trained"]) for each in documents.values()}
    if len(trained) != 1:
        raise SystemExit(f"the documents have different training languages: {sorted(trained)}")
    points = {path: point(path, each, options.objective) for path, each in documents.items()}
    return {
        **head(__doc__, command=False),
        "objective": options.objective,
        "trained": list(trained.pop()),
        **{axis: sorted((points[path] for path in getattr(options, axis)), key=itemgetter(axis)) for axis in AXES},
    }


def languages(document: dict[str, Any]) -> list[str]:
    """Return the pairs of languages that every point has, trained ones first."""
    every = [set(point["gains"]) for axis in AXES for point in document[axis]]
    common = set.intersection(*every)
    first = [pair for pair in document["trained"] if pair in common]
    return first + sorted(common - set(first))


def table(document: dict[str, Any]) -> str:
    """Render the gains in points as Markdown; the trained languages come first."""
    pairs = languages(document)
    heading = ("steps", "pairs", "seeds", *(pair.removeprefix("en-") for pair in pairs))
    rows = []
    for axis in AXES:
        for point in document[axis]:
            heads = [f"{point['steps']:,}", f"{point['pairs']:,}", str(point["seeds"])]
            rows.append([*heads, *(f"{point['gains'][pair]:+.1f}" for pair in pairs)])
    return Table(heading, rows, align="r" * len(heading)).markdown()


def plot(document: dict[str, Any], path: Path) -> None:
    """Draw the gain of each language along both axes."""
    check_plot(path)
    with drawing():
        from matplotlib.figure import Figure

        drawn = [axis for axis in AXES if document[axis]]
        figure = Figure(figsize=(4.5 * len(drawn), 3.8), layout="constrained")
        panels = figure.subplots(1, len(drawn), sharey=True, squeeze=False)[0]
        for axis, axes in zip(drawn, panels, strict=True):
            _panel(document, axis, axes)
        panels[0].set_ylabel("gain in Tatoeba accuracy, points")
        save_plot(figure, path)


def _panel(document: dict[str, Any], axis: str, axes: Axes) -> None:
    series = document[axis]
    places = [point[axis] for point in series]
    ends = []
    for number, pair in enumerate(languages(document)):
        trained = pair in document["trained"]
        gains = [point["gains"][pair] for point in series]
        color = f"C{number}"
        axes.plot(places, gains, color=color, marker="o", markersize=3, linestyle="-" if trained else "--")
        ends.append((gains[-1], pair.removeprefix("en-"), color))
    lowest = -float("inf")
    low, high = axes.get_ylim()
    for gain, name, color in sorted(ends):
        lowest = max(gain, lowest + (high - low) / 18)  # labels do not overlap
        axes.annotate(
            name,
            (places[-1], lowest),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=color,
            fontsize=9,
        )
    axes.axhline(0, color="0.6", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xticks(places, [f"{place:,}" for place in places])
    axes.minorticks_off()
    axes.set_xlabel(LABELS[axis])
    others = {f"{point[other]:,} {other}" for other in AXES if other != axis for point in series}
    axes.set_title(" or ".join(sorted(others)), fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)


def main() -> None:
    """Run the command line."""
    parser = command_line(__doc__, "gains")
    for axis in AXES:
        parser.add_argument(f"--{axis}", action="append", default=[], type=Path, metavar="FILE")
    parser.add_argument("--objective", default="mnrl")
    parser.add_argument("--plot", type=Path, nargs=2, metavar=("PLOT", "FILE"), help="draw this document and stop")
    options = parser.parse_args()
    if options.table:
        sys.stdout.write(table(read_document(options.table)))
        return
    if options.plot:
        place, document = options.plot
        plot(read_document(document), place)
        return
    document = collect(options)
    write_document(options.output, document)
    sys.stdout.write(table(document))


if __name__ == "__main__":
    main()
