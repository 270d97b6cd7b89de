"""``otembed export``: a model in another precision or file layout, or as ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from otembed.errors import ConfigError

from .completion import choice_values
from .console import start_logging
from .options import JsonDocument, ModelArgument, check_choice

HELP = """Write a model in another precision or file layout, or as ONNX.

The folder loads with plain SentenceTransformer(OUT), without otembed. It is written atomically, and existing files are
never replaced. --layout 5.3 loads in sentence-transformers 5.3 to 6.2; current is the layout of the installed version.

--onnx (requires otembed[onnx]) writes model.onnx, from tokens to sentence vectors with pooling, centering and
normalization, with tokenizer.json and encoder.json (the prompts). onnxruntime and tokenizers run it; neither torch nor
transformers is needed. The export compares its vectors with torch's and fails if they differ by more than 1e-4. --int8
stores and multiplies weights in 8 bits, and prints the lowest cosine.
"""
PRECISIONS = ("float32", "float16", "bfloat16")
LAYOUTS = ("5.3", "current")
PARTS = ("en", "sw", "ar", "hi", "th", "zh")


def export_command(
    model: ModelArgument,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.", show_default=False)],
    precision: Annotated[
        str | None,
        typer.Option(
            help="float32, float16 or bfloat16. [default: float32]", autocompletion=choice_values(*PRECISIONS)
        ),
    ] = None,
    layout: Annotated[
        str | None, typer.Option(help="5.3 or current. [default: 5.3]", autocompletion=choice_values(*LAYOUTS))
    ] = None,
    onnx: Annotated[bool, typer.Option("--onnx", help="Write ONNX (otembed[onnx]).")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="With --onnx: quantize to 8 bits.")] = False,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="ROUTE",
            help="With --onnx: route of a model with several, such as the language of a centered one.",
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Compare the embeddings of sample sentences before and after.")
    ] = False,
    as_json: JsonDocument = False,
) -> None:
    """Parse the flags, export, print."""
    check_choice(precision, PRECISIONS, "--precision")
    check_choice(layout, LAYOUTS, "--layout")
    _check_together(onnx, {"--precision": precision, "--layout": layout}, {"--int8": int8, "--task": task})
    start_logging()
    if onnx:
        _export_onnx(model, out, int8=int8, task=task, check=check, as_json=as_json)
        return
    from otembed.models.export import export_model
    from otembed.results.format import printable

    report = export_model(
        model,
        out,
        precision=precision or "float32",  # type: ignore[arg-type]
        layout=layout or "5.3",  # type: ignore[arg-type]
        check=_sentences() if check else (),
    )
    if as_json:
        typer.echo(report.to_json(), nl=False)
        return
    typer.echo(
        f"{printable(str(report.folder))}: {report.megabytes:,.1f} MB, {report.precision}, layout {report.layout}"
    )
    if report.largest_difference is not None:
        typer.echo(
            f"embeddings of {report.sentences} sentences: largest difference {report.largest_difference:.1e}, "
            f"lowest cosine {report.lowest_cosine:.6f}"
        )


def _check_together(onnx: bool, folders: dict[str, object], graphs: dict[str, object]) -> None:
    """Reject options that have no effect."""
    for flag, value in (folders if onnx else graphs).items():
        if value not in (None, False):
            raise ConfigError(
                f"{flag} does not apply {'to' if onnx else 'without'} --onnx",
                f"Omit {flag}, or {'omit' if onnx else 'add'} --onnx.",
            )


def _export_onnx(model: str, out: Path, *, int8: bool, task: str | None, check: bool, as_json: bool) -> None:
    from otembed.models.onnx_export import SENTENCES, export_onnx
    from otembed.results.format import printable

    report = export_onnx(model, out, int8=int8, task=task, check=(*SENTENCES, *(_sentences() if check else ())))
    if as_json:
        typer.echo(report.to_json(), nl=False)
        return
    typer.echo(f"{printable(report.folder)}: {report.megabytes:,.1f} MB, ONNX, {report.precision}")
    typer.echo(
        f"vectors of {report.sentences} sentences against torch: largest difference {report.largest_difference:.1e}, "
        f"lowest cosine {report.lowest_cosine:.6f}"
    )


def _sentences() -> list[str]:
    """Return four sentences in each of several scripts from the text that ships with otembed."""
    import csv

    from otembed.data.starter import starter_path

    with starter_path("test").open(encoding="utf-8", newline="") as file:
        rows = [row for _, row in zip(range(4), csv.DictReader(file, delimiter="\t"), strict=False)]
    return [row[code] for code in PARTS for row in rows]
