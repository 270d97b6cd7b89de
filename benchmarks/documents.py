"""Claim: centered vectors and lengths align sentences better than Vecalign's costs on the same vectors, in linear time.

Gold: documents with published links, strict and lax F1 of all links together. The peer is Vecalign's method (Thompson
and Koehn 2019), reimplemented from its description: cosine distances over the mean distance of random sentences, times
the numbers of sentences of both sides, and deletions at a quantile of the costs of random pairs. Its program is solved
over all cells, where the original searches a band. Planted: parallel lines in order as one document, whose other side
has missing, exchanged and joined paragraphs or sentences, aligned with and without transport for stretches in another
order; F1 of links, means over draws. Scaling: synthetic vectors, CPU time of one thread and growth of the peak memory in
a separate process.

    python benchmarks/documents.py --gold NAME=SOURCE,TARGET,LINKS --lines FILE.en FILE.de \
        -o benchmarks/results/documents.json
    python benchmarks/documents.py --table benchmarks/results/documents.json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from document import command_line, head, named, read_document, resumed, write_document
from memory import growth
from numpy.typing import NDArray

import otembed
from otembed.config import DocumentsConfig
from otembed.data.compression import read_lines
from otembed.data.starter import starter_path
from otembed.documents.align_work import AlignWork, add_mean_runs, run_vectors
from otembed.documents.kernels import shortest
from otembed.documents.monotone import Sides, Step, align_monotone, kinds_of_links, prepare, unit
from otembed.documents.moved import align_reordered, longest_chain
from otembed.documents.read import Document
from otembed.embeddings.encode import resolve_prompt
from otembed.embeddings.fingerprint import model_fingerprint
from otembed.embeddings.texts import embed_sides
from otembed.results import Table
from otembed.tasks.documents import DocumentScores, GoldDocuments, link_scores
from otembed.tasks.documents.gold import GoldLink

Floats = NDArray[np.float32]
SIZES = (1_000, 3_000, 10_000)
DEFAULTS = DocumentsConfig()
PEER = "Vecalign's method"
OURS = "otembed"
KINDS = ("none", "deleted", "exchanged", "joined", "all")
PARAGRAPH = 6
SHARES = {"deleted": 0.2, "exchanged": 0.1, "joined": 0.05}
DRAWS = 3
LINES = 600
# Random sentences of a document, of which the peer takes the mean distance; and random pairs.
SAMPLES, PAIRS = 100, 20_000
GOAL = 0.02


def vecalign(x: Floats, y: Floats, *, max_sentences: int, quantile: float = 0.2, seed: int = 0) -> list[Step]:
    """Return the alignment with Vecalign's costs; the quantile is the published one."""
    draw = np.random.default_rng(seed)
    rows, columns = x.shape[1], y.shape[1]
    random_x, random_y = (side[0, draw.integers(0, side.shape[1], SAMPLES)] for side in (x, y))
    x_far, y_far = 1 - x @ random_y.mean(0), 1 - y @ random_x.mean(0)
    steps = kinds_of_links(max_sentences)
    costs = np.full((rows + 1, columns + 1, len(steps)), np.inf, np.float32)
    for kind, (m, n) in enumerate(steps):
        runs, others = x[m - 1, : rows - m + 1], y[n - 1, : columns - n + 1]
        far = x_far[m - 1, : rows - m + 1][:, None] + y_far[n - 1, : columns - n + 1]
        costs[m:, n:, kind] = 2 * np.maximum(1 - runs @ others.T, 0) / np.maximum(far, 1e-6)
    random = costs[1 + draw.integers(0, rows, PAIRS), 1 + draw.integers(0, columns, PAIRS), 0]
    lo, hi = np.zeros(rows + 1, np.int64), np.full(rows + 1, columns, np.int64)
    starts = np.arange(rows + 1) * (columns + 1)
    total, back = np.empty(costs[..., 0].size), np.empty(costs[..., 0].size, np.int16)
    flat = costs.reshape(-1, len(steps))
    deletion = float(np.quantile(random, quantile))
    shortest(flat, lo, hi, starts, steps, steps.prod(axis=1).astype(np.float64), deletion, total, back)
    found, i, j = [], rows, columns
    while i or j:
        kind = int(back[starts[i] + j])
        m, n = steps[kind] if kind < len(steps) else ((1, 0), (0, 1))[kind - len(steps)]
        found.append(Step((i - m, i), (j - n, j), 0.0))
        i, j = i - m, j - n
    return found[::-1]


