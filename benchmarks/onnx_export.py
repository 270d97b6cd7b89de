"""Claim: an export by ``otembed export --onnx`` computes torch's vectors to 1e-4, and no slower on a CPU.

The same batches of the same sentences, tokenized beforehand, go through torch (the sentence-transformers model), the float
graph and the 8-bit graph in onnxruntime. One thread, CPU time, arms interleaved, median of the ratios over the rounds. What
8 bits change is measured on the same sentences: the lowest and the mean cosine to torch's vectors.

    python benchmarks/onnx_export.py --pairs en-sw=starter:en-sw -o benchmarks/results/onnx_export.json
    python benchmarks/onnx_export.py --table benchmarks/results/onnx_export.json
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from document import command_line, head, read_document, write_document

import otembed
from otembed.data import load_pairs, parse_pair_spec
from otembed.embeddings.encode import resolve_prompt
from otembed.models.onnx_export import INPUTS, export_onnx

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    Batch = dict[str, torch.Tensor]
    Run = Callable[[Batch], NDArray[np.float32]]

PEER, FLOAT, INT8 = "torch", "onnxruntime, float32", "onnxruntime, int8"


def batches(model: SentenceTransformer, texts: list[str], size: int) -> list[Batch]:
    """Return tokenized batches of sentences of similar length, with the default prompt."""
    ordered = sorted(texts, key=len)
    prompt = resolve_prompt(model, None, None) or None
    made = [
        model.preprocess(ordered[start : start + size], prompt=prompt) for start in range(0, len(ordered), size)
    ]
    return [{name: each[name] for name in INPUTS} for each in made]


def in_torch(model: SentenceTransformer) -> Run:
    """Return the model as a function of a batch."""

    def run(batch: Batch) -> NDArray[np.float32]:
        with torch.inference_mode():
            found: NDArray[np.float32] = model(dict(batch))["sentence_embedding"].numpy()
        return found

    return run


def in_onnxruntime(path: Path, threads: int) -> Run:
    """Return an exported graph as a function of a batch."""
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = threads
    session = InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(batch: Batch) -> NDArray[np.float32]:
        found: NDArray[np.float32] = session.run(None, {name: each.numpy() for name, each in batch.items()})[0]
        return found

    return run


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Export, compare and time."""
    torch.set_num_threads(options.threads)
    model = otembed.load_model(options.model, device="cpu")
    key, _, place = options.pairs.partition("=")
    text = load_pairs(parse_pair_spec(key, place)).dataset
    texts = [*text["source"], *text["target"]][: options.limit]
    made = batches(model, texts, options.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        reports = [
            export_onnx(options.model, Path(folder) / name, int8=name == "int8") for name in ("float32", "int8")
        ]
        arms = {PEER: in_torch(model)} | {
            arm: in_onnxruntime(Path(report.folder) / "model.onnx", options.threads)
            for arm, report in zip((FLOAT, INT8), reports, strict=True)
        }
        vectors = {arm: np.concatenate([run(batch) for batch in made]) for arm, run in arms.items()}
        seconds: dict[str, list[float]] = {arm: [] for arm in arms}
        for number in range(options.rounds):
            order = list(arms) if number % 2 == 0 else list(arms)[::-1]
            for arm in order:
                begun = process_time()
                for batch in made:
                    arms[arm](batch)
                seconds[arm].append(process_time() - begun)
    figures = {}
    sizes = {FLOAT: reports[0].megabytes, INT8: reports[1].megabytes}
    for arm in arms:
        cosines = cosine(vectors[PEER], vectors[arm])
        figures[arm] = {
            "sentences_per_second": round(len(texts) / statistics.median(seconds[arm]), 2),
            "times_torch": round(ratio(seconds[arm], seconds[PEER]), 3),
            "lowest_cosine": round(float(cosines.min()), 6),
            "mean_cosine": round(float(cosines.mean()), 6),
            "largest_difference": float(np.abs(vectors[arm] - vectors[PEER]).max()),
            "megabytes": sizes.get(arm),
        }
    tokens = sum(int(each["attention_mask"].sum()) for each in made)
    return {
        **head(__doc__),
        "threads": options.threads,
        "batch_size": options.batch_size,
        "rounds": options.rounds,
        "sentences": len(texts),
        "tokens": tokens,
        "figures": figures,
        "seconds": {arm: [round(each, 3) for each in found] for arm, found in seconds.items()},
        "verdict": verdict(figures),
    }


def cosine(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the cosines (n,) of rows."""
    a, b = x.astype(np.float64), y.astype(np.float64)
    found: NDArray[np.float64] = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return found


def ratio(own: list[float], peer: list[float]) -> float:
    """Return the median over the rounds of the speed relative to the peer: 2 is twice as fast."""
    return statistics.median(theirs / ours for ours, theirs in zip(own, peer, strict=True))


def verdict(figures: dict[str, Any]) -> str:
    """Return whether the claim holds."""
    exact = figures[FLOAT]["largest_difference"] <= 1e-4
    fast = figures[FLOAT]["times_torch"] >= 1
    return "holds" if exact and fast else "does not hold"


def table(document: dict[str, Any]) -> str:
    """Render the figures as Markdown."""
    lines = [
        "| | sentences per second | times torch | lowest cosine | mean cosine | MB |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for arm, each in document["figures"].items():
        size = "" if each["megabytes"] is None else f"{each['megabytes']:.0f}"
        lines.append(
            f"| {arm} | {each['sentences_per_second']:.1f} | {each['times_torch']:.2f} | {each['lowest_cosine']:.4f} | "
            f"{each['mean_cosine']:.4f} | {size} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Parse the arguments; measure, or render."""
    parser = command_line(__doc__)
    parser.add_argument("--model", default="offline:multilingual-e5-small")
    parser.add_argument("--pairs", default="en-sw=starter:en-sw", help="parallel text; both sides are encoded")
    parser.add_argument("--limit", type=int, default=512, help="sentences")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="few sentences and rounds")
    options = parser.parse_args()
    if options.smoke:
        options.limit, options.rounds, options.batch_size = 24, 2, 8
    document = read_document(options.table) if options.table else write_document(options.output, measure(options))
    sys.stdout.write(table(document) + "\n")


if __name__ == "__main__":
    main()
