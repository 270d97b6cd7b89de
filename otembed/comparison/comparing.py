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
from otembed.tasks.base import TaskOptions
from otembed.tasks.registry import TASKS

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
    tagging_train: str | Path | None = None,
    cache: str | Path | None = None,
    command: str = "",
) -> Comparison:
    r"""Compare each model with the first by paired statistics.

    For every task, the examples are resampled with replacement, the same ones for all models, and the figures are
    recomputed (:func:`otembed.comparison.resampled_figures`). The interval of a difference is the middle
    ``confidence`` of its resamples. A model is better or worse if the interval excludes 0 and at least 6 examples
    have different scores; otherwise there is no clear difference. Means over tasks resample each task separately.

    Parameters
    ----------
    *models
        At least two of: a model (as for :func:`otembed.load_model`), a run folder, or a result file with outcomes.
        ``NAME=PLACE`` names it, and ``NAME=FILE,FILE`` joins result files of one model.
    suites
        Task to the data that models are evaluated on, including the models of run folders; see the classes in
        :data:`otembed.tasks.registry.TASKS`. ``retrieval`` maps a language pair to its source and target
        sentences, ``mining`` to source, target and known pairs, ``alignment`` maps a name to a gold set
        (:func:`otembed.tasks.word_alignment.read_gold_set`), ``documents`` a name to
        :class:`otembed.tasks.documents.GoldDocuments`, ``xnli`` a language to test pairs (by a probe),
        ``xquad`` a language to questions (retrieval), ``tagging`` a language to test sentences (by a probe). Without
        suites, a run folder provides its figures after training.
    only
        Compare only these suites.
    resamples, confidence, seed
        Settings of the bootstrap.
    correction
        ``"holm"`` keeps the probability of any false verdict among the tasks of a suite and metric below
        1 - ``confidence``.
    centered
        Score retrieval a second time with centered embeddings, as separate tasks.
    batch_size, device
        Settings of the encoder.
    sentences
        Number of example sentences with word alignment for the page, if models are evaluated on texts; 0 for none.
    nli
        English training pairs of the ``xnli`` probe, as for :func:`otembed.tasks.xnli.evaluate_xnli`.
    tagging_train
        English training sentences of the ``tagging`` probe, as for :func:`otembed.tasks.tagging.evaluate_tagging`.
    cache
        Folder of embeddings, shared with mining; an interrupted comparison resumes from it. With None, only mining
        caches embeddings, in the user's folder.
    command
        The command line to store with the result.

    Returns
    -------
    Comparison
        Differences are a model minus the first model; figures are shares of 1.

    Raises
    ------
    ConfigError
        Fewer than two models, a setting out of range, a model without suites, suites without a model.
    DataError
        A file is not a result with outcomes, or no task can be paired.

    Examples
    --------
    ::

        found = otembed.compare("runs/a", "runs/b")
        print(*found.headlines, *found.summary, sep="\n")
    """
    _check(models, resamples, confidence, correction, sentences)
    material = {name: dict(tasks) for name, tasks in (suites or {}).items() if not only or name in only}
    for name, tasks in material.items():
        if name not in TASKS:
            raise ConfigError(f"suite {name!r} is unknown", did_you_mean(name, TASKS))
        if not tasks:
            raise ConfigError(f"suite {name} has no task", "Pass at least one.")
    sources = [open_source(str(each), evaluated=bool(material)) for each in models]
    for source in sources:
        if source.model is not None and not material:
            raise ConfigError(
                f"{source.name} is a model, but there is no data to evaluate it on",
                "Add data such as --pairs en-sw=FILE, or pass result files.",
            )
    if material and all(source.model is None for source in sources):
        raise ConfigError(
            "nothing to evaluate: all arguments are result files",
            "Remove --pairs and the other data options (suites).",
        )
    if material:
        from otembed.models.load import check_place

        for source in sources:
            if source.model is not None:
                check_place(source.model)
    options = TaskOptions(batch_size=batch_size, centered=centered, nli=nli, tagging=tagging_train, cache=cache)
    for name, tasks in material.items():
        loaded, options = TASKS[name].load(tasks, options)
        material[name] = dict(loaded)
    views = Views({}, ())
    if material:
        views = _evaluate(sources, material, options, device=device, sentences=sentences)
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
    """Additional views of models: shapes of the embedding space by index of the model, and word maps."""

    shapes: Mapping[int, tuple[Shape, ...]]
    word_maps: tuple[WordMap, ...]


def _evaluate(
    sources: Sequence[Source],
    material: Mapping[str, Mapping[str, Any]],
    options: TaskOptions,
    *,
    device: str | None,
    sentences: int,
) -> Views:
    """Evaluate every model, with one in memory at a time."""
    # Comparing result files needs no torch, so it is imported here.
    from otembed.comparison.views import space_shapes, word_maps
    from otembed.models import load_model

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
            for report in TASKS[name].evaluate(encoder, tasks, options):
                _join(source, report.outcomes)
                source.notes += stand_in_notes(report.to_dict())
        parallel = _parallel(material, "sentences")
        if parallel:
            shapes[place] = space_shapes(encoder, parallel, batch_size=options.batch_size)
        maps += word_maps(encoder, texts, place, chosen, count=each, batch_size=options.batch_size)
        del encoder
    return Views(shapes, tuple(maps))


def _check(
    models: tuple[str | Path, ...], resamples: int, confidence: float, correction: str, sentences: int
) -> None:
    if len(models) < 2:
        raise ConfigError(
            f"expected at least 2 models, got {len(models)}", "Pass two or more; the first is the baseline."
        )
    if resamples < LEAST_RESAMPLES:
        raise ConfigError(f"resamples is {resamples}", f"Use an integer of at least {LEAST_RESAMPLES}.")
    if not 0.5 <= confidence < 1:
        raise ConfigError(f"confidence is {confidence}", "Use a number from 0.5 to below 1, such as 0.95.")
    if correction not in CORRECTIONS:
        raise ConfigError(f"correction {correction!r} is unknown", did_you_mean(correction, CORRECTIONS))
    if sentences < 0:
        raise ConfigError(f"sentences is {sentences}", "Use an integer of at least 0.")


def _join(source: Source, outcomes: tuple[Outcomes, ...]) -> None:
    known = {each.key for each in source.outcomes}
    twice = [each for each in outcomes if each.key in known]
    if twice:
        raise DataError(
            f"{source.name}: {' '.join(twice[0].key)} is both in a result file and evaluated",
            "Remove one of them.",
        )
    source.outcomes += outcomes


def _kept(source: Source, only: Collection[str]) -> list[Outcomes]:
    kept = [each for each in source.outcomes if not only or each.suite in only]
    if not kept:
        there = sorted({each.suite for each in source.outcomes})
        raise DataError(
            f"{source.name} has no outcomes of {', '.join(sorted(only)) or 'any suite'}",
            f"Available: {', '.join(there) or 'no outcomes'}.",
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
    """Return up to three parallel texts, those with known words first."""
    texts = {**_parallel(material, "sentences"), **_parallel(material, "words")}
    order = dict.fromkeys([*_parallel(material, "words"), *texts])
    return {name: (list(texts[name][0]), list(texts[name][1])) for name in list(order)[:3]}


def _parallel(material: Mapping[str, Mapping[str, Any]], kind: str) -> dict[str, Any]:
    """Return the data of all tasks with parallel rows of words or sentences."""
    return {
        name: sides
        for task, data in material.items()
        if TASKS[task].parallel == kind
        for name, sides in data.items()
    }
