"""Claim: transport between the sentences of documents finds more translated documents than their mean vectors.

Parallel lines with a document id each, as in NTREX. On each draw, a fifth of the documents is only on the source side, a
fifth only on the target side, documents are shuffled; of the target documents with a translation, 30 % keep only their
first or second half, and 10 % are joined with one that has none. All methods compare the same candidates (the nearest by
mean vector, both directions) on the same vectors; margin and one-to-one pairs are otembed's. Peers, reimplemented from their
descriptions: the cosine of mean vectors weighted by length; BiMax, the mean of the best matches of all sentences in both
directions; greedy mover's distance (El-Kishky and Guzman 2020), with masses by length. Times are CPU seconds of one thread
for all candidates, compiled code for each method.

The same with distractors: documents are cut into pieces of up to four lines; on each draw, as many pieces as possible at 20
distractors for each are the sources, and the targets are their translations (30 % of them halved) among 1, 5 or 20 times as
many other pieces.

    python benchmarks/document_matching.py --ids DOCUMENT_IDS.tsv --lines de=FILE.en,FILE.de \
        -o benchmarks/results/document_matching.json
    python benchmarks/document_matching.py --table benchmarks/results/document_matching.json
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
from document import command_line, head, read_document, resumed, write_document
from numpy.typing import NDArray

import otembed
from otembed.config import MatchConfig, MiningConfig
from otembed.data.compression import read_lines
from otembed.data.starter import starter_path
from otembed.documents.clouds import Clouds, clouds_of, transport_similarity
from otembed.documents.match import candidates
from otembed.documents.read import Document, document_of
from otembed.embeddings.texts import embed_sides
from otembed.mining.pairing.pairing import pair_up
from otembed.mining.search.neighbors import Neighbors
from otembed.results import Table
from otembed.runtime.compiling import jit
from otembed.tasks.mining import mining_scores

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]
DEFAULTS = MatchConfig()
DRAWS = 5
ALONE, CUT, JOINED = 0.2, 0.3, 0.1
RELAXATIONS = (0.1, 0.3)
DISTRACTORS = (1, 5, 20)
PIECE = 4
DISTRACTED_DRAWS = 10
MEAN, BIMAX, GREEDY, BALANCED = "mean vectors", "BiMax", "greedy mover's distance", "transport, balanced"


class Drawn(NamedTuple):
    """Documents of both sides as places in the lines, and which source translates which target."""

    source: list[list[int]]
    target: list[list[int]]
    gold: set[tuple[int, int]]


def draw_collections(documents: list[list[int]], seed: int) -> Drawn:
    """Return two collections of documents, each a list of lines."""
    draw = np.random.default_rng(seed)
    order = draw.permutation(len(documents)).tolist()
    alone = round(ALONE * len(documents))
    left, right, both = order[:alone], order[alone : 2 * alone], order[2 * alone :]
    targets = {place: list(documents[place]) for place in (*both, *right)}
    changed = draw.permutation(both).tolist()
    cut, joined = changed[: round(CUT * len(both))], changed[round(CUT * len(both)) :][: round(JOINED * len(both))]
    for place in cut:
        lines = targets[place]
        half = (len(lines) + 1) // 2
        targets[place] = lines[:half] if draw.random() < 0.5 else lines[-half:]
    for place, other in zip(joined, right, strict=False):
        targets[place] = targets[place] + targets.pop(other)
    sources = draw.permutation([*left, *both]).tolist()
    names = draw.permutation(list(targets)).tolist()
    row = {place: number for number, place in enumerate(names)}
    gold = {(number, row[place]) for number, place in enumerate(sources) if place in set(both)}
    return Drawn([documents[place] for place in sources], [targets[place] for place in names], gold)


def pieces_of(documents: list[list[int]], size: int = PIECE) -> list[list[int]]:
    """Return consecutive lines of the documents, at most ``size`` in a piece.

    >>> pieces_of([[0, 1, 2, 3, 4], [5]], 2)
    [[0, 1], [2, 3], [4], [5]]
    """
    return [each[start : start + size] for each in documents for start in range(0, len(each), size)]


def draw_distracted(pieces: list[list[int]], distractors: int, seed: int) -> Drawn:
    """Return sources, and their translations among ``distractors`` times as many other pieces.

    The sources of a seed are the same for any number of distractors.
    """
    draw = np.random.default_rng(seed)
    order = draw.permutation(len(pieces)).tolist()
    count = len(pieces) // (1 + max(DISTRACTORS))
    sources, others = order[:count], order[count : (1 + distractors) * count]
    cut = set(sources[: round(CUT * count)])
    targets = {place: pieces[place] for place in (*sources, *others)}
    for place in cut:
        targets[place] = targets[place][: (len(targets[place]) + 1) // 2]
    names = draw.permutation(list(targets)).tolist()
    row = {place: number for number, place in enumerate(names)}
    gold = {(number, row[place]) for number, place in enumerate(sources)}
    return Drawn([pieces[place] for place in sources], [targets[place] for place in names], gold)


@jit()
def bimax(x: Floats, y: Floats) -> float:
    """Return the mean of the largest cosines of all sentences of both sides."""
    cosines = x @ y.T
    total = 0.0
    for i in range(len(x)):
        total += cosines[i].max()
    for j in range(len(y)):
        total += cosines[:, j].max()
    return total / (len(x) + len(y))


@jit()
def greedy_distance(x: Floats, y: Floats, a: Floats, b: Floats) -> float:
    """Return the cost of the greedy plan: the closest sentences first, as much mass as both still have."""
    cost = 1.0 - x @ y.T
    flat = cost.ravel()
    left, right = a.copy(), b.copy()
    total = 0.0
    for cell in np.argsort(flat):
        i, j = cell // len(y), cell % len(y)
        moved = min(left[i], right[j])
        if moved > 0.0:
            total += moved * flat[cell]
            left[i] -= moved
            right[j] -= moved
    return total


def one_by_one(function: Callable[..., float], *, masses: bool) -> Callable[[Clouds, Clouds, Ids, Ids], Floats]:
    """Return a method that compares documents one by one."""

    def compare(source: Clouds, target: Clouds, rows: Ids, columns: Ids) -> Floats:
        values = np.empty(len(rows), np.float32)
        for place, (i, j) in enumerate(zip(rows.tolist(), columns.tolist(), strict=True)):
            one, other = (slice(side.bounds[k], side.bounds[k + 1]) for side, k in ((source, i), (target, j)))
            x, y = source.vectors[one], target.vectors[other]
            values[place] = function(x, y, source.masses[one], target.masses[other]) if masses else function(x, y)
        return values

    return compare


def by_mean(source: Clouds, target: Clouds, rows: Ids, columns: Ids) -> Floats:
    """Compare documents by their mean vectors."""
    x, y = source.pooled(), target.pooled()
    cosines: Floats = np.einsum("pd,pd->p", x[rows], y[columns])
    return cosines


def by_transport(relaxation: float | None) -> Callable[[Clouds, Clouds, Ids, Ids], Floats]:
    """Return otembed's comparison."""
    return lambda *sides: transport_similarity(*sides, epsilon=DEFAULTS.epsilon, relaxation=relaxation)


