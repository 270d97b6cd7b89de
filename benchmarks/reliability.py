"""Claim: nothing is lost and nothing is wrong in silence, whatever is killed, full, damaged or missing.

Each part does something to a real command, in a separate process, and checks the result: kills, full and read-only
disks, mutated inputs, poor environments. A figure is the number of attempts after which the expectation held.

    python benchmarks/reliability.py -o benchmarks/results/reliability.json
    python benchmarks/reliability.py --part kills -o benchmarks/results/reliability.json
    python benchmarks/reliability.py --part kills --command "otembed mine" -o benchmarks/results/reliability.json
    python benchmarks/reliability.py --table benchmarks/results/reliability.json
"""

from __future__ import annotations

import importlib
import sys
import time
from dataclasses import asdict
from typing import Any

from document import claim, command_line, machine, read_document, write_document
from trials.base import Trial

PARTS = ("kills", "disk", "fuzz", "environment")


# Faults of many inputs, which the table sums up: the first words of their names, and what the table calls them.
SUMMED = {
    "mutated ": "mutated inputs of {} readers",
    "no file of ": "paths that are not regular files, for {} readers",
}


def table(document: dict[str, Any]) -> str:
    """Return the trials as Markdown, those of the readers summed up, failures below."""
    trials = [Trial(**each) for part in document["parts"].values() for each in part["trials"]]
    lines = ["| fault | expectation | held |", "| --- | --- | ---: |"]
    for start, name in SUMMED.items():
        some = [each for each in trials if each.fault.startswith(start)]
        if some:
            held, tries = sum(each.held for each in some), sum(each.tries for each in some)
            lines.append(f"| {name.format(len(some))} | {some[0].expected} | {held:,} of {tries:,} |")
    lines += [
        f"| {each.fault} | {each.expected} | {each.held} of {each.tries} |"
        for each in trials
        if not each.fault.startswith(tuple(SUMMED))
    ]
    failures = [f"- {each.fault}: {failure}" for each in trials for failure in each.failures]
    return "\n".join([*lines, "", *failures]).rstrip() + "\n"


def replaced(trials: list[dict[str, Any]], trial: dict[str, Any]) -> None:
    """Put a trial in the place of the one with the same fault, or at the end."""
    for place, each in enumerate(trials):
        if each["fault"] == trial["fault"]:
            trials[place] = trial
            return
    trials.append(trial)


def main() -> int:
    """Run the parts that were asked for; parts already in the output are kept."""
    parser = command_line(__doc__)
    parser.add_argument("--part", action="append", choices=PARTS, help="run only this part; repeatable")
    parser.add_argument(
        "--command",
        action="append",
        metavar="NAME",
        help="of the part kills or disk, only the trials of this command, such as 'otembed train'; its other trials in the output"
        " are kept; repeatable",
    )
    parser.add_argument("--smoke", action="store_true", help="a few attempts of each trial")
    parser.add_argument("--seed", type=int, default=0, help="seed of the times, places and mutations")
    arguments = parser.parse_args()
    if arguments.table is not None:
        sys.stdout.write(table(read_document(arguments.table)))
        return 0
    document: dict[str, Any] = {"claim": claim(__doc__), "parts": {}}
    if arguments.output is not None and arguments.output.exists():
        document = read_document(arguments.output)
    if arguments.command and arguments.part not in (["kills"], ["disk"]):
        parser.error("--command requires --part kills or --part disk")
    for part in arguments.part or PARTS:
        start = time.perf_counter()
        earlier = document["parts"].get(part, {"trials": [], "seconds": 0.0}) if arguments.command else {}
        found: dict[str, Any] = {
            "environment": machine(),
            "settings": {"smoke": arguments.smoke, "seed": arguments.seed},
            "trials": earlier.get("trials", []),
        }
        document["parts"][part] = found
        chosen = {"commands": arguments.command} if arguments.command else {}
        # Written after each trial, because a part takes up to an hour.
        for trial in importlib.import_module(f"trials.{part}").run(arguments.smoke, arguments.seed, **chosen):
            replaced(found["trials"], asdict(trial))
            found["seconds"] = round(time.perf_counter() - start + earlier.get("seconds", 0.0), 1)
            write_document(arguments.output, document)
    sys.stdout.write(table(document))
    return int(any(each["failures"] for part in document["parts"].values() for each in part["trials"]))


if __name__ == "__main__":
    raise SystemExit(main())
