"""The estimate of precision, recall and F1 against counts by hand, and against the truth of drawn collections."""

import numpy as np
import pytest

from otembed.errors import ConfigError, DataError, NumericsError
from otembed.mining.calibration.calibrate import FEWEST_PAIRS, Calibration, calibrate, separation
from otembed.mining.calibration.mixture import Planted

NONE = -np.inf


def drawn(draw, planted, translations, sources, targets, noise=0.1):
    """Scores of a collection, whether each pair is right, and planted pairs, all drawn from the same distributions.

    A tenth of the translations are paired wrongly, and two thirds of the orphans of the smaller side.
    """

    def right(count):
        scores = 0.3 + noise * draw.standard_normal(count)
        return np.where(draw.random(count) < 0.9, scores, NONE)

    def wrong(count, share=2 / 3):
        return np.where(draw.random(count) < share, 0.06 * draw.standard_normal(count), NONE)

    hits = right(translations)
    lost = int((hits == NONE).sum())
    least = min(sources, targets) - translations
    misses = np.concatenate([wrong(lost), wrong(least)])
    scores = np.concatenate([hits, misses])
    found = np.isfinite(scores)
    pair = right(planted)
    wrongly = [np.where(pair == NONE, wrong(planted), NONE) for _ in range(2)]
    orphans = [wrong(planted, 2 / 3 * least / (side - translations)) for side in (sources, targets)]
    return scores[found], (np.arange(len(scores)) < translations)[found], Planted(pair, *wrongly, *orphans)


def test_counts_match_a_hand_count():
    """60 planted pairs at .21 to .80, 60 orphans at .01 to .60; 4 of each pair and 2 of each orphan are in the run."""
    steps = np.arange(60) / 100
    pair, orphan, none = 0.21 + steps, 0.01 + steps, np.full(60, NONE)
    found = calibrate(
        np.repeat([*pair, *orphan], [4] * 60 + [2] * 60), Planted(pair, none, none, orphan, orphan), 360, 360
    )
    assert found.translations == pytest.approx(240)
    assert found.misfit == pytest.approx(0, abs=1e-9)
    assert found.separation == pytest.approx(20 / 60)
    # At t = .21 + i / 100: 60 - i pairs and 40 - i orphans are left; the share counts half of the pair at t itself.
    shares = {i: (60 - i - 0.5) / 60 if i >= 0 else 1.0 for i in range(-20, 60)}
    counts = {i: 4 * min(60 - i, 60) + 2 * max(40 - i, 0) for i in range(-20, 60)}
    f1 = {i: 2 * 240 * shares[i] / (240 + counts[i]) for i in shares}
    best = max(f1, key=f1.get)
    assert found.threshold == pytest.approx(0.21 + best / 100, abs=1e-5)
    assert (found.found, found.planted) == (counts[best], 60)
    assert found.f1 == pytest.approx(f1[best], abs=1e-4)
    assert found.recall == pytest.approx(shares[best], abs=1e-4)
    assert found.precision == pytest.approx(240 * shares[best] / counts[best], abs=1e-4)


@pytest.mark.parametrize("goal", [0.7, 0.8, 0.95])
def test_lowest_threshold_of_a_precision(goal):
    scores, right, planted = drawn(np.random.default_rng(1), 1000, 800, 2000, 2000)
    found = calibrate(scores, planted, 2000, 2000, min_precision=goal)
    truth = {t: right[scores >= t].mean() for t in np.unique(np.floor(scores * 1e5) / 1e5)}
    assert found.precision >= goal
    assert right[scores >= found.threshold].mean() == pytest.approx(found.precision, abs=0.03)
    assert found.threshold == pytest.approx(min(t for t, share in truth.items() if share >= goal), abs=0.03)
    assert found.found == (scores >= found.threshold).sum()


