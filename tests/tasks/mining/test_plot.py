"""The curves of mined pairs, point by point against a count by hand and scikit-learn."""

from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve

from otembed.errors import ConfigError
from otembed.tasks.mining import plot
from otembed.tasks.mining.evaluate import mining_scores
from otembed.tasks.mining.plot import plot_mining

pytest.importorskip("matplotlib", reason="drawing needs otembed[plots]")


def scored(pairs=90, gold=60, **options):
    draw = np.random.default_rng(0)
    right = draw.random(pairs) < 0.5
    scores = np.where(right, draw.normal(0.2, 0.1, pairs), draw.normal(0.0, 0.1, pairs))
    return mining_scores(scores, right, gold, **options), scores, right


@pytest.fixture
def lines(monkeypatch, tmp_path):
    """Draw, and return the drawn lines of both sides by their labels."""
    figures = []
    monkeypatch.setattr(plot, "save_plot", lambda figure, path: figures.append(figure))

    def lines(scores):
        plot_mining(scores, tmp_path / "x.png")
        return [{each.get_label(): each.get_xydata() for each in axes.lines} for axes in figures[-1].axes]

    return lines


def value_at(drawn, x):
    """Read a step line whose value holds from each point down to the next."""
    return float(drawn[drawn[:, 0] >= x][-1, 1])


def test_curves_match_counts_at_any_threshold(lines):
    scores, values, right = scored(threshold=0.07)
    left, curves = lines(scores)
    for threshold in np.linspace(values.min() - 0.001, values.max() - 0.001, 23):
        kept = values >= threshold
        precision, recall = right[kept].mean(), right[kept].sum() / 60
        assert value_at(curves["precision"], threshold) == pytest.approx(precision)
        assert value_at(curves["recall"], threshold) == pytest.approx(recall)
        assert value_at(curves["F1"], threshold) == pytest.approx(2 * precision * recall / (precision + recall))
    assert curves["threshold in use"][0, 0] == 0.07
    assert curves["threshold of best F1"][0, 0] == scores.best_threshold
    assert left["in use: 0.0700"][0].tolist() == [scores.recall, scores.precision]
    best = left[f"of best F1: {scores.best_threshold:.4f}"][0]
    assert 2 * best.prod() / best.sum() == pytest.approx(scores.best_f1)
    (curve,) = (drawn for drawn in left.values() if len(drawn) > 1)
    precision, recall, _ = precision_recall_curve(right, values)
    np.testing.assert_allclose(curve[1:, 0], (recall * right.sum() / 60)[:-1][::-1])
    np.testing.assert_allclose(curve[1:, 1], precision[:-1][::-1])


def test_best_point_is_drawn_when_points_are_thinned(lines):
    scores, _, _ = scored(5000, 3000)
    assert len(scores.curve) <= 200
    assert lines(scores)[1]["F1"][:, 1].max() == pytest.approx(scores.best_f1, abs=1e-12)
    assert "in use: every pair" in lines(scores)[0]


@pytest.mark.parametrize("threshold", [-3.0, 9.0])
def test_threshold_beyond_all_scores_is_drawn(lines, threshold):
    assert lines(scored(threshold=threshold)[0])[1]["threshold in use"][0, 0] == threshold


def test_plots_are_reproducible_and_labeled(tmp_path):
    scores, _, _ = scored(threshold=0.07, name="x$1.tsv")
    for name in ("a.svg", "b.svg", "c.png"):
        plot_mining(scores, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    words = {(each.text or "").strip() for each in ElementTree.parse(tmp_path / "a.svg").iter()}
    assert {"x$1.tsv", "recall", "precision", "threshold", "F1", "in use: 0.0700"} <= words
    assert (tmp_path / "c.png").read_bytes()[:4] == b"\x89PNG"


def test_invalid_plots_are_rejected(tmp_path):
    scores, _, _ = scored()
    with pytest.raises(ConfigError, match=r"x\.pdf.*\n.*\.svg"):
        plot_mining(scores, tmp_path / "x.pdf")
    with pytest.raises(ConfigError, match="--min-cosine"):
        plot_mining(replace(scores, curve=()), tmp_path / "x.png")
    assert not list(tmp_path.iterdir())
