"""Claim: transport plans link words better than mutual nearest neighbors, without training, in a layer chosen without gold.

Words of gold-aligned sentences are embedded once, in every layer; each method links them, and the alignment error
rate, AER = 1 - (|A∩S| + |A∩P|) / (|A| + |S|), is counted over each set. Lower is better. Compared are nearest
neighbors in both directions (mutual argmax, plain and centered by each side's mean; grown; itermax of SimAlign) and
transport (exact, balanced, unbalanced, with an order prior). The automatic layer is chosen from each set's text
without its links. Throughput is CPU time, one thread, against a loop over single pairs, interleaved.

    python benchmarks/word_alignment.py --gold roen=TEXT,LINKS --gold deen=SOURCE,TARGET,LINKS
    python benchmarks/word_alignment.py --table benchmarks/results/word_alignment.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
from document import command_line, head, named, read_document, write_document
from numpy.typing import NDArray
from texts import gold_set
from timing import interleaved
from torch import Tensor

import otembed
from otembed.config import WordAlignmentConfig
from otembed.results import Table
from otembed.tasks.word_alignment import GoldSet, alignment_scores
from otembed.words import WordAligner, decode_links
from otembed.words.layer_choice import MOST_PAIRS, agreement_beyond_chance
from otembed.words.plan import RunningMean, centers, word_plans
from otembed.words.segment import joined
from otembed.words.vectors import WordEncoder, WordVectors

Links = set[tuple[int, int]]
Vectors = Sequence[WordVectors]
Method = Callable[[Vectors, Vectors, int], list[Links]]
BATCH = 32
BELOW_LAST = 0.03
PLAIN, CENTERED = "mutual argmax", "mutual argmax, centered"
DEFAULTS = WordAlignmentConfig()
OURS = "otembed's defaults"
GRID = {"epsilon": (0.05, 0.1, 0.2), "relaxation": (0.1, 0.2, 0.5), "order_prior": (0.0, 0.1, 0.3)}


def means(source: Vectors, target: Vectors, layer: int) -> tuple[Tensor, Tensor]:
    """Mean word of each side, as computed by the aligner."""
    both = RunningMean(), RunningMean()
    for mean, side in zip(both, (source, target), strict=True):
        mean.add(side, layer)
    return centers(*both)


def cells(plan: NDArray[Any], config: WordAlignmentConfig) -> Links:
    """Links that a decoder reads from a plan."""
    found = decode_links(plan, config.decoding, threshold=config.threshold)
    return {(link.source, link.target) for link in found}


def nearest(center: bool = True, decode: Callable[[NDArray[Any]], Links] | None = None) -> Method:
    """Links from cosines only."""
    read = decode or (lambda cosine: cells(cosine, WordAlignmentConfig(decoding="mutual")))

    def links(source: Vectors, target: Vectors, layer: int) -> list[Links]:
        shifts: tuple[Tensor | float, Tensor | float] = means(source, target, layer) if center else (0.0, 0.0)
        rows = []
        for x, y in zip(source, target, strict=True):
            u, v = (
                torch.nn.functional.normalize(each.layers[layer] - shift, dim=1) * each.seen[:, None]
                for each, shift in zip((x, y), shifts, strict=True)
            )
            # Shifted to non-negative values, because a decoder reads masses; unseen words have none.
            rows.append(read(((1 + u @ v.T) / 2 * x.seen[:, None] * y.seen[None]).numpy()))
        return rows

    return links


def itermax(similarity: NDArray[Any], discount: float = 0.9) -> Links:
    """Two rounds of mutual argmax; in the second, linked words count less, and two linked words not at all.

    Jalili Sabet et al., SimAlign, Findings of EMNLP 2020.
    """
    config = WordAlignmentConfig(decoding="mutual")
    first = cells(similarity, config)
    rows, columns = (np.zeros(size, dtype=bool) for size in similarity.shape)
    for i, j in first:
        rows[i] = columns[j] = True
    either, both = rows[:, None] | columns[None], rows[:, None] & columns[None]
    weight = np.where(both, 0.0, np.where(either, discount, 1.0))
    return first | cells(similarity * weight, config)


def transported(**settings: Any) -> Method:
    """Links from transport plans."""
    config = WordAlignmentConfig(**settings)

    def links(source: Vectors, target: Vectors, layer: int) -> list[Links]:
        shifts = means(source, target, layer) if config.center else None
        size = [len(x.seen) * len(y.seen) for x, y in zip(source, target, strict=True)]
        order = sorted(range(len(source)), key=lambda row: size[row])
        found: dict[int, Links] = {}
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            plans = word_plans([source[row] for row in rows], [target[row] for row in rows], layer, config, shifts)
            found |= {row: cells(plan.numpy(), config) for row, plan in zip(rows, plans, strict=True)}
        return [found[row] for row in range(len(source))]

    return links


METHODS: dict[str, Method] = {
    PLAIN: nearest(center=False),
    CENTERED: nearest(),
    "argmax, centered, grow-diag": nearest(decode=lambda cosine: cells(cosine, WordAlignmentConfig(threshold=0.0))),
    "itermax, centered": nearest(decode=itermax),
    "exact transport": transported(epsilon=0.0, relaxation=None, order_prior=0.0, decoding="mutual"),
    "balanced, epsilon .05": transported(epsilon=0.05, relaxation=None, order_prior=0.0, decoding="mutual"),
    "unbalanced .2, epsilon .05": transported(epsilon=0.05, order_prior=0.0, decoding="mutual"),
    "unbalanced .2, epsilon .05, order prior .3": transported(epsilon=0.05, order_prior=0.3, decoding="mutual"),
    "unbalanced .2, epsilon .1, order prior .1": transported(decoding="mutual"),
    OURS + ", not centered": transported(center=False),
    OURS + ", threshold": transported(decoding="threshold"),
    OURS + ", grow-diag without threshold": transported(threshold=0.0),
    OURS + ", grow-diag-final-and": transported(decoding="grow-diag-final-and"),
    OURS: transported(),
}


def throughput(model: Any, gold: dict[str, GoldSet], layer: int, pairs: int, repeats: int) -> dict[str, float]:
    """CPU seconds of linking the first pairs of each set, batched and one after the other."""
    rows = [each for source, target, _ in gold.values() for each in list(zip(source, target, strict=True))[:pairs]]

    aligner = WordAligner(model, layer=layer)

    def batched() -> None:
        list(aligner.align(rows))

    def single() -> None:
        for row in rows:
            list(aligner.align([row], batch_size=1))

    seconds = interleaved({"batched": batched, "single": single}, repeats)
    best = {name: min(each) for name, each in seconds.items()}
    return {
        "pairs": len(rows),
        "pairs_per_cpu_second": round(len(rows) / best["batched"], 2),
        "times_single": round(best["single"] / best["batched"], 3),
    }


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure every method on every layer and set."""
    torch.set_num_threads(1)
    model = otembed.load_model(options.model, device="cpu")
    gold: dict[str, GoldSet] = {}
    for name, files in named(options.gold).items():
        *sides, links_file = files.split(",")
        gold[name] = gold_set(links_file, sides, options.limit)
    encoder = WordEncoder(model)
    layers = list(range(1, encoder.depth + 1))
    aer: dict[str, dict[str, list[float]]] = {method: {} for method in METHODS}
    grid = [dict(zip(GRID, values, strict=True)) for values in product(*GRID.values())]
    grid_aer: list[dict[str, Any]] = [{"settings": settings, "aer": {}} for settings in grid]
    choice: dict[str, dict[str, Any]] = {}
    for name, (source, target, truth) in gold.items():
        x, y = (encoder.encode([joined(words) for words in side], layers) for side in (source, target))
        score = {layer: agreement_beyond_chance(x[:MOST_PAIRS], y[:MOST_PAIRS], layer) for layer in layers}
        for method, link in METHODS.items():
            aer[method][name] = [round(alignment_scores(link(x, y, layer), truth).aer, 4) for layer in layers]
        auto = max(layers, key=lambda layer: score[layer])
        best = min(layers, key=lambda layer: aer[OURS][name][layer - 1])
        choice[name] = {
            "pairs": len(truth),
            "scores": {layer: round(each, 4) for layer, each in score.items()},
            "auto": auto,
            "best": best,
        }
        for each in grid_aer:
            links = transported(**each["settings"])
            each["aer"][name] = {
                layer: round(alignment_scores(links(x, y, layer), truth).aer, 4) for layer in (auto, layers[-1])
            }
    document = {
        **head(__doc__),
        "settings": {"model": options.model, "limit": options.limit, "layers": layers},
        "aer": aer,
        "choice": choice,
        "grid": grid_aer,
        "throughput": throughput(
            model, gold, choice[next(iter(choice))]["auto"], 4 if options.smoke else 40, 1 if options.smoke else 3
        ),
    }
    return document | {"verdict": verdict(document)}


