"""Claim: exact search both ways takes less than a third of the time of two faiss searches, with int8; better pairs.

Search: CPU time of one thread, otembed (from files, centering included) and its peers interleaved in one run, minimum
over the repeats; a figure is otembed / peer, lower is better. Memory: growth of the peak resident memory over the
loaded interpreter, each method in a separate process. Pairs: best F1, average precision and F1 at a predetermined
threshold, on planted vectors and on Tatoeba with half of the lines of each side orphaned, against the rules of LASER and
of sentence-transformers' mining example, reimplemented from their descriptions.

    python benchmarks/mining.py --tatoeba FOLDER -o benchmarks/results/mining.json
    python benchmarks/mining.py --table benchmarks/results/mining.json
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import texts
from document import command_line, head, read_document, resumed, write_document
from memory import growth
from numpy.typing import NDArray
from timing import interleaved

import otembed
from otembed.config.mining import DEFAULT_THRESHOLDS
from otembed.embeddings.embed import embed_lines
from otembed.embeddings.lines import read_side
from otembed.embeddings.rows import scan
from otembed.embeddings.vectors import open_vectors
from otembed.mining.search.approximate import approximate_neighbors
from otembed.mining.search.exact import exact_neighbors
from otembed.mining.search.index import METHODS
from otembed.mining.search.screening import SCREENS
from otembed.results import Table
from otembed.runtime.executors import LocalExecutor
from otembed.tasks.mining import mining_scores

Floats = NDArray[np.float32]
Gold = set[tuple[int, int]]
K = 4
TIME_GOAL, MEMORY_GOAL = 0.30, 100
SIZES = (20_000, 50_000, 100_000)
# Beyond this size, the lower bound and the check for equal results would take longer than the comparison itself.
AGREEMENT_ROWS = 20_000


def unit(rows: NDArray[Any]) -> Floats:
    """Rows divided by their norms."""
    scaled: Floats = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return scaled


def planted(rows: int, dimension: int = 384, seed: int = 0) -> tuple[Floats, Floats, Gold]:
    """Vectors of both sides, half of each in pairs: topics, a common direction, noise that differs by pair."""
    draw = np.random.default_rng(seed)
    spectrum = np.arange(1, dimension + 1) ** -0.35
    spectrum /= np.sqrt((spectrum**2).mean())
    pairs, topics = rows // 2, max(50, rows // 40)

    def noise(count: int) -> NDArray[Any]:
        return draw.standard_normal((count, dimension)) * spectrum

    centers = noise(topics)

    def sentences(count: int) -> NDArray[Any]:
        return 0.8 * centers[draw.integers(0, topics, count)] + 0.6 * noise(count)

    common, languages = 0.55 * noise(1), 0.15 * noise(2)
    shared = sentences(pairs)
    sides, order = [], []
    for language in languages:
        meaning = np.concatenate([shared, sentences(rows - pairs)])
        spread = draw.uniform(0.25, 1.1, (rows, 1))
        order.append(draw.permutation(rows))
        sides.append(unit(meaning + common + language + spread * noise(rows))[order[-1]])
    places = [np.argsort(each)[:pairs].tolist() for each in order]
    return sides[0], sides[1], set(zip(*places, strict=True))


def two_searches(x: Floats, y: Floats) -> tuple[Any, Any]:
    """Search exactly in each direction, one after the other, as common scripts do."""
    there = faiss.knn(x, y, K, metric=faiss.METRIC_INNER_PRODUCT)
    return there, faiss.knn(y, x, K, metric=faiss.METRIC_INNER_PRODUCT)


def one_pass(files: tuple[Path, Path], *, centered: bool = True, screen: str | None = None) -> tuple[Any, Any]:
    """Otembed's search from files: check, sum and hash the rows, center them, find neighbors both ways."""
    source, target = (replace(scan(open_vectors(each))[0], centered=centered) for each in files)
    return exact_neighbors(source, target, K, executor=LocalExecutor(1), screen=screen)


