"""Claim: candidates compared word by word, by optimal transport, give better pairs than the margin of cosines alone.

Tatoeba, each language against English, half of the lines of each side orphaned, three draws. Candidates are the k = 4
neighbors of each line in both directions, pairs one to one. Forms that use words: the mean of cosine and word similarity
with weight w before the margin is computed (w = 1: words alone), and the sum of both margins over their standard
deviations; words from the last layer, or from 7/12 of the depth, where they align best. Weight and layer are chosen on
some languages (by the mean of best F1 and average precision over all models), figures are reported on the others.

    python benchmarks/rescore.py --tatoeba FOLDER --model untrained=offline:multilingual-e5-small \
        --model trained=FOLDER -o benchmarks/results/rescore.json
    python benchmarks/rescore.py --table benchmarks/results/rescore.json
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
from document import command_line, head, named, read_document, resumed, write_document
from numpy.typing import NDArray
from texts import tatoeba

import otembed
from otembed.config.mining import Margin, MiningConfig
from otembed.embeddings.embed import embed_lines
from otembed.embeddings.fingerprint import model_fingerprint
from otembed.embeddings.lines import Lines, read_side
from otembed.embeddings.rows import UnitRows, scan
from otembed.mining.pairing.margin import margin_scores, mean_similarity
from otembed.mining.pairing.pairing import pair_up
from otembed.mining.rescoring.rescore import mix, rescore
from otembed.mining.rescoring.words import WordSide, WordStore, center_words
from otembed.mining.search.exact import exact_neighbors
from otembed.mining.search.neighbors import Neighbors
from otembed.runtime.executors import LocalExecutor
from otembed.tasks.mining import mining_scores
from otembed.words.vectors import WordEncoder

Ids = NDArray[np.int64]
Lists = tuple[Neighbors, Neighbors]
DEFAULTS = MiningConfig(rescore="ot")
WEIGHTS = (0.25, 0.5, 0.75, 1.0)
COSINE, STANDARDIZED = "cosine", "standardized margins"
LAYERS = ("last", "middle")
DRAWS = 3
# For all languages together, which have many lines.
DEFAULT_DRAWS = 1
# Every second language by name; the others are reported on.
CHOSEN_ON = ("ara", "deu", "hin", "tha")
COST_LINES = 500


class Bitext(NamedTuple):
    """Different pairs of all languages, no line twice on a side, and the language of each."""

    source: list[str]
    target: list[str]
    language: NDArray[np.str_]


class Encoded(NamedTuple):
    """Both sides of a bitext under one model: sentence vectors, and words by layer."""

    sides: tuple[UnitRows, UnitRows]
    words: dict[str, tuple[WordSide, WordSide]]


def read(folder: Path, limit: int | None) -> Bitext:
    """Read the pairs of all languages; those with a repeated line are left out."""
    source, target, languages = zip(*tatoeba(folder, limit), strict=True)
    return Bitext(list(source), list(target), np.array(languages))


def encode(bitext: Bitext, model: Any, cache: Path) -> Encoded:
    """Encode each line once for its vector and once per layer for its words."""
    lines = [read_side(side) for side in (bitext.source, bitext.target)]
    if [len(each) for each in lines] != [len(bitext.source)] * 2:
        raise SystemExit("some lines cannot be used, so rows are not pairs")
    sides = [scan(embed_lines(each, model, cache=cache))[0] for each in lines]
    encoder, fingerprint = WordEncoder(model), model_fingerprint(model)
    layers = {"last": encoder.depth, "middle": middle(encoder)}
    words = {}
    for name, layer in layers.items():
        left, right = (_store(each, encoder, fingerprint, layer, cache).fill() for each in lines)
        words[name] = left, right
    return Encoded((sides[0], sides[1]), words)


def middle(encoder: WordEncoder) -> int:
    """Return the layer at 7/12 of the depth."""
    return max(round(7 / 12 * encoder.depth), 1)


def _store(lines: Lines, encoder: WordEncoder, fingerprint: str, layer: int, cache: Path) -> WordStore:
    return WordStore(lines, encoder, fingerprint, layer=layer, cache=cache)


def some_words(words: WordSide, lines: Ids) -> WordSide:
    """Words of a subset of lines, in ascending order, with their mean."""
    places = [np.arange(words.bounds[line], words.bounds[line + 1]) for line in lines]
    side, _ = scan(words.rows.vectors.choose(np.concatenate(places)))
    return WordSide(side, np.concatenate([[0], np.cumsum(words.lengths(lines))]))


def orphaned(rows: Ids, seed: int) -> tuple[Ids, Ids]:
    """Rows of both sides: a third of the pairs keeps both lines, the others one."""
    both, left, right = np.array_split(np.random.default_rng(seed).permutation(rows), 3)
    return np.sort(np.concatenate([both, left])), np.sort(np.concatenate([both, right]))


class Drawn(NamedTuple):
    """Two collections: the pair of each line, their neighbors, and word similarities of neighbors by layer."""

    pairs: tuple[Ids, Ids]
    cosines: Lists
    words: dict[str, Lists]

    def figures(self, lists: Lists, margin: Margin = "distance", threshold: float | None = None) -> dict[str, Any]:
        """Best F1, average precision, best threshold, and F1 at a threshold, of one-to-one pairs."""
        found, _ = pair_up(*lists, replace(DEFAULTS, margin=margin))
        right = self.pairs[0][found.source] == self.pairs[1][found.target]
        gold = len(np.intersect1d(*self.pairs))
        scores = mining_scores(found.score, right, gold, threshold=threshold)
        return {name: getattr(scores, name) for name in ("best_f1", "average_precision", "best_threshold", "f1")}


def draw(encoded: Encoded, rows: Ids, seed: int, *, center: bool = True, layers: tuple[str, ...] = LAYERS) -> Drawn:
    """Orphan part of the lines, search, and compare all candidates by their words."""
    left, right = orphaned(rows, seed)
    source, target = (
        replace(scan(side.vectors.choose(each))[0], centered=center)
        for side, each in zip(encoded.sides, (left, right), strict=True)
    )
    found = exact_neighbors(source, target, DEFAULTS.k, executor=LocalExecutor(1))
    words = {}
    for layer in layers:
        x, y = (some_words(side, each) for side, each in zip(encoded.words[layer], (left, right), strict=True))
        both = center_words(x, y, center=center)
        scored = rescore(*found, both, weight=1.0, epsilon=DEFAULTS.rescore_epsilon)
        words[layer] = scored.forward, scored.backward
    return Drawn((left, right), found, words)


def mixed(drawn: Drawn, layer: str, weight: float) -> Lists:
    """Return the lists in which otembed computes margins at a weight."""
    there, back = (
        Neighbors(mix(own.scores, words.scores, weight), own.ids)
        for own, words in zip(drawn.cosines, drawn.words[layer], strict=True)
    )
    return there, back


def standardized(drawn: Drawn, layer: str) -> Lists:
    """Return lists with the sum of both margins, each over its standard deviation, as distance margin."""

    def spread(lists: Lists) -> float:
        own, other = (mean_similarity(each) for each in lists)
        ids = lists[0].ids
        source = np.repeat(np.arange(len(ids)), ids.shape[1])
        return float(margin_scores(lists[0].scores.ravel(), own[source], other[ids.ravel()], "distance").std())

    scales = [spread(lists) for lists in (drawn.cosines, drawn.words[layer])]
    there, back = (
        Neighbors((own.scores / scales[0] + words.scores / scales[1]).astype(np.float32), own.ids)
        for own, words in zip(drawn.cosines, drawn.words[layer], strict=True)
    )
    return there, back


def forms() -> dict[str, Callable[[Drawn], Lists]]:
    """Every form by name."""
    found: dict[str, Callable[[Drawn], Lists]] = {COSINE: lambda drawn: drawn.cosines}
    for layer in LAYERS:
        for weight in WEIGHTS:
            found[form(weight, layer)] = lambda drawn, layer=layer, weight=weight: mixed(drawn, layer, weight)  # type: ignore[misc]
        found[f"{STANDARDIZED}, {layer} layer"] = lambda drawn, layer=layer: standardized(drawn, layer)  # type: ignore[misc]
    return found


def form(weight: float, layer: str) -> str:
    """Name of a mixture."""
    return f"w = {weight:g}, {layer} layer"


# Layer 7 of 12 is what rescore_layer: auto means for these models.
DEFAULT_FORM = form(DEFAULTS.rescore_weight, "middle")


def quality(encoded: Encoded, bitext: Bitext) -> list[dict[str, Any]]:
    """Best F1 and average precision of each form on each language, means over draws."""
    rows = []
    for language in sorted(set(bitext.language.tolist())):
        draws = [draw(encoded, np.flatnonzero(bitext.language == language), seed) for seed in range(DRAWS)]
        for name, make in forms().items():
            found = [each.figures(make(each)) for each in draws]
            rows.append(
                {"language": language, "form": name, "lines": len(draws[0].pairs[0])}
                | {key: fmean(each[key] for each in found) for key in ("best_f1", "average_precision")}
            )
    return rows


def defaults(encoded: Encoded, bitext: Bitext) -> list[dict[str, Any]]:
    """F1 at the default threshold and best F1 of all languages together, by margin and centering."""
    rows = []
    for center in (True, False):
        drawn = [
            draw(encoded, np.arange(len(bitext.source)), seed, center=center, layers=("middle",))
            for seed in range(DEFAULT_DRAWS)
        ]
        margins: tuple[Margin, ...] = ("distance", "ratio", "absolute")
        for margin in margins:
            for name, config in (
                (COSINE, MiningConfig(margin=margin)),
                (DEFAULT_FORM, replace(DEFAULTS, margin=margin)),
            ):
                threshold = config.lowest_score(centered=center)
                found = [
                    each.figures(
                        each.cosines if name == COSINE else mixed(each, "middle", config.rescore_weight),
                        margin,
                        threshold,
                    )
                    for each in drawn
                ]
                rows.append(
                    {"centered": center, "margin": margin, "form": name, "lines": len(drawn[0].pairs[0])}
                    | {"threshold": threshold}
                    | {key: fmean(each[key] for each in found) for key in found[0]}
                )
    return rows


def cost(bitext: Bitext, model: Any) -> dict[str, float]:
    """CPU seconds for 500 pairs: sentence vectors, words of the middle layer, and comparing candidates by them."""
    few = slice(None, None, max(len(bitext.source) // COST_LINES, 1))
    source, target = (side[few][:COST_LINES] for side in (bitext.source, bitext.target))
    lines = [read_side(side) for side in (source, target)]
    encoder, fingerprint = WordEncoder(model), model_fingerprint(model)
    marks = []
    with tempfile.TemporaryDirectory() as name:
        cache = Path(name)
        model.encode(source[:32])
        marks.append(time.process_time())
        sides = [replace(scan(embed_lines(each, model, cache=cache))[0], centered=True) for each in lines]
        marks.append(time.process_time())
        left, right = (_store(each, encoder, fingerprint, middle(encoder), cache).fill() for each in lines)
        marks.append(time.process_time())
        found = exact_neighbors(sides[0], sides[1], DEFAULTS.k, executor=LocalExecutor(1))
        marks.append(time.process_time())
        rescore(*found, center_words(left, right, center=True), weight=1.0, epsilon=DEFAULTS.rescore_epsilon)
        marks.append(time.process_time())
        size = sum(path.stat().st_size for path in cache.glob("words/*/rows-*"))
    embedding, words, _, comparing = (round(float(each), 2) for each in np.diff(marks))
    return {
        "lines": len(source) + len(target),
        "embedding": embedding,
        "words": words,
        "comparing": comparing,
        "bytes_a_line": round(size / (len(source) + len(target))),
    }


def run(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measure everything that is missing from the output file; yield the document after each part."""
    document: dict[str, Any] = {
        **head(__doc__, command=False),
        "settings": {"limit": options.limit, "draws": DRAWS, "k": DEFAULTS.k, "epsilon": DEFAULTS.rescore_epsilon},
        "models": {},
    }
    document = resumed(options.output, document)
    bitext = read(options.tatoeba, options.limit)
    with tempfile.TemporaryDirectory() as name:
        cache = options.cache or Path(name)
        for label, place in named(options.model).items():
            parts = document["models"].setdefault(label, {})
            encoded, model = None, otembed.load_model(place, device="cpu")
            if "cost" not in document:  # of the first model; weights change nothing about it
                document["cost"] = cost(bitext, model)
                yield document
            for part, measure in (("pairs", quality), ("defaults", defaults)):
                if part not in parts:
                    encoded = encoded or encode(bitext, model, cache)
                    parts[part] = measure(encoded, bitext)
                    yield document
    document["chosen"] = chosen(document)
    yield document


