"""Compare models on the same examples."""

from __future__ import annotations

import logging
import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from otembed.comparison.decide import decide, pair_up
from otembed.comparison.report import ComparedModel, Comparison
from otembed.comparison.sources import Source, open_source, stand_in_notes
from otembed.comparison.summary import headline, summary_sentences
from otembed.errors import ConfigError, DataError, did_you_mean
from otembed.runtime.packages import versions

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from otembed.comparison.report import Shape, WordMap
    from otembed.results.outcomes import Outcomes

logger = logging.getLogger(__name__)

LEAST_RESAMPLES = 100
CORRECTIONS = ("none", "holm")


def compare(
    *models: str | Path,
    suites: Mapping[str, Mapping[str, Any]] | None = None,
    only: Collection[str] = (),
    resamples: int = 10_000,
    confidence: float = 0.95,
    correction: Literal["none", "holm"] = "none",
    seed: int = 0,
    centered: bool = False,
    batch_size: int = 32,
    device: str | None = None,
    sentences: int = 3,
    nli: str | Path = "mnli",
    cache: str | Path | None = None,
    command: str = "",
) -> Comparison:
    r"""Say which model is better, by paired statistics: each model against the first.

    For every task the examples are resampled with replacement, the same ones for all models, and the figures are
    computed anew (:func:`otembed.comparison.resampled_figures`); the interval of the difference holds the middle
    ``confidence`` of its resamples. A model is better or worse where the interval leaves out 0 and at least 6
    examples count differently, else there is no clear difference. Means over tasks resample each task by itself.

    Parameters
    ----------
    *models
        Two or more of: a model (what :func:`otembed.load_model` takes), a run folder, or a result file that holds
        outcomes; ``NAME=PLACE`` gives it a name, and ``NAME=FILE,FILE`` joins result files of one model.
    suites
        What models, and models of run folders, are evaluated on: ``retrieval`` maps a language pair to its source
        and target sentences, ``mining`` to source, target and known pairs, ``alignment`` maps a name to a gold set
        (:func:`otembed.evaluation.read_gold_set`), ``xnli`` a language to test pairs (by a probe), ``xquad`` a
        language to questions (retrieval). Without it a run folder stands for the figures after training.
    only
        Compare just these suites.
    resamples, confidence, seed
        Of the bootstrap.
    correction
        ``"holm"`` holds the share of comparisons with any false verdict among the tasks of a suite and metric
        below 1 - ``confidence``.
    centered
        Score retrieval a second time with centered vectors, as tasks of their own.
    batch_size, device
        For encoding.
    sentences
        Sentences whose word alignment is kept for the page, where models are evaluated on texts; 0 for none.
    nli
        English training pairs of the ``xnli`` probe, as for :func:`otembed.tasks.xnli.evaluate_xnli`.
    cache
        Folder where sentence vectors are kept and found again, so that a comparison that was cut goes on where it
        was; as those of mining are. ``None``: only mining keeps them, in the user's folder.
    command
        Kept with the result.

    Returns
    -------
    Comparison
        Differences are those of a model less the first one; figures are shares of 1.

    Raises
    ------
    ConfigError
        Fewer than two models, a setting out of range, a model without suites, suites without a model.
    DataError
        A file is no result with outcomes, or no task can be paired.

    Examples
    --------
    ::

        found = otembed.compare("runs/a", "runs/b")
        print(*found.headlines, *found.summary, sep="\n")
    """
    _check(models, resamples, confidence, correction, sentences)
    material = {name: dict(tasks) for name, tasks in (suites or {}).items() if not only or name in only}
    empty = [name for name, tasks in material.items() if not tasks]
    if empty:
        raise ConfigError(f"suite {empty[0]} has no task", "Give one at least.")
    sources = [open_source(str(each), evaluated=bool(material)) for each in models]
    for source in sources:
        if source.model is not None and not material:
            raise ConfigError(
                f"{source.name}: a model, but nothing to evaluate it on",
                "Say on what, such as --pairs en-sw=FILE, or give finished result files.",
            )
    if material and all(source.model is None for source in sources):
        raise ConfigError("there is no model to evaluate: only result files are given", "Leave the suites out.")
    views = (
        _evaluate(
            sources,
            material,
            batch_size=batch_size,
            centered=centered,
            device=device,
            sentences=sentences,
            nli=nli,
            cache=cache,
        )
        if material
        else Views({}, ())
    )
    paired, left = pair_up([_kept(source, only) for source in sources])
    tasks_found, means = decide(
        paired, resamples=resamples, confidence=confidence, correction=correction, seed=seed
    )
    found = Comparison(
        models=tuple(_described(source, views.shapes.get(place, ())) for place, source in enumerate(sources)),
        headlines=(),
        summary=(),
        means=tuple(means),
        tasks=tuple(tasks_found),
        not_compared=tuple(left),
        confidence=confidence,
        resamples=resamples,
        seed=seed,
        correction=correction,
        word_maps=views.word_maps,
        command=command,
        versions={"python": platform.python_version(), **versions()},
    )
    headlines = tuple(headline(found, index) for index in range(len(sources) - 1))
    return replace(found, headlines=headlines, summary=summary_sentences(found))


