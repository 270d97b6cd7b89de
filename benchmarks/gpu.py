"""Claim: on a GPU, alignment by optimal transport adds at most 15 % to a training step of an encoder of XLM-R-base size.

One command without a network or files: the tests marked ``gpu`` in a separate process; a training step (forward,
backward, AdamW) of an encoder with random weights, interleaved with the same step of plain sentence-transformers; the
solver against ``ot.batch`` and, if it is installed, GeomLoss. Wall time between synchronizations, medians; under bf16
autocast on a GPU. Batches that do not fit into memory or into the time are left out and named.

    python benchmarks/gpu.py -o benchmarks/results/gpu.json
    python benchmarks/gpu.py --device cpu --smoke -o gpu.json
    python benchmarks/gpu.py --table benchmarks/results/gpu.json
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import itertools
import os
import re
import statistics
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

import torch
from document import command_line, head, read_document, write_document
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaModel

from otembed.losses import OTAlignmentLoss, OTContrastiveLoss
from otembed.transport import sinkhorn

sys.path.insert(0, str(Path(__file__).parent))
from transport import TOL, Clouds, Value, ot_batch, peer_tolerance, step, synthetic

ROOT = Path(__file__).parent.parent
SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
SIZES = (32, 64, 128, 256)
EPSILONS = (0.1, 0.05)
GOAL = 1.15
PLAIN, ALIGNED, RANKED = "plain sentence-transformers, MNRL", "MNRL and OT alignment", "OT contrastive"
PARTS = ("tests", "training", "solver")


def tokenizer(size: int) -> PreTrainedTokenizerFast:
    """Return a vocabulary of ``size`` pieces, two thirds of which start a word, as in running text."""
    letters = itertools.product(string.ascii_lowercase, repeat=4)
    pieces = ("".join(each) for each in letters)
    drawn = itertools.islice(pieces, size - len(SPECIALS))
    vocabulary = [(piece, 0.0) for piece in SPECIALS]
    vocabulary += [(f"▁{piece}" if row % 3 else piece, -5.0) for row, piece in enumerate(drawn)]
    unigram = Tokenizer(models.Unigram(vocabulary, unk_id=3, byte_fallback=False))
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    names = {"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>"}
    names |= {"unk_token": "<unk>", "pad_token": "<pad>"}
    return PreTrainedTokenizerFast(tokenizer_object=unigram, model_max_length=128, **names)  # type: ignore[no-untyped-call]


def encoder(device: torch.device, *, smoke: bool) -> SentenceTransformer:
    """Return an encoder of the size of XLM-R base with random weights, or a tiny one."""
    size: dict[str, Any] = (
        {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
        if smoke
        else {}
    )
    config = XLMRobertaConfig(
        vocab_size=2_000 if smoke else 250_002, max_position_embeddings=514, type_vocab_size=1, **size
    )
    tiny = XLMRobertaConfig(**{**config.to_diff_dict(), "num_hidden_layers": 1, "vocab_size": 8})
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        # Only its configuration is read from disk; the weights of the full size never are.
        XLMRobertaModel(tiny).save_pretrained(folder)
        tokenizer(config.vocab_size).save_pretrained(folder)
        transformer = Transformer(folder)
    transformer.model = XLMRobertaModel(config)
    modules = [transformer, Pooling(config.hidden_size, pooling_mode="mean"), Normalize()]
    return SentenceTransformer(modules=modules, device=str(device), local_files_only=True)


def batch(pairs: int, vocabulary: int, device: torch.device) -> list[dict[str, Tensor]]:
    """Return two columns of sentences of 8 to 48 random tokens, the targets about as long as their sources."""
    generator = torch.Generator().manual_seed(pairs)
    source = torch.randint(8, 41, (pairs,), generator=generator)
    columns = []
    for lengths in (source, source + torch.randint(0, 8, (pairs,), generator=generator)):
        width = int(lengths.max())
        place = torch.arange(width)
        ids = torch.randint(len(SPECIALS), vocabulary, (pairs, width), generator=generator)
        ids[:, 0] = SPECIALS.index("<s>")
        ids[place == lengths[:, None] - 1] = SPECIALS.index("</s>")
        mask = place < lengths[:, None]
        ids[~mask] = SPECIALS.index("<pad>")
        columns.append({"input_ids": ids.to(device), "attention_mask": mask.long().to(device)})
    return columns


class Clock:
    """Wall time and peak memory of calls on a device."""

    def __init__(self, device: torch.device) -> None:
        self.cuda = device.type == "cuda"

    def _wait(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()

    def __call__(self, run: Callable[[], object]) -> tuple[float, float | None]:
        """Return seconds, and megabytes at the peak; None where the device does not count them."""
        self._wait()
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()
        begun = time.perf_counter()
        run()
        self._wait()
        seconds = time.perf_counter() - begun
        return seconds, torch.cuda.max_memory_allocated() / 2**20 if self.cuda else None


def interleaved(
    runs: dict[str, Callable[[], object]], clock: Clock, repeats: int
) -> dict[str, dict[str, float | None]]:
    """Median seconds and peak megabytes of each run; a run that does not fit into memory is left out."""
    found: dict[str, list[tuple[float, float | None]]] = {name: [] for name in runs}
    for turn in range(repeats + 1):  # the first round warms up
        for name in list(found):
            try:
                measured = clock(runs[name])
            except torch.OutOfMemoryError:
                del found[name]
                torch.cuda.empty_cache()
                continue
            if turn:
                found[name].append(measured)
    return {
        name: {
            "seconds": round(statistics.median(seconds for seconds, _ in rows), 6),
            "peak_megabytes": None if rows[0][1] is None else round(max(peak or 0.0 for _, peak in rows), 1),
        }
        for name, rows in found.items()
    }


def _missing(wanted: Iterable[str], arms: dict[str, Any]) -> str | None:
    missing = [name for name in wanted if name not in arms]
    return f"out of memory: {', '.join(missing)}" if missing else None


def training(
    device: torch.device, sizes: tuple[int, ...], options: argparse.Namespace, deadline: float
) -> list[dict[str, Any]]:
    """Time the step of each loss, for each number of pairs."""
    model = encoder(device, smoke=options.smoke).train()
    vocabulary = cast("Any", model)[0].model.config.vocab_size
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=device.type == "cuda")
    mnrl = MultipleNegativesRankingLoss(model)
    losses: dict[str, nn.Module] = {
        PLAIN: mnrl,
        ALIGNED: OTAlignmentLoss(model, MultipleNegativesRankingLoss(model)),
        RANKED: OTContrastiveLoss(model),
    }

    def take_step(loss: nn.Module, columns: list[dict[str, Tensor]]) -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type != "cpu"):
            value = loss([dict(each) for each in columns], None)
        total = torch.stack(list(value.values())).sum() if isinstance(value, dict) else value
        torch.autograd.backward(total)
        optimizer.step()

    rows: list[dict[str, Any]] = []
    for pairs in sizes:
        if time.monotonic() > deadline:
            rows.append({"pairs": pairs, "arms": {}, "left_out": "no time left"})
            continue
        columns = batch(pairs, vocabulary, device)
        arms = interleaved(
            {name: lambda each=loss, c=columns: take_step(each, c) for name, loss in losses.items()},  # type: ignore[misc]
            Clock(device),
            options.repeats,
        )
        rows.append({"pairs": pairs, "arms": arms, "left_out": _missing(losses, arms)})
    return rows


def geomloss_value(clouds: Clouds, epsilon: float) -> None:
    """One step of GeomLoss: C = |x - y|^2 / 2 on unit vectors is 1 - cos, and epsilon is blur^2."""
    geomloss = importlib.import_module("geomloss")
    x, y, a, b = clouds
    x, y = x.clone().requires_grad_(), y.clone().requires_grad_()
    loss = geomloss.SamplesLoss("sinkhorn", p=2, blur=epsilon**0.5, scaling=0.9, debias=False, backend="tensorized")
    unit = [nn.functional.normalize(each, dim=2) for each in (x, y)]
    torch.autograd.backward(loss(a, unit[0], b, unit[1]).sum())


def solver(
    device: torch.device, sizes: tuple[int, ...], options: argparse.Namespace, deadline: float
) -> list[dict[str, Any]]:
    """Time a forward and backward pass of transport, from states to their gradients."""
    rows: list[dict[str, Any]] = []
    tolerances: dict[float, float] = {}
    for pairs, epsilon in itertools.product(sizes, EPSILONS):
        if time.monotonic() > deadline:
            rows.append({"pairs": pairs, "epsilon": epsilon, "arms": {}, "left_out": "no time left"})
            continue
        x, y, a, b = (each.to(device) for each in synthetic(pairs, 6, 8 if options.smoke else 32))
        clouds = (x, y, a, b)
        # Searched for once: it takes up to 20 solves.
        tol = tolerances[epsilon] = tolerances.get(epsilon) or peer_tolerance(clouds, epsilon)
        values: dict[str, Value] = {
            "otembed": lambda *problem, e=epsilon: sinkhorn(*problem, epsilon=e, tol=TOL).value,
            "ot.batch, detached": ot_batch(epsilon, tol, "detach"),
            "ot.batch, its envelope": ot_batch(epsilon, tol, "envelope"),
            "cost alone": lambda cost, a, b: cost.sum((1, 2)),
        }
        runs: dict[str, Callable[[], object]] = {
            name: lambda each=value, c=clouds: step(c, each)  # type: ignore[misc]
            for name, value in values.items()
        }
        if importlib.util.find_spec("geomloss"):
            runs["GeomLoss, scaling .9"] = lambda c=clouds, e=epsilon: geomloss_value(c, e)  # type: ignore[misc]
        arms = interleaved(runs, Clock(device), options.repeats)
        rows.append({"pairs": pairs, "epsilon": epsilon, "arms": arms, "left_out": _missing(runs, arms)})
    return rows


def tests(device: torch.device, seconds: float) -> dict[str, Any]:
    """Run the tests marked ``gpu`` on the device, in a separate process."""
    command = [sys.executable, "-m", "pytest", "-v", "-m", "gpu", "-p", "no:cacheprovider", "tests/test_gpu.py"]
    environ = {**os.environ, "OTEMBED_TEST_DEVICE": str(device)}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return {"met": False, "output": f"not finished after {seconds:.0f} s"}
    counts = {name: int(count) for count, name in re.findall(r"(\d+) (passed|failed|skipped|errors?)", done.stdout)}
    met = done.returncode == 0 and counts.get("passed", 0) > 0
    return {**counts, "met": met, "output": "" if met else done.stdout[-4000:] + done.stderr[-2000:]}


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the parts, within the time."""
    begun = time.monotonic()
    device = torch.device(options.device)
    sizes = (4, 8) if options.smoke else SIZES
    limit = 60.0 * options.minutes
    document: dict[str, Any] = {
        **head(__doc__),
        "settings": {
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
            "precision": "float32" if device.type == "cpu" else "bf16",
            "repeats": options.repeats,
            "smoke": options.smoke,
        },
    }
    if "tests" in options.parts:
        document["tests"] = tests(device, 0.45 * limit)
    if "training" in options.parts:
        document["training"] = training(device, sizes, options, begun + 0.75 * limit)
    if "solver" in options.parts:
        document["solver"] = solver(device, sizes, options, begun + 0.95 * limit)
    ratios = [
        each["arms"][ALIGNED]["seconds"] / each["arms"][PLAIN]["seconds"]
        for each in document.get("training", [])
        if {PLAIN, ALIGNED} <= each["arms"].keys()
    ]
    return document | {
        "minutes": round((time.monotonic() - begun) / 60, 2),
        "largest_ratio": round(max(ratios), 3) if ratios else None,
        "goal": GOAL,
        "goal_met": bool(ratios) and max(ratios) <= GOAL,
    }


