"""Claim: which objective improves cross-lingual retrieval, on trained and on untrained languages.

Trains the same encoder on the same pairs for the same number of steps with each objective and each seed,
and measures Tatoeba-style retrieval before and after. Writes one JSON document, from which an interrupted run resumes,
and renders the table in ``docs/log.md``.

    python benchmarks/recipes.py --pairs en-sw=FILE --pairs en-ar=FILE \
        --held-out en-sw=A,B --held-out en-ar=A,B --held-out en-de=A,B -o benchmarks/results/recipes.json
    python benchmarks/recipes.py --table benchmarks/results/recipes.json
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from typing import Any

from document import command_line, head, mean_and_spread, named, read_document, resumed, write_document
from texts import sentences

import otembed
from otembed.config.io import merge, train_config
from otembed.tasks.retrieval import evaluate_retrieval

OBJECTIVES: dict[str, dict[str, Any]] = {
    "mnrl": {"sentence": "mnrl", "contrastive": None},
    "ot+anchor": {"sentence": "none", "alignment": {"weight": 1.0, "anchor": {"weight": 0.1, "reduction": "mean"}}},
    "mnrl+ot, weight 1": {"sentence": "mnrl", "alignment": {"weight": 1.0, "layer": -1}},
    "mnrl+ot, weight .1": {"sentence": "mnrl", "alignment": {"weight": 0.1, "layer": -1}},
    "mnrl+ot, layer 7, relaxation .2": {
        "sentence": "mnrl",
        "alignment": {"weight": 1.0, "layer": 7, "relaxation": 0.2},
    },
    # One setting each changed from "mnrl+ot, weight 1".
    "mnrl+ot, weight 1, tokens": {"sentence": "mnrl", "alignment": {"weight": 1.0, "layer": -1, "unit": "token"}},
    "mnrl+ot, weight 1, batch scope": {
        "sentence": "mnrl",
        "alignment": {"weight": 1.0, "layer": -1, "scope": "batch"},
    },
    "mnrl+ot, weight 1, debiased": {
        "sentence": "mnrl",
        "alignment": {"weight": 1.0, "layer": -1, "debiased": True},
    },
}
MAX_SEQ_LENGTH = 64
# The pairs name English first.
DIRECTIONS = ("accuracy_target_to_source", "accuracy_source_to_target")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Train every objective with every seed; figures of earlier runs in the output file are kept."""
    document: dict[str, Any] = {
        **head(__doc__),
        "settings": {
            name: getattr(options, name) for name in ("model", "steps", "batch_size", "learning_rate", "limit")
        },
        "before": None,
        "runs": [],
    }
    document = resumed(options.output, document)
    texts = {
        name: sentences(name, value, options.held_out_limit) for name, value in named(options.held_out).items()
    }
    if document["before"] is None:
        model = otembed.load_model(options.model, max_seq_length=MAX_SEQ_LENGTH)
        document["before"] = evaluate_retrieval(model, texts, centered=True, name="untrained").to_dict()
    done = {(each["objective"], each["seed"]) for each in document["runs"]}
    for seed in options.seeds:
        for name in options.objectives:
            if (name, seed) in done:
                continue
            result, after = train_once(options, name, seed, texts)
            document["runs"].append(
                {
                    "objective": name,
                    "seed": seed,
                    "training_seconds": result.training_seconds,
                    "last_log": result.last_log,
                    "after": after.to_dict(),
                }
            )
            write_document(options.output, document)
    return document


def train_once(options: argparse.Namespace, name: str, seed: int, texts: Any) -> tuple[Any, Any]:
    """Train one objective with one seed in a temporary folder; return its result and its evaluation."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "pairs": named(options.pairs),
            "output": folder,
            "model": {"name": options.model, "max_seq_length": MAX_SEQ_LENGTH},
            "data": {"limit": options.limit},
            "held_out": {"size": 0, "load_best_model_at_end": False},
            "optimization": {
                "max_steps": options.steps,
                "per_device_train_batch_size": options.batch_size,
                "learning_rate": options.learning_rate,
                "seed": seed,
                "save_steps": 10**6,
            },
        }
        config = train_config(merge(settings, {"loss": OBJECTIVES[name]}))
        result = otembed.train(config)
        model = otembed.load_model(result.model)
        return result, evaluate_retrieval(model, texts, centered=True, name=name)


def table(document: dict[str, Any]) -> str:
    """Render mean accuracy in percent (with the standard deviation over seeds) as Markdown."""
    before = document["before"]["scores"]
    pairs = [each["pair"] for each in before]
    names = dict.fromkeys(each["objective"] for each in document["runs"])
    lines = [
        "| objective | seeds | " + " | ".join(f"{pair} xx→en | {pair} en→xx" for pair in pairs) + " | seconds |",
        "| --- |" + " ---: |" * (2 + 2 * len(pairs)),
        "| untrained | | " + " | ".join(f"{each[way]:.1%}" for each in before for way in DIRECTIONS) + " | |",
    ]
    for name in names:
        runs = [each for each in document["runs"] if each["objective"] == name]
        cells = [
            mean_and_spread([100 * each["after"]["scores"][column][way] for each in runs], 1, "%")
            for column in range(len(pairs))
            for way in DIRECTIONS
        ]
        seconds = statistics.mean(each["training_seconds"] for each in runs)
        lines.append(f"| {name} | {len(runs)} | " + " | ".join(cells) + f" | {seconds:.0f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Parse the command line."""
    parser = command_line(__doc__, "recipes")
    parser.add_argument("--pairs", action="append", default=[])
    parser.add_argument("--held-out", action="append", default=[])
    parser.add_argument("--held-out-limit", type=int, default=1000)
    parser.add_argument("--model", default="offline:multilingual-e5-small")
    parser.add_argument("--objectives", nargs="+", default=list(OBJECTIVES), choices=list(OBJECTIVES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=130)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=3e-5)
    parser.add_argument("--limit", type=int, default=10_000)
    options = parser.parse_args()
    document = read_document(options.table) if options.table else run(options)
    print(table(document))  # noqa: T201


if __name__ == "__main__":
    main()
