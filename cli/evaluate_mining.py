"""``otembed eval mining``: mined pairs against known ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .completion import mining_values
from .mining_options import (
    DEFAULT_MODEL,
    BatchSize,
    Cache,
    Center,
    K,
    Margin,
    MaxCharacters,
    Memory,
    Model,
    Output,
    Precision,
    Prompt,
    Rescore,
    RescoreEpsilon,
    RescoreLayer,
    RescoreWeight,
    Threshold,
    TruncateDim,
    Workers,
    mining_config,
    start_logging,
)
from .options import Device, JsonDocument, PromptName, gigabytes, refuse_taken
from .stages import StageProgress

HELP = """Mine two collections with known pairs: precision, recall, F1, best F1, average precision.

SOURCE and TARGET are as for otembed mine. GOLD has two ids on each line with a tab between them: line numbers
from 1, or the ids of the files. For BUCC's files, id tab sentence, write FILE?text=1&id=0.

BUCC chooses the threshold on a training part and reports F1 on the test part: name the first with --train. The best
F1 is that of the best threshold on the very pairs it is scored on: no user without known pairs reaches it.
"""


def mining_command(
    source: Annotated[str, typer.Argument(help="Lines, or vectors alone (.npy).", show_default=False)],
    target: Annotated[str, typer.Argument(help="The other side.", show_default=False)],
    gold: Annotated[Path, typer.Option(metavar="FILE", help="Known pairs: source id, tab, target id.")],
    train: Annotated[
        tuple[str, str, Path] | None,
        typer.Option(metavar="SOURCE TARGET GOLD", help="Training part: its best threshold is used."),
    ] = None,
    model: Model = DEFAULT_MODEL,
    k: K = 4,
    margin: Margin = "distance",
    match: Annotated[
        str,
        typer.Option(
            help="one-to-one, intersection, union, forward or backward.", autocompletion=mining_values("Match")
        ),
    ] = "one-to-one",
    threshold: Threshold = "default",
    center: Center = None,
    rescore: Rescore = "none",
    rescore_weight: RescoreWeight = 0.5,
    rescore_layer: RescoreLayer = "auto",
    rescore_epsilon: RescoreEpsilon = 0.05,
    prompt: Prompt = None,
    prompt_name: PromptName = None,
    truncate_dim: TruncateDim = None,
    precision: Precision = "float32",
    batch_size: BatchSize = 32,
    max_characters: MaxCharacters = "1000",
    device: Device = None,
    cache: Cache = None,
    workers: Workers = None,
    memory: Memory = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Curves of precision, recall and F1 as .png or .svg (otembed[plots])."),
    ] = None,
    as_json: JsonDocument = False,
    output: Output = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the files of --output and --plot.")] = False,
) -> None:
    """Parse the flags, mine, score, print."""
    config = mining_config(
        prompt=prompt,
        prompt_name=prompt_name,
        truncate_dim=truncate_dim,
        precision=precision,
        batch_size=batch_size,
        max_characters=max_characters,
        center=center,
        rescore=rescore,
        rescore_weight=rescore_weight,
        rescore_layer=rescore_layer,
        rescore_epsilon=rescore_epsilon,
        k=k,
        margin=margin,
        match=match,
        threshold=threshold,
        workers=workers,
        memory_gb=gigabytes(memory, "--memory"),
    )
    if output is not None:
        refuse_taken(output, force=force)
    if plot is not None:
        refuse_taken(plot, force=force, flag="--plot")
        from otembed.results.plot import check_plot

        check_plot(plot)
    start_logging()
    from otembed.tasks.mining.evaluate import evaluate_mining, read_gold

    from .console import data_console

    scores = evaluate_mining(
        source,
        target,
        read_gold(gold),
        model,
        train=None if train is None else (train[0], train[1], read_gold(train[2])),
        config=config,
        name=gold.name,
        cache=cache,
        device=device,
        progress=StageProgress(),
    )
    document = scores.to_json(output)
    if plot is not None:
        from otembed.tasks.mining.plot import plot_mining

        plot_mining(scores, plot)
    if as_json:
        typer.echo(document, nl=False)
    else:
        data_console().print(scores.table())
