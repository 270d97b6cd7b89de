"""``otembed embed``: vectors of the lines of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import say
from .mining_options import (
    DEFAULT_MODEL,
    Cache,
    ConfigFile,
    Engine,
    MiningSettings,
    Model,
    Precision,
    Workers,
    mining_config,
    say_counts,
    start_logging,
)
from .options import Device, Force, PromptName, refuse_taken
from .stages import StageProgress

HELP = """Embed the lines of a file: one unit vector per line, and a zero row for each line without usable text.

The suffix of -o chooses the format: .npy, or .f32 or .f16, LASER's layout without a header.

Settings: defaults < --config < --set < the other options. The settings of otembed mine for lines and embeddings apply.
"""


def embed_command(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="Lines; see otembed mine.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="File to write.")],
    model: Model = DEFAULT_MODEL,
    config: ConfigFile = None,
    settings: MiningSettings = None,
    prompt_name: PromptName = None,
    precision: Precision = None,
    engine: Engine = None,
    workers: Workers = None,
    device: Device = None,
    cache: Cache = None,
    force: Force = False,
) -> None:
    """Parse the options, embed, write."""
    checked = mining_config(
        config, settings, prompt_name=prompt_name, precision=precision, engine=engine, workers=workers
    )
    refuse_taken(output, force=force)
    from otembed.embeddings.export import check_vector_output, write_vectors

    check_vector_output(output, checked.precision)
    start_logging()
    from otembed.embeddings.lines import read_side
    from otembed.mining.side import Side, load_encoder
    from otembed.runtime.executors import open_executor

    lines = read_side(source, max_characters=checked.max_characters)
    side = Side(lines)
    with open_executor(checked) as executor:
        encoder = load_encoder(model, [side], "cpu" if executor.remote else device)
        vectors = side.embedded(
            encoder,
            checked,
            cache=cache,
            executor=executor,
            load_as=model,
            device=device,
            progress=StageProgress(),
        ).known_vectors
    say_counts(side.counts)
    write_vectors(lines, vectors, output, precision=checked.precision)
    say(f"{output}: {lines.counts.read} rows of {vectors.dimension} {checked.precision}")
