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
import re
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from document import command_line, head, read_document, write_document

import otembed
from otembed.transport import pairwise_cost, scale_cost, sinkhorn, uniform_marginals
from otembed.words import pool_units
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
Links = set[tuple[int, int]]
BATCH = 16


def read_gold(sentences: str, links: str, limit: int) -> list[tuple[list[str], list[str], Links, Links]]:
    """Source words, target words, sure links and possible links (including the sure ones), counted from 0."""
    rows = []
    lines = zip(
        Path(sentences).read_text("utf-8").splitlines(), Path(links).read_text("utf-8").splitlines(), strict=True
    )
    for text, gold in list(lines)[:limit]:
        source, target = (side.split() for side in text.split(" ||| "))
        found = [re.fullmatch(r"(\d+)([-p])(\d+)", link) for link in gold.split()]
        pairs = [(int(link[1]) - 1, int(link[3]) - 1, link[2]) for link in found if link]
        rows.append(
            (source, target, {(i, j) for i, j, kind in pairs if kind == "-"}, {(i, j) for i, j, _ in pairs})
        )
    return rows


@torch.no_grad()
def embed(model: Any, sentences: list[list[str]], layers: set[int], pooling: Pooling) -> dict[int, tuple[Any, Any]]:
    """Word vectors (B, U, D) and masks (B, U) of each layer."""
    encoded = model.tokenizer(
        sentences, is_split_into_words=True, padding=True, truncation=True, max_length=256, return_tensors="pt"
    )
    ids = torch.tensor(
        [[-1 if word is None else word for word in encoded.word_ids(row)] for row in range(len(sentences))]
    )
    hidden = model[0].model(**encoded, output_hidden_states=True).hidden_states
    return {layer: pool_units(hidden[layer], ids, pooling) for layer in layers}


def error_rate(embedded: list[Any], gold: list[Any], settings: dict[str, Any]) -> float:
    """AER over a corpus under ``settings``."""
    hits_sure = hits_possible = made = sure_total = 0
    means = [torch.cat([side[0][side[1]] for side in column]).mean(0) for column in zip(*embedded, strict=True)]
    for start, ((x, mask_x), (y, mask_y)) in zip(range(0, len(gold), BATCH), embedded, strict=True):
        if settings["center"]:
            x, y = x - means[0], y - means[1]
        a, b = (uniform_marginals(mask) for mask in (mask_x, mask_y))
        cost, _ = scale_cost(pairwise_cost(x, y, metric=settings["cost"]), a, b, how=settings["cost_scale"])
        plans = sinkhorn(cost, a, b, epsilon=settings["epsilon"], relaxation=settings["relaxation"]).plan.numpy()
        for plan, (source, target, sure, possible) in zip(plans, gold[start : start + BATCH], strict=True):
            plan = plan[: len(source), : len(target)]
            best = (plan == plan.max(0)) & (plan == plan.max(1, keepdims=True)) & (plan > 0)
            links = {(int(i), int(j)) for i, j in np.argwhere(best)}
            hits_sure += len(links & sure)
            hits_possible += len(links & possible)
            made += len(links)
            sure_total += len(sure)
    return 1 - (hits_sure + hits_possible) / (made + sure_total)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure every change on every corpus."""
    model = otembed.load_model(options.model)
    corpora = {}
    for value in options.gold:
        name, _, files = value.partition("=")
        sentences, links = files.split(",")
        corpora[name] = read_gold(sentences, links, options.limit)
    figures: list[dict[str, Any]] = [{"change": change, "aer": {}} for change in CHANGES]
    for name, gold in corpora.items():
        for pooling in get_args(Pooling):
            chosen = [each for each in figures if (DEFAULTS | each["change"])["word_pooling"] == pooling]
            layers = {(DEFAULTS | each["change"])["layer"] for each in chosen}
            batches = [gold[start : start + BATCH] for start in range(0, len(gold), BATCH)]
            embedded = [
                [
                    embed(model, [row[0] for row in batch], layers, pooling),
                    embed(model, [row[1] for row in batch], layers, pooling),
                ]
                for batch in batches
            ]
            for each in chosen:
                settings = DEFAULTS | each["change"]
                states = [(source[settings["layer"]], target[settings["layer"]]) for source, target in embedded]
                each["aer"][name] = round(error_rate(states, gold, settings), 4)
    return {
        **head(__doc__),
        "settings": {"model": options.model, "limit": options.limit, "defaults": DEFAULTS},
        "figures": figures,
    }


def table(document: dict[str, Any]) -> str:
    """Render AER by change as Markdown."""
    names = list(document["figures"][0]["aer"])
    lines = [
        "| change from the defaults | " + " | ".join(names) + " | mean |",
        "| --- |" + " ---: |" * (len(names) + 1),
    ]
    for each in document["figures"]:
        change = ", ".join(f"{key} {value}" for key, value in each["change"].items()) or "none"
        values = [each["aer"][name] for name in names]
        lines.append(
            f"| {change} | " + " | ".join(f"{value:.3f}" for value in [*values, sum(values) / len(values)]) + " |"
        )
    return "\n".join(lines) + "\n"


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
