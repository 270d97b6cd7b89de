"""Losses on a batch that two processes share; run by test_spread.py, which computes the whole batch.

Usage: python tests/losses/spread.py MODEL OUTPUT

One process starts, loads the libraries, and becomes two. Training under torchrun is tested by tests/cli/test_train.py.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.modules import Dense

from otembed.losses import GradCacheLoss, OTContrastiveLoss

# The second process has longer sentences, with more words, and hard negatives of another length.
COLUMNS = (
    ["die Katze", "der Hund im Haus", "猫", "die Katze saß auf der Matte und der Hund schlief im Haus", "кошка спит в доме", "el gato duerme en la casa"],
    ["the cat", "the dog in the house", "cat", "the cat sat on the mat and the dog slept in the house", "the cat sleeps in the house", "the cat sleeps"],
    ["the dog", "the mat", "the house and the mat", "the cat", "in the house", "on the mat and in the house"],
)  # fmt: skip
CASES: dict[str, tuple[int, int, Any]] = {
    # name: number of columns, sentences of the first process, loss
    "words": (2, 3, lambda model: OTContrastiveLoss(model, gather_across_devices=True)),
    "words and sentences, unequal batches": (
        2, 2, lambda model: OTContrastiveLoss(model, sentence_weight=1.0, layer=2, gather_across_devices=True),
    ),
    "hard negatives, relaxed, not centered": (
        3, 3, lambda model: OTContrastiveLoss(model, center=False, relaxation=0.5, max_cells=64, gather_across_devices=True),
    ),
    "around mnrl": (
        2, 3, lambda model: OTContrastiveLoss(
            model, MultipleNegativesRankingLoss(model, gather_across_devices=SPREAD), gather_across_devices=True
        ),
    ),
    "gradcache": (
        3, 3, lambda model: GradCacheLoss(
            model, OTContrastiveLoss(model, sentence_weight=1.0, gather_across_devices=True), mini_batch_size=2
        ),
    ),
    "gradcache, mnrl": (
        2, 3, lambda model: GradCacheLoss(
            model, MultipleNegativesRankingLoss(model, gather_across_devices=SPREAD), mini_batch_size=1
        ),
    ),
    "no words in one process": (2, 1, lambda model: OTContrastiveLoss(model, gather_across_devices=True)),
}  # fmt: skip
SPREAD = False


def load(folder: str, name: str) -> SentenceTransformer:
    """The tiny model with a frozen part, and a layer after the encoder where the loss reads sentence vectors."""
    torch.manual_seed(0)
    model = SentenceTransformer(folder, device="cpu", local_files_only=True).eval()
    if any(word in name for word in ("sentences", "mnrl", "gradcache")):
        model = SentenceTransformer(modules=[*model, Dense(32, 16)], device="cpu", local_files_only=True).eval()
    model[0].model.embeddings.requires_grad_(False)
    return model


def step(folder: str, name: str, wrap: Any, part: slice) -> tuple[float, dict[str, torch.Tensor]]:
    """Value and gradients of two accumulated backward passes on rows of the batch."""
    model = load(folder, name)
    count, _, build = CASES[name]
    loss = build(model)
    wrapped = wrap(model)
    for module in list(loss.modules()):
        if "model" in module._modules and module is not model and module is not model[0]:
            module.model = wrapped
    for _ in range(2):
        texts = [column[part] for column in COLUMNS[:count]]
        if name == "no words in one process" and part.start == 0:
            texts = [["", *column[1:]] for column in texts]
        found = loss([dict(model.preprocess(column)) for column in texts], None)
        terms = list(found.values()) if isinstance(found, dict) else [found]
        total = torch.stack(terms).sum()
        total.backward()
    gradients = {key: each.grad.clone() for key, each in model.named_parameters() if each.grad is not None}
    return float(total.detach()), gradients


def main() -> None:
    global SPREAD
    SPREAD = True
    other = os.fork()  # before torch starts threads
    rank = 1 if other == 0 else 0
    torch.set_num_threads(1)
    place = Path(f"{sys.argv[2]}.store").absolute()
    torch.distributed.init_process_group("gloo", init_method=f"file://{place}", rank=rank, world_size=2)
    found = {}
    for name, (_, first, _) in CASES.items():
        part = slice(0, first) if rank == 0 else slice(first, len(COLUMNS[0]))
        value, gradients = step(
            sys.argv[1],
            name,
            lambda model: torch.nn.parallel.DistributedDataParallel(model, find_unused_parameters=True),
            part,
        )
        mean = torch.tensor(value)
        torch.distributed.all_reduce(mean)
        found[name] = (float(mean) / 2, gradients)
    torch.save(found, f"{sys.argv[2]}.{rank}")
    torch.distributed.destroy_process_group()
    if other:
        raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]))


if __name__ == "__main__":
    main()
