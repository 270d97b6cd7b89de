"""Progress of long stages on stderr: one updating line on a terminal, occasional plain lines elsewhere."""

from __future__ import annotations

import sys
from time import monotonic
from typing import TextIO

UNITS = {
    "searching": "tiles",
    "fitting": "strengths",
    "fine-tuning": "steps",
    "testing": "pairs",
    "answering": "windows",
    "tagging": "sentences",
}
TERMINAL_SECONDS = 0.2
PLAIN_SECONDS = 10.0


class StageProgress:
    """Called with a stage, the items done and their total; shows percentage, speed and time left."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = sys.stderr if stream is None else stream
        self.on_terminal = self.stream.isatty()
        self.stage = ""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show a line if enough time has passed, or the stage is done."""
        now = monotonic()
        if stage != self.stage:
            self.stage, self.started, self.first = stage, now, done
            # Short stages show no intermediate lines.
            self.shown = now
        pause = TERMINAL_SECONDS if self.on_terminal else PLAIN_SECONDS
        if now - self.shown < pause and done < total:
            return
        if done >= total and not self.on_terminal and self.shown == self.started:
            return
        self.shown = now
        self._show(self._line(stage, done, total, now - self.started))
        if done >= total and self.on_terminal:
            self.stream.write("\r\x1b[K")
            self.stream.flush()

    def _line(self, stage: str, done: int, total: int, seconds: float) -> str:
        from otembed.results.format import format_seconds, printable

        unit = UNITS.get(stage.split()[0], "lines")
        line = f"{printable(stage)}: {done:,} of {total:,} {unit}, {100 * done // max(total, 1)} %"
        moved = done - self.first
        if moved > 0 and seconds > 0:
            speed = moved / seconds
            line += f", {speed:.3g} {unit}/s, {format_seconds((total - done) / speed)} left"
        return line

    def _show(self, line: str) -> None:
        self.stream.write(f"\r\x1b[K{line}" if self.on_terminal else f"{line}\n")
        self.stream.flush()
