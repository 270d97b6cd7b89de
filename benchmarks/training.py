"""Claim: a training step with OT takes less time than a step of plain sentence-transformers, and no more memory.

The peer is ``SentenceTransformerTrainer`` with ``MultipleNegativesRankingLoss``, as its documentation shows it. All arms
train the same parameters (input embeddings frozen, as otembed does by default) on the same batches with the same
trainer and optimizer; only the loss differs. CPU time from the end of one step to the end of the next, so that
tokenization, clipping and the optimizer count. Arms are interleaved; a figure is otembed / peer on the same batch, median
over the rounds.

    python benchmarks/training.py --pairs "UI strings=FILE" --pairs "paragraphs=FILE" -o benchmarks/results/training.json
    python benchmarks/training.py --table benchmarks/results/training.json
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import torch
from datasets.arrow_dataset import Dataset
from document import command_line, head, named, read_document, resumed, write_document
from memory import growth
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from texts import shuffled
from transformers import PrinterCallback, TrainerCallback

import otembed
from otembed.losses import OTAlignmentLoss, OTContrastiveLoss
from otembed.models import freeze, sliced
from otembed.results import Table

PEER = "sentence-transformers, MNRL"
ARMS: dict[str, Callable[[SentenceTransformer], Any]] = {
    PEER: MultipleNegativesRankingLoss,
    "otembed, MNRL": MultipleNegativesRankingLoss,
    "otembed, MNRL and OT between words": lambda model: OTAlignmentLoss(model, MultipleNegativesRankingLoss(model)),
    "otembed, contrastive OT and sentences": OTContrastiveLoss,
}
GOALS = {"float32": 0.60, "bf16": 0.28}
BATCHES = (16, 32)
STEPS = 2  # the first is not measured


class Clock(TrainerCallback):
    """CPU time at the end of each step."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """Note the time."""
        self.ends.append(process_time())


def planted(count: int) -> Dataset:
    """Pairs of random words of very different lengths, for a run without files."""
    draw = random.Random(0)
    words = ["the", "cat", "sat", "on", "mat", "dog", "slept", "in", "house"]
    sides = [[" ".join(draw.choices(words, k=draw.randint(2, 30))) for _ in range(count)] for _ in range(2)]
    return Dataset.from_dict({"source": sides[0], "target": sides[1]})


def step(arm: str, model_name: str, pairs: Dataset, batch: int, precision: str, length: int, seed: int) -> float:
    """CPU seconds of one training step, after one that is not measured."""
    model = otembed.load_model(model_name, device="cpu", max_seq_length=length)
    freeze(model, ["embeddings"])
    loss = ARMS[arm](model)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        arguments = SentenceTransformerTrainingArguments(
            output_dir=folder,
            max_steps=STEPS,
            per_device_train_batch_size=batch,
            seed=seed,
            bf16=precision == "bf16" and arm != PEER,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        )
        trainer = SentenceTransformerTrainer(
            model=model, args=arguments, train_dataset=pairs, loss=loss, callbacks=[clock]
        )
        trainer.remove_callback(PrinterCallback)
        if arm == PEER:
            trainer.train()
        else:
            with sliced(model, loss):
                trainer.train()
    return clock.ends[-1] - clock.ends[-2]


def padding(model_name: str, pairs: Dataset, batch: int, length: int) -> float:
    """Share of the tokens of a padded batch that are padding, mean over batches of both sides."""
    model = otembed.load_model(model_name, device="cpu", max_seq_length=length)
    shares = []
    for side in ("source", "target"):
        texts = list(pairs[side])
        for begin in range(0, len(texts) - batch + 1, batch):
            mask = model.preprocess(texts[begin : begin + batch])["attention_mask"]
            shares.append(1 - float(mask.float().mean()))
    return sum(shares) / len(shares)


def print_peak(arm: str, options: argparse.Namespace, pairs: Dataset, batch: int) -> None:
    """Print the growth of the peak memory in a step over the loaded model, in 1e6 bytes; Linux only."""
    otembed.load_model(options.model, device="cpu")
    _, grown = growth(step, arm, options.model, pairs, batch, "float32", options.max_seq_length, 0)
    sys.stdout.write(f"{grown / 1e6}\n")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure every arm on every text with every batch size; cells in the output are kept."""
    torch.set_num_threads(1)
    texts = named(options.pairs or [])
    if not texts and not options.smoke:
        raise SystemExit("give --pairs NAME=FILE at least once, or --smoke")
    sizes = (4,) if options.smoke else options.batch or BATCHES
    document: dict[str, Any] = {
        **head(__doc__),
        "settings": {
            "model": Path(options.model).name,
            "precision": options.precision,
            "max_seq_length": options.max_seq_length,
            "peer": PEER,
        },
        "goal": GOALS[options.precision],
        "cells": [],
    }
    document = resumed(options.output, document)
    done = {(cell["text"], cell["batch"]) for cell in document["cells"]}
    for name, place in (texts or {"planted": ""}).items():
        pairs = shuffled(place, 2000) if place else planted(32)
        for batch in (each for each in sizes if (name, each) not in done):
            seconds: dict[str, list[float]] = {arm: [] for arm in ARMS}
            for number in range(options.rounds):
                for arm in ARMS:
                    taken = step(
                        arm, options.model, pairs, batch, options.precision, options.max_seq_length, number
                    )
                    seconds[arm].append(round(taken, 3))
            cell = {
                "text": name,
                "batch": batch,
                "padding": round(padding(options.model, pairs.select(range(min(len(pairs), 256))), batch, options.max_seq_length), 3),
                "cpu_seconds": seconds,
                # Each round has its own batch: ratios of the same batch, and their median.
                "ratios": {arm: _median([one / peer for one, peer in zip(values, seconds[PEER], strict=True)]) for arm, values in seconds.items()},
            }  # fmt: skip
            if batch == max(sizes):
                cell["peak_memory_mb"] = {
                    arm: _peak(arm, options, name, batch) for arm in ([PEER] if options.smoke else ARMS)
                }
            document["cells"].append(cell)
            write_document(options.output, document)
    return document


