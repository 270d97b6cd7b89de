"""``otembed eval tagging``: zero-shot part-of-speech tagging in other languages after training on English."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from otembed.tasks.registry import TASKS

from .console import print_report, say, start_logging
from .options import (
    Device,
    Force,
    Frozen,
    HeadFolder,
    JsonDocument,
    ModelArgument,
    OverwriteHead,
    ReportFile,
    ResumeHead,
    check_choice,
    check_outputs,
    files_named,
    head_settings,
    layer_number,
    named_pairs,
    only_given,
    resume_head,
)
from .stages import StageProgress

HELP = """Train a tagger in English, test it in other languages. Tags are parts of speech (XTREME's udpos).

--protocol probe (minutes on a CPU) fits a logistic regression on frozen word vectors: of the layer that is best in
development (--layer auto), of one layer, or of every layer in one pass over the text (--layer all). --protocol
finetune, used for published figures, fine-tunes the whole encoder.

Files are treebanks in CoNLL-U, plain or compressed. The score is the accuracy of the universal tags; macro F1 is the
mean over tags. A word without a prediction is an error.

Figures of a tagger that was not trained on XTREME's English part are labeled stand-in.
"""
PROTOCOLS = ("probe", "finetune")
LAYERS = ("auto", "all")


def tagging_command(
    model: ModelArgument,
    test: Annotated[
        list[str], typer.Option("--test", metavar="XX=FILE", help="Test sentences of a language; repeat for more.")
    ],
    train: Annotated[str, typer.Option(metavar="FILE", help="English training sentences.")],
    dev: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="English development sentences. [default: a tenth of --train]"),
    ] = None,
    protocol: Annotated[str, typer.Option(metavar="NAME", help="probe or finetune.")] = "probe",
    layer: Annotated[
        str | None,
        typer.Option(metavar="N|auto|all", help="Probe: hidden layer, 0 the embeddings. [default: auto]"),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Test on N sentences of each language, evenly spaced.")
    ] = None,
    train_limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Train on N sentences, sampled by the seed. [default: 2,000 for a probe, else all]",
        ),
    ] = None,
    max_steps: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Fine-tuning: number of optimizer steps; overrides --epochs."),
    ] = None,
    epochs: Annotated[
        float | None, typer.Option(help="Fine-tuning: passes over the sentences. [default: 10]")
    ] = None,
    freeze: Frozen = None,
    run: HeadFolder = None,
    resume: ResumeHead = False,
    overwrite: OverwriteHead = False,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed. [default: 42 for a probe, else 1]")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Any setting, such as dev_limit=500 or train_limit=null; repeatable."
        ),
    ] = None,
    device: Device = None,
    as_json: JsonDocument = False,
    output: ReportFile = None,
    force: Force = False,
) -> None:
    """Parse the options, evaluate, print."""
    check_choice(protocol, PROTOCOLS, "--protocol")
    places = TASKS["tagging"].parse(named_pairs(test, "--test", "language", "sw=FILE"), "--test")
    _check_training(train, dev)
    read = {"--test": files_named(*test), "--train": files_named(train), "--dev": files_named(dev)}
    check_outputs({"--output": output}, read, model=model, force=force)
    flags: dict[str, Any] = {
        "layer": None if layer is None else layer_number(layer, "--layer", LAYERS),
        "limit": limit,
        "train_limit": train_limit,
        "max_steps": max_steps,
        "num_train_epochs": epochs,
        "freeze": freeze,
        "seed": seed,
    }
    from otembed.config.tagging import TaggingFinetuneConfig, TaggingProbeConfig

    config = head_settings(protocol, TaggingProbeConfig, TaggingFinetuneConfig, settings, only_given(flags))
    start_logging()
    if protocol == "finetune":
        resume_head(run, resume=resume, overwrite=overwrite)
    from otembed.tasks.tagging import evaluate_tagging

    report = evaluate_tagging(
        model,
        places,
        train=train,
        dev=dev,
        config=config,
        run=run,
        resume=resume,
        overwrite=overwrite,
        device=device,
        progress=StageProgress(),
    )
    document = report.to_json(output)
    missing = sum(each.missing for each in report.of_layer(report.layer))
    if missing:
        say(f"{missing:,} test words have no prediction, because the tokenizer drops them; they count as errors")
    print_report(report.tables, document, as_json=as_json)


def _check_training(*places: str | None) -> None:
    """Reject training or development files that do not exist, before any slow work."""
    from otembed.tasks.tagging.conllu import check_treebank

    for place in places:
        if place is not None:
            check_treebank(place)
