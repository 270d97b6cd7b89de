"""``otembed eval mining``: mined pairs against known ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import print_report, start_logging
from .mining_options import (
    DEFAULT_MODEL,
    Cache,
    EvaluationCommand,
    EvaluationSettings,
    Margin,
    Model,
    Output,
    Rescore,
    Threshold,
    compiled_modules,
    mining_config,
)
from .mteb_results import MtebFolder, check_mteb, write_mteb
from .options import ConfigFile, Device, JsonDocument, check_outputs
from .stages import StageProgress

COMMAND = EvaluationCommand
HELP = """Mine two collections, and score against known pairs. Scores are precision, recall, F1, best F1 and average precision.

SOURCE and TARGET are as for otembed mine. GOLD has two tab-separated ids on each line: line numbers from 1, or the ids
of the files. For BUCC's files, id tab sentence, write FILE?text=1&id=0.

BUCC chooses the threshold on a training part and reports F1 on the test part: pass the training part as --train. The
threshold of the best F1 is chosen on the evaluated pairs themselves, so the best F1 is an upper bound.

Settings: defaults < --config < --set < the other options, as for otembed mine.
"""


def mining_command(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Lines, or vectors without text (.npy).", show_default=False)
    ],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The other side.", show_default=False)],
    gold: Annotated[Path, typer.Option(metavar="FILE", help="Known pairs: source id, tab, target id.")],
    train: Annotated[
        tuple[str, str, Path] | None,
        typer.Option(metavar="SOURCE TARGET GOLD", help="Training part: its best threshold is used."),
    ] = None,
    model: Model = DEFAULT_MODEL,
    config: ConfigFile = None,
    settings: EvaluationSettings = None,
    margin: Margin = None,
    threshold: Threshold = None,
    rescore: Rescore = None,
    device: Device = None,
    cache: Cache = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Curves of precision, recall and F1 as .png or .svg (otembed[plots])."),
    ] = None,
    as_json: JsonDocument = False,
    output: Output = None,
    mteb: MtebFolder = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the files of --output, --plot and --mteb.")
    ] = False,
) -> None:
    """Parse the options, mine, score, print."""
    checked = mining_config(config, settings, margin=margin, threshold=threshold, rescore=rescore)
    checked.refuse_unused("otembed eval mining")
    from otembed.data.texts import parse_text_place
    from otembed.embeddings.vectors import are_vectors

    trained = () if train is None else (*(parse_text_place(side).path for side in train[:2]), train[2])
    check_outputs(
        {"--output": output, "--plot": plot},
        {
            "SOURCE": parse_text_place(source).path,
            "TARGET": parse_text_place(target).path,
            "--gold": gold,
            "--train": trained,
            "--config": config,
        },
        model=model,
        force=force,
    )
    # Two sides of vectors are not those of --model.
    scored = source if are_vectors(source) and are_vectors(target) else model
    check_mteb(mteb, ("OtembedMining",), model=scored, force=force)
    if plot is not None:
        from otembed.results.plot import check_plot

        check_plot(plot)
    start_logging(*compiled_modules(checked))
    from otembed.tasks.mining.evaluate import evaluate_mining, read_gold

    scores = evaluate_mining(
        source,
        target,
        read_gold(gold),
        model,
        train=None if train is None else (train[0], train[1], read_gold(train[2])),
        config=checked,
        name=gold.name,
        cache=cache,
        device=device,
        progress=StageProgress(),
    )
    document = scores.to_json(output)
    write_mteb(scores, mteb, model=scored, force=force)
    if plot is not None:
        from otembed.tasks.mining.plot import plot_mining

        plot_mining(scores, plot)
    print_report(scores.tables, document, as_json=as_json)
