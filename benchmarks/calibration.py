"""Claim: planted pairs choose a threshold near the best one, and estimate the quality of the pairs.

Collections with known translations: random vectors, and Tatoeba under one encoder with some lines orphaned. In each, the
threshold is chosen several times from different development pairs that are not in the collection. "Lost" is the best F1
of any threshold, which requires gold, minus the F1 of the chosen threshold, which does not. Alternatives: the default
threshold, and Otsu's method (1979), which splits the scores into two classes.

    python benchmarks/calibration.py --tatoeba FOLDER -o benchmarks/results/calibration.json
    python benchmarks/calibration.py --table benchmarks/results/calibration.json
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from document import command_line, head, read_document, write_document
from numpy.typing import NDArray

import otembed
from otembed.config.mining import MiningConfig
from otembed.embeddings.embed import embed_lines
from otembed.embeddings.lines import read_side
from otembed.embeddings.vectors import array_vectors
from otembed.errors import DataError
from otembed.mining.calibration.calibrate import calibrate
from otembed.mining.calibration.mixture import Planted
from otembed.mining.calibration.planting import mined_sides, plant
from otembed.mining.pairing.pairing import pair_up
from otembed.mining.search.exact import exact_neighbors
from otembed.mining.side import Side
from otembed.runtime.executors import LocalExecutor

Floats = NDArray[np.float32]
# Sources, targets and development pairs; the first rows of both sides are translations.
Collection = tuple[Floats, Floats, int, tuple[Floats, Floats]]
CONFIG = MiningConfig(workers=1)
# name: (translations, sources, targets, noise)
SYNTHETIC = {
    "half translated": (2000, 4000, 4000, 0.9),
    "a tenth translated": (400, 4000, 4000, 0.9),
    "nearly all translated": (3800, 4000, 4000, 0.9),
    "little noise": (2000, 4000, 4000, 0.7),
    "much noise": (2000, 4000, 4000, 1.2),
    "six targets per source": (500, 1000, 6000, 0.9),
    "small": (200, 400, 400, 0.9),
    "large": (5000, 10_000, 10_000, 0.9),
}
POOL, PLANTED, DRAWS = 800, 200, 8
SIZES = (50, 100, 200, 400, 800)
# name: (language, translations, orphans of each side, development pairs)
TATOEBA = {
    "German": ("deu", 400, 200, 190),
    "German, a quarter translated": ("deu", 150, 320, 190),
    "Arabic": ("ara", 400, 200, 190),
    "Chinese": ("cmn", 400, 200, 190),
    "Chinese, a quarter translated": ("cmn", 150, 320, 190),
    "Thai": ("tha", 200, 100, 130),
    "Swahili": ("swh", 130, 65, 100),
}


def synthetic(translations: int, sources: int, targets: int, noise: float, pool: int, seed: int = 0) -> Collection:
    """Sample topics, sentences about them, a common direction, and noise that differs by sentence."""
    draw = np.random.default_rng(seed)
    dimension = 384
    spectrum = np.arange(1, dimension + 1) ** -0.35
    spectrum /= np.sqrt((spectrum**2).mean())
    topics, common = draw.standard_normal((60, dimension)), 1.5 * draw.standard_normal(dimension)

    def sentences(count: int) -> NDArray[Any]:
        about = topics[draw.integers(60, size=count)]
        return (0.7 * about + draw.standard_normal((count, dimension))) * spectrum

    def seen(meaning: NDArray[Any]) -> Floats:
        spread = noise * np.exp(0.5 * draw.standard_normal((len(meaning), 1)))
        rows: Floats = (meaning + common + spread * spectrum * draw.standard_normal(meaning.shape)).astype(
            np.float32
        )
        return rows

    shared, known = sentences(translations), sentences(pool)
    x, y = (seen(np.concatenate([shared, sentences(rows - translations)])) for rows in (sources, targets))
    return x, y, translations, (seen(known), seen(known))


def tatoeba(folder: Path, language: str, model: Any, cache: Path) -> tuple[Floats, Floats]:
    """Vectors of the pairs of a language and English, row by row; pairs with a repeated line are left out."""
    sides = [read_side(folder / f"tatoeba.{language}-eng.{side}") for side in (language, "eng")]
    rows = np.stack([side.rows_by_number() for side in sides])
    uses = [Counter(each.tolist()) for each in rows]
    once = [
        place for place, (a, b) in enumerate(rows.T.tolist()) if min(a, b) >= 0 and uses[0][a] == uses[1][b] == 1
    ]
    vectors = [embed_lines(side, model, cache=cache) for side in sides]
    x, y = (each.gather(row[once]) for each, row in zip(vectors, rows, strict=True))
    return x, y


def parted(x: Floats, y: Floats, translations: int, orphans: int, pool: int, seed: int) -> Collection:
    """Split known pairs into translations, orphans of each side, and development pairs."""
    order = np.random.default_rng(seed).permutation(len(x))
    ends = np.cumsum([translations, orphans, orphans, pool])
    if ends[-1] > len(x):
        raise SystemExit(f"{len(x)} pairs, {ends[-1]} required")
    shared, left, right, known = np.split(order[: ends[-1]], ends[:-1])
    return (
        x[np.concatenate([shared, left])],
        y[np.concatenate([shared, right])],
        translations,
        (x[known], y[known]),
    )


def mine(collection: Collection) -> tuple[NDArray[np.float64], NDArray[np.bool_], Planted]:
    """Scores of the mined pairs, which of them are correct, and the outcome of every development pair."""
    x, y, translations, known = collection
    left, right = (Side(None, array_vectors(each, "rows")).scanned().centered() for each in (x, y))
    found = exact_neighbors(left.rows, right.rows, CONFIG.k, executor=LocalExecutor(1))
    pairs, _ = pair_up(*found, CONFIG)
    first, second = (
        Side(None, array_vectors(rows, "known pairs")).scanned().centered(side.rows.mean)
        for side, rows in zip((left, right), known, strict=True)
    )
    planted = plant((left, right), mined_sides(pairs, found), (first, second), CONFIG)
    return pairs.score, (pairs.source == pairs.target) & (pairs.source < translations), planted


def otsu(scores: NDArray[np.float64]) -> float:
    """Return the threshold with the largest variance between the classes below and above it."""
    values = np.sort(scores)
    below = np.arange(1, len(values))
    sums = np.cumsum(values)[:-1]
    means = sums / below, (values.sum() - sums) / (len(values) - below)
    between = below * (len(values) - below) * (means[1] - means[0]) ** 2
    return float(values[1:][between.argmax()])


def figures(
    scores: NDArray[np.float64], right: NDArray[np.bool_], translations: int, threshold: float
) -> list[float]:
    """Precision, recall and F1 of the pairs at or above a threshold."""
    kept = right[scores >= threshold]
    hits = int(kept.sum())
    return [hits / max(len(kept), 1), hits / translations, 2 * hits / (translations + len(kept))]


def subset(planted: Planted, rows: NDArray[np.int64]) -> Planted:
    """Return a subset of the planted pairs."""
    return Planted(**{name: values[rows] for name, values in vars(planted).items()})


def measure(collection: Collection, size: int, draws: int) -> dict[str, Any]:
    """Calibrate with several samples of development pairs; compare the figures with the truth."""
    x, y, translations, _ = collection
    scores, right, planted = mine(collection)
    best = max(2 * np.cumsum(right) / (translations + np.arange(1, len(right) + 1)))
    lost, errors, inside, misfit, refused = [], [], [], [], 0
    for seed in range(draws):
        rows = np.random.default_rng(seed).permutation(len(planted))[:size]
        try:
            found = calibrate(scores, subset(planted, rows), len(x), len(y))
        except DataError:
            refused += 1
            continue
        truth = figures(scores, right, translations, found.threshold)
        expected = [found.precision, found.recall, found.f1]
        bounds = [found.precision_error, found.recall_error, found.f1_error]
        lost.append(best - truth[2])
        errors.append(np.subtract(expected, truth))
        inside.append(np.abs(errors[-1]) <= 2 * np.array(bounds))
        misfit.append(found.misfit / found.misfit_bound)
    fixed = CONFIG.lowest_score(centered=True)
    rivals = {"default": float(fixed or 0), "otsu": otsu(scores)}
    result: dict[str, Any] = {
        "lines": [len(x), len(y)],
        "translations": translations,
        "planted": size,
        "draws": draws,
        "refused": refused,
        "best_f1": best,
        "lost": {name: best - figures(scores, right, translations, at)[2] for name, at in rivals.items()},
    }
    if lost:
        result["lost"] |= {"calibrated": float(np.mean(lost)), "calibrated_worst": float(np.max(lost))}
        for place, name in enumerate(("precision", "recall", "f1")):
            column = np.array(errors)[:, place]
            result[name] = {
                "bias": float(column.mean()),
                "error": float(np.abs(column).mean()),
                "within_two_errors": float(np.array(inside)[:, place].mean()),
            }
        result["warned"] = float(np.mean(np.array(misfit) > 1))
    return json.loads(json.dumps(result), parse_float=lambda text: round(float(text), 4))  # type: ignore[no-any-return]


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure everything."""
    smoke = options.smoke
    chosen = dict(list(SYNTHETIC.items())[-2:-1]) if smoke else SYNTHETIC
    draws = 2 if smoke else DRAWS
    collections = {name: synthetic(*each, POOL, seed) for seed, (name, each) in enumerate(chosen.items())}
    settings = [{"setting": name} | measure(each, PLANTED, draws) for name, each in collections.items()]
    sizes = [
        {"setting": name} | measure(each, size, draws if size < POOL else 1)
        for name, each in collections.items()
        for size in (SIZES[:1] if smoke else SIZES)
    ]
    unlike = []
    base = next(iter(chosen.values()))
    for factor in (0.7, 0.85, 1.15, 1.4):
        x, y, translations, _ = next(iter(collections.values()))
        # The same seed gives the topics, common direction and spectrum of the collection.
        known = synthetic(0, 1, 1, base[3] * factor, POOL)[3]
        name = f"noise of the pairs x {factor:g}"
        unlike.append({"setting": name} | measure((x, y, translations, known), PLANTED, draws))
    if options.tatoeba:
        model = otembed.load_model(options.model)
        with tempfile.TemporaryDirectory() as temporary:
            cache = options.cache or Path(temporary)
            texts = {each[0]: tatoeba(options.tatoeba, each[0], model, cache) for each in TATOEBA.values()}
        for name, (language, translations, orphans, pool) in TATOEBA.items():
            runs = []
            # All development pairs are used, so each draw splits the text differently.
            for seed in range(draws):
                collection = parted(*texts[language], translations, orphans, pool, seed)
                runs.append(measure(collection, pool, 1))
            settings.append({"setting": f"Tatoeba, {name}"} | mean_of(runs))
        x, y, translations, _ = parted(*texts["ara"], *TATOEBA["Arabic"][1:], 0)
        for name, language in (("Arabic by German pairs", "deu"), ("Arabic by Chinese pairs", "cmn")):
            a, b = (side[:PLANTED] for side in texts[language])
            unlike.append({"setting": f"Tatoeba, {name}"} | measure((x, y, translations, (a, b)), PLANTED, 1))
    return {
        **head(__doc__),
        "settings": settings,
        "sizes": sizes,
        "unlike": unlike,
    }


