"""Parts shared by all plots: formats, fonts, and atomic writing; requires ``otembed[plots]``, imported on use."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from otembed.errors import ConfigError
from otembed.results.files import whole_file
from otembed.results.format import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from matplotlib.figure import Figure

FORMATS = (".png", ".svg")
# Tried in this order for characters that DejaVu Sans, which comes with matplotlib, lacks.
FONTS = (
    "DejaVu Sans",
    "Noto Sans",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Noto Sans Thai",
    "Noto Sans Devanagari",
    "Droid Sans Fallback",
    "WenQuanYi Zen Hei",
    "Hiragino Sans",
    "PingFang SC",
    "Thonburi",
    "Yu Gothic",
    "Microsoft YaHei",
    "Leelawadee UI",
    "Nirmala UI",
    "Arial Unicode MS",
)


def check_plot(path: Path) -> None:
    """Refuse a plot that cannot be drawn, before any slow work.

    Raises
    ------
    ConfigError
        The suffix is neither .png nor .svg, or matplotlib is not installed.
    """
    if path.suffix.lower() not in FORMATS:
        found = path.suffix or "no suffix"
        raise ConfigError(f"{path}: plots are .png or .svg, not {found}", "Use the suffix .png or .svg.")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ConfigError(f"{path}: plots need matplotlib", 'Install it: pip install "otembed[plots]".') from None


@contextmanager
def drawing() -> Iterator[None]:
    """Set the fonts and make SVG files reproducible inside the block."""
    from matplotlib import font_manager, rc_context

    installed = {font.name for font in font_manager.fontManager.ttflist}
    settings = {
        "font.family": [name for name in FONTS if name in installed],
        "svg.fonttype": "none",
        "svg.hashsalt": "otembed",
    }
    with rc_context(settings):  # type: ignore[arg-type]  # matplotlib's own list of keys is too narrow
        yield


def save_plot(figure: Figure, path: Path) -> None:
    """Write a figure atomically and without a date: the same figure gives the same file."""
    undated = {"Date": None} if path.suffix.lower() == ".svg" else {}
    with whole_file(path) as file:
        figure.savefig(file, format=path.suffix[1:].lower(), dpi=150, metadata=undated)


def literal(text: str) -> str:
    """Return text that matplotlib draws as it is: a dollar sign would start mathematics."""
    return printable(text).replace("$", r"\$")
