"""Claim: encoding sentences takes at most .65 of the CPU time of ``model.encode``, and .27 in bfloat16.

The peer is ``model.encode`` as a user writes it, at two batch sizes; otembed's arms are what ``otembed embed`` and the
evaluations run, in float32 and in bfloat16. The same sentences, one thread, CPU time, arms interleaved, median of the
ratios over the rounds. What bfloat16 changes is measured on the same pairs: the smallest cosine to the float32 vectors, and
top-1 accuracy of retrieval in both directions in either arithmetic.

    python benchmarks/encoding.py --pairs "UI strings=ui.tsv" --pairs Tatoeba=tatoeba.tsv -o benchmarks/results/encoding.json
    python benchmarks/encoding.py --table benchmarks/results/encoding.json
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from document import command_line, head, named, read_document, resumed, write_document
from memory import growth
from texts import shuffled
from timing import interleaved

import otembed
from otembed.embeddings.encode import encode_by_length, resolve_prompt
from otembed.results import Table
from otembed.runtime.arithmetic import bf16_speedup
from otembed.tasks.retrieval import bitext_scores

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    Sides = tuple[list[str], list[str]]
    Encode = Callable[[SentenceTransformer, list[str], str], NDArray[np.float32]]

GOALS = {"otembed, float32": 0.65, "otembed, bf16": 0.27}
# As otembed embed does: what is sorted by length together.
WINDOW = 1024


def peer(batch: int) -> Encode:
    """Return ``model.encode``, as a user writes it."""

    def encode(model: SentenceTransformer, texts: list[str], prompt: str) -> NDArray[np.float32]:
        found: NDArray[np.float32] = model.encode(
            texts, prompt=prompt, batch_size=batch, normalize_embeddings=True, show_progress_bar=False
        )
        return found

    return encode


def ours(arithmetic: Any) -> Encode:
    """Return otembed's encoding in one arithmetic."""

    def encode(model: SentenceTransformer, texts: list[str], prompt: str) -> NDArray[np.float32]:
        parts = [texts[start : start + WINDOW] for start in range(0, len(texts), WINDOW)]
        return np.concatenate(
            [encode_by_length(model, part, prompt=prompt, batch_size=32, arithmetic=arithmetic) for part in parts]
        )

    return encode


ARMS: dict[str, Encode] = {
    "model.encode, batches of 32": peer(32),
    "model.encode, batches of 16": peer(16),
    "otembed, float32": ours("float32"),
    "otembed, bf16": ours("bf16"),
}
PEER = next(iter(ARMS))
OURS = ("otembed, float32", "otembed, bf16")


def read(place: str, limit: int) -> Sides:
    """Read pairs in a random order; without a place, pairs of planted text."""
    if not place:
        words = [f"{'word ' * (1 + number % 9)}{number}" for number in range(min(limit, 24))]
        return words, [text.upper() for text in words]
    chosen = shuffled(place, limit)
    return list(chosen["source"]), list(chosen["target"])


def load(options: argparse.Namespace) -> SentenceTransformer:
    """Load the model."""
    return otembed.load_model(options.model, device="cpu", max_seq_length=options.max_seq_length)


def chosen_arms(options: argparse.Namespace) -> dict[str, Encode]:
    """Return the arms to measure; without ``--bf16``, those in float32."""
    return {name: encode for name, encode in ARMS.items() if options.bf16 or name != OURS[1]}


def quality(model: SentenceTransformer, sides: Sides) -> dict[str, Any]:
    """Compare vectors and retrieval in both arithmetics."""
    prompt = resolve_prompt(model, None, None)
    vectors = {arm: [ARMS[arm](model, side, prompt) for side in sides] for arm in OURS}
    exact, rounded = (np.concatenate(each) for each in vectors.values())
    found: dict[str, Any] = {"smallest_cosine": round(float((exact * rounded).sum(1).min()), 6)}
    for arm, both in vectors.items():
        scores = bitext_scores(*both, pair="en-xx")
        found[arm] = [100 * scores.accuracy_target_to_source, 100 * scores.accuracy_source_to_target]
    return found


