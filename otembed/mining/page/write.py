"""Writing the page of a mining run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from otembed.config.changes import changed_settings
from otembed.errors import ConfigError
from otembed.mining.page.document import mining_page, page_document
from otembed.results import is_stream, write_text
from otembed.results.format import counted
from otembed.results.paths import expand

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from otembed.config.mining import MiningConfig
    from otembed.mining.mined import MinedPairs


def check_page(place: str | Path) -> None:
    """Reject a folder as the file of a page, before the slow stages start."""
    path = expand(place)
    if path.is_dir():
        raise ConfigError(f"html = {place} is a folder", "Use a file name.")
    is_stream(path)


def write_page(
    place: str | Path, mined: MinedPairs, encoder: SentenceTransformer | None, config: MiningConfig
) -> Path:
    """Write the page of all pairs of a run.

    Parameters
    ----------
    place
        The file, replaced atomically.
    mined
        The pairs without a threshold, and the report of the run with its threshold.
    encoder
        The model that links words; None if vectors were given.
    config
        The settings of the run.
    """
    report = mined.report
    document = page_document(
        mined.pairs.score,
        report.threshold,
        mined.at,
        encoder,
        score=report.margin,
        facts=_facts(mined, config),
        left_out=[_lines(mined), _candidates(mined)],
        calibration=report.calibration and report.calibration.to_dict(),
        settings=[each for each in changed_settings(config) if each[0] != "html"],
    )
    return write_text(place, mining_page(document))


def _facts(mined: MinedPairs, config: MiningConfig) -> list[str]:
    report = mined.report
    names = [report.source["name"], report.target["name"]]
    facts = [
        f"{names[0]} with {counted(report.source['kept'], 'line')} and {names[1]} with {counted(report.target['kept'], 'line')},"
        f" {f'encoded by {report.model}' if report.model else 'as given vectors'}"
        f"{', centered' if report.centered else ''}."
    ]
    if report.recall is not None:
        facts.append(f"Search {report.search}: {report.recall:.1%} of the true neighbors were found.")
    if config.threshold == "default":
        facts.append(
            "The threshold is the default, which was near the best F1 for one encoder on one collection: read the pairs"
            " around it before using it."
            if report.centered
            else "The threshold is the default, which is unreliable without centering: read the pairs around it."
        )
    return facts


def _lines(mined: MinedPairs) -> tuple[str, tuple[str, ...], list[tuple[str, ...]]]:
    sides: list[dict[str, Any]] = [mined.report.source, mined.report.target]
    reasons = list(dict.fromkeys(reason for side in sides for reason in side["dropped"]))
    rows = [
        (
            str(side["name"]),
            f"{side['read']:,}",
            *(f"{side['dropped'].get(reason, 0):,}" for reason in reasons),
            f"{side['kept']:,}",
        )
        for side in sides
    ]
    return "Lines left out", ("side", "read", *(reason.replace("_", " ") for reason in reasons), "used"), rows


def _candidates(mined: MinedPairs) -> tuple[str, tuple[str, ...], list[tuple[str, ...]]]:
    report = mined.report
    rows: list[tuple[str, ...]] = [
        (f"candidates: the {report.k} nearest lines of each line", f"{report.candidates:,}"),
        ("each line in at most one pair, after the filters", f"{len(mined.pairs):,}"),
        (
            "at or above the threshold" if report.threshold is not None else "kept, without a threshold",
            f"{report.pairs:,}",
        ),
    ]
    return "From candidates to pairs", ("step", "pairs"), rows
