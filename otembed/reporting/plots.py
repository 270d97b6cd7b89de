"""One sentence pair's alignment as a picture; needs ``otembed[plots]``."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otembed.errors import ConfigError
from otembed.results import whole_file

if TYPE_CHECKING:
    from otembed.alignment import SentenceAlignment

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
    """Refuse a picture that cannot be drawn, before anything slow is done.

    Raises
    ------
    ConfigError
        The suffix is neither .png nor .svg, or matplotlib is not installed.
    """
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(f"{path}: a picture is .png or .svg, not {path.suffix or 'without suffix'}", "Rename it.")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ConfigError(
            f"{path}: drawing needs matplotlib", 'Install it: pip install "otembed[plots]".'
        ) from None


def plot_alignment(alignment: SentenceAlignment, path: str | Path) -> str:
    """Draw the probabilities of every link, source words down, target words across, links framed.

    Parameters
    ----------
    alignment
        One sentence pair with a word on each side at least.
    path
        ``.png`` (150 dots an inch) or ``.svg``, whose words are text for the viewer's own fonts. Written whole or
        not at all.

    Returns
    -------
    str
        The characters that no installed font draws: boxes in a PNG; usually empty.

    Raises
    ------
    ConfigError
        As :func:`check_plot`, and where a side has no word.
    """
    path = Path(path)
    check_plot(path)
    if not alignment.probabilities.size:
        raise ConfigError(f"{path}: nothing to draw, a side has no words", "Give two sentences.")
    from matplotlib import font_manager, rc_context
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    installed = {font.name for font in font_manager.fontManager.ttflist}
    rows, columns = alignment.probabilities.shape
    settings: Any = {
        "font.family": [name for name in FONTS if name in installed],
        "svg.fonttype": "none",
        "svg.hashsalt": "otembed",
    }
    with rc_context(settings), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        figure = Figure(figsize=(2.5 + 0.35 * columns, 1.8 + 0.3 * rows), layout="constrained")
        axes = figure.add_subplot()
        image = axes.imshow(alignment.probabilities, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        axes.set_xticks(
            range(columns), _shown(alignment.target_words), rotation=60, ha="left", rotation_mode="anchor"
        )
        axes.set_yticks(range(rows), _shown(alignment.source_words))
        axes.xaxis.tick_top()
        for link in alignment.links:
            corner = (link.target - 0.5, link.source - 0.5)
            axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor="tab:orange", linewidth=1.5))
        figure.colorbar(image, label="link probability")
        with whole_file(path) as file:
            figure.savefig(file, format=path.suffix[1:].lower(), dpi=150, metadata=_undated(path))
    missing = [str(each.message) for each in caught if "missing from font" in str(each.message)]
    return "".join(sorted({chr(int(text.split()[1])) for text in missing})) if path.suffix.lower() == ".png" else ""


def _shown(words: tuple[str, ...]) -> list[str]:
    """Words as matplotlib takes them literally: a dollar sign would start mathematics."""
    return [word.replace("$", r"\$") for word in words]


def _undated(path: Path) -> dict[str, None]:
    """Leave the date out of an SVG, so that the same alignment gives the same file."""
    return {"Date": None} if path.suffix.lower() == ".svg" else {}
