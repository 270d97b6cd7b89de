"""Claim: how far the expected precision of ``threshold: auto`` of links is right on real text.

Documents with published links are aligned in one run. A link is right in the lax sense, as in ``otembed eval documents``; the
expected figures of the curve stand beside those that gold counts.

    python benchmarks/link_threshold.py --gold NAME=SOURCE,TARGET,LINKS -o benchmarks/results/link_threshold.json
    python benchmarks/link_threshold.py --table benchmarks/results/link_threshold.json
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from document import command_line, head, named, read_document, write_document
from numpy.typing import NDArray

from otembed.config import DocumentsConfig
from otembed.documents import AlignedPair, DocumentPair, align_collection
from otembed.results import Table
from otembed.tasks.documents import GoldDocuments, link_scores

Doubles = NDArray[np.float64]


def counted(found: Iterable[AlignedPair], sets: Mapping[str, GoldDocuments]) -> tuple[Doubles, NDArray[np.bool_]]:
    """Return the score of every link with both sides (n,), and whether it is right by gold."""
    links = [(pair.id, link) for pair in found for link in pair.links if link.source and link.target]
    right = [
        link_scores([(link.source, link.target)], sets[name].links, name=name).lax_correct == 1
        for name, link in links
    ]
    return np.array([link.score for _, link in links]), np.array(right)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Align the documents, with vectors in the cache named, or in one that is deleted afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        found = figures(options, options.cache or Path(folder))
    return {
        **head(__doc__, command=False),
        "settings": {"model": options.model, "runs": options.runs, "documents": len(options.gold)},
        "figures": found,
    }


def figures(options: argparse.Namespace, cache: Path) -> dict[str, Any]:
    """Align the documents, and return the expected and the counted figures."""
    sets = {name: GoldDocuments.read(*place.split(",")) for name, place in named(options.gold).items()}
    pairs = [DocumentPair(name, each.source, each.target) for name, each in sets.items()]
    config = DocumentsConfig(threshold="auto", runs=options.runs)
    found = align_collection(pairs, options.model, config=config, cache=cache, device="cpu")
    scores, right = counted(found, sets)
    chosen = found.report.calibration
    assert chosen is not None
    rows = sorted({*chosen.curve, (chosen.threshold, chosen.precision, chosen.recall)})
    return {
        "links": len(scores),
        "stretches": chosen.planted,
        "planted_wrong": chosen.planted_wrong,
        "wrong_expected": chosen.wrong,
        "wrong_counted": int((~right).sum()),
        "chosen": chosen.threshold,
        "precision_error": chosen.precision_error,
        "curve": [
            {
                "threshold": threshold,
                "expected": [precision, recall],
                "counted": [
                    float(right[scores >= threshold].mean()),
                    float(right[scores >= threshold].sum() / right.sum()),
                ],
            }
            for threshold, precision, recall in rows
            if (scores >= threshold).any()
        ],
    }


def table(document: dict[str, Any]) -> str:
    """Render the curve as a Markdown table, the chosen threshold in it."""
    found = document["figures"]
    rows = []
    for each in found["curve"]:
        note = f" ± {found['precision_error']:.3f} (chosen)" if each["threshold"] == found["chosen"] else ""
        (precision, recall), (counted, kept) = each["expected"], each["counted"]
        rows.append(
            (f"{each['threshold']:.3f}", f"{precision:.3f}{note}", f"{counted:.3f}", f"{recall:.3f}", f"{kept:.3f}")
        )
    heads = ("threshold", "expected precision", "counted", "expected recall", "counted")
    return Table(heads, rows, align="rrrrr").markdown()


def main() -> None:
    """Parse the command line."""
    parser = command_line(__doc__, "link_threshold")
    parser.add_argument("--gold", action="append", default=[], metavar="NAME=SOURCE,TARGET,LINKS")
    parser.add_argument("--model", default="offline:multilingual-e5-small")
    parser.add_argument("--runs", default="mean", choices=["mean", "text"])
    parser.add_argument("--cache", type=Path, help="folder of cached embeddings")
    options = parser.parse_args()
    if not options.table and not options.gold:
        parser.error("--gold is required")
    document = read_document(options.table) if options.table else write_document(options.output, run(options))
    sys.stdout.write(table(document))


if __name__ == "__main__":
    main()