def print_peak(arm: str, options: argparse.Namespace, sides: Sides) -> None:
    """Print the growth of the peak memory over the loaded model, in 1e6 bytes; Linux only."""
    model = load(options)
    _, grown = growth(ARMS[arm], model, [*sides[0], *sides[1]], resolve_prompt(model, None, None))
    sys.stdout.write(f"{grown / 1e6}\n")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure every arm on every text; texts in the output are kept."""
    torch.set_num_threads(1)
    places = named(options.pairs or [])
    if not places and not options.smoke:
        raise SystemExit("give --pairs NAME=FILE at least once, or --smoke")
    document: dict[str, Any] = {
        **head(__doc__),
        "settings": {
            "model": Path(options.model).name,
            "max_seq_length": options.max_seq_length,
            "pairs": options.limit,
            "bf16": options.bf16,
        },
        "bf16_speedup": round(bf16_speedup(torch.device("cpu")), 2),
        "goals": GOALS,
        "texts": [],
    }
    document = resumed(options.output, document)
    done = {each["text"] for each in document["texts"]}
    arms = chosen_arms(options)
    model = load(options)
    prompt = resolve_prompt(model, None, None)
    for name, place in (places or {"planted": ""}).items():
        if name in done:
            continue
        sides = read(place, options.limit)
        texts = [*sides[0], *sides[1]]
        for each in arms.values():  # one-time costs
            each(model, texts[:8], prompt)
        runs = {arm: partial(encode, model, texts, prompt) for arm, encode in arms.items()}
        found = interleaved(runs, options.rounds)
        seconds = {arm: [round(each, 3) for each in values] for arm, values in found.items()}
        document["texts"].append(
            {
                "text": name,
                "sentences": len(texts),
                "cpu_seconds": seconds,
                "ratios": {
                    arm: round(
                        statistics.median(one / other for one, other in zip(values, seconds[PEER], strict=True)), 3
                    )
                    for arm, values in seconds.items()
                },
                "peak_memory_mb": {arm: _peak(arm, options, name) for arm in ([PEER] if options.smoke else arms)},
            }
            | ({"quality": quality(model, sides)} if options.bf16 else {})
        )
        write_document(options.output, document)
    return document


def _peak(arm: str, options: argparse.Namespace, text: str) -> float:
    place = [each for each in options.pairs or [] if each.startswith(f"{text}=")]
    command = [sys.executable, __file__, "--peak", arm, "--model", options.model, "--limit", str(options.limit)]
    command += [f"--pairs={each}" for each in place]
    command += [f"--max-seq-length={options.max_seq_length}"] if options.max_seq_length else []
    return round(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout), 1)


def table(document: dict[str, Any]) -> str:
    """Render the document as two Markdown tables."""
    rows = []
    for each in document["texts"]:
        for arm, values in each["cpu_seconds"].items():
            goal = f"{document['goals'][arm]:.2f}" if arm in document["goals"] else ""
            memory = str(each["peak_memory_mb"].get(arm, ""))
            rows.append((each["text"], arm, f"{min(values):.1f}", f"{each['ratios'][arm]:.2f}", goal, memory))
    times = Table(
        ("text", "arm", "CPU time, s", "ratio", "goal", "peak memory, MB"), rows, align="llrrrr"
    ).markdown()
    compared = []
    for each in (each for each in document["texts"] if "quality" in each):
        found = each["quality"]
        cells = [" / ".join(f"{value:.1f}" for value in found[arm]) for arm in OURS]
        compared.append((each["text"], f"{each['sentences'] // 2:,}", f"{found['smallest_cosine']:.5f}", *cells))
    heading = ("text", "pairs", "smallest cosine", "top-1 accuracy xx→en / en→xx, float32", "in bf16")
    return f"{times}\n{Table(heading, compared).markdown()}" if compared else times


def main() -> None:
    """Parse the command line."""
    parser = command_line(__doc__, "encoding")
    parser.add_argument("--pairs", action="append", metavar="NAME=FILE", help="parallel text; repeatable")
    parser.add_argument("--model", default="offline:multilingual-e5-small")
    parser.add_argument("--limit", type=int, default=500, help="pairs of each text")
    parser.add_argument("--max-seq-length", type=int, help="by default, the limit of the model")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--bf16",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="measure bfloat16 too; without the instructions for it, processors emulate it slowly",
    )
    parser.add_argument("--smoke", action="store_true", help="planted text")
    parser.add_argument("--peak", metavar="ARM", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        place = options.pairs[0].split("=", 1)[1] if options.pairs else ""
        print_peak(options.peak, options, read(place, options.limit))
        return
    document = read_document(options.table) if options.table else run(options)
    sys.stdout.write(table(document))


if __name__ == "__main__":
    main()
