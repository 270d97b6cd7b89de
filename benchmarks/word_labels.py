"""Claim: how many of the labels of ``objective: ranking`` are right, by layer and by the settings of their plans.

Gold links say which words of a sentence pair are counterparts. The precision of labels is the share of their mass in a gold set that
is on possible links; their mass is a share of the words' mass. The table has the means of both over the sets.
Mutual nearest neighbors, the labels that need no transport, are the baseline.

    python benchmarks/word_labels.py --gold deen=LINKS,SOURCE,TARGET -o benchmarks/results/word_labels.json
    python benchmarks/word_labels.py --table benchmarks/results/word_labels.json

Axes: B sentence pairs, N source words, M target words.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from baselines import mutual_labels
from document import command_line, head, named, read_document, write_document
from texts import gold_set
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

import otembed
from otembed.results import Table
from otembed.tasks.word_alignment import GoldSentence
from otembed.transport import center, pairwise_cost, solve, uniform_marginals
from otembed.words.segment import joined
from otembed.words.vectors import WordEncoder, WordVectors

LAYERS = (7, -1)
PLANS = [(epsilon, relaxation) for epsilon in (0.01, 0.02, 0.05, 0.1) for relaxation in (None, 0.2, 0.1, 0.05)]
BATCH = 32  # the cost is centered over a batch, as in training
Labels = Callable[[Tensor, Tensor, Tensor], Tensor]


def kinds() -> Iterator[tuple[dict[str, Any], Labels]]:
    """Yield the settings of each kind of labels, and their function of costs (B, N, M) and masses (B, N) and (B, M)."""
    yield {"labels": "mutual neighbors"}, mutual_labels
    for epsilon, relaxation in PLANS:

        def plan(
            cost: Tensor, a: Tensor, b: Tensor, epsilon: float = epsilon, relaxation: float | None = relaxation
        ) -> Tensor:
            return solve(cost, a, b, epsilon=epsilon, relaxation=relaxation).plan

        yield {"labels": "plan", "epsilon": epsilon, "relaxation": relaxation}, plan


def batches(
    source: Sequence[WordVectors], target: Sequence[WordVectors], layer: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield the costs between the words of both sides, and their masses."""
    for begin in range(0, len(source), BATCH):
        clouds = []
        for side in (source[begin : begin + BATCH], target[begin : begin + BATCH]):
            mask = pad_sequence([each.seen for each in side], batch_first=True)
            vectors = pad_sequence([each.layers[layer] for each in side], batch_first=True)
            clouds.append((center(vectors, mask), uniform_marginals(mask)))
        (x, a), (y, b) = clouds
        yield pairwise_cost(x, y, metric="cosine"), a, b


def label_masses(labels: Tensor, gold: Sequence[GoldSentence]) -> tuple[float, float]:
    """Return the mass of labels (B, N, M) on possible links, and all of it; sums over the sentences."""
    right = sum(float(each[i, j]) for each, links in zip(labels, gold, strict=True) for i, j in links.possible)
    return right, float(labels.sum())


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Label the sentences of the gold sets by every kind, in both layers."""
    encoder = WordEncoder(otembed.load_model(options.model))
    layers = [encoder.layer(each) for each in LAYERS]
    sums: dict[tuple[int, int, str], tuple[float, float]] = {}
    sentences = {}
    every = list(kinds())
    for name, value in named(options.gold).items():
        links, *files = value.split(",")
        source, target, gold = gold_set(links, files, options.limit)
        sides = [encoder.encode([joined(each) for each in side], layers) for side in (source, target)]
        sentences[name] = len(gold)
        for layer in layers:
            for number, (cost, a, b) in enumerate(batches(sides[0], sides[1], layer)):
                part = gold[number * BATCH :][: len(cost)]
                for kind, (_, labels) in enumerate(every):
                    right, mass = sums.get((layer, kind, name), (0.0, 0.0))
                    more = label_masses(labels(cost, a, b), part)
                    sums[layer, kind, name] = right + more[0], mass + more[1]
    figures = [
        {"layer": layer, **settings}
        | {
            "precision": {name: sums[layer, kind, name][0] / sums[layer, kind, name][1] for name in sentences},
            "mass": {name: sums[layer, kind, name][1] / count for name, count in sentences.items()},
        }
        for layer in layers
        for kind, (settings, _) in enumerate(every)
    ]
    return {**head(__doc__), "settings": {"model": options.model, "limit": options.limit}, "figures": figures}


def table(document: dict[str, Any]) -> str:
    """Render the means over the sets as a Markdown table."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for each in document["figures"]:
        plan = each["labels"] == "plan"
        settings = [str(each[name] or "none") if plan else "" for name in ("epsilon", "relaxation")]
        share, mass = (statistics.mean(each[name].values()) for name in ("precision", "mass"))
        rows.setdefault((each["labels"], *settings), []).extend([f"{100 * share:.1f}", f"{mass:.2f}"])
    layers = dict.fromkeys(each["layer"] for each in document["figures"])
    heads = [f"{name}, layer {layer}" for layer in layers for name in ("precision", "mass")]
    return Table(
        ("labels", "epsilon", "relaxation", *heads),
        [[*key, *cells] for key, cells in rows.items()],
        align="l" + "r" * 6,
    ).markdown()


def main() -> None:
    """Parse the command line."""
    parser = command_line(__doc__, "word_labels")
    parser.add_argument("--gold", action="append", default=[], metavar="NAME=LINKS,TEXT")
    parser.add_argument("--limit", type=int, default=248, help="sentences of each set")
    parser.add_argument("--model", default="offline:multilingual-e5-small")
    options = parser.parse_args()
    if not options.table and not options.gold:
        parser.error("--gold is required")
    document = read_document(options.table) if options.table else write_document(options.output, run(options))
    sys.stdout.write(table(document))


if __name__ == "__main__":
    main()