def mean_aer(document: dict[str, Any], method: str, layer: int | str) -> float:
    """Plain mean over the sets on one layer, or on the layer that is ``auto`` for each set."""
    by_set, choice = document["aer"][method], document["choice"]
    values = [by_set[name][int(choice[name]["auto"] if layer == "auto" else layer) - 1] for name in by_set]
    return float(np.mean(values))


def best_layer(document: dict[str, Any], method: str) -> int:
    """Layer with the lowest mean."""
    return int(min(document["settings"]["layers"], key=lambda layer: mean_aer(document, method, layer)))


def verdict(document: dict[str, Any]) -> dict[str, Any]:
    """Compare the defaults on the automatic layer with mutual argmax, the better of plain and centered."""
    ours = mean_aer(document, OURS, "auto")
    last = min(mean_aer(document, method, document["settings"]["layers"][-1]) for method in (PLAIN, CENTERED))
    best = min(mean_aer(document, method, best_layer(document, method)) for method in (PLAIN, CENTERED))
    return {
        "aer": round(ours, 4),
        "argmax_last_layer": round(last, 4),
        "argmax_best_layer": round(best, 4),
        "goal_met": ours <= last - BELOW_LAST and ours <= best,
    }


def table(document: dict[str, Any]) -> str:
    """Render AER by method: each set and the mean on the automatic layers, the mean on the best and the last layer."""
    names = list(document["choice"])
    rows = []
    for method, by_set in document["aer"].items():
        best = best_layer(document, method)
        values = [by_set[name][document["choice"][name]["auto"] - 1] for name in names]
        last = mean_aer(document, method, document["settings"]["layers"][-1])
        figures = [f"{value:.3f}" for value in (*values, mean_aer(document, method, "auto"))]
        rows.append([method, *figures, f"{mean_aer(document, method, best):.3f} ({best})", f"{last:.3f}"])
    return Table(("method", *names, "mean", "best layer", "last layer"), rows).markdown()