def table(document: dict[str, Any]) -> str:
    """Render the document as Markdown."""
    settings = document["settings"]
    lines = [f"{settings['device']}, {settings['precision']}", ""]
    if "tests" in document:
        done = document["tests"]
        counts = ", ".join(f"{done[name]} {name}" for name in ("passed", "failed", "skipped") if name in done)
        lines += [f"Tests: {counts or 'none run'}", *([done["output"]] if done["output"] else []), ""]
    if "training" in document:
        lines += [
            "| pairs | training step | ms | pairs/s | ratio | share of OT | peak, MB |",
            "| ---: | --- | ---: | ---: | ---: | ---: | ---: |",
        ]
        for row in document["training"]:
            plain = row["arms"].get(PLAIN, {}).get("seconds")
            for name, arm in row["arms"].items():
                ratio = arm["seconds"] / plain if plain else None
                lines.append(
                    f"| {row['pairs']} | {name} | {1e3 * arm['seconds']:.1f} | {row['pairs'] / arm['seconds']:,.0f} | "
                    f"{_text(ratio, '.2f')} | {_text(1 - 1 / ratio if ratio and name != PLAIN else None, '.1%')} | "
                    f"{_text(arm['peak_megabytes'], ',.0f')} |"
                )
            if row["left_out"]:
                lines.append(f"| {row['pairs']} | {row['left_out']} | | | | | |")
        lines.append("")
    if "solver" in document:
        lines += [
            "| problems | epsilon | forward and backward | ms | peer / otembed | peak, MB |",
            "| ---: | ---: | --- | ---: | ---: | ---: |",
        ]
        for row in document["solver"]:
            head = f"| {row['pairs']} | {row['epsilon']:g} |"
            own = row["arms"].get("otembed", {}).get("seconds")
            for name, arm in row["arms"].items():
                ratio = arm["seconds"] / own if own else None
                lines.append(
                    f"{head} {name} | {1e3 * arm['seconds']:.2f} | {_text(ratio, '.2f')} | "
                    f"{_text(arm['peak_megabytes'], ',.1f')} |"
                )
            if row["left_out"]:
                lines.append(f"{head} {row['left_out']} | | | |")
        lines.append("")
    if document["largest_ratio"] is not None:
        lines.append(
            f"Largest ratio of a step with OT alignment: {document['largest_ratio']:.3f}; goal {document['goal']:.2f}."
        )
    return "\n".join(lines).rstrip() + "\n"


def _text(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def main() -> None:
    """Parse the command line."""
    parser = command_line(__doc__, "gpu")
    parser.add_argument("--device", default="cuda")
    parser.add_argument(
        "--part", dest="parts", action="append", choices=PARTS, help="run only this part; repeatable"
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=8.0, help="what does not fit into this time is left out")
    parser.add_argument("--smoke", action="store_true", help="a tiny encoder and two small batches")
    options = parser.parse_args()
    options.parts = options.parts or PARTS
    if not options.table and options.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("there is no CUDA device; --device cpu --smoke tests the script itself")
    document = read_document(options.table) if options.table else write_document(options.output, run(options))
    print(table(document))  # noqa: T201


if __name__ == "__main__":
    main()