@pytest.mark.parametrize(
    ("planted", "translations", "sources", "targets"),
    [
        (100, 800, 2000, 2000),
        (400, 300, 2000, 2000),
        (200, 1900, 2000, 2000),
        (200, 500, 800, 4000),
        (200, 100, 250, 200),
    ],
)
def test_expected_figures_and_standard_errors_over_many_draws(planted, translations, sources, targets):
    draw = np.random.default_rng(0)
    errors, lost = [], []
    for _ in range(60):
        scores, right, pairs = drawn(draw, planted, translations, sources, targets)
        found = calibrate(scores, pairs, sources, targets)
        kept = right[scores >= found.threshold]
        precision, recall = kept.mean(), kept.sum() / translations
        f1 = 2 * kept.sum() / (translations + len(kept))
        errors.append(
            [
                (found.translations - translations) / found.translations_error,
                (found.precision - precision) / found.precision_error,
                (found.recall - recall) / found.recall_error,
                (found.f1 - f1) / found.f1_error,
            ]
        )
        order = np.argsort(-scores)
        best = (2 * np.cumsum(right[order]) / (translations + np.arange(1, len(order) + 1))).max()
        lost.append(best - f1)
        assert found.misfit < 0.2
    errors = np.array(errors)
    assert (np.sqrt((errors**2).mean(axis=0)) < 1.5).all(), errors
    assert (np.sqrt((errors**2).mean(axis=0)) > 0.4).all(), errors
    assert np.mean(lost) < 0.01
    assert max(lost) < 0.04


def test_result_round_trips_and_ignores_order():
    scores, _, planted = drawn(np.random.default_rng(2), 200, 800, 2000, 2000)
    found = calibrate(scores, planted, 2000, 2000, left_out={"repeated": 2})
    assert Calibration.from_json(found.to_json()) == found
    shuffled = np.random.default_rng(3).permutation(scores)
    assert calibrate(shuffled, planted, 2000, 2000, left_out={"repeated": 2}) == found


def test_invalid_calibration_input_is_rejected():
    draw = np.random.default_rng(4)
    scores, right, planted = drawn(draw, 200, 800, 2000, 2000)
    few = Planted(**{name: values[: FEWEST_PAIRS - 1] for name, values in vars(planted).items()})
    with pytest.raises(DataError, match=r"49 .* 50"):
        calibrate(scores, few, 2000, 2000)
    swapped = Planted(planted.source_orphan, *[planted.source_wrong] * 2, planted.pair, planted.pair)
    with pytest.raises(DataError, match=r"200 pairs, at most 0 "):
        calibrate(scores, swapped, 2000, 2000)
    with pytest.raises(DataError, match=r"translations is \d+ "):
        calibrate(scores[~right], planted, 1200, 1200)
    with pytest.raises(DataError, match=r"misfit is 0\.\d+"):
        calibrate(scores + 0.2, planted, 2000, 2000)
    near, none = 0.2 + 0.05 * draw.standard_normal((2, 1000)), np.full(200, NONE)
    far = 0.2 * draw.standard_normal((2, 1000))
    mixed = Planted(near[0, :200], none, none, far[0, :200], far[0, 200:400])
    with pytest.raises(DataError, match=r"0\.99; .* 0\.\d+ at .*\n.*min_precision"):
        calibrate(np.concatenate([near[1], far[1]]), mixed, 2000, 2000, min_precision=0.99)
    for value in (0, 1.5, float("nan")):
        with pytest.raises(ConfigError, match="min_precision is"):
            calibrate(scores, planted, 2000, 2000, min_precision=value)
    with pytest.raises(NumericsError, match="scores: 1 of 3 are NaN"):
        calibrate(np.array([0.1, np.nan, 0.3]), planted, 2000, 2000)
    broken = Planted(planted.pair, planted.pair, planted.pair, planted.pair, planted.pair * np.nan)
    with pytest.raises(NumericsError, match=r"target_orphan: \d+ of 200 are NaN"):
        calibrate(scores, broken, 2000, 2000)
    with pytest.raises(DataError, match="max_length_ratio"):
        calibrate(scores[:0], planted, 2000, 2000)


def test_no_planted_pair_found():
    none = np.full(60, NONE)
    assert separation(Planted(none, none, none, none, none)) == 0