def ours(sides: Sides, config: DocumentsConfig = DEFAULTS) -> list[Step]:
    """Return otembed's alignment."""
    program = align_reordered if config.reorder else align_monotone
    return program(sides, max_sentences=config.max_sentences, band=config.band)


def sides_of(x: Floats, y: Floats, documents: tuple[Document, Document], **settings: Any) -> Sides:
    """Return the sides of two documents as otembed prepares them."""
    lengths = [np.array([len(text) for text in each.sentences], np.float64) for each in documents]
    chosen = {"deletion_quantile": DEFAULTS.deletion_quantile, "length_weight": DEFAULTS.length_weight}
    return prepare(x, y, *lengths, **{**chosen, **settings})


def numbered(steps: list[Step], documents: tuple[Document, Document]) -> list[GoldLink]:
    """Return steps as numbers of lines."""
    x, y = (each.numbers for each in documents)
    return [(tuple(x[slice(*step.source)]), tuple(y[slice(*step.target)])) for step in steps]


# Each changes one thing of the method.
VARIANTS: dict[str, dict[str, Any]] = {
    OURS: {},
    "without lengths": {"length_weight": 0.0},
    "not centered": {"center": False},
    "monotone": {"reorder": False},
    "mean vectors for runs": {"runs": "mean"},
}


def gold_scores(model: Any, places: dict[str, GoldDocuments], cache: Path) -> list[dict[str, Any]]:
    """Return the counts of every method on each pair of documents, on the same vectors of runs."""
    rows = []
    for name, gold in places.items():
        pair = gold.source, gold.target
        work = AlignWork(model, None, model_fingerprint(model), resolve_prompt(model, None, None), DEFAULTS, cache)
        x, y = run_vectors(work, model, pair, lambda *_: None)
        found = {PEER: vecalign(x, y, max_sentences=DEFAULTS.max_sentences)}
        for label, variant in VARIANTS.items():
            settings = dict(variant)
            runs = [x, y]
            if settings.pop("runs", None) == "mean":
                runs = [side.copy() for side in runs]
                for side in runs:
                    add_mean_runs(side)
            reorder = settings.pop("reorder", DEFAULTS.reorder)
            found[label] = ours(sides_of(runs[0], runs[1], pair, **settings), DocumentsConfig(reorder=reorder))
        rows += [
            {
                "documents": name,
                "method": label,
                **counts(link_scores(numbered(steps, pair), gold.links, name=name)),
            }
            for label, steps in found.items()
        ]
    return rows


def counts(scores: DocumentScores) -> dict[str, Any]:
    """Return the counts of scores as plain values."""
    return {key: value for key, value in vars(scores).items() if key != "name"}