def means(document: dict[str, Any], label: str, name: str, *, on: bool) -> tuple[float, float]:
    """Mean best F1 and average precision of a form over the languages that choose, or over the others."""
    rows = [
        each
        for each in document["models"][label]["pairs"]
        if each["form"] == name and (each["language"] in CHOSEN_ON) == on
    ]
    return fmean(each["best_f1"] for each in rows), fmean(each["average_precision"] for each in rows)


def chosen(document: dict[str, Any]) -> str:
    """Return the form that is best on the languages that choose, over all models."""
    return max(
        forms(), key=lambda name: fmean(sum(means(document, label, name, on=True)) for label in document["models"])
    )


def table(document: dict[str, Any]) -> str:
    """Render the figures with and without words per language and model, and the cost."""
    labels = list(document["models"])
    head = [f"{label}: best F1" for label in labels] + [f"{label}: average precision" for label in labels]
    lines = [f"| without / with words | {' | '.join(head)} |", f"| --- |{' ---: |' * len(head)}"]
    rows = {
        (label, each["language"], each["form"]): each
        for label in labels
        for each in document["models"][label]["pairs"]
    }
    languages = sorted({key[1] for key in rows}, key=lambda each: (each in CHOSEN_ON, each))
    for language in languages:
        cells = [
            " / ".join(f"{rows[label, language, name][key]:.3f}" for name in (COSINE, DEFAULT_FORM))
            for key in ("best_f1", "average_precision")
            for label in labels
        ]
        lines.append(f"| {language}{', chosen on' if language in CHOSEN_ON else ''} | {' | '.join(cells)} |")
    for on, title in ((False, "mean of those reported on"), (True, "mean of those chosen on")):
        pairs = {
            (label, name): means(document, label, name, on=on)
            for label in labels
            for name in (COSINE, DEFAULT_FORM)
        }
        cells = [
            " / ".join(f"{pairs[label, name][place]:.3f}" for name in (COSINE, DEFAULT_FORM))
            for place in (0, 1)
            for label in labels
        ]
        lines.append(f"| **{title}** | {' | '.join(cells)} |")
    each = document["cost"]
    lines += [
        "",
        "| CPU time, sentence vectors = 1 | words | comparing | bytes of words per line |",
        "| --- | ---: | ---: | ---: |",
        f"| {each['lines']:,} lines | {each['words'] / each['embedding']:.2f} | "
        f"{each['comparing'] / each['embedding']:.2f} | {each['bytes_a_line']:,} |",
    ]
    return "\n".join(lines) + "\n"


