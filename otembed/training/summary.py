"""The summary of a training run and of a dry run for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group

from otembed.data.rows import SPLIT_OFF
from otembed.results import Table
from otembed.results.format import counted, format_seconds, percent
from otembed.results.table import stacked

if TYPE_CHECKING:
    from rich.console import RenderableType

    from otembed.training.result import DryRun, TrainResult


def train_summary(result: TrainResult) -> RenderableType:
    """Render retrieval before and after, then steps, time, trained parameters and the path of the model."""
    lines = [
        f"steps       {result.steps} ({counted(result.epochs, 'epoch', '.3g')}"
        + (f"; weights of step {result.best_step})" if result.best_step is not None else ")"),
        *([f"averaged    steps {', '.join(map(str, result.averaged_steps))}"] if result.averaged_steps else []),
        f"time        {format_seconds(result.seconds)} (training: {format_seconds(result.training_seconds)})",
        f"trained     {result.trained_parameters / 1e6:.1f} of {result.parameters / 1e6:.1f} million parameters",
    ]
    if "converged" in result.last_log:
        lines.append(f"OT plans    {result.last_log['converged']:.1%} converged in the last log interval")
    lines.append(f"model       {result.model}")
    if result.before is None or result.after is None:
        return "\n".join(lines)
    plain, centered = (
        (getattr(result.before, name), getattr(result.after, name)) for name in ("mean", "centered_mean")
    )
    if centered[0] is not None and centered[1] is not None:
        # Centering needs no training: do not credit training with a gain that centering alone gives.
        lines.insert(
            0,
            f"centered    mean accuracy {percent(centered[0].accuracy)} % before, {percent(centered[1].accuracy)} % after\n"
            f"            (not centered: {percent(plain[0].accuracy)} %, {percent(plain[1].accuracy)} %)",
        )
    if result.words is not None:
        found = result.words
        lines.insert(
            0,
            f"words       nearest word is the translation: {percent(found.before)} % before, {percent(found.after)} % after\n"
            f"            ({found.links} words linked by the text; {', '.join(found.pairs)}; centered)",
        )
    tables = [result.before.table(result.after)]
    if result.interpolation is not None:
        tables.append(result.interpolation.table(centered_later=result.mean_lengths is not None))
    return Group(stacked(tables), "\n".join(lines))


def dry_run_table(result: DryRun) -> RenderableType:
    """Render the data of a run, and its estimated time and memory."""
    rows = []
    for name, counts in result.pairs.items():
        held = str(result.held_out.get(name, 0))
        dropped = sum(count for reason, count in counts["dropped"].items() if reason != SPLIT_OFF)
        rows.append((name, f"{counts['read']:,}", f"{dropped:,}", f"{counts['trained']:,}", held))
    others = sorted(result.held_out.keys() - result.pairs.keys())
    rows += [(name, "", "", "", str(result.held_out[name])) for name in others]
    columns = ("pair", "read", "dropped", "trained on", "held out")
    table = Table(columns, rows, title="Dry run: nothing was written")
    lines = [
        f"tokens/sentence    mean {result.tokens_mean:g}, 95 % up to {result.tokens_p95:g},"
        f" longest {result.tokens_max}; {result.truncated:.1%} truncated",
        f"parameters         {result.trained_parameters / 1e6:.1f} of {result.parameters / 1e6:.1f} million trained",
        f"steps              {result.steps:,}, {result.seconds_per_step:.2f} s each (median of three)",
        f"evaluation         {format_seconds(result.evaluation_seconds)} per evaluation",
        f"time               about {format_seconds(result.total_seconds)}",
        f"memory             {result.peak_memory_gb:.1f} GB peak so far",
    ]
    return Group(table, "\n".join(lines))
