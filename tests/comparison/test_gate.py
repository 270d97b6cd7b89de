"""What --fail-under decides."""

import pytest

from otembed.comparison import compare
from otembed.comparison.gate import failures
from otembed.comparison.summary import headline
from otembed.errors import ConfigError, DataError


def test_gain_is_compared_with_the_threshold(results):
    found = compare(results["base"], results["good"], results["like"], resamples=200)
    (mean,) = found.means
    gain = 100 * mean.differences[0].value
    assert gain > 10
    assert failures(found, -5) == []
    assert [line.split(" gains")[0] for line in failures(found, 5)] == [results["like"]]
    assert len(failures(found, gain + 0.01)) == 2
    assert failures(compare(results["base"], results["good"], resamples=200), gain) == []


def test_lower_error_rate_is_a_gain(tmp_path, planted, write_result):
    places = [
        write_result(tmp_path / f"{share}.json", planted("x", share, suite="alignment", metric="aer", higher=False))
        for share in (0.4, 0.3)
    ]
    assert failures(compare(*places, resamples=200), 5) == []
    (line,) = failures(compare(*places[::-1], resamples=200), -5)
    assert "alignment x aer, less than -5" in line


def test_named_metric_decides(tmp_path, planted, write_result):
    both = [
        (planted("x", a, metric="f1", suite="mining"), planted("x", b, metric="best_f1", suite="mining"))
        for a, b in ((0.5, 0.5), (0.7, 0.3))
    ]
    places = [write_result(tmp_path / f"{row}.json", *each) for row, each in enumerate(both)]
    found = compare(*places, resamples=200)
    assert failures(found, 0) == []
    assert len(failures(found, 0, metric="mining.best_f1")) == 1
    with pytest.raises(ConfigError, match=r"--fail-metric 'mining\.f2'"):
        failures(found, 0, metric="mining.f2")
    with pytest.raises(ConfigError, match="--fail-under"):
        failures(found, float("nan"))


def test_different_examples_are_rejected_and_missing_tasks_skipped(tmp_path, planted, write_result):
    base = write_result(tmp_path / "a.json", planted("x"), planted("y"), planted("z"))
    torn = write_result(tmp_path / "b.json", planted("x"), planted("y", size=50))
    with pytest.raises(DataError, match="xnli y accuracy of "):
        failures(compare(base, torn, resamples=200), 0)
    part = write_result(tmp_path / "c.json", planted("x"), planted("y"))
    less = write_result(tmp_path / "d.json", planted("z"))
    three = compare(base, part, less, resamples=200)
    # No mean has all three; every task that a model has decides.
    assert failures(three, 0) == []


def test_a_whole_suite_that_a_model_lacks_is_no_success(tmp_path, planted, write_result):
    both = planted("x"), planted("y", suite="mining", metric="f1")
    base = write_result(tmp_path / "a.json", *both)
    part = write_result(tmp_path / "b.json", both[0])
    with pytest.raises(DataError, match=f"{part} has no results of mining, which {base} has"):
        failures(compare(base, part, resamples=200), 0)
    assert failures(compare(part, base, resamples=200), 0) == []
    assert failures(compare(base, part, resamples=200), 0, metric="xnli.accuracy") == []


def test_every_protocol_of_a_suite_decides(tmp_path, planted, write_result):
    """Retrieval with questions gets worse, spans stay."""
    places = [
        write_result(
            tmp_path / f"{row}.json",
            *(planted(f"paragraph/{code}-en", share, metric="accuracy", suite="xquad") for code in ("ar", "de")),
            *(planted(f"span/{code}", 0.5, metric="f1", suite="xquad") for code in ("ar", "de")),
        )
        for row, share in enumerate((0.9, 0.4))
    ]
    found = compare(*places, resamples=200)
    assert [(each.task, each.metric) for each in found.decisive] == [("mean", "accuracy"), ("mean", "f1")]
    (failure,) = failures(found, 0)
    assert "xquad mean accuracy" in failure
    assert headline(found, 0).count("xquad (") == 2


def test_a_third_model_without_a_task_hides_no_loss_of_the_second(tmp_path, planted, write_result):
    base = write_result(tmp_path / "a.json", planted("x", 0.5), planted("y", 0.5), planted("z", 0.9))
    worse = write_result(tmp_path / "b.json", planted("x", 0.5), planted("y", 0.5), planted("z", 0.2))
    less = write_result(tmp_path / "c.json", planted("x", 0.5), planted("y", 0.5))
    assert len(failures(compare(base, worse, resamples=200), 0)) == 1
    found = compare(base, worse, less, resamples=200)
    assert [each.task for each in found.decisive] == ["mean", "z"]
    (failure,) = failures(found, 0)
    assert " z accuracy" in failure
    assert failures(found, 0, metric="xnli.accuracy") == [failure]
