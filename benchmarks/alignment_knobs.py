"""Claim: which settings of the transport plan find translations of words, without any training.

Words of gold-aligned sentences are embedded by one encoder; a link is a cell of the plan that is the largest in its row
and in its column. The output is the alignment error rate, AER = 1 - (|A∩S| + |A∩P|) / (|A| + |S|), lower is better, with
the default settings and with each setting changed individually.

    python benchmarks/alignment_knobs.py --gold roen=SENTENCES,LINKS -o benchmarks/results/alignment_knobs.json

SENTENCES has ``source ||| target`` with words separated by spaces, LINKS ``i-j`` (sure) and ``ipj`` (possible),
counted from 1.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, get_args

import torch
from document import command_line, head, named, read_document, write_document
from texts import gold_set

import otembed
from otembed.results import Table
from otembed.tasks.word_alignment import GoldSentence, alignment_scores
from otembed.transport import pairwise_cost, scale_cost, sinkhorn, uniform_marginals
from otembed.words import decode_links, pool_units
from otembed.words.units import Pooling

DEFAULTS: dict[str, Any] = {
    "layer": -1,
    "word_pooling": "mean",
    "cost": "cosine",
    "center": True,
    "cost_scale": None,
    "epsilon": 0.05,
    "relaxation": None,
}
CHANGES: list[dict[str, Any]] = [
    {},
    *({"layer": layer} for layer in (4, 5, 6, 7, 8, 9, 10, 11)),
    *({"word_pooling": pooling} for pooling in ("first", "last")),
    {"center": False},
    *({"epsilon": epsilon} for epsilon in (0.2, 0.1, 0.02, 0.01)),
    *({"relaxation": relaxation} for relaxation in (1.0, 0.2, 0.05)),
    *({"cost": cost, "cost_scale": "std", "epsilon": epsilon} for cost in ("euclidean", "sqeuclidean") for epsilon in (0.1, 0.5)),
    {"layer": 7, "relaxation": 0.2},
]  # fmt: skip
BATCH = 16


@torch.no_grad()
def embed(
    model: Any, sentences: Sequence[Sequence[str]], layers: set[int], pooling: Pooling
) -> dict[int, tuple[Any, Any]]:
    """Word vectors (B, U, D) and masks (B, U) of each layer."""
    encoded = model.tokenizer(
        list(map(list, sentences)),
        is_split_into_words=True,
        padding=True,
        truncation=True,
        max_length=256,
        return_tensors="pt",
    )
    ids = torch.tensor(
        [[-1 if word is None else word for word in encoded.word_ids(row)] for row in range(len(sentences))]
    )
    hidden = model[0].model(**encoded, output_hidden_states=True).hidden_states
    return {layer: pool_units(hidden[layer], ids, pooling) for layer in layers}


def error_rate(embedded: list[Any], gold: Sequence[GoldSentence], settings: dict[str, Any]) -> float:
    """AER over a corpus under ``settings``."""
    links = []
    means = [torch.cat([side[0][side[1]] for side in column]).mean(0) for column in zip(*embedded, strict=True)]
    for (x, mask_x), (y, mask_y) in embedded:
        if settings["center"]:
            x, y = x - means[0], y - means[1]
        a, b = (uniform_marginals(mask) for mask in (mask_x, mask_y))
        cost, _ = scale_cost(pairwise_cost(x, y, metric=settings["cost"]), a, b, how=settings["cost_scale"])
        plans = sinkhorn(cost, a, b, epsilon=settings["epsilon"], relaxation=settings["relaxation"]).plan.numpy()
        # Padding has no mass, and so no link.
        links += [[(link.source, link.target) for link in decode_links(plan, "mutual")] for plan in plans]
    return alignment_scores(links, gold).aer


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure every change on every corpus."""
    model = otembed.load_model(options.model, device="cpu")
    corpora = {}
    for name, files in named(options.gold).items():
        text, links = files.split(",")
        corpora[name] = gold_set(links, [text], options.limit)
    figures: list[dict[str, Any]] = [{"change": change, "aer": {}} for change in CHANGES]
    for name, (source, target, gold) in corpora.items():
        for pooling in get_args(Pooling):
            chosen = [each for each in figures if (DEFAULTS | each["change"])["word_pooling"] == pooling]
            layers = {(DEFAULTS | each["change"])["layer"] for each in chosen}
            embedded = [
                [embed(model, side[start : start + BATCH], layers, pooling) for side in (source, target)]
                for start in range(0, len(gold), BATCH)
            ]
            for each in chosen:
                settings = DEFAULTS | each["change"]
                states = [(x[settings["layer"]], y[settings["layer"]]) for x, y in embedded]
                each["aer"][name] = round(error_rate(states, gold, settings), 4)
    return {
        **head(__doc__),
        "settings": {"model": options.model, "limit": options.limit, "defaults": DEFAULTS},
        "figures": figures,
    }


def table(document: dict[str, Any]) -> str:
    """Render AER by change as Markdown."""
    names = list(document["figures"][0]["aer"])
    rows = []
    for each in document["figures"]:
        change = ", ".join(f"{key} {value}" for key, value in each["change"].items()) or "none"
        values = [each["aer"][name] for name in names]
        rows.append([change, *(f"{value:.3f}" for value in [*values, sum(values) / len(values)])])
    return Table(("change from the defaults", *names, "mean"), rows).markdown()


def main() -> None:
    """Parse the command line."""
    parser = command_line(__doc__, "alignment_knobs")
    parser.add_argument("--gold", action="append", default=[], metavar="NAME=SENTENCES,LINKS")
    parser.add_argument("--model", default="offline:multilingual-e5-small")
    parser.add_argument("--limit", type=int, default=248, help="sentences of each corpus")
    options = parser.parse_args()
    document = read_document(options.table) if options.table else write_document(options.output, run(options))
    print(table(document))  # noqa: T201


if __name__ == "__main__":
    main()