@dataclass(frozen=True)
class Views:
    """What models showed beside their figures: place among the models to the shapes of its space; word maps."""

    shapes: Mapping[int, tuple[Shape, ...]]
    word_maps: tuple[WordMap, ...]


def _evaluate(
    sources: Sequence[Source],
    material: Mapping[str, Mapping[str, Any]],
    *,
    batch_size: int,
    centered: bool,
    device: str | None,
    sentences: int,
    nli: str | Path,
    cache: str | Path | None,
) -> Views:
    """Evaluate every model, one in memory at a time."""
    # Result files are compared without torch, so it is loaded here.
    from otembed.comparison.suites import SUITES
    from otembed.comparison.views import space_shapes, word_maps
    from otembed.models import load_model

    unknown = [name for name in material if name not in SUITES]
    if unknown:
        raise ConfigError(f"no suite {unknown[0]!r} to evaluate", did_you_mean(unknown[0], SUITES))
    settings = {"batch_size": batch_size, "centered": centered, "nli": nli, "cache": cache}
    shapes: dict[int, tuple[Shape, ...]] = {}
    maps: list[WordMap] = []
    chosen: dict[str, list[int]] = {}
    texts = _texts(material) if sentences else {}
    each = -(-sentences // max(len(texts), 1))
    for place, source in enumerate(sources):
        if source.model is None:
            continue
        encoder = load_model(source.model, device=device)
        for name, tasks in material.items():
            logger.info("evaluating %s: %s", source.name, name)
            for report in SUITES[name](encoder, tasks, settings):
                _join(source, report.outcomes)
                source.notes += stand_in_notes(report.to_dict())
        if "retrieval" in material:
            shapes[place] = space_shapes(encoder, material["retrieval"], batch_size=batch_size)
        maps += word_maps(encoder, texts, place, chosen, count=each, batch_size=batch_size)
        del encoder
    return Views(shapes, tuple(maps))


def _check(
    models: tuple[str | Path, ...], resamples: int, confidence: float, correction: str, sentences: int
) -> None:
    if len(models) < 2:
        raise ConfigError(f"{len(models)} models to compare", "Give two at least; the first is the baseline.")
    if resamples < LEAST_RESAMPLES:
        raise ConfigError(f"resamples is {resamples}", f"Give a whole number from {LEAST_RESAMPLES}.")
    if not 0.5 <= confidence < 1:
        raise ConfigError(f"confidence is {confidence}", "Give a share from 0.5 to below 1, such as 0.95.")
    if correction not in CORRECTIONS:
        raise ConfigError(f"correction {correction!r} is unknown", did_you_mean(correction, CORRECTIONS))
    if sentences < 0:
        raise ConfigError(f"sentences is {sentences}", "Give a whole number from 0.")


def _join(source: Source, outcomes: tuple[Outcomes, ...]) -> None:
    known = {each.key for each in source.outcomes}
    twice = [each for each in outcomes if each.key in known]
    if twice:
        raise DataError(
            f"{source.name}: {' '.join(twice[0].key)} is in a result file and evaluated as well", "Leave one out."
        )
    source.outcomes += outcomes


def _kept(source: Source, only: Collection[str]) -> list[Outcomes]:
    kept = [each for each in source.outcomes if not only or each.suite in only]
    if not kept:
        there = sorted({each.suite for each in source.outcomes})
        raise DataError(
            f"{source.name} has nothing of {', '.join(sorted(only)) or 'any suite'}",
            f"It has: {', '.join(there) or 'no outcomes'}.",
        )
    return kept


def _described(source: Source, shapes: tuple[Shape, ...]) -> ComparedModel:
    return ComparedModel(
        source.name,
        source.places,
        source.origin,
        tuple(dict.fromkeys(source.notes)),
        tuple(source.commands),
        shapes,
        tuple(source.curve),
    )


def _texts(material: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[list[Any], list[Any]]]:
    """Up to three tasks with sentences: gold sets of word alignment first, as their words are known."""
    tasks: dict[str, tuple[list[Any], list[Any]]] = {}
    for name in ("alignment", "retrieval"):
        for task, sides in material.get(name, {}).items():
            tasks.setdefault(task, (list(sides[0]), list(sides[1])))
    return dict(list(tasks.items())[:3])
