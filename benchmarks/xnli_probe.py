"""Claim: an XNLI probe takes at most 1.1 times as long as encoding its sentences once with ``model.encode``.

CPU time, one thread, arms interleaved: ``model.encode`` over the distinct sentences of all files, sorted by length, in
batches of 32; the whole probe (reading, encoding, fitting, testing) without a cache; and with every vector in the cache.

    python benchmarks/xnli_probe.py --train snli.tsv --dev xnli.dev.en.tsv --test 'xnli.test.{}.tsv' --languages ar,de,en,sw,zh
"""

from __future__ import annotations

import argparse
import random
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from document import command_line, head, read_document, write_document
from timing import interleaved

import otembed
from otembed.config.xnli import ProbeConfig
from otembed.embeddings.encode import encode_by_length, resolve_prompt
from otembed.results import Table
from otembed.tasks.xnli import evaluate_xnli
from otembed.tasks.xnli.data import NliExample, NliSet, read_nli

if TYPE_CHECKING:
    from collections.abc import Callable

GOAL = 1.1
ARMS = ("model.encode, batches of 32", "XNLI probe", "XNLI probe, cached")
PLAIN, PROBE, CACHED = ARMS


def planted(pairs: int, seed: int) -> NliSet:
    """Pairs of random words, for a run without files."""
    draw = random.Random(seed)
    words = ["the", "cat", "sat", "on", "mat", "dog", "slept", "in", "house"]
    made = [" ".join(draw.choices(words, k=draw.randint(2, 20))) for _ in range(2 * pairs)]
    return NliSet("planted", tuple(NliExample(made[2 * n], made[2 * n + 1], n % 3, n) for n in range(pairs)))


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Time every arm in turn."""
    torch.set_num_threads(1)
    languages = options.languages.split(",")
    if options.smoke:
        train, dev = planted(60, 0), planted(15, 1)
        tests = {language: planted(15, 2 + number) for number, language in enumerate(languages)}
    else:
        train, dev = (read_nli(place, language="en") for place in (options.train, options.dev))
        tests = {
            each: read_nli(options.test.replace("{}", each), language=each, for_test=True) for each in languages
        }
    sets = [one.sample(options.pairs) for one in (train, dev, *tests.values())]
    train, dev, *chosen = sets
    tests = dict(zip(languages, chosen, strict=True))
    texts = {text for one in sets for each in one.examples for text in (each.premise, each.hypothesis)}
    ordered = sorted(texts, key=lambda text: (-len(text), text))
    model = otembed.load_model(options.model, device="cpu")
    prompt = resolve_prompt(model, None, None)
    found: list[Any] = []

    def probe(cache: str) -> None:
        found.append(evaluate_xnli(model, tests, train=train, dev=dev, config=ProbeConfig(), cache=cache))

    arms: dict[str, Callable[[str], object]] = {
        PLAIN: lambda cache: model.encode(
            ordered, prompt=prompt, normalize_embeddings=True, show_progress_bar=False
        ),
        PROBE: probe,
        CACHED: probe,
    }
    model.encode(ordered[:: max(len(ordered) // 64, 1)], prompt=prompt)  # the first batches include one-time costs
    seconds: dict[str, list[float]] = {arm: [] for arm in ARMS}
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory() as cache:
            for arm, spent in interleaved({name: partial(call, cache) for name, call in arms.items()}, 1).items():
                seconds[arm] += spent
    some = ordered[:: max(len(ordered) // 64, 1)]
    plain = model.encode(some, prompt=prompt, normalize_embeddings=True, show_progress_bar=False)
    least = {arm: round(min(values), 2) for arm, values in seconds.items()}
    ratio = round(min(seconds[PROBE]) / min(seconds[PLAIN]), 3)
    return {
        **head(__doc__),
        "settings": {"model": Path(options.model).name, "pairs": {name: len(one) for name, one in zip(["train", "dev", *languages], sets, strict=True)}, "sentences": len(ordered)},
        "cpu_seconds": least,
        "all_cpu_seconds": {arm: [round(each, 2) for each in values] for arm, values in seconds.items()},
        "ratio": ratio,
        "largest_difference": float(np.abs(plain - encode_by_length(model, some, prompt=prompt)).max()),
        "same_accuracies": len({one.scores for one in found}) == 1,
        "goal": GOAL,
        "goal_met": ratio <= GOAL,
    }  # fmt: skip


def table(document: dict[str, Any]) -> str:
    """Render the document as a Markdown table."""
    count = document["settings"]["sentences"]
    rows = []
    for arm, value in document["cpu_seconds"].items():
        goal = f"{document['goal']:.2f}" if arm == PROBE else ""
        rows.append((arm, f"{value:.1f}", f"{value / document['cpu_seconds'][PLAIN]:.2f}", goal))
    return Table((f"{count:,} distinct sentences", "CPU time, s", "ratio", "goal"), rows).markdown()


def main() -> None:
    """Parse the command line."""
    parser = command_line(__doc__, "xnli_probe")
    parser.add_argument("--train", metavar="PLACE")
    parser.add_argument("--dev", metavar="PLACE")
    parser.add_argument("--test", metavar="PLACE", help="with {} for the language")
    parser.add_argument("--languages", default="ar,de,en,sw,zh")
    parser.add_argument("--model", default="offline:multilingual-e5-small")
    parser.add_argument("--pairs", type=int, help="number of pairs sampled per file; by default all")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="planted text, seconds")
    options = parser.parse_args()
    document = read_document(options.table) if options.table else write_document(options.output, run(options))
    print(table(document))  # noqa: T201


if __name__ == "__main__":
    main()
