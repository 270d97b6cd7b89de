"""``otembed embed``: vectors of the lines of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .mining_options import (
    DEFAULT_MODEL,
    BatchSize,
    Cache,
    Engine,
    MaxCharacters,
    Model,
    Precision,
    Prompt,
    RayAddress,
    TruncateDim,
    Workers,
    mining_config,
    say,
    say_counts,
    start_logging,
)
from .options import Device, Force, PromptName, refuse_taken
from .stages import StageProgress

HELP = """Embed the lines of a file: one row of unit vectors a line, zeros for lines without usable text.

The suffix of -o chooses .npy, or .f32 or .f16, LASER's layout without a header.
"""


def embed_command(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="Lines; see otembed mine.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="File to write.")],
    model: Model = DEFAULT_MODEL,
    prompt: Prompt = None,
    prompt_name: PromptName = None,
    truncate_dim: TruncateDim = None,
    precision: Precision = "float32",
    batch_size: BatchSize = 32,
    max_characters: MaxCharacters = "1000",
    device: Device = None,
    cache: Cache = None,
    engine: Engine = "local",
    ray_address: RayAddress = None,
    workers: Workers = None,
    force: Force = False,
) -> None:
    """Parse the flags, embed, write."""
    config = mining_config(
        prompt=prompt,
        prompt_name=prompt_name,
        truncate_dim=truncate_dim,
        precision=precision,
        batch_size=batch_size,
        max_characters=max_characters,
        engine=engine,
        ray_address=ray_address,
        workers=workers,
    )
    refuse_taken(output, force=force)
    from otembed.embeddings.export import check_vector_output, write_vectors

    check_vector_output(output, precision)
    start_logging()
    from otembed.embeddings.lines import read_side
    from otembed.mining.inputs import Input, embed_input, load_encoder
    from otembed.runtime.executors import open_executor

    lines = read_side(source, max_characters=config.max_characters)
    given = Input(lines, None)
    with open_executor(config) as executor:
        encoder = load_encoder(model, [given], device if executor is None else "cpu")
        vectors = embed_input(
            given,
            encoder,
            config,
            cache=cache,
            progress=StageProgress(),
            executor=executor,
            load_as=model,
            device=device,
        )
    say_counts({"name": lines.name, **lines.counts.as_dict()})
    write_vectors(lines, vectors, output, precision=precision)
    say(f"{output}: {lines.counts.read} rows of {vectors.dimension} {precision}")
