"""Claim: what training low-rank adapters saves in memory and time, and what it costs in accuracy, against full training.

The same recipe, data and seed with ``otembed.train``; each arm is a process of its own. CPU time of the whole run, with its
evaluations; growth of the peak memory over the loaded libraries; size of a checkpoint; mean top-1 accuracy of the held-out pairs,
both directions, before and after. The learning rate of the adapters is given, since they need a higher one.

    python benchmarks/lora.py --pairs en-sw=FILE --held-out en-sw=A,B -o benchmarks/results/lora.json
    python benchmarks/lora.py --table benchmarks/results/lora.json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from time import process_time
from typing import Any, Literal

import torch
from document import command_line, head, named, read_document, resumed, write_document
from memory import growth

import otembed
from otembed.config import (
    ContrastiveConfig,
    HeldOutConfig,
    LoraConfig,
    LossConfig,
    ModelConfig,
    OptimizationConfig,
    TrainConfig,
)
from otembed.results import Table
from otembed.tasks.retrieval import RetrievalReport

FULL = "full"


def recipe(options: argparse.Namespace, arm: str, output: str) -> TrainConfig:
    """Return the settings of an arm: ``full``, ``RANK`` or ``RANK:all-linear``."""
    rank, _, everywhere = arm.partition(":")
    modules: Literal["all-linear"] | None = "all-linear" if everywhere else None
    lora = None if arm == FULL else LoraConfig(r=int(rank), alpha=2 * int(rank), target_modules=modules)
    return TrainConfig(
        pairs=named(options.pairs),
        loss=LossConfig(sentence="none", contrastive=ContrastiveConfig(sentence_weight=1.0, temperature=0.05)),
        model=ModelConfig(name=options.model, max_seq_length=options.max_seq_length, lora=lora),
        held_out=HeldOutConfig(
            pairs=named(options.held_out),
            limit=options.held_out_limit,
            eval_steps=options.steps,
        ),
        optimization=OptimizationConfig(
            max_steps=options.steps,
            per_device_train_batch_size=options.batch_size,
            learning_rate=options.learning_rate if lora is None else options.lora_learning_rate,
            precision=options.precision,
            keep_checkpoints=True,
        ),
        output=output,
    )


def print_arm(options: argparse.Namespace, arm: str) -> None:
    """Print the figures of one arm as JSON; Linux only."""
    torch.set_num_threads(1)
    otembed.load_model(options.model)
    with tempfile.TemporaryDirectory() as folder:
        begun = process_time()
        result, grown = growth(otembed.train, recipe(options, arm, f"{folder}/run"))
        seconds = process_time() - begun
        files = [each for each in Path(folder).glob("run/checkpoints/*/**/*") if each.is_file()]
        found = {
            "cpu_seconds": round(seconds, 1),
            "memory_mb": round(grown / 1e6, 1),
            "checkpoint_mb": round(sum(each.stat().st_size for each in files) / 1e6, 1),
            "trained_parameters": result.trained_parameters,
            "before": _accuracy(result.before),
            "after": _accuracy(result.after),
        }
    sys.stdout.write("\n" + json.dumps(found) + "\n")


def _accuracy(report: RetrievalReport | None) -> list[float]:
    assert report is not None
    mean = report.mean
    return [100 * mean.accuracy_target_to_source, 100 * mean.accuracy_source_to_target]


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Train every arm; arms in the output are kept."""
    document: dict[str, Any] = {
        **head(__doc__),
        "settings": {
            name: getattr(options, name)
            for name in (
                "model", "steps", "batch_size", "learning_rate", "lora_learning_rate", "max_seq_length", "precision",
                "held_out_limit",
            )
        },
        "arms": {},
    }  # fmt: skip
    document = resumed(options.output, document)
    for arm in options.arms:
        if arm not in document["arms"]:
            done = subprocess.run(
                [sys.executable, *sys.argv, "--arm", arm], check=True, stdout=subprocess.PIPE, text=True
            )
            document["arms"][arm] = json.loads(done.stdout.splitlines()[-1])
            write_document(options.output, document)
    return document


def table(document: dict[str, Any]) -> str:
    """Render the document as a Markdown table."""
    first = next(iter(document["arms"].values()))["before"]
    rows = [("nothing", "0", "", "", "", *(f"{value:.1f}" for value in first))]
    for arm, found in document["arms"].items():
        rank, _, modules = arm.partition(":")
        name = "all but embeddings" if arm == FULL else f"LoRA of rank {rank}, {modules or 'query and value'}"
        costs = (f"{found[key]:.0f}" for key in ("cpu_seconds", "memory_mb", "checkpoint_mb"))
        accuracies = (f"{value:.1f}" for value in found["after"])
        rows.append((name, f"{found['trained_parameters']:,}", *costs, *accuracies))
    heading = ("trained", "parameters", "CPU time, s", "growth of memory, MB", "checkpoint, MB", "xx→en", "en→xx")
    return Table(heading, rows).markdown()


def main() -> None:
    """Parse the command line."""
    parser = command_line(__doc__, "lora")
    parser.add_argument("--pairs", action="append", default=[], metavar="XX-YY=FILE")
    parser.add_argument("--held-out", action="append", default=[], metavar="XX-YY=FILE")
    parser.add_argument("--held-out-limit", type=int, default=390)
    parser.add_argument(
        "--arms", nargs="+", default=[FULL, "16", "16:all-linear"], metavar="full|RANK[:all-linear]"
    )
    parser.add_argument("--model", default="offline:multilingual-e5-small")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=3e-5)
    parser.add_argument("--lora-learning-rate", type=float, default=5e-4)
    parser.add_argument("--max-seq-length", type=int, default=64)
    parser.add_argument("--precision", default="bf16", choices=["float32", "bf16"])
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        print_arm(options, options.arm)
        return
    document = read_document(options.table) if options.table else run(options)
    sys.stdout.write(table(document))


if __name__ == "__main__":
    main()
