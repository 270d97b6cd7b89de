"""``otembed embed``: vectors of the lines of a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import say, start_logging
from .mining_options import (
    DEFAULT_MODEL,
    Cache,
    EmbedSettings,
    Engine,
    Model,
    Precision,
    Workers,
    mining_config,
    say_counts,
)
from .options import ConfigFile, Device, Force, PromptName, check_outputs
from .stages import StageProgress

if TYPE_CHECKING:
    from otembed.embeddings.rows import UnitRows
    from otembed.embeddings.vectors import Vectors

HELP = """Embed the lines of a file: one unit vector per line. A line without usable text gets zeros.

The suffix of -o chooses the format: .npy, or .f32 or .f16, LASER's layout without a header.

With --offset own, the mean of the unit vectors of all distinct lines is subtracted, and the result is scaled to unit
length again. In an index of several languages, embed each language separately with its own offset; embed queries with the
offset of a sample of their language (--write-offset, then --offset FILE).

Settings: defaults < --config < --set < the other options. The settings of otembed mine for the length of lines, embeddings
and the engine apply; others are rejected.
"""


def embed_command(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="Lines; see otembed mine.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="File to write.")],
    model: Model = DEFAULT_MODEL,
    config: ConfigFile = None,
    settings: EmbedSettings = None,
    language: Annotated[
        str | None,
        typer.Option(metavar="XX", help="Language of the lines, for a model centered by language."),
    ] = None,
    prompt_name: PromptName = None,
    precision: Precision = None,
    offset: Annotated[
        str | None,
        typer.Option(
            "--offset", metavar="own|FILE", help="Mean vector to subtract: of these lines, or a .npy file."
        ),
    ] = None,
    write_offset: Annotated[
        Path | None,
        typer.Option("--write-offset", metavar="FILE", help="With --offset own: also write the mean (.npy)."),
    ] = None,
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
    checked.refuse_unused("otembed embed")
    from otembed.data.texts import parse_text_place
    from otembed.embeddings.export import check_vector_output, write_vectors

    check_vector_output(output, checked.precision)
    from otembed.embeddings.offset import (
        OWN,
        check_mean,
        check_offset,
        own_offset,
        read_offset,
        save_offset,
        shifted,
    )

    check_offset(offset, write_offset)
    mean_file = None if offset == OWN else offset
    check_outputs(
        {"--output": output, "--write-offset": write_offset},
        {"INPUT": parse_text_place(source).path, "--offset": mean_file, "--config": config},
        model=model,
        force=force,
    )
    given = None if mean_file is None else read_offset(mean_file)
    start_logging()
    from otembed.embeddings.lines import read_side
    from otembed.mining.side import Side, encoded_dimension, load_encoder
    from otembed.results.format import counted
    from otembed.runtime.executors import open_executor

    lines = read_side(source, max_characters=checked.max_characters)
    side = Side(lines, language=language)
    with open_executor(checked) as executor:
        encoder = load_encoder(model, [side], "cpu" if executor.remote else device)
        dimension = None if encoder is None else encoded_dimension(encoder, checked)
        if given is not None and dimension is not None:
            check_mean(given, lines.name, dimension)
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
    rows: Vectors | UnitRows = vectors
    if offset is not None:
        mean = own_offset(vectors) if given is None else given
        rows = shifted(vectors, mean)
        if write_offset is not None:
            save_offset(mean, write_offset)
            say(f"{write_offset}: the mean of {counted(len(vectors), 'distinct line')}")
    write_vectors(lines, rows, output, precision=checked.precision)
    say(f"{output}: {counted(lines.counts.read, 'row')} of {vectors.dimension} {checked.precision}")
