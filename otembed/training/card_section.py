"""The part of a model card that a training run adds: figures before and after, the layer for word alignment, settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otembed.tasks.retrieval.table import retrieval_markdown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otembed.training.result import TrainResult

HEADING = "## Training with otembed"
BEFORE = "## Training Details"
COLUMNS = (
    "Percent, before→after and the change in points. src→tgt, tgt→src: share of sentences whose nearest neighbor by cosine is"
    " their translation, src being the first language of the pair; F1: weighted F1 of the same, mean of both directions; xSIM:"
    " error rate by ratio margin, mean of both directions, lower is better."
)


def card_section(
    result: TrainResult, settings: str, version: str, layer: int | None, scores: Sequence[tuple[int, float]] = ()
) -> str:
    """Return the section as Markdown.

    Parameters
    ----------
    result
        The run; without held-out pairs it has no reports, and the section says so.
    settings
        The resolved settings as YAML, fit to be published.
    version
        Of otembed.
    layer, scores
        The layer for word alignment and the score of each layer tried; ``None`` where none was chosen.
    """
    parts = [
        HEADING,
        f"Fine-tuned on parallel text with otembed {version}: {result.steps} steps, {result.epochs:g} epochs"
        + ("." if result.best_step is None else f"; released is step {result.best_step}, the best one evaluated."),
        *_retrieval(result),
        *_alignment(layer, scores),
        "### Settings",
        "`otembed train config.yaml` with these settings made the model and every figure above. Paths are given without their"
        " folders.",
        f"<details><summary>config.yaml</summary>\n\n```yaml\n{settings.rstrip()}\n```\n\n</details>",
    ]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def with_section(card: str, section: str) -> str:
    """Return ``card`` with the section before its training details, or at its end; an earlier one is replaced.

    >>> with_section("# A\\n## Training Details\\n", "## Training with otembed\\n")
    '# A\\n## Training with otembed\\n\\n## Training Details\\n'
    """
    head, found, rest = card.partition(f"{HEADING}\n")
    if found:
        # The section's own headings are of a lower level.
        end = rest.find("\n## ")
        card = head + (rest[end + 1 :] if end >= 0 else "")
    head, found, rest = card.partition(f"{BEFORE}\n")
    if not found:
        return f"{card.rstrip()}\n\n{section}"
    return f"{head}{section}\n{found}{rest}"


def _retrieval(result: TrainResult) -> list[str]:
    parts = ["### Retrieval before and after"]
    if result.before is None or result.after is None:
        return [*parts, "Not measured: no pairs were held out."]
    counts = ", ".join(f"{one.pair} {one.sentences:,}" for one in result.after.scores)
    parts += [f"Held-out pairs: {counts}. {COLUMNS}", retrieval_markdown(result.before, result.after)]
    if result.before.centered_scores and result.after.centered_scores:
        parts += [
            "The same after each side's mean was taken from its vectors, which needs no training: a gain that it gives too is no"
            " gain of the training.",
            retrieval_markdown(result.before, result.after, centered=True),
        ]
    return parts


def _alignment(layer: int | None, scores: Sequence[tuple[int, float]]) -> list[str]:
    if layer is None:
        return []
    parts = [
        "### Word alignment",
        f"Layer {layer}, which `otembed align` and `otembed eval alignment` take by themselves. It was chosen from training pairs"
        " without gold links, by the share of words in mutual nearest pairs, corrected for chance"
        + (":" if scores else "."),
    ]
    if scores:
        header, values = zip(*((str(each), f"{score:.3f}") for each, score in scores), strict=True)
        rows = (("layer", *header), ("---", *("---:" for _ in header)), ("score", *values))
        parts.append("\n".join(f"| {' | '.join(row)} |" for row in rows))
    return parts
