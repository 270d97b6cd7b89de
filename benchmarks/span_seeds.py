"""Claim: what training an encoder does to extractive answers, over several trainings of the head.

Reads reports of ``otembed eval xquad --protocol span -o FILE`` of the same questions: for each model one report a seed of
the head, in the same order of seeds. The first model is the one that others are compared with. A change has the 95 %
interval of a paired bootstrap over questions; with a report of more questions than ``--questions``, evenly spaced ones are
taken, as with ``--limit``.

    python benchmarks/span_seeds.py untrained=A1.json,A2.json words=B1.json,B2.json -o benchmarks/results/span_seeds.json
    python benchmarks/span_seeds.py --table benchmarks/results/span_seeds.json
"""

from __future__ import annotations

import statistics
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from document import command_line, head, read_document, write_document

from otembed.results import Outcomes, Table
from otembed.results.bootstrap import differences, interval, resampled_figures
from otembed.results.format import percent, points
from otembed.tasks.xquad.report import SpanReport

CONFIDENCE = 0.95


def spaced(one: Outcomes, count: int | None) -> Outcomes:
    """Return the outcomes of ``count`` evenly spaced questions, those of :meth:`QuestionSet.spread`."""
    total = len(one.values)
    if count is None or count >= total:
        return one
    # Reports of fewer questions have another digest of them; all are compared by their number instead.
    return replace(one, values=tuple(one.values[index * total // count] for index in range(count)))


def by_language(report: SpanReport, count: int | None) -> dict[str, Outcomes]:
    """Return the F1 of each question by language."""
    return {each.task.removeprefix("span/"): spaced(each, count) for each in report.outcomes if each.metric == "f1"}


def collect(reports: dict[str, list[SpanReport]], count: int | None) -> list[dict[str, Any]]:
    """Return a run for each model and seed: F1 by language, its mean, and the change from the first model."""
    (baseline, *_) = reports
    runs = []
    for name, trained in reports.items():
        if len(trained) != len(reports[baseline]):
            raise SystemExit(f"{name}: {len(trained)} reports, but {baseline} has {len(reports[baseline])}")
        for report, other in zip(trained, reports[baseline], strict=True):
            seed = report.settings["seed"]
            if report.settings != other.settings or report.training_data != other.training_data:
                raise SystemExit(f"{name}, seed {seed}: trained with other settings than {baseline}")
            found, start = by_language(report, count), by_language(other, count)
            if {code: len(each.values) for code, each in found.items()} != {
                code: len(each.values) for code, each in start.items()
            }:
                raise SystemExit(f"{name}, seed {seed}: other questions than {baseline}; set --questions")
            run: dict[str, Any] = {"model": name, "seed": seed, "questions": len(next(iter(found.values())).values)}
            run["f1"] = {code: each.value for code, each in found.items()}
            run["mean"] = statistics.mean(run["f1"].values())
            if name != baseline:
                pairs = [resampled_figures((start[code], found[code])) for code in found]
                change = np.mean([differences(second, first) for first, second in pairs], axis=0)
                run["change"] = run["mean"] - statistics.mean(each.value for each in start.values())
                run["interval"] = interval(change, CONFIDENCE)
            runs.append(run)
    return runs


def table(document: dict[str, Any]) -> str:
    """Render a row for each training of a head, and the mean of each model over them."""
    runs = document["runs"]
    codes = list(runs[0]["f1"])
    rows = []
    for name in dict.fromkeys(run["model"] for run in runs):
        own = [run for run in runs if run["model"] == name]
        rows += [_row(name, str(run["seed"]), run, codes, _interval(run)) for run in own]
        whole = {
            "f1": {code: statistics.mean(run["f1"][code] for run in own) for code in codes},
            "mean": statistics.mean(run["mean"] for run in own),
        }
        changes = [run["change"] for run in own if "change" in run]
        rows.append(_row(name, "mean", whole, codes, points(0.0, statistics.mean(changes)) if changes else ""))
    return Table(("encoder", "head", *codes, "F1", "change"), rows).markdown()


def _row(name: str, seed: str, run: dict[str, Any], codes: list[str], change: str) -> list[str]:
    return [name, seed, *(percent(run["f1"][code]) for code in codes), percent(run["mean"]), change]


def _interval(run: dict[str, Any]) -> str:
    if "change" not in run:
        return ""
    low, high = (points(0.0, bound) for bound in run["interval"])
    return f"{points(0.0, run['change'])} ({low} to {high})"


def main() -> None:
    """Parse the command line."""
    parser = command_line(__doc__, "span_seeds")
    parser.add_argument("models", nargs="*", metavar="NAME=FILE,FILE", help="reports, one a seed")
    parser.add_argument("--questions", type=int, metavar="N", help="questions of each language, evenly spaced")
    options = parser.parse_args()
    if options.table is None:
        given = dict(each.partition("=")[::2] for each in options.models)
        if len(given) < 2:
            parser.error("give at least two models")
        reports = {
            name: [SpanReport.read(Path(place)) for place in places.split(",")] for name, places in given.items()
        }
        settings = {"questions": options.questions, "confidence": CONFIDENCE}
        document = {**head(__doc__), "settings": settings, "runs": collect(reports, options.questions)}
        write_document(options.output, document)
    else:
        document = read_document(options.table)
    sys.stdout.write(table(document))


if __name__ == "__main__":
    main()