def _median(values: list[float]) -> float:
    return round(float(torch.tensor(values).median()), 3)


def _peak(arm: str, options: argparse.Namespace, text: str, batch: int) -> float:
    place = [each for each in options.pairs or [] if each.startswith(f"{text}=")]
    command = [sys.executable, __file__, "--peak", arm, str(batch), "--model", options.model, "--max-seq-length"]
    command += [str(options.max_seq_length), *(f"--pairs={each}" for each in place)]
    return round(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout), 1)


def table(document: dict[str, Any]) -> str:
    """Render the document as a Markdown table."""
    heading = ("text", "batch", "padding", "arm", "CPU time of a step, s", "ratio", "peak memory, MB")
    rows = []
    for cell in document["cells"]:
        for arm, values in cell["cpu_seconds"].items():
            batch = cell["text"], str(cell["batch"]), f"{100 * cell['padding']:.0f} %"
            memory = str(cell.get("peak_memory_mb", {}).get(arm, ""))
            rows.append((*batch, arm, f"{min(values):.2f}", f"{cell['ratios'][arm]:.2f}", memory))
    table = Table(heading, rows, align="lrrlrrr").markdown()
    return f"{table}\nGoal: {document['goal']:.2f} in {document['settings']['precision']}.\n"


def main() -> None:
    """Parse the command line."""
    parser = command_line(__doc__, "training")
    parser.add_argument("--pairs", action="append", metavar="NAME=FILE", help="parallel text; repeatable")
    parser.add_argument("--model", default="offline:multilingual-e5-small")
    parser.add_argument("--precision", choices=GOALS, default="float32", help="arithmetic of otembed's arms")
    parser.add_argument("--max-seq-length", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, action="append", help="batch size; repeatable, by default 16 and 32")
    parser.add_argument("--smoke", action="store_true", help="planted text, small batches")
    parser.add_argument("--peak", nargs=2, metavar=("ARM", "BATCH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        place = options.pairs[0].split("=", 1)[1] if options.pairs else ""
        print_peak(options.peak[0], options, shuffled(place, 2000) if place else planted(32), int(options.peak[1]))
        return
    document = read_document(options.table) if options.table else run(options)
    sys.stdout.write(table(document))


if __name__ == "__main__":
    main()