def plant(source: list[str], target: list[str], kind: str, seed: int) -> tuple[Document, Document, list[GoldLink]]:
    """Return two documents of parallel lines, the target changed, and the links.

    deleted: a fifth of the paragraphs of six lines are missing; exchanged: a tenth of the paragraphs are in each other's
    place; joined: a twentieth of the lines are one sentence with the line after them.
    """
    draw = np.random.default_rng(seed)
    paragraphs = [
        list(range(start, min(start + PARAGRAPH, len(target)))) for start in range(0, len(target), PARAGRAPH)
    ]
    places = draw.permutation(len(paragraphs))
    if kind in ("exchanged", "all"):
        moved = places[: round(SHARES["exchanged"] * len(paragraphs)) // 2 * 2]
        for one, other in moved.reshape(-1, 2):
            paragraphs[one], paragraphs[other] = paragraphs[other], paragraphs[one]
        places = places[len(moved) :]
    if kind in ("deleted", "all"):
        for place in places[: round(SHARES["deleted"] * len(paragraphs))]:
            paragraphs[place] = []
    order = [line for each in paragraphs for line in each]
    joined = set()
    if kind in ("joined", "all"):
        joined = set(draw.permutation(len(target))[: round(SHARES["joined"] * len(target))].tolist())
    lines: list[list[int]] = []
    for line in order:
        if lines and len(lines[-1]) == 1 and lines[-1][0] in joined and line == lines[-1][0] + 1:
            lines[-1].append(line)
        else:
            lines.append([line])
    texts = [" ".join(target[line] for line in each) for each in lines]
    kept = {line for each in lines for line in each}
    links: list[GoldLink] = [(tuple(each), (number,)) for number, each in enumerate(lines)]
    links += [((line,), ()) for line in range(len(source)) if line not in kept]
    return _document("source", source), _document("target", texts), links


def _document(name: str, lines: list[str]) -> Document:
    return Document(name, tuple(lines), tuple(range(len(lines))))


def planted_scores(model: Any, lines: tuple[list[str], list[str]], draws: int, cache: Path) -> list[dict[str, Any]]:
    """F1 of links, with and without transport, for each kind of change and draw; runs are mean vectors."""
    sets = {(kind, seed): plant(*lines, kind, seed) for kind in KINDS for seed in range(draws)}
    every = list(
        dict.fromkeys(text for source, target, _ in sets.values() for text in source.sentences + target.sentences)
    )
    (vectors,) = embed_sides(
        model,
        [every],
        batch_size=32,
        prompt=resolve_prompt(model, None, None),
        prompt_name=None,
        truncate_dim=None,
        show_progress_bar=False,
        cache=cache,
    )
    row = {text: place for place, text in enumerate(every)}
    rows = []
    for (kind, seed), (*pair, links) in sets.items():
        both = pair[0], pair[1]
        runs = []
        for document in both:
            single = vectors[[row[text] for text in document.sentences]]
            side = np.zeros((DEFAULTS.max_sentences - 1, *single.shape), np.float32)
            side[0] = single
            add_mean_runs(side)
            runs.append(side)
        sides = sides_of(runs[0], runs[1], both)
        found: dict[str, Any] = {"kind": kind, "seed": seed, "moved": moved_share(links)}
        for label, reorder in (("monotone", False), ("with transport", True)):
            steps = ours(sides, DocumentsConfig(reorder=reorder))
            found[label] = link_scores(numbered(steps, both), links).f1
        found[PEER] = link_scores(numbered(vecalign(*runs, max_sentences=DEFAULTS.max_sentences), both), links).f1
        rows.append(found)
    return rows


def moved_share(links: list[GoldLink]) -> float:
    """Return the share of links that no monotone alignment with most links can have."""
    firsts = [source[0] for source, target in links if target]
    return 1 - len(longest_chain(np.array(firsts))) / len(firsts)


def synthetic(sentences: int, dimension: int = 384, seed: int = 0) -> tuple[Floats, Floats]:
    """Return runs of two documents of that length: every tenth sentence is missing on the other side."""
    draw = np.random.default_rng(seed)
    single = draw.standard_normal((sentences, dimension), dtype=np.float32)
    kept = single[draw.random(sentences) > 0.1]
    extra = draw.standard_normal((sentences - len(kept), dimension), dtype=np.float32)
    places = np.sort(draw.integers(0, len(kept), len(extra)))
    other = np.insert(kept, places, extra, axis=0) + draw.standard_normal((sentences, dimension), dtype=np.float32)
    runs = []
    for side in (single, other):
        vectors = np.zeros((DEFAULTS.max_sentences - 1, sentences, dimension), np.float32)
        vectors[0] = unit(side)
        add_mean_runs(vectors)
        runs.append(vectors)
    return runs[0], runs[1]


def scaling(sentences: int, *, reorder: bool) -> dict[str, float]:
    """CPU seconds and growth of the peak memory, in 1e6 bytes, without the vectors; in this process."""
    config = DocumentsConfig(reorder=reorder)

    def align(x: Floats, y: Floats) -> list[Step]:
        return ours(prepare(x, y, deletion_quantile=config.deletion_quantile), config)

    align(*synthetic(100))  # compiles
    x, y = synthetic(sentences)
    started = time.process_time()
    _, grown = growth(align, x, y)
    return {
        "sentences": sentences,
        "reorder": reorder,
        "cpu_seconds": round(time.process_time() - started, 2),
        "memory_mb": round(grown / 1e6, 1),
        "vectors_mb": round((x.nbytes + y.nbytes) / 1e6, 1),
    }


def in_process(sentences: int, *, reorder: bool) -> dict[str, float]:
    """Return the figures of :func:`scaling` from a separate process."""
    command = [sys.executable, __file__, "--scaling", str(sentences), str(int(reorder))]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure everything that is missing from the output file, and write it after each part."""
    sizes = (200,) if options.smoke else SIZES
    settings = {"model": options.model, "max_sentences": DEFAULTS.max_sentences, "smoke": options.smoke}
    document: dict[str, Any] = {
        **head(__doc__, command=False),
        "settings": settings,
        "goal": GOAL,
        "scaling": [],
        "gold": [],
        "planted": [],
    }
    document = resumed(options.output, document)

    def keep(part: str, rows: list[dict[str, Any]]) -> None:
        document[part] += rows
        write_document(options.output, document)

    for size in sizes:
        for reorder in (False, True):
            if [size, reorder] not in [[each["sentences"], each["reorder"]] for each in document["scaling"]]:
                measure = scaling if options.smoke else in_process
                keep("scaling", [measure(size, reorder=reorder)])
    places = named(options.gold)
    lines = [[text for _, text in read_lines(path)] for path in options.lines or ()]
    if options.smoke:
        pairs = [text.split("\t") for _, text in read_lines(starter_path("test"))][:40]
        lines = [[each[1] for each in pairs], [each[2] for each in pairs]]
    if not (places or lines):
        return document
    with tempfile.TemporaryDirectory() as folder:
        cache = options.cache or Path(folder)
        model = otembed.load_model(options.model, device="cpu")
        missing = {
            name: GoldDocuments.read(*place.split(","))
            for name, place in places.items()
            if name not in {each["documents"] for each in document["gold"]}
        }
        keep("gold", gold_scores(model, missing, cache))
        if lines and not document["planted"]:
            few = lines[0][:LINES], lines[1][:LINES]
            keep("planted", planted_scores(model, few, 1 if options.smoke else DRAWS, cache))
    document["verdict"] = verdict(document)
    return document


def total(document: dict[str, Any], method: str, names: set[str] | None = None) -> DocumentScores:
    """Return the summed counts of a method over documents; None: all except those called dev."""
    chosen = [
        DocumentScores(
            name="all", **{key: value for key, value in each.items() if key not in ("documents", "method")}
        )
        for each in document["gold"]
        if each["method"] == method and (each["documents"] in names if names else each["documents"] != "dev")
    ]
    first, *others = chosen
    for each in others:
        first = first + each
    return first


def verdict(document: dict[str, Any]) -> dict[str, Any]:
    """Return the gain in strict F1 over the peer, and whether it reaches the goal; empty without gold."""
    if not any(each["documents"] != "dev" for each in document["gold"]):
        return {}
    gain = total(document, OURS).f1 - total(document, PEER).f1
    return {"gain": round(gain, 4), "goal_met": gain >= document["goal"]}


def table(document: dict[str, Any]) -> str:
    """Render the document as Markdown tables."""
    heading = (
        "synthetic sentences on each side",
        "monotone, CPU s",
        "MB",
        "with transport, CPU s",
        "MB",
        "vectors, MB",
    )
    rows = []
    for size in dict.fromkeys(each["sentences"] for each in document["scaling"]):
        plain, moved = (
            next(each for each in document["scaling"] if (each["sentences"], each["reorder"]) == (size, reorder))
            for reorder in (False, True)
        )
        both = [
            cell for each in (plain, moved) for cell in (f"{each['cpu_seconds']:.1f}", f"{each['memory_mb']:.0f}")
        ]
        rows.append([f"{size:,}", *both, f"{plain['vectors_mb']:.0f}"])
    tables = [Table(heading, rows, align="r" * len(heading))]
    if document["gold"]:
        rows = []
        for method in (PEER, *VARIANTS):
            found, dev = total(document, method), total(document, method, {"dev"})
            figures = (found.precision, found.recall, found.f1, found.lax_f1, dev.f1)
            rows.append([method, *(f"{value:.3f}" for value in figures)])
        tables.append(Table(("gold links", "strict P", "R", "F1", "lax F1", "dev: strict F1"), rows))
    if document["planted"]:
        methods = (PEER, "monotone", "with transport")
        rows = []
        for kind in KINDS:
            draws = [each for each in document["planted"] if each["kind"] == kind]
            values = (fmean(each[key] for each in draws) for key in methods)
            share = fmean(each["moved"] for each in draws)
            rows.append([kind, f"{share:.1%}", *(f"{value:.3f}" for value in values)])
        tables.append(Table(("planted changes", "links out of order", *methods), rows))
    return "\n".join(each.markdown() for each in tables)


def main() -> None:
    """Parse the command line."""
    parser = command_line(__doc__, "documents")
    parser.add_argument(
        "--gold", action="append", default=[], metavar="NAME=SOURCE,TARGET,LINKS", help="repeat; dev is shown apart"
    )
    parser.add_argument(
        "--lines", nargs=2, type=Path, metavar=("SOURCE", "TARGET"), help="parallel lines of documents"
    )
    parser.add_argument("--model", default="offline:multilingual-e5-small")
    parser.add_argument("--cache", type=Path, help="folder of cached embeddings")
    parser.add_argument("--smoke", action="store_true", help="starter text, seconds")
    parser.add_argument("--scaling", nargs=2, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.scaling:
        print(json.dumps(scaling(options.scaling[0], reorder=bool(options.scaling[1]))))  # noqa: T201
        return
    document = read_document(options.table) if options.table else write_document(options.output, run(options))
    print(table(document))  # noqa: T201


if __name__ == "__main__":
    main()