def forms_table(document: dict[str, Any]) -> str:
    """Render all forms, and the default thresholds."""
    labels = list(document["models"])
    head = [f"{label}, {what}" for label in labels for what in ("chosen on", "reported on")]
    lines = [f"| form: best F1 / average precision | {' | '.join(head)} |", f"| --- |{' ---: |' * len(head)}"]
    for name in forms():
        cells = [
            "{:.3f} / {:.3f}".format(*means(document, label, name, on=on))
            for label in labels
            for on in (True, False)
        ]
        mark = " (best where chosen)" if name == document["chosen"] else ""
        lines.append(f"| {name}{mark} | {' | '.join(cells)} |")
    if not all("defaults" in each for each in document["models"].values()):  # cut short
        return "\n".join(lines) + "\n"
    lines += [
        "",
        f"| all languages together: F1 at the default threshold / best F1 | {' | '.join(labels)} |",
        f"| --- |{' ---: |' * len(labels)}",
    ]
    for rows in zip(*(document["models"][label]["defaults"] for label in labels), strict=True):
        first = rows[0]
        title = f"{first['margin']} {first['threshold']:g}, {'centered' if first['centered'] else 'raw'}, {first['form']}"
        cells = [f"{each['f1']:.3f} / {each['best_f1']:.3f}" for each in rows]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Parse the command line."""
    parser = command_line(__doc__, "rescore")
    parser.add_argument("--tatoeba", type=Path, metavar="FOLDER", help="folder of tatoeba.XXX-eng.{XXX,eng}")
    parser.add_argument("--model", action="append", metavar="NAME=PLACE", help="repeat for more")
    parser.add_argument("--limit", type=int, default=600, help="number of pairs per language")
    parser.add_argument("--cache", type=Path, help="folder of cached states")
    parser.add_argument("--smoke", action="store_true", help="30 pairs per language")
    options = parser.parse_args()
    options.limit = 30 if options.smoke else options.limit
    options.model = options.model or ["untrained=offline:multilingual-e5-small"]
    if options.table:
        document = read_document(options.table)
    elif options.tatoeba is None:
        parser.error("--tatoeba FOLDER is required to measure")
    else:
        for document in run(options):
            write_document(options.output, document)
    print(table(document) + "\n" + forms_table(document))  # noqa: T201


if __name__ == "__main__":
    main()
