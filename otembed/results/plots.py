"""Pictures: a sentence pair's alignment, matrices of languages, mined pairs by threshold; needs ``otembed[plots]``."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otembed.errors import ConfigError
from otembed.results import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from otembed.tasks.mining.evaluate import MiningScores
    from otembed.tasks.xquad.report import QuestionReport
    from otembed.words import SentenceAlignment

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
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    rows, columns = alignment.probabilities.shape
    with rc_context(_settings()), warnings.catch_warnings(record=True) as caught:
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
        _save(figure, path)
    missing = [str(each.message) for each in caught if "missing from font" in str(each.message)]
    return "".join(sorted({chr(int(text.split()[1])) for text in missing})) if path.suffix.lower() == ".png" else ""


def plot_questions(report: QuestionReport, path: str | Path) -> None:
    """Draw a report of questions as heat maps: accuracy of each pair of languages, and of which language answers are.

    Parameters
    ----------
    report
        Made by :func:`otembed.tasks.xquad.evaluate_xquad`. The last map, if there is one, holds the shares that the languages
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
    with rc_context(_settings()):
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
        _save(figure, path)


def plot_mining(scores: MiningScores, path: str | Path) -> None:
    """Draw precision against recall, and precision, recall and F1 against the threshold, side by side.

    The threshold in use and that of the best F1 are marked in both. Between the points of ``scores.curve`` the lines
    are steps: a threshold finds what the next higher score of the curve finds.

    Parameters
    ----------
    scores
        With one mined pair at least.
    path
        ``.png`` (150 dots an inch) or ``.svg``. Written whole or not at all.

    Raises
    ------
    ConfigError
        As :func:`check_plot`, and where no pair was mined.
    """
    path = Path(path)
    check_plot(path)
    if not scores.curve:
        raise ConfigError(f"{path}: nothing to draw, no pair was mined", "Lower --min-cosine, or give other lines.")
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    cuts, precision, recall = zip(*scores.curve, strict=True)
    f1 = [2 * p * r / (p + r) if p + r else 0.0 for p, r in zip(precision, recall, strict=True)]
    with rc_context(_settings()):
        figure = Figure(figsize=(11.5, 4.8), layout="constrained")
        figure.suptitle(_shown((scores.name,))[0])
        left, right = figure.subplots(1, 2)
        left.step((0, *recall), (precision[0], *precision), where="pre", color="tab:blue", linewidth=1.8)
        left.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02))
        left.set_title(f"average precision {scores.average_precision:.3f}", fontsize="medium")
        low, high = _span(
            (*cuts, *(each for each in (scores.threshold, scores.best_threshold) if each is not None))
        )
        for name, values, color, width in (
            ("precision", precision, "tab:blue", 1.4),
            ("recall", recall, "tab:green", 1.4),
            ("F1", f1, "tab:orange", 2.2),
        ):
            # Below the last score every pair is found.
            right.step((*cuts, low), (*values, values[-1]), where="post", color=color, linewidth=width, label=name)
        right.set(xlabel="threshold", ylim=(0, 1.02), xlim=(low, high))
        right.set_title(f"F1 {scores.f1:.3f}, best {scores.best_f1:.3f}", fontsize="medium")
        best = max(range(len(f1)), key=f1.__getitem__)
        points = (
            ("of best F1", scores.best_threshold, recall[best], precision[best], "tab:orange", "D", ":"),
            ("in use", scores.threshold, scores.recall, scores.precision, "black", "o", "--"),
        )
        for label, threshold, x, y, color, marker, line in points:
            size = 10 if marker == "D" else 6
            left.plot(x, y, marker, color=color, markersize=size, clip_on=False, label=_at(label, threshold))
            if threshold is not None:
                right.axvline(threshold, color=color, linestyle=line, linewidth=1.4, label=f"threshold {label}")
        for axes, columns in ((left, 2), (right, 5)):
            axes.legend(
                loc="upper center",
                bbox_to_anchor=(0.5, -0.13),
                ncols=columns,
                frameon=False,
                fontsize="small",
                columnspacing=1.2,
            )
        for axes in (left, right):
            axes.grid(alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
        _save(figure, path)


def _at(label: str, threshold: float | None) -> str:
    return f"{label}: every pair" if threshold is None else f"{label}: {threshold:.4f}"


def _span(places: tuple[float, ...]) -> tuple[float, float]:
    low, high = min(places), max(places)
    margin = 0.02 * (high - low) or 0.01
    return low - margin, high + margin


def _settings() -> Any:
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    return {
        "font.family": [name for name in FONTS if name in installed],
        "svg.fonttype": "none",
        "svg.hashsalt": "otembed",
    }


def _save(figure: Figure, path: Path) -> None:
    with whole_file(path) as file:
        figure.savefig(file, format=path.suffix[1:].lower(), dpi=150, metadata=_undated(path))


def _shown(words: tuple[str, ...]) -> list[str]:
    """Words as matplotlib takes them literally: a dollar sign would start mathematics."""
    return [word.replace("$", r"\$") for word in words]


def _undated(path: Path) -> dict[str, None]:
    """Leave the date out of an SVG, so that the same alignment gives the same file."""
    return {"Date": None} if path.suffix.lower() == ".svg" else {}
