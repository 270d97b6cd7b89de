"""Claim: what each training objective does to retrieval, to word alignment and to the space, at equal steps.

Trains the same encoder on the same batches with each objective and each seed, and measures, before and after, and with
weights part of the way from the start (``--shares``): Tatoeba-style accuracy in both directions for trained and
untrained languages, plain and centered; the alignment error rate on gold links, from a middle and from the last layer;
retrieval of the words of one-to-one gold links, centered; part-of-speech tags by a probe on frozen words; XQuAD
questions to English paragraphs; mean cosine and effective rank. The folder has the weights of each trained model
and one JSON file per measured one, so that an interrupted measurement resumes and several processes can share the work.
``--models FOLDER`` also saves each trained model, for other evaluations. ``--noise misaligned=0.3,truncated=0.2``
spoils shares of the training pairs after they were checked, the same pairs for every objective and seed.
``--freeze embeddings layers:7`` leaves the lower layers as they are, too.

    python benchmarks/ablation.py --pairs en-sw=FILE --held-out en-sw=A,B --gold roen=LINKS,TEXT \
        --xquad en=FILE --xquad ar=FILE --runs runs/ablation -o benchmarks/results/ablation.json
    python benchmarks/ablation.py --table benchmarks/results/ablation.json
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from typing import Any

import torch
from datasets.arrow_dataset import Dataset
from filelock import FileLock, Timeout
from safetensors import safe_open
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.training_args import (
    BatchSamplers,
    MultiDatasetBatchSamplers,
    SentenceTransformerTrainingArguments,
)
from torch import nn
from transformers import set_seed

import otembed
from otembed.config import PairChecks, TaggingProbeConfig, WordAlignmentConfig
from otembed.config.io import read_preset
from otembed.data import load_pairs, parse_pair_spec
from otembed.embeddings.encode import resolve_prompt
from otembed.models import freeze, sliced
from otembed.models.merge import set_weights
from otembed.results import Table, write_text
from otembed.tasks.retrieval import evaluate_retrieval
from otembed.tasks.retrieval.geometry import effective_rank, mean_cosine
from otembed.tasks.tagging import evaluate_tagging
from otembed.tasks.word_alignment import evaluate_alignment
from otembed.tasks.xquad import evaluate_xquad

sys.path.insert(0, str(Path(__file__).parent))
from baselines import DistillationLoss, LabeledWordsLoss, LinkedWordsLoss, PartialTransportLoss, WeightedRankingLoss
from document import command_line, head, mean_and_spread, named, read_document, write_document
from noise import parse_noise, with_noise
from texts import gold_set, sentences

Loss = Callable[[SentenceTransformer], nn.Module]
MIDDLE = 7
SAVE_STEPS = 100
ANCHOR = {"weight": 0.1, "reduction": "mean"}
# Plans whose mass is on links that are nearly all right; most words are left unmatched.
SHARP: dict[str, Any] = {"epsilon": 0.02, "relaxation": 0.05}
USUAL: dict[str, Any] = {"noise": {}, "freeze": ["embeddings"]}


def ranking(model: SentenceTransformer) -> nn.Module:
    """MNRL in both directions, as ``otembed train`` builds it."""
    return MultipleNegativesRankingLoss(
        model, directions=("query_to_doc", "doc_to_query"), partition_mode="per_direction"
    )


def with_ranking(**settings: Any) -> Loss:
    """Alignment around MNRL."""
    return lambda model: otembed.OTAlignmentLoss(model, ranking(model), **settings)


def ranked_words(*, weight: float = 0.3, relaxation: float = 0.2, **settings: Any) -> Loss:
    """Rank words by the labels of relaxed plans, around MNRL."""
    return with_ranking(objective="ranking", weight=weight, relaxation=relaxation, **settings)


def labeled_words(labels: Any, layer: int = -1) -> Loss:
    """Rank words by labels without transport, with weight 1, around MNRL."""
    return lambda model: LabeledWordsLoss(model, ranking(model), labels, 1.0, layer)


def of_preset(name: str) -> Loss:
    """Alignment alone, with the settings of a preset; its optimizer settings do not apply here."""
    return lambda model: otembed.OTAlignmentLoss(model, **read_preset(name)["loss"]["alignment"])


OBJECTIVES: dict[str, Loss] = {
    "mnrl": ranking,
    "mse distillation": DistillationLoss,
    "linked words (L2)": LinkedWordsLoss,
    "ot+anchor": lambda model: otembed.OTAlignmentLoss(model, weight=1.0, anchor=ANCHOR),
    "ot+anchor, middle, unbalanced": lambda model: otembed.OTAlignmentLoss(
        model, weight=1.0, anchor=ANCHOR, layer=MIDDLE, relaxation=0.2
    ),
    "paper, literal": of_preset("paper-literal"),
    "paper, geomloss": of_preset("paper-geomloss"),
    "mnrl+ot, last": with_ranking(weight=1.0),
    "mnrl+ot, last, unbalanced": with_ranking(weight=1.0, relaxation=0.2),
    "mnrl+ot, middle": with_ranking(weight=1.0, layer=MIDDLE),
    "mnrl+ot, middle, unbalanced": with_ranking(weight=1.0, layer=MIDDLE, relaxation=0.2),
    "mnrl+ot, middle, unbalanced, weight .3": with_ranking(weight=0.3, layer=MIDDLE, relaxation=0.2),
    "contrastive ot": lambda model: otembed.OTContrastiveLoss(model, sentence_weight=None, temperature=0.05),
    "contrastive ot + sentence cosine": lambda model: otembed.OTContrastiveLoss(
        model, sentence_weight=1.0, temperature=0.05
    ),
    "contrastive ot + sentence cosine, temperature .1": lambda model: otembed.OTContrastiveLoss(
        model, sentence_weight=1.0, temperature=0.1
    ),
    "contrastive ot + sentence cosine, middle": lambda model: otembed.OTContrastiveLoss(
        model, sentence_weight=1.0, temperature=0.05, layer=MIDDLE
    ),
    "mnrl + contrastive ot, middle": lambda model: otembed.OTContrastiveLoss(
        model, ranking(model), sentence_weight=None, temperature=0.05, layer=MIDDLE
    ),
    "mnrl+ot, middle, partial": lambda model: PartialTransportLoss(model, ranking(model), layer=MIDDLE),
    "mnrl + ranked words, middle": ranked_words(layer=MIDDLE),
    "mnrl + ranked words, middle, of the pair": ranked_words(layer=MIDDLE, candidates="pair"),
    "mnrl + ranked words, last": ranked_words(),
    "mnrl + ranked words, last, weight 1": ranked_words(weight=1.0),
    "mnrl + ranked words, last, weight 1, of the pair": ranked_words(weight=1.0, candidates="pair"),
    "mnrl + ranked words, last, weight 1, sharp": ranked_words(weight=1.0, **SHARP),
    "mnrl + ranked words, last, weight 1, sharp, labels of the middle": ranked_words(
        weight=1.0, label_layer=MIDDLE, **SHARP
    ),
    "mnrl + ranked words, last, weight 1, sharp, labels of the middle, of the pair": ranked_words(
        weight=1.0, label_layer=MIDDLE, candidates="pair", **SHARP
    ),
    "mnrl + words ranked by mutual neighbors": labeled_words("mutual"),
    "mnrl + words ranked by mutual neighbors of the middle": labeled_words("mutual", MIDDLE),
    "mnrl + words ranked by every word": labeled_words("every"),
    "mnrl, weighted by ot cost": WeightedRankingLoss,
    "mnrl, weighted by partial ot cost": lambda model: WeightedRankingLoss(model, share=0.6),
}


def question_accuracy(model: SentenceTransformer, files: dict[str, str], limit: int) -> dict[str, float]:
    """Share of questions by language whose nearest English paragraph is correct; questions are evenly spaced."""
    # One prompt for both sides, as earlier figures were measured.
    prompt = resolve_prompt(model, None, None)
    report = evaluate_xquad(
        model, files, tasks=["paragraph"], query_prompt=prompt, passage_prompt=prompt, limit=limit, batch_size=8
    )
    return {each.question_language: each.accuracy for each in report.scores if each.text_language == "en"}


def tag_accuracy(model: SentenceTransformer, options: argparse.Namespace) -> dict[str, float | None]:
    """Mean accuracy of part-of-speech tags, learned in English by a probe, in the other languages, by layer."""
    found = {}
    for layer in (MIDDLE, -1):
        config = TaggingProbeConfig(
            layer=layer, train_limit=options.tagging_train_limit, limit=options.tagging_limit
        )
        report = evaluate_tagging(model, named(options.tagging), train=options.tagging_train, config=config)
        (number,) = report.tested_layers
        found[str(number)] = report.mean(layer=number)
    return found


def measure(model: SentenceTransformer, options: argparse.Namespace) -> dict[str, Any]:
    """Every figure of one model."""
    encoder: Any = model[0]
    model.max_seq_length = min(256, encoder.model.config.max_position_embeddings)
    texts = {
        name: sentences(name, value, options.held_out_limit) for name, value in named(options.held_out).items()
    }
    gold = {}
    for name, value in named(options.gold).items():
        links, *files = value.split(",")
        gold[name] = gold_set(links, files, options.gold_limit)
    report = evaluate_retrieval(model, texts, centered=True)
    # Fixed, so that figures remain comparable when the defaults change.
    fixed = {"epsilon": 0.05, "relaxation": 0.2, "order_prior": 0.0, "decoding": "mutual"}
    layers = {"middle": MIDDLE, "last": -1}
    aligned = {
        name: evaluate_alignment(model, gold, aligner_config(layer, fixed)) if gold else None
        for name, layer in layers.items()
    }
    probe = [text for pair in texts.values() for side in pair for text in side[:200]]
    vectors = model.encode(probe, normalize_embeddings=True)
    return {
        "retrieval": report.to_dict(),
        "aer": {
            name: {each.name: each.aer for each in report.scores} if report else {}
            for name, report in aligned.items()
        },
        "word_retrieval": {
            name: report.word_retrieval_centered if report else None for name, report in aligned.items()
        },
        "tags": tag_accuracy(model, options) if options.tagging else {},
        "questions": question_accuracy(model, named(options.xquad), options.held_out_limit)
        if options.xquad
        else {},
        "mean_cosine": mean_cosine(vectors),
        "effective_rank": effective_rank(vectors),
    }


def aligner_config(layer: int, fixed: dict[str, Any]) -> Any:
    """Return settings of word alignment that are the same for every model."""
    return WordAlignmentConfig(layer=layer, **fixed)


def training_pairs(pair: str, value: str, limit: int, noise: dict[str, float]) -> Dataset:
    """Return the pairs to train on, English on the target side; the name of the pair is the seed of their noise."""
    dataset = load_pairs(parse_pair_spec(pair, value), PairChecks(), limit).with_pivot("en").dataset
    if not noise:
        return dataset
    noisy = with_noise(dataset["source"], dataset["target"], noise, pair)
    return Dataset.from_dict({"source": noisy.source, "target": noisy.target})


def train(options: argparse.Namespace, name: str, seed: int, place: Path) -> None:
    """Train one objective with one seed, from its last checkpoint if there is one, and keep what it changed."""
    set_seed(seed)
    model = otembed.load_model(options.model, max_seq_length=options.max_seq_length)
    freeze(model, options.freeze)
    datasets = {
        pair: training_pairs(pair, value, options.limit, options.noise)
        for pair, value in named(options.pairs).items()
    }
    checkpoints = place.with_suffix(".checkpoints")
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(checkpoints),
        max_steps=options.steps,
        per_device_train_batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        warmup_steps=0.1,
        seed=seed,
        data_seed=seed,
        batch_sampler=BatchSamplers.NO_DUPLICATES,
        multi_dataset_batch_sampler=MultiDatasetBatchSamplers.ROUND_ROBIN,
        prompts=resolve_prompt(model, None, None) or None,
        bf16=options.bf16,
        use_cpu=model.device.type == "cpu",
        save_steps=SAVE_STEPS,
        save_total_limit=1,
        report_to="none",
        disable_tqdm=True,
    )
    trainer = SentenceTransformerTrainer(
        model=model, args=arguments, train_dataset=datasets, loss=OBJECTIVES[name](model)
    )
    begun = time.process_time()
    with sliced(model):
        trainer.train(resume_from_checkpoint=any(checkpoints.glob("checkpoint-*")))
    seconds = {"cpu_seconds": f"{time.process_time() - begun:.1f}"}
    trained = {key: each.detach() for key, each in model.named_parameters() if each.requires_grad}
    save_file(trained, place.with_suffix(".part"), metadata=seconds)
    place.with_suffix(".part").replace(place)
    rmtree(checkpoints)


def load(options: argparse.Namespace, weights: Path, share: float) -> tuple[SentenceTransformer, float]:
    """Return the model part of the way from the start to the trained weights, and the CPU seconds of its training."""
    model = otembed.load_model(options.model)
    with safe_open(weights, "pt") as file:
        trained = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        set_weights(model, {key: model.get_parameter(key) for key in trained}, trained, share)
        return model.eval(), float(file.metadata()["cpu_seconds"])


def weights_of(options: argparse.Namespace, name: str, seed: int) -> Path:
    """Return the file of the weights that an objective and a seed train."""
    place: Path = options.runs / f"{re.sub(r'[^a-z0-9]+', '-', name.lower())}-{seed}.safetensors"
    return place


def result_of(options: argparse.Namespace, name: str, seed: int, share: float) -> Path:
    """Return the file of the figures of a share of the way to those weights."""
    place = weights_of(options, name, seed)
    return place.with_name(f"{place.stem}-{share:g}.json")


def run(options: argparse.Namespace, *, untrained: bool = True) -> None:
    """Train and measure what is missing from the folder, except what another process has started."""
    options.runs.mkdir(parents=True, exist_ok=True)
    wanted = [("untrained", 0)] if untrained else []
    wanted += [(name, seed) for seed in options.seeds for name in options.objectives]
    for name, seed in wanted:
        place = weights_of(options, name, seed)
        if name != "untrained" and not place.exists():
            with claimed(place) as mine:
                if mine and not place.exists():
                    train(options, name, seed, place)
            if not place.exists():
                continue
        for share in options.shares if name != "untrained" else [0.0]:
            result = result_of(options, name, seed, share)
            if options.models and name != "untrained" and not (options.models / result.stem).exists():
                load(options, place, share)[0].save(str(options.models / result.stem))
            if options.train_only:
                continue
            with claimed(result) as mine:
                if mine and not result.exists():
                    measure_share(options, name, seed, share, place)


def measure_share(options: argparse.Namespace, name: str, seed: int, share: float, place: Path) -> None:
    """Measure the weights of a file, or part of the way to them, and write the figures."""
    if name == "untrained":
        model, seconds = otembed.load_model(options.model), 0.0
    else:
        model, seconds = load(options, place, share)
    found = {"objective": name, "seed": seed, "share": share, "bf16": options.bf16, "cpu_seconds": seconds}
    if name != "untrained":
        found |= {key: value for key, value in conditions(options).items() if value != USUAL[key]}
    write_text(result_of(options, name, seed, share), json.dumps(found | measure(model, options), indent=1) + "\n")


@contextmanager
def claimed(place: Path) -> Iterator[bool]:
    """Yield whether no other process makes this file at the moment; a killed process leaves no claim."""
    lock = FileLock(place.with_suffix(".lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def conditions(options: argparse.Namespace) -> dict[str, Any]:
    """Return what all runs of a folder share, and a run records where it is not usual."""
    return {name: getattr(options, name) for name in USUAL}


def collect(options: argparse.Namespace) -> dict[str, Any]:
    """Join the runs of the folder into one document."""
    runs = [read_document(path) for path in sorted(options.runs.glob("*.json"))]
    for each in runs:
        for name, value in conditions(options).items():
            if each["objective"] != "untrained" and each.get(name, USUAL[name]) != value:
                raise SystemExit(f"{options.runs} has runs with other {name} than {value}: give each a folder")
        each["retrieval"].pop("outcomes", None)  # of every sentence; they stay in the folder
    order = ["untrained", *OBJECTIVES]
    return {
        **head(__doc__),
        "settings": {
            name: getattr(options, name)
            for name in (
                "model",
                "steps",
                "batch_size",
                "learning_rate",
                "limit",
                "max_seq_length",
                "held_out_limit",
                "gold_limit",
                "tagging_train_limit",
                "tagging_limit",
                "bf16",
            )
        }
        | conditions(options)
        | {"trained": list(named(options.pairs))},
        "runs": sorted(runs, key=lambda each: (order.index(each["objective"]), -each["share"], each["seed"])),
    }


def figures_of(each: dict[str, Any], trained: Sequence[str]) -> dict[str, float]:
    """Return the columns of the table for one run."""
    found: dict[str, float] = {}
    for kind, scores in (("", each["retrieval"]["scores"]), ("centered ", each["retrieval"]["centered_scores"])):
        for group, inside in (("trained", True), ("untrained", False)):
            chosen = [score for score in scores if (score["pair"] in trained) is inside]
            for arrow, way in (("xx→en", "accuracy_target_to_source"), ("en→xx", "accuracy_source_to_target")):
                if chosen and (not kind or arrow == "xx→en"):
                    found[f"{kind}{group} {arrow}"] = 100 * statistics.mean(score[way] for score in chosen)
    for layer in ("middle", "last"):
        if each["aer"][layer]:
            found[f"AER {layer}"] = 100 * statistics.mean(each["aer"][layer].values())
    for layer, value in each.get("word_retrieval", {}).items():
        if value is not None:
            found[f"words {layer}"] = 100 * value
    if each.get("tags"):
        depth = max(map(int, each["tags"]))
        for name, number in (("middle", min(MIDDLE, depth - 1)), ("last", depth)):
            found[f"tags {name}"] = 100 * each["tags"][str(number)]
    others = [value for language, value in each["questions"].items() if language != "en"]
    if others:
        found["question xx→en paragraph"] = 100 * statistics.mean(others)
    found["mean cosine"] = each["mean_cosine"]
    found["rank"] = each["effective_rank"]
    return found


def row_name(run: dict[str, Any]) -> str:
    """Return the name of the row of a run: the objective, and a share of the way unless it is all."""
    part = f", {run['share']:g} of the way" if 0 < run.get("share", 1) < 1 else ""
    return f"{run['objective']}{part}"


def figures_by_row(document: dict[str, Any]) -> dict[str, list[dict[str, float]]]:
    """Return the columns of each run of a row, by the name of the row."""
    rows: dict[str, list[dict[str, float]]] = {}
    for each in document["runs"]:
        rows.setdefault(row_name(each), []).append(figures_of(each, document["settings"]["trained"]))
    return rows


def table(document: dict[str, Any]) -> str:
    """Render means (with the standard deviation over seeds) as Markdown; accuracy and AER in percent."""
    rows = figures_by_row(document)
    every = [each for figures in rows.values() for each in figures]
    columns = [
        name for name in every[0] if all(name in each for each in every)
    ]  # the untrained run may be of a fuller document
    lines = []
    for name, figures in rows.items():
        digits = {"mean cosine": 2}
        cells = [mean_and_spread([each[column] for each in figures], digits.get(column, 1)) for column in columns]
        lines.append([name, str(len(figures)) if name != "untrained" else "", *cells])
    return Table(("objective", "seeds", *columns), lines).markdown()


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_line(__doc__, "ablation")
    parser.add_argument("--pairs", action="append", default=[], metavar="XX-YY=FILE")
    parser.add_argument("--held-out", action="append", default=[], metavar="XX-YY=FILE")
    parser.add_argument("--gold", action="append", default=[], metavar="NAME=LINKS,TEXT")
    parser.add_argument("--xquad", action="append", default=[], metavar="XX=FILE")
    parser.add_argument("--tagging", action="append", default=[], metavar="XX=FILE", help="CoNLL-U; repeatable")
    parser.add_argument("--tagging-train", metavar="FILE", help="English sentences with tags")
    parser.add_argument("--tagging-train-limit", type=int, default=1200)
    parser.add_argument("--tagging-limit", type=int, default=250)
    parser.add_argument("--held-out-limit", type=int, default=500)
    parser.add_argument("--gold-limit", type=int, default=200)
    parser.add_argument("--model", default="offline:multilingual-e5-small")
    parser.add_argument("--objectives", nargs="+", default=list(OBJECTIVES), choices=list(OBJECTIVES))
    parser.add_argument("--seeds", nargs="*", type=int, default=[1])
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=3e-5)
    parser.add_argument("--max-seq-length", type=int, default=64)
    parser.add_argument("--limit", type=int, default=10_000)
    parser.add_argument(
        "--noise", type=parse_noise, default={}, metavar="KIND=SHARE,...", help="of the training pairs"
    )
    parser.add_argument("--freeze", nargs="+", default=USUAL["freeze"], metavar="PART", help="embeddings, layers:N")
    parser.add_argument("--bf16", action="store_true", help="train under bfloat16 autocast")
    parser.add_argument("--shares", nargs="+", type=float, default=[1.0], help="of the way to the trained weights")
    parser.add_argument("--models", type=Path, help="folder of the trained models")
    parser.add_argument("--train-only", action="store_true", help="measure later")
    parser.add_argument("--threads", type=int, help="threads of torch; one where two processes share two cores")
    parser.add_argument("--runs", type=Path, default=Path("runs/ablation"), help="folder of the runs")
    return parser


def main() -> None:
    """Run what the command line asks for and print the table."""
    options = parser().parse_args()
    if options.table:
        document = read_document(options.table)
    else:
        if options.threads:
            torch.set_num_threads(options.threads)
        run(options)
        if options.train_only:
            return
        document = collect(options)
        write_document(options.output, document)
    print(table(document))  # noqa: T201


if __name__ == "__main__":
    main()
