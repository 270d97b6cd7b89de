"""``otembed align``: link the words of parallel sentences."""

from __future__ import annotations

import json
import sys
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from otembed.errors import ConfigError

from .completion import choice_values, model_values
from .console import SOLVER, data_console, error_console, say, say_unseen, start_logging
from .options import (
    DECODINGS,
    AlignerSettings,
    ConfigFile,
    Device,
    JsonDocument,
    Layer,
    LinkThreshold,
    SentencesAtATime,
    Unit,
    alignment_config,
    check_outputs,
    files_named,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otembed.data import PairCounts
    from otembed.words import SentenceAlignment, WordAligner

HELP = """Link the words of sentences and their translations. Links come from the transport plan between both.

Pass two sentences, SOURCE TARGET, or many with --pairs FILE: lines of source ||| target (- for stdin), or
XX-YY=FILE in any format of otembed train. Any multilingual encoder works without training.

The output is one line of links per pair in the Pharaoh format, 0-0 1-2, with words counted from 0. On a terminal,
two sentences are also drawn as a heat map. With --json, the output is one document with one pair per line: words,
and links as [source, target, probability].

Words are separated by spaces; scripts without spaces (Thai, Han, Kana ...) are split at vocabulary pieces.
--tokenized splits at spaces only. The layer is the one stored with the model by otembed train, else the one with the
best agreement between the words of the first 300 pairs.

Settings: defaults < --config < --set < the other options. otembed config init --for align prints all of them.
"""
ORIGINS = {
    "given": "given",
    "stored": "stored with the model",
    "text": "chosen from the text",
    "default": "default",
}


def align_command(
    source: Annotated[
        str | None,
        typer.Argument(metavar="SOURCE", help="A sentence; - reads pairs from stdin.", show_default=False),
    ] = None,
    target: Annotated[
        str | None, typer.Argument(metavar="TARGET", help="Its translation.", show_default=False)
    ] = None,
    pairs: Annotated[
        str | None, typer.Option("--pairs", metavar="FILE|XX-YY=FILE", help="Sentences and translations.")
    ] = None,
    model: Annotated[
        str, typer.Option(help="Folder, hub name or offline:NAME.", autocompletion=model_values)
    ] = "offline:multilingual-e5-small",
    tokenized: Annotated[bool, typer.Option("--tokenized", help="Words are separated by spaces only.")] = False,
    layer: Layer = None,
    unit: Unit = None,
    decoding: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="mutual, threshold, grow-diag (the default) or grow-diag-final-and.",
            autocompletion=choice_values(*DECODINGS),
        ),
    ] = None,
    threshold: LinkThreshold = None,
    config_file: ConfigFile = None,
    settings: AlignerSettings = None,
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Write 0-0:0.9312 for 0-0.")] = False,
    index_base: Annotated[int, typer.Option(min=0, max=1, help="Count words from 0 or 1.")] = 0,
    heat_map: Annotated[
        bool | None,
        typer.Option(
            "--map/--no-map",
            help="Draw two sentences in the terminal. [default: if stdout is a terminal]",
            show_default=False,
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw two sentences: .png or .svg (otembed[plots]).")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="First N pairs.")] = None,
    batch_size: SentencesAtATime = 32,
    device: Device = None,
    as_json: JsonDocument = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write to this file instead of stdout, atomically.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the files of --output and --plot.")] = False,
) -> None:
    """Parse the flags, align, print."""
    single = _is_single(source, target, pairs)
    for flag, given in (("--map", heat_map), ("--plot", plot is not None)):
        if given and not single:
            raise ConfigError(f"{flag} draws two sentences, not a file", "Pass SOURCE and TARGET.")
    if heat_map and as_json:
        raise ConfigError("--map and --json are mutually exclusive", "Omit one of them.")
    read = {"--pairs": () if single else files_named(pairs), "--config": config_file}
    check_outputs({"--output": output, "--plot": plot}, read, model=model, force=force)
    if plot is not None:
        from otembed.results.plot import check_plot

        check_plot(plot)
    from otembed.data import PairCounts

    counts = PairCounts()
    rows = iter([(str(source), str(target))]) if single else _rows(pairs or "-", counts)
    config = alignment_config(config_file, settings, layer, unit, decoding, threshold)
    start_logging(*SOLVER)
    from otembed.models import load_model
    from otembed.words import WordAligner

    aligner = WordAligner(load_model(model, device=device), config)
    if tokenized:
        from otembed.data import spaced_words

        texts: Iterable[tuple[Any, Any]] = ((spaced_words(x), spaced_words(y)) for x, y in rows)
    else:
        texts = rows
    begun = time.perf_counter()
    found = aligner.align(islice(texts, limit), batch_size=batch_size)
    if single:
        (alignment,) = found
        found = iter([alignment])
        if plot is not None:
            _plot(alignment, plot)
        if not as_json and (heat_map or (heat_map is None and sys.stdout.isatty())):
            from otembed.tasks.word_alignment.plot import alignment_map

            console = data_console()
            console.print(alignment_map(alignment, console.width, console.encoding), soft_wrap=True)
    else:
        found = _watched(found)
    if as_json:
        parts = _document(found, model, aligner, index_base)
    else:
        parts = (each.to_pharaoh(probabilities=probabilities, index_base=index_base) + "\n" for each in found)
    _write(parts, output)
    _summary(time.perf_counter() - begun, aligner, counts)


def _is_single(source: str | None, target: str | None, pairs: str | None) -> bool:
    if pairs is not None and source is None:
        return False
    if pairs is None and source == "-" and target is None:
        return False
    if pairs is not None or source is None or target is None:
        raise ConfigError(
            "otembed align takes two sentences or one file", "Pass SOURCE TARGET, --pairs FILE, or -."
        )
    return True


def _rows(place: str, counts: PairCounts) -> Iterator[tuple[str, str]]:
    from otembed.data import parse_pair_spec, read_barred, read_pairs

    key, equals, file = place.partition("=")
    if equals and not Path(place).exists():
        rows = read_pairs(parse_pair_spec(key, file), counts)
    else:
        rows = read_barred(place)
    return ((row.source, row.target) for row in rows)


def _watched(found: Iterator[SentenceAlignment]) -> Iterator[SentenceAlignment]:
    """Count the pairs on stderr while they come, if it is a terminal."""
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = error_console()
    if not console.is_terminal:
        yield from found
        return
    rate = TextColumn("{task.fields[rate]:.1f} pairs/s")
    bar = Progress(
        TextColumn("aligning"), MofNCompleteColumn(), rate, TimeElapsedColumn(), console=console, transient=True
    )
    with bar:
        task = bar.add_task("aligning", total=None, rate=0.0)
        begun = time.perf_counter()
        for number, each in enumerate(found, 1):
            bar.update(task, completed=number, rate=number / (time.perf_counter() - begun))
            yield each


def _document(
    found: Iterable[SentenceAlignment], model: str, aligner: WordAligner, index_base: int
) -> Iterator[str]:
    """One JSON document in parts, a pair each, so that memory does not grow with the text."""
    from dataclasses import asdict

    head = {"schema": 1, "kind": "WordAlignments", "model": model, "index_base": index_base}
    yield json.dumps({**head, "settings": asdict(aligner.config)}, ensure_ascii=False)[:-1] + ', "pairs": ['
    separator = "\n"
    for each in found:
        yield separator + json.dumps(each.to_dict(index_base=index_base), ensure_ascii=False)
        separator = ",\n"
    choice = aligner.choice
    tail = (
        {"layer": choice.layer, "layer_origin": choice.origin} if choice else {"layer": None, "layer_origin": None}
    )
    yield "\n], " + json.dumps({**tail, "unseen": aligner.unseen})[1:] + "\n"


def _write(parts: Iterable[str], output: Path | None) -> None:
    from otembed.results import whole_file

    if output is None:
        for part in parts:
            typer.echo(part, nl=False)
        return
    with whole_file(output) as file:
        for part in parts:
            file.write(part.encode("utf-8"))


def _plot(alignment: SentenceAlignment, path: Path) -> None:
    from otembed.tasks.word_alignment.plot import plot_alignment

    missing = plot_alignment(alignment, path)
    if missing:
        say(f"{path}: no installed font draws {missing}; an .svg leaves fonts to the viewer")


def _summary(seconds: float, aligner: WordAligner, counts: PairCounts) -> None:
    from otembed.results.format import counted

    if counts.dropped:
        say(f"skipped by the reader: {sum(counts.dropped.values())} ({counts.summary()})")
    say_unseen(aligner.unseen)
    layer = f"; layer {aligner.choice.layer}, {ORIGINS[aligner.choice.origin]}" if aligner.choice else ""
    rate = aligner.pairs / max(seconds, 1e-9)
    say(f"{counted(aligner.pairs, 'pair')} in {seconds:.1f} s, {rate:.1f} pairs/s{layer}")