METHODS: dict[str, Callable[[Clouds, Clouds, Ids, Ids], Floats]] = {
    MEAN: by_mean,
    BIMAX: one_by_one(bimax, masses=False),
    GREEDY: one_by_one(lambda *sides: 1 - greedy_distance(*sides), masses=True),
    BALANCED: by_transport(None),
    **{f"transport, relaxation {value:g}": by_transport(value) for value in RELAXATIONS},
}


def compare(
    drawn: Drawn, vectors: tuple[Floats, Floats], documents: tuple[list[Document], list[Document]]
) -> list[dict[str, Any]]:
    """Return the figures of every method on one draw."""
    left, right = (
        clouds_of(docs, side[[line for lines in places for line in lines]])
        for docs, side, places in zip(documents, vectors, drawn[:2], strict=True)
    )
    forward, backward = candidates(left, right, DEFAULTS, cache=None)
    there = np.repeat(np.arange(len(left)), forward.ids.shape[1]), forward.ids.ravel()
    back = backward.ids.ravel(), np.repeat(np.arange(len(right)), backward.ids.shape[1])
    rows, columns = (np.concatenate(each) for each in zip(there, back, strict=True))
    found = []
    for name, method in METHODS.items():
        method(left, right, rows[:2], columns[:2])  # compiles
        started = time.process_time()
        values = method(left, right, rows, columns)
        seconds = time.process_time() - started
        there_lists, back_lists = (
            Neighbors(part.reshape(each.ids.shape), each.ids)
            for part, each in zip(np.split(values, [len(there[0])]), (forward, backward), strict=True)
        )
        pairs, _ = pair_up(there_lists, back_lists, MiningConfig(margin=DEFAULTS.margin, k=DEFAULTS.k))
        right_ones = [pair in drawn.gold for pair in zip(pairs.source.tolist(), pairs.target.tolist(), strict=True)]
        scores = mining_scores(pairs.score, right_ones, len(drawn.gold))
        found.append(
            {
                "method": name,
                "recall": scores.recall,
                "best_f1": scores.best_f1,
                "average_precision": scores.average_precision,
                "cpu_seconds": round(seconds, 4),
                "compared": len(rows),
            }
        )
    return found


