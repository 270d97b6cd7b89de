"""``otembed eval xnli``: zero-shot inference in other languages after training on English."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from otembed.errors import ConfigError
from otembed.tasks.registry import TASKS

from .console import print_report, say, start_logging
from .mteb_results import MtebFolder, check_mteb, write_mteb
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
    named_pairs,
    only_given,
    resume_head,
)
from .stages import StageProgress

HELP = """Train an NLI classifier in English, test it in other languages. The score is the accuracy by language.

--protocol probe (minutes on a CPU) fits a logistic regression on frozen embeddings; --protocol finetune, used for
published figures, fine-tunes the whole encoder on both sentences together.

--test sw=PLACE gives the pairs of one language. Without a language, PLACE is read for each of --languages, and {}
in it is replaced by the language: --test 'xnli.test.{}.tsv', --test xnli.test.tsv (with a language column), --test
xnli (the hub). PLACE is a TSV, CSV or JSONL file, compressed or not, hub:OWNER/NAME[:CONFIG][@SPLIT], or a folder
written by save_to_disk.

Figures of a head that was not trained on MultiNLI are labeled stand-in. MTEB's XNLI is a different task.
"""
LANGUAGES = "ar,bg,de,el,en,es,fr,hi,ru,sw,th,tr,ur,vi,zh"
PROTOCOLS = ("probe", "finetune")


def xnli_command(
    model: ModelArgument,
    test: Annotated[list[str], typer.Option("--test", metavar="[XX=]PLACE", help="Test pairs; repeat for more.")],
    languages: Annotated[
        str, typer.Option(metavar="XX,YY", help="Languages of a --test without a language.")
    ] = LANGUAGES,
    train: Annotated[
        str, typer.Option(metavar="PLACE", help="English training pairs; mnli: MultiNLI, from the hub.")
    ] = "mnli",
    dev: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE", help="English development pairs. [default: XNLI's with mnli, else a tenth of --train]"
        ),
    ] = None,
    protocol: Annotated[str, typer.Option(help="probe or finetune.")] = "probe",
    trained_languages: Annotated[
        str | None,
        typer.Option(metavar="XX,YY", help="Languages of the model's parallel training text; adds their mean."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Number of training pairs, sampled by the seed. [default: 50,000 for a probe, else all]",
        ),
    ] = None,
    dev_limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Number of development pairs, sampled by the seed.")
    ] = None,
    prompt_name: Annotated[
        str | None, typer.Option(help="Probe: one of the model's prompts, such as query.")
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="Probe: text to prepend to every sentence, such as 'query: '.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Probe: folder of embeddings. [default: the user's cache]")
    ] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Probe: do not cache embeddings.")] = False,
    max_steps: Annotated[
        int | None, typer.Option(min=1, help="Fine-tuning: number of optimizer steps; overrides --epochs.")
    ] = None,
    epochs: Annotated[float | None, typer.Option(help="Fine-tuning: passes over the pairs. [default: 5]")] = None,
    freeze: Frozen = None,
    run: HeadFolder = None,
    resume: ResumeHead = False,
    overwrite: OverwriteHead = False,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed. [default: 42]")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Any setting, such as learning_rate=1e-5 or limit=null; repeatable."
        ),
    ] = None,
    device: Device = None,
    as_json: JsonDocument = False,
    output: ReportFile = None,
    mteb: MtebFolder = None,
    force: Force = False,
) -> None:
    """Parse the options, evaluate, print."""
    check_choice(protocol, PROTOCOLS, "--protocol")
    places = _test_places(test, _codes(languages, "--languages"))
    trained = _codes(trained_languages, "--trained-languages") if trained_languages is not None else ()
    _check_training(train, dev)
    read = {"--test": files_named(*places.values()), "--train": files_named(train), "--dev": files_named(dev)}
    check_outputs({"--output": output}, read, model=model, force=force)
    check_mteb(mteb, ("OtembedXNLI",), model=model, force=force)
    if protocol == "finetune" and (cache is not None or no_cache):
        raise ConfigError("--protocol finetune does not cache embeddings", "Remove --cache and --no-cache.")
    if cache is not None and no_cache:
        raise ConfigError("--cache and --no-cache are mutually exclusive", "Remove one of them.")
    flags: dict[str, Any] = {
        "limit": limit,
        "dev_limit": dev_limit,
        "prompt": prompt,
        "prompt_name": prompt_name,
        "max_steps": max_steps,
        "num_train_epochs": epochs,
        "freeze": freeze,
        "seed": seed,
    }
    from otembed.config.xnli import FinetuneConfig, ProbeConfig

    config = head_settings(protocol, ProbeConfig, FinetuneConfig, settings, only_given(flags))
    start_logging()
    if protocol == "finetune":
        resume_head(run, resume=resume, overwrite=overwrite)
    from otembed.embeddings.cache import cache_home
    from otembed.tasks.xnli import evaluate_xnli

    report = evaluate_xnli(
        model,
        places,
        train=train,
        dev=dev,
        config=config,
        trained_languages=trained,
        cache=None if no_cache or protocol == "finetune" else cache_home(cache),
        run=run,
        resume=resume,
        overwrite=overwrite,
        device=device,
        progress=StageProgress(),
    )
    document = report.to_json(output)
    write_mteb(report, mteb, model=model, force=force)
    dropped = ", ".join(f"{reason} {count:,}" for reason, count in report.training["dropped"].items())
    if dropped:
        say(f"dropped training pairs: {dropped}")
    print_report(report.tables, document, as_json=as_json)


def _test_places(values: list[str], languages: tuple[str, ...]) -> dict[str, str]:
    """Return language to the place of its test pairs; a value without a language is read for all ``languages``."""
    from otembed.data.spec import LANGUAGE_CODE

    named: list[str] = []
    for value in values:
        code, equals, _ = value.partition("=")
        own = equals and LANGUAGE_CODE.fullmatch(code) and not Path(value).exists()
        named += [value] if own else [f"{each}={value.replace('{}', each)}" for each in languages]
    return TASKS["xnli"].parse(named_pairs(named, "--test", "language", "sw=FILE"), "--test")


def _check_training(*places: str | None) -> None:
    """Reject English training or development pairs that cannot be read, before any slow work."""
    from otembed.tasks.xnli.formats import check_nli_place

    for place in filter(None, places):
        check_nli_place(place, "en")


def _codes(value: str, flag: str) -> tuple[str, ...]:
    from otembed.data.spec import LANGUAGE_CODE

    codes = tuple(value.split(","))
    wrong = next((code for code in codes if not LANGUAGE_CODE.fullmatch(code)), None)
    if wrong is not None or len(set(codes)) < len(codes):
        what = f"{wrong!r} is not a language code" if wrong is not None else "a language is given twice"
        raise ConfigError(f"{flag} {value!r}: {what}", "Separate codes with commas, as in ar,de,sw.")
    return codes