def product_alone(x: Floats, y: Floats) -> None:
    """Compute only the float32 product in tiles: a lower bound for any exact search without int8."""
    tile = np.empty((1024, 2048), np.float32)
    for i in range(0, len(x), 1024):
        for j in range(0, len(y), 2048):
            rows, columns = x[i : i + 1024], y[j : j + 2048]
            np.matmul(rows, columns.T, out=tile[: len(rows), : len(columns)])


def search_speed(rows: int, repeats: int, folder: Path) -> dict[str, Any]:
    """CPU seconds of each method at one size, and the agreement of their neighbors."""
    x, y, _ = planted(rows)
    files = save(x, y, folder)
    runs: dict[str, Callable[[], Any]] = {
        "otembed": lambda: one_pass(files),
        "two faiss.knn": lambda: two_searches(x, y),
    }
    if rows <= AGREEMENT_ROWS:
        runs["product alone"] = lambda: product_alone(x, y)
    for screen in SCREENS:
        one_pass(save(x[:50], y[:50], folder, "small"), screen=screen)  # compiles
    seconds = interleaved(runs, repeats)
    found: dict[str, Any] = {
        "repeats": repeats,
        "cpu_seconds": {name: round(min(values), 3) for name, values in seconds.items()},
    }
    if rows > AGREEMENT_ROWS:
        return found
    ours, theirs = one_pass(files, centered=False), two_searches(x, y)
    return found | {
        "same_neighbors": min(float((a.ids == b[1]).mean()) for a, b in zip(ours, theirs, strict=True)),
        "largest_difference": max(float(np.abs(a.scores - b[0]).max()) for a, b in zip(ours, theirs, strict=True)),
    }


def index_recall(rows: int, repeats: int, folder: Path) -> dict[str, Any]:
    """Recall of each FAISS index, and its CPU time relative to exact search, including building and checking."""
    files = save(*planted(rows)[:2], folder)
    source, target = (replace(scan(open_vectors(each))[0], centered=True) for each in files)
    started = time.process_time()
    exact_neighbors(source, target, K, executor=LocalExecutor(1))
    exact = time.process_time() - started
    found: dict[str, Any] = {}
    for method in METHODS:
        started = time.process_time()
        recall = approximate_neighbors(source, target, K, method, executor=LocalExecutor(1))[2]
        found[method] = {"recall": round(recall, 4), "cost": round((time.process_time() - started) / exact, 2)}
    return found


def save(x: Floats, y: Floats, folder: Path, name: str = "rows") -> tuple[Path, Path]:
    """Write both sides to files."""
    paths = folder / f"{name}-x.npy", folder / f"{name}-y.npy"
    for path, values in zip(paths, (x, y), strict=True):
        np.save(path, values)
    return paths


def print_growth(method: str, folder: Path) -> None:
    """Print the growth of the peak resident memory over the loaded interpreter, in 1e6 bytes."""
    one_pass((folder / "small-x.npy", folder / "small-y.npy"))
    two_searches(*(np.load(folder / f"small-{side}.npy") for side in "xy"))

    def search() -> None:
        if method == "otembed":
            one_pass((folder / "rows-x.npy", folder / "rows-y.npy"))
        else:
            two_searches(*(np.load(folder / f"rows-{side}.npy") for side in "xy"))

    print(growth(search)[1] / 1e6)  # noqa: T201


def memory(rows: int, repeats: int, folder: Path) -> dict[str, Any]:
    """Growth of the peak memory of both methods, each in a separate process; measured once, it does not vary."""
    x, y, _ = planted(rows)
    save(x, y, folder)
    save(x[:50], y[:50], folder, "small")
    grown = {}
    for method in ("otembed", "two faiss.knn"):
        command = [sys.executable, __file__, "--growth", method, str(folder)]
        grown[method] = round(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout), 1)
    return grown