def choice_table(document: dict[str, Any]) -> str:
    """Render the layer chosen from each set's text against the layer with the lowest AER of the defaults."""
    rows = []
    for name, each in document["choice"].items():
        by_layer = document["aer"][OURS][name]
        auto, best = each["auto"], each["best"]
        figures = [f"{by_layer[layer - 1]:.3f}" for layer in (auto, best)]
        rows.append([name, str(each["pairs"]), str(auto), figures[0], str(best), figures[1]])
    return Table(("set", "pairs", "chosen layer", "its AER", "best layer", "its AER"), rows).markdown()


def grid_table(document: dict[str, Any]) -> str:
    """Render the mean AER of the grid: automatic layer / last layer."""
    priors = GRID["order_prior"]
    rows = []
    found = {tuple(each["settings"].values()): each["aer"] for each in document["grid"]}
    for epsilon, relaxation in product(GRID["epsilon"], GRID["relaxation"]):
        row = [f"{epsilon:g}", f"{relaxation:g}"]
        for prior in priors:
            by_set = [list(each.values()) for each in found[epsilon, relaxation, prior].values()]
            row.append(" / ".join(f"{np.mean([each[end] for each in by_set]):.3f}" for end in (0, -1)))
        rows.append(row)
    heading = ("epsilon", "relaxation", *(f"order prior {prior:g}" for prior in priors))
    return Table(heading, rows, align="r" * len(heading)).markdown()


def main() -> None:
    """Parse the command line."""
    parser = command_line(__doc__, "word_alignment")
    parser.add_argument("--gold", action="append", default=[], metavar="NAME=[SOURCE,]TEXT,LINKS")
    parser.add_argument("--model", default="offline:multilingual-e5-small")
    parser.add_argument("--limit", type=int, help="sentences of each set")
    parser.add_argument("--smoke", action="store_true", help="a dozen sentences per set, throughput once")
    options = parser.parse_args()
    if options.table:
        document = read_document(options.table)
    else:
        if options.smoke:
            options.limit = 12
        document = run(options)
        write_document(options.output, document)
    print(table(document), choice_table(document), grid_table(document), sep="\n")  # noqa: T201
    print(json.dumps(document["throughput"]), json.dumps(document["verdict"]))  # noqa: T201


if __name__ == "__main__":
    main()
