"""Verdicts on planted differences, means, corrections, what is not paired."""

from dataclasses import replace

import numpy as np
import pytest

from otembed.comparison.decide import NO_BASELINE, NOT_HERE, OTHER_EXAMPLES, decide, pair_up
from otembed.errors import DataError
from otembed.results.outcomes import Outcomes

SETTINGS = {"resamples": 2000, "confidence": 0.95, "correction": "none", "seed": 0}


def decided(*models, **changes):
    paired, left = pair_up(models)
    return *decide(paired, **{**SETTINGS, **changes}), left


def outcomes(values, task="sw", suite="xnli", metric="accuracy", **more):
    return Outcomes(suite, task, metric, "d", tuple(values), **more)


def flips(gained, lost, size=200):
    """Two models that differ on ``gained`` examples in favor of the second, on ``lost`` of the first."""
    first = [1] * lost + [0] * gained + [1] * (size - gained - lost)
    second = [0] * lost + [1] * gained + [1] * (size - gained - lost)
    return first, second


@pytest.mark.parametrize(
    ("gained", "lost", "higher", "verdict"),
    [
        (30, 5, True, "better"),
        (5, 30, True, "worse"),
        (30, 5, False, "worse"),
        (5, 30, False, "better"),
        (12, 10, True, "no clear difference"),
        (0, 0, True, "no clear difference"),
        (5, 0, True, "no clear difference"),  # five of five: the sign test gives 0.0625
        (6, 0, True, "better"),  # the least number of differing examples
        (0, 6, False, "better"),
        (200, 0, True, "better"),  # every resample is equal: the interval is a point
    ],
)
def test_verdict(gained, lost, higher, verdict):
    first, second = (outcomes(each, higher_is_better=higher) for each in flips(gained, lost))
    ((task,), means, left) = decided([first], [second])
    (difference,) = task.differences
    assert difference.verdict == verdict
    assert difference.value == pytest.approx((gained - lost) / 200)
    assert difference.low <= difference.value <= difference.high
    assert difference.differing == gained + lost
    assert [each.value for each in task.figures] == [first.value, second.value]
    assert (means, left, task.primary, task.examples) == ([], [], True, 200)


def test_mean_over_tasks_has_the_interval_of_independent_tasks():
    draw = np.random.default_rng(0)
    models = [
        [outcomes(draw.integers(0, 2, size), task) for task, size in (("sw", 400), ("ar", 100))] for _ in "ab"
    ]
    tasks, (mean,), _ = decided(*models, resamples=20_000)
    assert (mean.tasks, mean.examples, mean.task) == (2, 500, "mean")
    (difference,) = mean.differences
    assert difference.value == pytest.approx(np.mean([each.differences[0].value for each in tasks]))
    widths = [each.differences[0].high - each.differences[0].low for each in tasks]
    assert difference.high - difference.low == pytest.approx(np.hypot(*widths) / 2, rel=0.04)


def test_centered_tasks_have_their_own_mean():
    first = [outcomes((0, 1) * 20, task) for task in ("sw", "ar", "sw, centered", "ar, centered")]
    second = [replace(each, values=(1, 1) * 20) if "centered" in each.task else each for each in first]
    _, means, _ = decided(first, second)
    assert {each.task: each.differences[0].value for each in means} == {"mean": 0.0, "mean, centered": 0.5}


def test_primary_metric_is_the_one_of_the_task_or_the_first():
    def primary(*keys):
        models = [outcomes((0, 1), suite=suite, metric=metric) for suite, metric in keys]
        return [(each.suite, each.metric) for each in decided(models, models)[0] if each.primary]

    assert primary(("retrieval", "xsim"), ("retrieval", "accuracy")) == [("retrieval", "accuracy")]
    assert primary(("new", "x"), ("new", "y"), ("mining", "f1")) == [("new", "x"), ("mining", "f1")]


def test_unpaired_tasks_are_listed_and_excluded_from_means():
    values = (0, 1) * 20
    base = [outcomes(values, task) for task in ("sw", "ar", "de", "hi")]
    second = [outcomes(values, task) for task in ("sw", "ar", "de", "xx")]
    third = [outcomes(values, "sw"), replace(base[1], examples="other"), outcomes(values, "de")]
    tasks, (mean,), left = decided(base, second, third)
    assert [each.task for each in tasks] == ["sw", "ar", "de"]
    assert (mean.tasks, tasks[1].figures[2], tasks[1].differences[1]) == (2, None, None)
    assert {(each.task, each.model, each.reason) for each in left} == {
        ("ar", 2, OTHER_EXAMPLES),
        ("hi", 1, NOT_HERE),
        ("hi", 2, NOT_HERE),
        ("xx", 1, NO_BASELINE),
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [({"examples": "other"}, "xnli sw accuracy: "), ({"task": "x"}, "xnli sw accuracy: .*; xnli x accuracy: ")],
)
def test_no_common_task_is_rejected(change, message):
    with pytest.raises(DataError, match=message):
        pair_up([[outcomes((0, 1))], [replace(outcomes((0, 1)), **change)]])


def test_holm_removes_chance_differences_among_many_tasks():
    first, second = flips(12, 3, 150)
    names = [f"l{number}" for number in range(20)]
    models = [[outcomes(values, name) for name in names] for values in (first, second)]
    plain, corrected = (decided(*models, correction=name)[0] for name in ("none", "holm"))
    assert {each.differences[0].verdict for each in plain} == {"better"}
    assert {each.differences[0].verdict for each in corrected} == {"no clear difference"}
    smallest = min(each.differences[0].p for each in plain)
    assert min(each.differences[0].p_adjusted for each in corrected) == pytest.approx(20 * smallest)


def test_false_positive_rate_is_at_most_the_stated_level():
    """Of 400 pairs of equally good models at most the promised share, and the noise of counting it, gets a verdict."""
    draw = np.random.default_rng(7)
    told = 0
    for number in range(400):
        base = draw.random(200) < 0.7
        swapped = draw.random(200) < 0.3
        models = [outcomes(np.where(swapped, draw.random(200) < 0.7, base).astype(int), f"l{number}") for _ in "ab"]
        (task,), _, _ = decided(*([each] for each in models), resamples=500)
        told += task.differences[0].verdict != "no clear difference"
    assert 4 <= told <= 36  # expected 20, standard error 4.4
