"""``otembed info``: the installation, and a self-test."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from otembed.errors import ConfigError

from .console import SEARCH, SOLVER, data_console, start_logging
from .options import JsonDocument

HELP = """Show versions, devices, threads, extras and caches. Use --markdown for a bug report.

--check instead runs a self-test that takes seconds and downloads nothing: the solver against POT, FAISS and the
mining search against numpy, a training step of a tiny random encoder, saving and loading. Exit code 1 on failure.
"""


def info_command(
    check: Annotated[bool, typer.Option("--check", help="Run the self-test.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown tables.")] = False,
    as_json: JsonDocument = False,
) -> None:
    """Print the installation, or run the self-test."""
    if markdown and (as_json or check):
        raise ConfigError(
            f"--markdown and {'--json' if as_json else '--check'} are mutually exclusive", "Use only one of them."
        )
    if check:
        _check(as_json)
        return
    from otembed.diagnostics.installation import installation
    from otembed.diagnostics.tables import installation_tables
    from otembed.results.table import stacked

    found = installation()
    if as_json:
        typer.echo(found.to_json(), nl=False)
    elif markdown:
        typer.echo("\n".join(each.markdown() for each in installation_tables(found)), nl=False)
    else:
        data_console().print(stacked(installation_tables(found)))


def _check(as_json: bool) -> None:
    import logging

    start_logging(*SOLVER, *SEARCH)
    logging.getLogger("otembed").setLevel(logging.WARNING)  # show only the checks themselves
    from otembed.diagnostics.selftest import SelfTest, run_checks

    checks: list[Any] = []
    for each in run_checks():
        checks.append(each)
        if not as_json:
            typer.echo(f"{'ok' if each.ok else 'failed':7} {each.name:32} {each.seconds:5.1f} s  {each.detail}")
    report = SelfTest(tuple(checks))
    if as_json:
        typer.echo(report.to_json(), nl=False)
    if not report.ok:
        raise typer.Exit(1)
