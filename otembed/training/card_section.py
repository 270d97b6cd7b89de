"""The section that a training run adds to a model card: retrieval before and after, word alignment, settings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from otembed.models.center import OVERALL
from otembed.results import Table
from otembed.results.format import counted
from otembed.results.table import markdown_escaped
from otembed.training.result import weights_from

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otembed.training.result import TrainResult

HEADING = "## Training with otembed"
BEFORE = "## Training Details"
COLUMNS = (
    "Percent, before→after and the change in points. src→tgt, tgt→src: share of sentences for which the nearest neighbor by"
    " cosine is the translation; src is the first language of the pair. F1: weighted F1 of the same neighbors, mean of both"
    " directions. xSIM: error rate by ratio margin, mean of both directions; lower is better."
)


def card_section(
    result: TrainResult,
    settings: str,
    version: str,
    layer: int | None,
    scores: Sequence[tuple[int, float]] = (),
    *,
    truncated_at: int | None = None,
    own_limit: int | None = None,
) -> str:
    """Return the section as Markdown.

    Parameters
    ----------
    result
        The run. If it has no reports because no pairs were held out, the section says so.
    settings
        The resolved settings as YAML, ready for publication.
    version
        Version of otembed.
    layer, scores
        The layer for word alignment, or None, and the score of each candidate layer.
    truncated_at, own_limit
        The number of tokens at which the run truncated sentences, None if it was that of the released model; and that of the
        released model, None if it has none.
    """
    parts = [
        HEADING,
        f"Fine-tuned on parallel text with otembed {version}: {counted(result.steps, 'step')}, {counted(result.epochs, 'epoch', '.3g')}"
        f"{weights_from(result.best_step, result.averaged_steps)}.",
        *_retrieval(result, truncated_at, own_limit),
        *_interpolation(result),
        *_centering(result),
        *_alignment(layer, scores),
        "### Settings",
        "`otembed train config.yaml` with these settings reproduces the model and every figure above. Folders are removed from"
        " paths.",
        f"<details><summary>config.yaml</summary>\n\n{_fenced(settings.rstrip())}\n\n</details>",
    ]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _fenced(settings: str) -> str:
    """Return a block of YAML whose fence is longer than any run of backticks in it, so that no setting ends it."""
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", settings))])
    return f"{fence}yaml\n{settings}\n{fence}"


def with_section(card: str, section: str) -> str:
    """Return ``card`` with the section before its training details or at its end, replacing an earlier section.

    >>> with_section("# A\\n## Training Details\\n", "## Training with otembed\\n")
    '# A\\n## Training with otembed\\n\\n## Training Details\\n'
    """
    head, found, rest = card.partition(f"{HEADING}\n")
    if found:
        # Headings inside the section are of a lower level.
        end = rest.find("\n## ")
        card = head + (rest[end + 1 :] if end >= 0 else "")
    head, found, rest = card.partition(f"{BEFORE}\n")
    if not found:
        return f"{card.rstrip()}\n\n{section}"
    return f"{head}{section}\n{found}{rest}"


def _retrieval(result: TrainResult, truncated_at: int | None, own_limit: int | None) -> list[str]:
    parts = ["### Retrieval before and after"]
    if result.before is None or result.after is None:
        return [*parts, "Not measured: no pairs were held out."]
    counts = ", ".join(f"{markdown_escaped(one.pair)} {one.sentences:,}" for one in result.after.scores)
    limits = ""
    if truncated_at is not None:
        own = "does not truncate them" if own_limit is None else f"truncates them at {own_limit}"
        limits = f" Sentences were truncated at {truncated_at} tokens, as in training; the model itself {own}."
    parts += [f"Held-out pairs: {counts}.{limits} {COLUMNS}", result.before.table(result.after).markdown()]
    if result.before.centered_scores and result.after.centered_scores:
        parts += [
            "The same with centered embeddings (each side's mean embedding is subtracted). Centering needs no training: do not"
            " credit training with a gain that centering alone gives.",
            result.before.table(result.after, centered=True).markdown(),
        ]
    return parts


def _interpolation(result: TrainResult) -> list[str]:
    curve = result.interpolation
    if curve is None:
        return []
    how = "chosen among the shares below" if curve.automatic else "as the settings say"
    before = "" if result.mean_lengths is None else ", before centering"
    return [
        "### Interpolation",
        f"The released weights are those of the starting model plus {curve.share:g} times the change by training, {how}"
        " (share 0: the starting model, 1: the trained one). Accuracy in percent on held-out pairs, mean of pairs and"
        f" directions{before}; to the best: 95 % interval of the difference in points (paired bootstrap).",
        curve.table().markdown(),
    ]


def _centering(result: TrainResult) -> list[str]:
    lengths = result.mean_lengths
    if lengths is None:
        return []
    tasks = [name for name in lengths if name != OVERALL]
    text = (
        "The model subtracts the mean unit vector of training text from the unit vector of a sentence, and normalizes the result;"
        " plain `encode` does this. The table has the length of each mean (1: all vectors have the same direction)."
    )
    if tasks:
        text += (
            f" `encode(texts, task={tasks[0]!r})` subtracts the mean of that language, other calls the mean of all languages. The"
            " figures above subtract from each side the mean of its language."
        )
    rows = [(name, f"{length:.3f}") for name, length in lengths.items()]
    return ["### Centering", text, Table(("language", "length of the mean"), rows).markdown()]


def _alignment(layer: int | None, scores: Sequence[tuple[int, float]]) -> list[str]:
    if layer is None:
        return []
    parts = [
        "### Word alignment",
        f"Layer {layer}, which `otembed align` and `otembed eval alignment` use by default. It was chosen on training pairs"
        " without gold links, by the share of words that are mutual nearest neighbors, corrected for chance"
        + (":" if scores else "."),
    ]
    if scores:
        header, values = zip(*((str(each), f"{score:.3f}") for each, score in scores), strict=True)
        parts.append(Table(("layer", *header), (("score", *values),)).markdown())
    return parts