def best_of_both(x: Floats, y: Floats, there: Any, back: Any) -> list[tuple[float, int, int]]:
    """Ratio margin, the best candidate of each line in each direction, then greedy one-to-one selection.

    This is LASER's ``max`` retrieval (Artetxe and Schwenk 2019) and the rule of sentence-transformers' example.
    """
    means = there[0].mean(1), back[0].mean(1)
    candidates = []
    for (scores, ids), (own, other), turned in ((there, means, False), (back, means[::-1], True)):
        margin = scores / ((own[:, None] + other[ids]) / 2)
        # An index -1 of an approximate search reads the last row, as in the scripts.
        best = margin.argmax(1)
        for row, column in enumerate(best.tolist()):
            pair = row, int(ids[row, column])
            candidates.append((float(margin[row, column]), *(pair[::-1] if turned else pair)))
    return greedy(candidates)


def greedy(candidates: list[tuple[float, int, int]]) -> list[tuple[float, int, int]]:
    """Take the best first, each line once."""
    sources: set[int] = set()
    targets: set[int] = set()
    chosen = []
    for score, source, target in sorted(candidates, reverse=True):
        if source not in sources and target not in targets:
            sources.add(source)
            targets.add(target)
            chosen.append((score, source, target))
    return chosen


def laser(x: Floats, y: Floats) -> list[tuple[float, int, int]]:
    """LASER's rules with exact search."""
    return best_of_both(x, y, *two_searches(x, y))


def st_example(x: Floats, y: Floats, *, pca: int | None) -> list[tuple[float, int, int]]:
    """sentence-transformers' example: IVF of one cluster for 1,000 lines, 3 probed, PCA to 128 dimensions."""
    if pca is not None:
        both = np.concatenate([x[:10_000], y[:10_000]]).astype(np.float64)
        mean = both.mean(0)
        directions = np.linalg.svd(both - mean, full_matrices=False)[2][:pca].T
        # The example projects without subtracting the mean, as a dense layer, and normalizes again.
        x, y = (unit(side @ directions) for side in (x, y))

    def search(queries: Floats, base: Floats) -> Any:
        clusters = len(base) // 1000
        index = faiss.IndexIVFFlat(
            faiss.IndexFlatIP(base.shape[1]), base.shape[1], clusters, faiss.METRIC_INNER_PRODUCT
        )
        index.nprobe = 3
        index.train(base)
        index.add(base)
        return index.search(queries, K)

    return best_of_both(x, y, search(x, y), search(y, x))


def ours(x: Floats, y: Floats, **settings: Any) -> list[tuple[float, int, int]]:
    """Otembed's pairs, rows counted from 0."""
    mined = otembed.mine_bitext(x, y, threshold=None, workers=1, **settings)
    return [(pair.score, int(pair.source_id) - 1, int(pair.target_id) - 1) for pair in mined]


# name: (function, predetermined threshold: otembed's default, the usual ones of LASER and of the example)
MINERS: dict[str, tuple[Callable[[Floats, Floats], list[tuple[float, int, int]]], float]] = {
    "otembed (distance, centered)": (lambda x, y: ours(x, y), 0.06),
    "otembed, ratio": (lambda x, y: ours(x, y, margin="ratio"), 1.15),
    "otembed, ratio, not centered": (lambda x, y: ours(x, y, margin="ratio", center=False), 1.06),
    "LASER's rules, exact": (laser, 1.06),
    "sentence-transformers' example": (lambda x, y: st_example(x, y, pca=128), 1.0),
    "the same without PCA": (lambda x, y: st_example(x, y, pca=None), 1.0),
}


