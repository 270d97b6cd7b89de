"""Claim: the published rows of the objectives can be repeated, and fall into the range stated for them.

A document of ``benchmarks/results/`` holds the command that made it, without the folders of the files. This script looks
the files up by name below ``--data``, trains and measures one row (an objective, and a share of the way) with one seed,
and compares each figure with the published mean. The expected range is the mean plus or minus the half width of a 95 %
prediction interval over the published seeds (Student's t), and never less than ``ALLOWANCE`` for other processors and
library versions; with one published seed it is twice the allowance. Interrupted runs resume; each run's JSON is kept.

    python benchmarks/reproduce.py --list
    python benchmarks/reproduce.py ablation_words400 --row mnrl --seed 4 --data FOLDER
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path
from typing import Any

import ablation
import torch
from document import RESULTS, read_document
from scipy import stats

from otembed.results import Table, write_text
from otembed.runtime.arithmetic import bf16_speedup

# In the unit of the column: points of accuracy or AER, cosine, rank.
ALLOWANCE = {"mean cosine": 0.05, "rank": 10.0}
POINTS = 1.0
# Options of ablation.py that name files.
PLACES = ("pairs", "held_out", "gold", "xquad", "tagging")


def published() -> dict[str, dict[str, Any]]:
    """Return the documents that hold objectives, by name."""
    documents = {path.stem: read_document(path) for path in sorted(RESULTS.glob("*.json"))}
    return {
        name: document
        for name, document in documents.items()
        if document.get("environment", {}).get("command", [""])[0] == "ablation.py"
    }


def rows(document: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the runs of each row that training makes, by the name that the table gives it."""
    found: dict[str, list[dict[str, Any]]] = {}
    for each in document["runs"]:
        if each["objective"] != "untrained":
            found.setdefault(ablation.row_name(each), []).append(each)
    return found


def expected(document: dict[str, Any], runs: list[dict[str, Any]]) -> dict[str, tuple[float, float]]:
    """Return the mean of each figure and the half width of its range."""
    figures = [ablation.figures_of(each, document["settings"]["trained"]) for each in runs]
    ranges = {}
    for column in figures[0]:
        values = [each[column] for each in figures]
        allowance = ALLOWANCE.get(column, POINTS)
        if len(values) == 1:
            width = 2 * allowance
        else:
            spread = statistics.stdev(values) * (1 + 1 / len(values)) ** 0.5
            width = max(allowance, float(stats.t.ppf(0.975, len(values) - 1)) * spread)
        ranges[column] = (statistics.mean(values), width)
    return ranges


def compared(document: dict[str, Any], runs: list[dict[str, Any]], run: dict[str, Any]) -> tuple[str, int]:
    """Return a Markdown table of the figures of a run beside those expected, and how many are outside their range."""
    found = ablation.figures_of(run, document["settings"]["trained"])
    rows = []
    outside = 0
    for column, (mean, width) in expected(document, runs).items():
        digits = 2 if column == "mean cosine" else 1
        held = abs(found[column] - mean) <= width
        outside += not held
        figures = (f"{value:.{digits}f}" for value in (mean, width, found[column]))
        published, half, measured = figures
        rows.append((column, published, f"± {half}", measured, "in range" if held else "OUTSIDE"))
    return Table(("figure", "published", "range", "found", ""), rows, align="lrrrl").markdown(), outside


def located(value: str, data: Path) -> str:
    """Replace the file names of ``NAME=A,B`` or ``A`` by their places below a folder; ``starter:NAME`` stays."""
    if ":" in value:
        return value
    name, equals, files = value.rpartition("=")
    return name + equals + ",".join(str(_only(each, data)) for each in files.split(","))


def _only(name: str, data: Path) -> Path:
    places = sorted(data.rglob(name))
    if len(places) != 1:
        raise SystemExit(
            f"{data} has {len(places)} files named {name}, and one is needed: {', '.join(map(str, places))}"
        )
    return places[0]


def files_of(document: dict[str, Any]) -> list[str]:
    """Return the names of the files that the recorded command reads."""
    options = ablation.parser().parse_args(document["environment"]["command"][1:])
    values = [value for name in PLACES for value in getattr(options, name)] + [options.tagging_train or ""]
    names = {name for value in values if ":" not in value for name in value.rpartition("=")[2].split(",")}
    return sorted(names - {""})


def options_of(document: dict[str, Any], runs: list[dict[str, Any]], seed: int, data: Path, folder: Path) -> Any:
    """Return the options of the recorded command, for one row and one seed."""
    options = ablation.parser().parse_args(document["environment"]["command"][1:])
    for name in PLACES:
        setattr(options, name, [located(each, data) for each in getattr(options, name)])
    if options.tagging_train:
        options.tagging_train = located(options.tagging_train, data)
    for name, value in document["settings"].items():
        if name != "trained":
            setattr(options, name, value)
    options.objectives, options.seeds = [runs[0]["objective"]], [seed]
    options.shares, options.train_only = [runs[0].get("share", 1.0)], False
    # Where bfloat16 is emulated, float32 is faster, and its figures are within the seeds' spread.
    options.bf16 = options.bf16 and bf16_speedup(torch.device("cpu")) > 1
    options.runs = folder
    return options


def main() -> int:
    """Repeat one row; exit with 1 if a figure is outside its range."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", help="a document of benchmarks/results, without .json")
    parser.add_argument("--list", action="store_true", help="list documents, their files and rows and stop")
    parser.add_argument("--row", help="as the table names it")
    parser.add_argument("--seed", type=int, default=1, help="a published seed, or another")
    parser.add_argument("--data", type=Path, help="folder with the files of the recorded command, at any depth")
    parser.add_argument("--runs", type=Path, default=Path("runs/reproduce"), help="folder of the runs")
    parser.add_argument("--models", type=Path, help="also save the trained model below this folder")
    arguments = parser.parse_args()
    documents = published()
    if arguments.list:
        for name, document in documents.items():
            sys.stdout.write(f"{name}  reads {', '.join(files_of(document))}\n")
            for row, runs in rows(document).items():
                seconds = [each["cpu_seconds"] for each in runs if "cpu_seconds" in each]
                cost = f", {statistics.mean(seconds) / 60:.0f} min of CPU time to train" if seconds else ""
                seeds = ", ".join(str(each["seed"]) for each in runs)
                sys.stdout.write(f"{name}  --row {row!r}  seeds {seeds}{cost}\n")
        return 0
    if arguments.name not in documents:
        parser.error(f"give one of: {', '.join(documents)}")
    document = documents[arguments.name]
    if arguments.row not in rows(document):
        parser.error(f"--row is one of: {'; '.join(rows(document))}")
    if arguments.data is None:
        parser.error("give --data, the folder of the files that the recorded command names")
    runs = rows(document)[arguments.row]
    folder = arguments.runs / arguments.name
    options = options_of(document, runs, arguments.seed, arguments.data, folder)
    options.models = arguments.models
    if options.threads:
        torch.set_num_threads(options.threads)
    ablation.run(options, untrained=False)
    result = ablation.result_of(options, options.objectives[0], arguments.seed, options.shares[0])
    run = read_document(result)
    text, outside = compared(document, runs, run)
    write_text(result.with_suffix(".md"), text)
    sys.stdout.write(text)
    sys.stdout.write(f"{outside} of {text.count(chr(10)) - 2} figures are outside their range\n")
    return int(outside > 0)


if __name__ == "__main__":
    raise SystemExit(main())