def mean_of(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean figures of runs with one draw each, the worst of the losses, and the number of rejections."""
    used = [each for each in runs if not each["refused"]]
    if not used:
        raise SystemExit("every draw was rejected")

    def mean(*path: str) -> float:
        values = []
        for each in used:
            for key in path:
                each = each[key]
            values.append(float(each))  # type: ignore[arg-type]
        return round(float(np.mean(values)), 4)

    return {
        **{key: runs[0][key] for key in ("lines", "translations", "planted")},
        "draws": len(runs),
        "refused": len(runs) - len(used),
        "best_f1": mean("best_f1"),
        "lost": {
            **{name: mean("lost", name) for name in ("default", "otsu", "calibrated")},
            "calibrated_worst": max(each["lost"]["calibrated"] for each in used),
        },
        **{
            name: {key: mean(name, key) for key in ("bias", "error", "within_two_errors")}
            for name in ("precision", "recall", "f1")
        },
        "warned": mean("warned"),
    }


def table(document: dict[str, Any]) -> str:
    """Render the document as Markdown: settings, numbers of pairs, pairs that differ from the collection."""
    lines = [
        "| collection | lines | translated | pairs | best F1 | lost: calibrated (worst) | default | Otsu | off: F1 | "
        "precision | recall |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for each in document["settings"]:
        lost = each["lost"]
        lines.append(
            f"| {each['setting']} | {each['lines'][0]:,} x {each['lines'][1]:,} | {each['translations']:,} | "
            f"{each['planted']} | {each['best_f1']:.3f} | {lost['calibrated']:.3f} ({lost['calibrated_worst']:.3f}) | "
            f"{lost['default']:.3f} | {lost['otsu']:.3f} | "
            + " | ".join(f"{each[name]['error']:.3f}" for name in ("f1", "precision", "recall"))
            + " |"
        )
    means = [
        np.mean([each["lost"][name] for each in document["settings"]]) for name in ("calibrated", "default", "otsu")
    ]
    worst = max(each["lost"]["calibrated_worst"] for each in document["settings"])
    off = [
        np.mean([each[name]["error"] for each in document["settings"]]) for name in ("f1", "precision", "recall")
    ]
    lines.append(
        f"| mean | | | | | {means[0]:.3f} ({worst:.3f}) | {means[1]:.3f} | {means[2]:.3f} | "
        + " | ".join(f"{value:.3f}" for value in off)
        + " |"
    )
    lines += [
        "",
        "| pairs planted | rejected | lost | worst | off: F1 | precision | recall | truth within 2 errors: F1 |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for size in dict.fromkeys(each["planted"] for each in document["sizes"]):
        every = [each for each in document["sizes"] if each["planted"] == size]
        rows = [each for each in every if "f1" in each]
        worst = max(each["lost"]["calibrated_worst"] for each in rows)
        values = [np.mean([each["lost"]["calibrated"] for each in rows]), worst]
        values += [np.mean([each[name]["error"] for each in rows]) for name in ("f1", "precision", "recall")]
        share = np.mean([each["f1"]["within_two_errors"] for each in rows])
        refused = f"{sum(each['refused'] for each in every)} of {sum(each['draws'] for each in every)}"
        lines.append(
            f"| {size} | {refused} | " + " | ".join(f"{value:.3f}" for value in values) + f" | {share:.0%} |"
        )
    lines += [
        "",
        "| pairs that differ from the collection | rejected | warned | best F1 | lost | expected minus true F1 |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for each in document["unlike"]:
        rest = (
            f"{each['warned']:.0%} | {each['best_f1']:.3f} | {each['lost']['calibrated']:.3f} | {each['f1']['bias']:+.3f}"
            if "f1" in each
            else f"| {each['best_f1']:.3f} | |"
        )
        lines.append(f"| {each['setting']} | {each['refused']} of {each['draws']} | {rest} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Parse the command line."""
    parser = command_line(__doc__, "calibration")
    parser.add_argument("--tatoeba", type=Path, metavar="FOLDER", help="tatoeba.XXX-eng.XXX and .eng files")
    parser.add_argument("--model", default="offline:multilingual-e5-small")
    parser.add_argument("--cache", type=Path, help="folder that keeps the embeddings; by default they are deleted")
    parser.add_argument("--smoke", action="store_true", help="one small collection, seconds")
    options = parser.parse_args()
    if not (options.table or options.smoke or options.tatoeba):
        parser.error("--tatoeba FOLDER is required")
    document = read_document(options.table) if options.table else write_document(options.output, run(options))
    print(table(document))  # noqa: T201


if __name__ == "__main__":
    main()