def quality(name: str, x: Floats, y: Floats, gold: Gold) -> list[dict[str, Any]]:
    """Figures of every method on one collection."""
    rows: list[dict[str, Any]] = []
    for method, (mine, threshold) in MINERS.items():
        try:
            pairs = mine(x, y)
        except RuntimeError as error:  # faiss: fewer lines than one cluster takes
            rows.append({"collection": name, "method": method, "error": str(error).splitlines()[-1][:80]})
            continue
        right = [pair[1:] in gold for pair in pairs]
        found = mining_scores([pair[0] for pair in pairs], right, len(gold), threshold=threshold, name=name)
        kept: dict[str, Any] = {
            key: getattr(found, key) for key in ("best_f1", "best_threshold", "average_precision", "f1")
        }
        rows.append({"collection": name, "method": method, "threshold": threshold} | kept)
    return rows


def tatoeba(folder: Path, model: str, cache: Path | None) -> tuple[Floats, Floats]:
    """Embed both sides of all pairs, each distinct text once, all languages together against English."""
    sides = zip(*texts.tatoeba(folder), strict=True)
    encoder = otembed.load_model(model)
    source, target, _ = sides
    x, y = (
        embed_lines(read_side(list(side)), encoder, cache=cache).read(0, len(side)) for side in (source, target)
    )
    return x, y


def orphaned(x: Floats, y: Floats, seed: int, count: int | None = None) -> tuple[Floats, Floats, Gold]:
    """Make two collections of pairs, or of ``count`` of them: a third keeps both sides, the others one."""
    draw = np.random.default_rng(seed)
    both, left, right = np.array_split(draw.permutation(len(x))[:count], 3)
    sides = [draw.permutation(np.concatenate([both, alone])) for alone in (left, right)]
    places = [{pair: row for row, pair in enumerate(side.tolist())} for side in sides]
    gold = {(places[0][pair], places[1][pair]) for pair in both.tolist()}
    return x[sides[0]], y[sides[1]], gold


