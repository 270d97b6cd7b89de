"""Planted stretches: what is replaced and which links count as wrong, by hand; expected figures against counted ones."""

from __future__ import annotations

import numpy as np
import pytest

from otembed.config import DocumentsConfig
from otembed.documents import DocumentPair, align_collection, align_documents, align_work
from otembed.documents.align_work import add_mean_runs
from otembed.documents.aligned import DocumentsReport
from otembed.documents.link_threshold import calibrate_links
from otembed.documents.monotone import Step, align_monotone, prepare, unit
from otembed.documents.planting import plant
from otembed.documents.read import document_of
from otembed.errors import ConfigError, DataError


def program(sides):
    return align_monotone(sides, max_sentences=3, band=10)


def runs_of(rows):
    runs = np.zeros((2, *rows.shape), np.float32)
    runs[0] = unit(rows.astype(np.float32))
    add_mean_runs(runs)
    return runs


def sides_of(source, target):
    return prepare(runs_of(source), runs_of(target), deletion_quantile=0.05)


def one_to_one(count):
    return [Step((i, i + 1), (i, i + 1), 0.5) for i in range(count)]


def test_a_stretch_of_the_target_is_replaced_by_another_document():
    draw = np.random.default_rng(0)
    sides = [sides_of(*draw.normal(size=(2, 12, 16))) for _ in range(2)]
    seen = []

    def answer(changed):
        seen.append(changed)
        assert changed.shape == (12, 12)
        new = np.flatnonzero((changed.y[0] != sides[len(seen) - 1].y[0]).any(1))
        first, last = int(new[0]), int(new[-1]) + 1
        # Before the stretch, within it, half in it, across both ends, and without a link.
        return [
            Step((0, 1), (0, 1), 0.1),
            Step((first, first + 1), (first, first + 1), 0.2),
            Step((first + 1, first + 2), (last - 1, last + 1), 0.3),
            Step((first - 1, first + 1), (first - 1, first + 1), 0.4),
            Step((first, first + 1), (0, 0), 0.0),
        ]

    found = plant([(each, one_to_one(12)) for each in sides], answer)
    assert found == [(0.8, 0.7)] * 2
    for own, other, changed in zip(sides, sides[::-1], seen, strict=True):
        np.testing.assert_array_equal(changed.x, own.x)
        assert changed.deletion == own.deletion
        new = np.flatnonzero((changed.y[0] != own.y[0]).any(1))
        np.testing.assert_array_equal(new, np.arange(new[0], new[0] + 4))
        (start,) = np.flatnonzero((other.y[0] == changed.y[0, new[0]]).all(1))
        np.testing.assert_array_equal(changed.y[:1, new], other.y[:1, start : start + 4])
        # Runs of two that leave the stretch or enter it do not exist.
        broken = np.isnan(changed.y_far[1])
        assert set(np.flatnonzero(broken)) == {new[0] - 1, new[-1], 11} - {-1}


def test_long_documents_are_aligned_around_their_stretches():
    draw = np.random.default_rng(1)
    sides = [sides_of(*draw.normal(size=(2, 300, 16)))]
    seen = []

    def answer(changed):
        seen.append(changed)
        return []

    # With one document, a distant part replaces the stretch.
    assert plant([(sides[0], one_to_one(300))], answer) == [()] * len(seen)
    assert len(seen) in (9, 10)
    assert {side for each in seen for side in each.shape} <= set(range(26, 47))
    assert seen[5].shape == (46, 46)
    rows = {row.tobytes(): place for place, row in enumerate(sides[0].y[0])}
    for each in seen:
        places = np.array([rows[row.tobytes()] for row in each.y[0]])
        jumps = np.flatnonzero(np.diff(places) != 1)
        assert np.abs(np.diff(places)[jumps]).min() >= 60
    assert plant([(sides_of(*draw.normal(size=(2, 40, 16))), one_to_one(40))], answer) == []
    assert plant([(sides_of(*draw.normal(size=(2, 9, 16))), one_to_one(9))] * 2, answer) == []


@pytest.mark.parametrize("min_precision", [None, 0.9, 0.99])
def test_figures_of_a_known_mixture(min_precision):
    errors, deviations = [], []
    for seed in range(20):
        draw = np.random.default_rng(seed)
        right, wrong = draw.normal(0.7, 0.1, 900), draw.normal(0.1, 0.15, 150)
        planted = [tuple(draw.normal(0.1, 0.15, 3)) for _ in range(100)]
        scores = np.concatenate([right, wrong])
        found = calibrate_links(scores, planted, min_precision=min_precision)
        kept = scores >= found.threshold
        assert (found.planted, found.planted_wrong, found.found) == (100, 300, kept.sum())
        assert found.precision >= (min_precision or 0)
        assert abs(found.wrong - 150) < 4 * found.wrong_error
        errors.append(found.precision - kept[:900].sum() / kept.sum())
        deviations.append(errors[-1] / found.precision_error)
        assert abs(found.recall - (right >= found.threshold).mean()) < 4 * found.recall_error + 0.01
        places = [each[0] for each in found.curve]
        assert places == sorted(places)
    assert abs(np.mean(errors)) < 0.01
    assert np.sqrt(np.mean(np.square(deviations))) < 2


