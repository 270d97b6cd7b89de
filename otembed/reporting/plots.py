"""Pictures: one sentence pair's alignment, matrices of languages; needs ``otembed[plots]``."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otembed.errors import ConfigError
from otembed.results import whole_file

if TYPE_CHECKING:
    from otembed.alignment import SentenceAlignment
    from otembed.evaluation.question_report import QuestionReport

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


def plot_questions(report: QuestionReport, path: str | Path) -> None:
    """Draw a report of questions as heat maps: accuracy of each pair of languages, and of which language answers are.

    Parameters
    ----------
    report
        Made by :func:`otembed.evaluate_xquad`. The last map, if there is one, holds the shares that the languages
        have in the best 20 answers of the mixed pool: even columns mean no language bias.
    path
        ``.png`` (150 dots an inch) or ``.svg``. Written whole or not at all.

    Raises
    ------
    ConfigError
        As :func:`check_plot`.
    """
    path = Path(path)
    check_plot(path)
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    codes = list(report.data)
    maps = {
        f"{task}: top-1 accuracy": {
            (each.question_language, each.text_language): each.accuracy for each in report.cells(task)
        }
        for task in ("paragraph", "sentence")
        if report.cells(task)
    }
    if report.answers:
        maps["language of the best 20"] = {
            (each.language, code): share for each in report.answers for code, share in each.top_shares.items()
        }
    size = 1.6 + 0.6 * len(codes)
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "otembed"}):
        figure = Figure(figsize=(len(maps) * size, size), layout="constrained")
        for axes, (title, shares) in zip(
            figure.subplots(1, len(maps), squeeze=False)[0], maps.items(), strict=True
        ):
            axes.imshow([[shares[row, column] for column in codes] for row in codes], cmap="Blues", vmin=0, vmax=1)
            axes.set(title=title, xlabel="text", ylabel="question")
            axes.set_xticks(range(len(codes)), codes)
            axes.set_yticks(range(len(codes)), codes)
            for (row, column), share in shares.items():
                place = (codes.index(column), codes.index(row))
                axes.text(*place, f"{100 * share:.0f}", ha="center", va="center", color="wk"[share < 0.6])
        with whole_file(path) as file:
            figure.savefig(file, format=path.suffix[1:].lower(), dpi=150, metadata=_undated(path))


def _shown(words: tuple[str, ...]) -> list[str]:
    """Words as matplotlib takes them literally: a dollar sign would start mathematics."""
    return [word.replace("$", r"\$") for word in words]


def _undated(path: Path) -> dict[str, None]:
    """Leave the date out of an SVG, so that the same alignment gives the same file."""
    return {"Date": None} if path.suffix.lower() == ".svg" else {}
