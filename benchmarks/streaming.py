"""Claim: a training run that streams its text needs no disk, and no memory but that of the check for duplicates.

Text of two sizes is planted as gzipped TSV: random words, 1 % of the lines copies of others, 1 % with an empty side. It is read
once, in batches, as a training run with ``data.streaming`` reads it, and as one without reads it (checked into an Arrow
file, then batches of shuffled rows). Each arm is a process of its own: CPU time, growth of the peak memory, files
written to the temporary folder, and the pairs that were kept, which are counted here as well.

    python benchmarks/streaming.py -o benchmarks/results/streaming.json
    python benchmarks/streaming.py --table benchmarks/results/streaming.json
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from time import process_time
from typing import Any

from document import command_line, head, read_document, write_document
from memory import growth

from otembed.config import PairChecks
from otembed.data import load_pairs, parse_pair_spec
from otembed.data.streaming import PairStream, streamed

BATCH = 32
BUFFER = 10_000
WORDS = 12
COPIES = "streamed, drop_duplicates off"
MOST = 10_000_000  # lines
SHARE = 100  # one line in this many is a copy, and one has an empty side


def plant(path: Path, lines: int) -> int:
    """Write text, and return the number of pairs that the checks keep."""
    draw = random.Random(lines)
    kept = 0
    earlier = "", ""
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=1) as file:
        for number in range(lines):
            source = " ".join(f"w{draw.randrange(50_000)}" for _ in range(WORDS)) + f" {number}"
            target = source.upper()
            if number % SHARE == 1:
                source, target = earlier
            elif number % SHARE == 2:
                target = ""
            else:
                kept += 1
            file.write(f"{source}\t{target}\n")
            earlier = source, target
    return kept


def line_of(source: str) -> int:
    """Return the number of the line of a planted sentence, its last word."""
    return int(source.rpartition(" ")[2])


def stream(place: str, batches: int, checks: PairChecks | None = None) -> int:
    """Read a pass of batches while nothing is stored; return the number of different pairs."""
    text = PairStream(parse_pair_spec("en-xx", place), checks or PairChecks(), None, frozenset())
    seen = bytearray(MOST)
    for row in islice(streamed([text], batch=BATCH, buffer=BUFFER, seed=0), batches * BATCH):
        seen[line_of(row["source"])] = 1
    return sum(seen)


def store(place: str, batches: int) -> int:
    """Check all text into a file first, then read a pass of batches; return the number of different pairs."""
    text = load_pairs(parse_pair_spec("en-xx", place), PairChecks()).dataset.shuffle(seed=0)
    seen = bytearray(MOST)
    for start in range(0, batches * BATCH, BATCH):
        for source in text[start : start + BATCH]["source"]:
            seen[line_of(source)] = 1
    return sum(seen)


ARMS: dict[str, Callable[[str, int], int]] = {
    "streamed": stream,
    COPIES: lambda place, batches: stream(place, batches, PairChecks(drop_duplicates=False)),
    "stored first": store,
}


def print_arm(arm: str, warm: str, place: str, batches: int) -> None:
    """Print the figures of one arm; Linux only."""
    ARMS[arm](warm, 1)  # imports
    begun = process_time()
    pairs, grown = growth(ARMS[arm], place, batches)
    folder = Path(tempfile.gettempdir())
    written = sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())
    found = {
        "pairs": pairs,
        "cpu_seconds": process_time() - begun,
        "memory_mb": grown / 1e6,
        "disk_mb": written / 1e6,
    }
    sys.stdout.write(json.dumps(found) + "\n")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure both arms at every size."""
    document: dict[str, Any] = {
        **head(__doc__),
        "settings": {"batch": BATCH, "shuffle_buffer": BUFFER, "words": WORDS},
        "rows": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        for lines in options.lines:
            warm, path = (Path(folder) / f"{each}.tsv.gz" for each in (BATCH * 2, lines))
            plant(warm, BATCH * 2)
            kept = plant(path, lines)
            batches = kept // BATCH
            for arm in ARMS:
                with tempfile.TemporaryDirectory() as own:
                    command = [sys.executable, __file__, "--arm", arm, str(warm), str(path), str(batches)]
                    done = subprocess.run(
                        command, check=True, capture_output=True, text=True, env=os.environ | {"TMPDIR": own}
                    )
                found = {name: round(value, 2) for name, value in json.loads(done.stdout).items()}
                # With copies, a pass of as many batches ends earlier in the text.
                if found["pairs"] != batches * BATCH and arm != COPIES:
                    raise SystemExit(f"{arm}: {found['pairs']} pairs in place of {batches * BATCH}")
                document["rows"].append({"lines": lines, "kept": kept, "arm": arm} | found)
                write_document(options.output, document)
    return document


def table(document: dict[str, Any]) -> str:
    """Render the document as a Markdown table."""
    lines = [
        "| lines | pairs kept | text | CPU time, s | growth of memory, MB | disk, MB |",
        "| ---: | ---: | --- | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {each['lines']:,} | {each['kept']:,} | {each['arm']} | {each['cpu_seconds']:.1f} "
        f"| {each['memory_mb']:.0f} | {each['disk_mb']:.0f} |"
        for each in document["rows"]
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Parse the command line."""
    parser = command_line(__doc__, "streaming")
    parser.add_argument("--lines", nargs="+", type=int, default=[100_000, 1_000_000])
    parser.add_argument("--arm", nargs=4, metavar=("ARM", "WARM", "FILE", "BATCHES"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        arm, warm, place, batches = options.arm
        print_arm(arm, warm, place, int(batches))
        return
    document = read_document(options.table) if options.table else run(options)
    sys.stdout.write(table(document))


if __name__ == "__main__":
    main()