def test_expected_wrong_links_by_hand():
    # Half of the planted wrong links, one of two, score at most .2; three links do, so six of eight are wrong.
    planted = [(0.2, 0.4)] * 20
    scores = np.array([0.1, 0.2, 0.2, 0.3, 0.5, 0.6, 0.7, 0.8])
    found = calibrate_links(scores, planted, min_precision=0.9)
    assert found.wrong == 6
    # One more wrong link than were seen: 1 of 41 is expected above .4.
    assert found.curve[-1] == (0.8, pytest.approx(1 - 6 / 41), pytest.approx((1 - 6 / 41) / 2))
    assert (found.threshold, found.found) == (0.5, 4)
    assert found.precision == pytest.approx((4 - 6 / 41) / 4)


def test_links_of_changed_documents_are_wrong_as_often_as_expected():
    draw = np.random.default_rng(3)
    aligned, wrong, scores = [], [], []
    for _ in range(80):
        source = draw.normal(size=(20, 32)) + 0.5 * draw.normal(size=32)
        target = source + 0.8 * draw.normal(size=(20, 32))
        gold = np.arange(20)
        for start in range(0, 20, 4):
            if draw.random() < 0.2:
                target[start : start + 4] = draw.normal(size=(4, 32))
                gold[start : start + 4] = -1
        sides = sides_of(source, target)
        aligned.append((sides, program(sides)))
        for step in aligned[-1][1]:
            if step.is_link:
                scores.append(1 - step.cost)
                wrong.append(not set(gold[slice(*step.target)]) & set(range(*step.source)))
    scores, wrong = np.array(scores), np.array(wrong)
    for min_precision in (None, 0.9, 0.95):
        found = calibrate_links(scores, plant(aligned, program), min_precision=min_precision)
        kept = scores >= found.threshold
        assert abs(found.precision - (1 - wrong[kept].mean())) < 3 * found.precision_error + 0.02
        assert abs(found.recall - (kept & ~wrong).sum() / (~wrong).sum()) < 3 * found.recall_error + 0.02
    assert wrong.mean() > 0.1


@pytest.mark.parametrize(
    ("scores", "planted", "message"),
    [([0.5], [(0.1, 0.2)] * 19, "19"), ([0.5], [()] * 30, "0"), ([], [(0.1,)] * 30, "0 and 30")],
)
def test_too_little_text_is_refused(scores, planted, message):
    with pytest.raises(DataError, match=message):
        calibrate_links(np.array(scores), planted)
    with pytest.raises(DataError, match="min_precision"):
        calibrate_links(np.full(40, 0.1), [(0.1,)] * 30, min_precision=0.99)


@pytest.fixture
def pairs(sentences):
    made = []
    for number in range(24):
        lines = sentences(18, seed=number)
        source, target = lines[:12], [*lines[:6], *lines[12:15], *lines[9:12]]
        made.append(DocumentPair(f"d{number}", document_of(source, "a"), document_of(target, "b")))
    return made


def test_threshold_of_a_collection(tiny_model, tmp_path, pairs):
    settings = {"cache": tmp_path, "deletion_quantile": 0.5}
    every = align_collection(pairs, tiny_model, **settings)
    found = align_collection(pairs, tiny_model, threshold="auto", min_precision=0.9, **settings)
    chosen = found.report.calibration
    assert found.threshold == found.report.threshold == chosen.threshold
    assert (chosen.planted, chosen.found) == (24, found.report.links)
    assert list(found.pairs()) == [each for each in every.pairs() if each.score >= chosen.threshold]
    assert 0.9 <= chosen.precision <= 1
    assert DocumentsReport.from_json(found.report.to_json()) == found.report
    assert every.report.calibration is None
    assert DocumentsReport.from_json(every.report.to_json()) == every.report
    again = align_collection(pairs, tiny_model, threshold="auto", **settings)
    assert again.report.resumed == 24
    assert again.report.calibration.wrong == chosen.wrong


@pytest.mark.slow
def test_worker_processes_plant_the_same(tiny_model_path, tmp_path, pairs, monkeypatch):
    monkeypatch.setattr(align_work, "GROUP_SENTENCES", 120)
    found = [
        align_collection(
            pairs,
            str(tiny_model_path),
            cache=tmp_path / engine,
            engine=engine,
            workers=2,
            device="cpu",
            threshold="auto",
            deletion_quantile=0.5,
        ).report.calibration
        for engine in ("local", "processes")
    ]
    assert found[0] == found[1]


def test_settings(tiny_model, tmp_path, pairs):
    with pytest.raises(ConfigError, match="auto"):
        align_documents(["a"], ["b"], tiny_model, cache=tmp_path, threshold="auto")
    with pytest.raises(ConfigError, match="min_precision"):
        DocumentsConfig(threshold=0.3, min_precision=0.9)
    with pytest.raises(DataError, match="3"):
        align_collection(pairs[:3], tiny_model, cache=tmp_path, threshold="auto")