def defaults(x: Floats, y: Floats) -> list[dict[str, Any]]:
    """Best F1, and F1 at the default threshold, by size, margin and centering; means over seeds."""
    rows = []
    for count in (15, 45, 150, 450, 1500, None):
        for center, thresholds in DEFAULT_THRESHOLDS.items():
            for margin, threshold in thresholds.items():
                found = []
                for seed in range(3 if count is None else 10):
                    *sides, gold = orphaned(x, y, seed, count)
                    pairs = ours(*sides, margin=margin, center=center)
                    right = [pair[1:] in gold for pair in pairs]
                    found.append(mining_scores([pair[0] for pair in pairs], right, len(gold), threshold=threshold))
                rows.append(
                    {
                        "lines": len(sides[0]),
                        "centered": center,
                        "margin": margin,
                        "seeds": len(found),
                        "best_f1": statistics.fmean(each.best_f1 for each in found),
                        "f1": statistics.fmean(each.f1 for each in found),
                        "precision": statistics.fmean(each.precision for each in found),
                        "recall": statistics.fmean(each.recall for each in found),
                    }
                )
    return rows


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure everything that is missing from the output file, and write it after each part."""
    faiss.omp_set_num_threads(1)
    sizes = (1500,) if options.smoke else options.sizes
    settings = {"model": options.model, "k": K, "threads": 1, "dimension": 384, "smoke": options.smoke}
    document: dict[str, Any] = {
        **head(__doc__, command=False),
        "settings": settings,
        "goals": {"time": TIME_GOAL, "memory_mb": MEMORY_GOAL},
        "search": [],
        "memory": [],
        "indexes": [],
        "pairs": [],
        "defaults": [],
    }
    document = resumed(options.output, document)

    def keep(part: str, rows: list[dict[str, Any]]) -> None:
        document[part] += rows
        write_document(options.output, document)

    if not document["pairs"]:
        collections = [("planted", *planted(min(sizes[0], 20_000), seed=1))]
        if options.tatoeba is not None:
            vectors = tatoeba(options.tatoeba, options.model, options.cache)
            collections += [(f"Tatoeba {seed + 1}", *orphaned(*vectors, seed)) for seed in range(3)]
        keep("pairs", [row for collection in collections for row in quality(*collection)])
    if options.tatoeba is not None and not document["defaults"]:
        keep("defaults", defaults(*tatoeba(options.tatoeba, options.model, options.cache)))
    parts: dict[str, Callable[[int, int, Path], dict[str, Any]]] = {
        "search": search_speed,
        "memory": memory,
        "indexes": index_recall,
    }
    for part, measure in parts.items():
        for rows in sizes:
            if rows not in [each["rows"] for each in document[part]]:
                with tempfile.TemporaryDirectory() as name:
                    keep(part, [{"rows": rows, **measure(rows, options.repeats, Path(name))}])
    return document


def table(document: dict[str, Any]) -> str:
    """Render the document as five Markdown tables."""
    search = []
    for each in document["search"]:
        seconds = each["cpu_seconds"]
        base = seconds["two faiss.knn"]
        alone = f"{seconds['product alone'] / base:.2f}" if "product alone" in seconds else ""
        figures = f"{seconds['otembed']:.1f}", f"{base:.1f}", f"{seconds['otembed'] / base:.2f}", alone
        search.append((f"{each['rows']:,} x {each['rows']:,} x 384", *figures, f"{document['goals']['time']:.2f}"))
    methods = ("otembed", "two faiss.knn")
    grown = [
        (
            f"{each['rows']:,} lines per side",
            *(f"{each[name]:.0f}" for name in methods),
            str(document["goals"]["memory_mb"]),
        )
        for each in document["memory"]
    ]
    indexes = [
        (
            f"{each['rows']:,} lines per side",
            *(f"{each[name]['recall']:.3f} ({each[name]['cost']:.2f})" for name in METHODS),
        )
        for each in document["indexes"]
    ]
    pairs = []
    for each in document["pairs"]:
        if "error" in each:
            cells = [each["error"], "", "", ""]
        else:
            scores = (f"{each[name]:.3f}" for name in ("best_f1", "average_precision", "f1"))
            cells = [*scores, str(each["threshold"])]
        pairs.append([each["method"], each["collection"], *cells])
    defaults: dict[str, dict[str, str]] = {}
    for each in document["defaults"]:
        row = f"{each['lines']:,} lines per side, {'centered' if each['centered'] else 'raw'}"
        defaults.setdefault(row, {})[each["margin"]] = f"{each['f1']:.3f} / {each['best_f1']:.3f}"
    margins = ("distance", "ratio", "absolute")
    heading = ("otembed, s", "two faiss.knn, s", "ratio", "product alone", "goal")
    tables = (
        Table(("search, k = 4, both directions", *heading), search),
        Table(("memory without the interpreter, MB", *methods, "goal"), grown),
        Table(("index, recall (CPU time, exact = 1)", "hnsw", "pq"), indexes),
        Table(("pairs", "collection", "best F1", "average precision", "F1 at", "threshold"), pairs, align="llrrrr"),
        Table(
            ("Tatoeba, F1 at the default threshold / best F1", *margins),
            [(row, *(cell[name] for name in margins)) for row, cell in defaults.items()],
        ),
    )
    return "\n".join(each.markdown() for each in tables)


def main() -> None:
    """Parse the command line."""
    parser = command_line(__doc__, "mining")
    parser.add_argument("--tatoeba", type=Path, metavar="FOLDER", help="folder of tatoeba.XXX-eng.{XXX,eng}")
    parser.add_argument("--model", default="offline:multilingual-e5-small")
    parser.add_argument("--cache", type=Path, help="folder of cached embeddings")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--smoke", action="store_true", help="1,500 planted lines, seconds")
    parser.add_argument("--growth", nargs=2, metavar=("METHOD", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.growth:
        print_growth(options.growth[0], Path(options.growth[1]))
        return
    document = read_document(options.table) if options.table else write_document(options.output, run(options))
    print(table(document))  # noqa: T201


if __name__ == "__main__":
    main()