def compare_lines(
    drawn: Drawn, lines: tuple[list[str], list[str]], vectors: tuple[Floats, Floats]
) -> list[dict[str, Any]]:
    """Return the figures of every method on one draw from parallel lines and their vectors."""
    one, other = (
        [document_of([side[line] for line in each], str(number)) for number, each in enumerate(places)]
        for side, places in zip(lines, drawn[:2], strict=True)
    )
    return compare(drawn, vectors, (one, other))


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure every language that is missing from the output file, and write it after each."""
    draws = 1 if options.smoke else DRAWS
    settings = {"model": options.model, "k": DEFAULTS.k, "epsilon": DEFAULTS.epsilon, "smoke": options.smoke}
    document: dict[str, Any] = {
        **head(__doc__, command=False),
        "settings": settings,
        "languages": {},
        "distractors": {},
    }
    document = resumed(options.output, document)
    if options.smoke:
        rows = [text.split("\t") for _, text in read_lines(starter_path("test"))][1:]
        sides = {"sw": ([row[1] for row in rows], [row[2] for row in rows])}
        ids = [str(number // 3) for number in range(len(rows))]
    else:
        ids = [text for _, text in read_lines(options.ids)]
        sides = {}
        for each in options.lines:
            name, _, places = each.partition("=")
            one, two = ([text for _, text in read_lines(Path(place))] for place in places.split(","))
            sides[name] = one, two
    documents = [[line for line, each in enumerate(ids) if each == name] for name in dict.fromkeys(ids)]
    model = otembed.load_model(options.model, device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        for name, lines in sides.items():
            if name in document["languages"]:
                continue
            vectors = embed_sides(
                model,
                list(lines),
                batch_size=32,
                prompt=None,
                prompt_name=None,
                truncate_dim=None,
                show_progress_bar=False,
                cache=options.cache or Path(folder),
            )
            found: list[dict[str, Any]] = []
            for seed in range(draws):
                drawn = draw_collections(documents, seed)
                found += [{"seed": seed, **each} for each in compare_lines(drawn, lines, (vectors[0], vectors[1]))]
            document["languages"][name] = {
                "sources": len(drawn.source),
                "targets": len(drawn.target),
                "gold": len(drawn.gold),
                "figures": found,
            }
            document["distractors"][name] = [
                {"seed": seed, "distractors": count, "sources": len(drawn.source), **each}
                for seed in range(1 if options.smoke else DISTRACTED_DRAWS)
                for count in DISTRACTORS
                for drawn in [draw_distracted(pieces_of(documents), count, seed)]
                for each in compare_lines(drawn, lines, (vectors[0], vectors[1]))
            ]
            write_document(options.output, document)
    return document


def table(document: dict[str, Any]) -> str:
    """Render the document as a Markdown table: recall / best F1 by language, means over draws; CPU time over that of means."""
    names = list(document["languages"])
    lines = []
    for method in METHODS:
        rows = {
            name: [each for each in document["languages"][name]["figures"] if each["method"] == method]
            for name in names
        }
        cells = [
            f"{fmean(each['recall'] for each in rows[name]):.3f} / {fmean(each['best_f1'] for each in rows[name]):.3f}"
            for name in names
        ]
        every = [each for name in names for each in rows[name]]
        spent = 1000 * sum(each["cpu_seconds"] for each in every) / sum(each["compared"] for each in every)
        best = fmean(each["best_f1"] for each in every)
        lines.append([method, *cells, f"{best:.3f}", f"{spent:.3f}"])
    return Table(("recall / best F1", *names, "mean best F1", "ms for each pair"), lines).markdown()


def distractor_table(document: dict[str, Any]) -> str:
    """Render the accuracy with distractors: the share of sources paired with their translation, means over draws."""
    names = list(document["distractors"])
    every = [(name, each) for name in names for each in document["distractors"][name]]
    most = max(DISTRACTORS)
    heads = [*(f"{count}" for count in DISTRACTORS), *(f"{most}: {name}" for name in names)]
    lines = []
    for method in METHODS:
        rows = [(name, each) for name, each in every if each["method"] == method]
        cells = [fmean(each["recall"] for _, each in rows if each["distractors"] == count) for count in DISTRACTORS]
        cells += [
            fmean(each["recall"] for of, each in rows if of == name and each["distractors"] == most)
            for name in names
        ]
        spent = 1000 * sum(each["cpu_seconds"] for _, each in rows) / sum(each["compared"] for _, each in rows)
        lines.append([method, *(f"{each:.3f}" for each in (*cells, spent))])
    return Table(("accuracy at distractors", *heads, "ms for each pair"), lines).markdown()


def main() -> None:
    """Parse the command line."""
    parser = command_line(__doc__, "document_matching")
    parser.add_argument("--ids", type=Path, help="the document id of each line")
    parser.add_argument(
        "--lines", action="append", default=[], metavar="NAME=SOURCE,TARGET", help="parallel lines; repeat"
    )
    parser.add_argument("--model", default="offline:multilingual-e5-small")
    parser.add_argument("--cache", type=Path, help="folder of cached embeddings")
    parser.add_argument("--smoke", action="store_true", help="starter text, seconds")
    options = parser.parse_args()
    if not (options.table or options.smoke or (options.ids and options.lines)):
        parser.error("--ids and --lines are required")
    document = read_document(options.table) if options.table else write_document(options.output, run(options))
    print(table(document), distractor_table(document), sep="\n")  # noqa: T201


if __name__ == "__main__":
    main()
