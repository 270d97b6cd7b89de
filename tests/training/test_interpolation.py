"""Interpolation at the end of a run: the curve against evaluations of plain weights, the choice, and resuming."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from sentence_transformers import SentenceTransformer

import otembed
from otembed.config.train import ReleaseConfig
from otembed.errors import ConfigError
from otembed.results.outcomes import Outcomes
from otembed.tasks.retrieval.report import RetrievalReport, RetrievalScores
from otembed.training import dry_run, interpolation
from otembed.training.card import publishable
from otembed.training.curve import InterpolationCurve, SharePoint
from otembed.training.held_out import Evaluation, HeldOutEvaluator
from otembed.training.interpolation import choose_share, curve_points, evaluated_shares
from otembed.training.preparation import load_material
from otembed.training.result import TrainResult
from otembed.training.summary import train_summary
from tests.training.test_train import assert_same_release, assert_same_weights, weights


@pytest.fixture
def other_pairs(tmp_path, sentences):
    path = tmp_path / "en-es.tsv"
    path.write_text("\n".join(f"{a}\t{b}" for a, b in zip(sentences(15), sentences(15, 1), strict=True)), "utf-8")
    return {"en-es": str(path)}


@pytest.fixture
def configured(configure, other_pairs):
    """Build a configuration with interpolation and other pairs."""

    def build(**release):
        values = {"interpolate": "auto", "other_pairs": other_pairs, **release}
        if values["interpolate"] == "auto":
            values["shares"] = [0.5, 1.0]
        return configure(release=values, optimization={"learning_rate": 0.02}, held_out={"eval_steps": 3})

    return build


def test_curve_has_the_figures_of_the_weights_between(configured, other_pairs, monkeypatch):
    states = {}
    evaluate = HeldOutEvaluator.evaluate

    def recorded(self, model, epoch=-1, steps=-1):
        found = evaluate(self, model, epoch, steps)
        states[steps] = {name: each.clone() for name, each in model.state_dict().items()}
        return found

    monkeypatch.setattr(HeldOutEvaluator, "evaluate", recorded)
    result = otembed.train(configured())
    curve = result.interpolation
    assert [each.share for each in curve.points] == [0, 0.5, 1]
    assert curve.automatic
    by_share = {each.share: each for each in curve.points}
    assert by_share[0].accuracy == result.before.accuracy
    assert by_share[curve.share].accuracy == result.after.accuracy
    start, end = states[0], states[result.best_step]
    for name, each in states[-1].items():  # the one state that training did not evaluate
        torch.testing.assert_close(each, (start[name] + end[name]) / 2)
    released = weights(result.run)
    for name, each in released.items():
        torch.testing.assert_close(each, start[name] + curve.share * (end[name] - start[name]))
    model = otembed.load_model(result.model, device="cpu")
    rows = [line.split("\t") for line in Path(other_pairs["en-es"]).read_text("utf-8").splitlines()]
    elsewhere = otembed.tasks.retrieval.evaluate_retrieval(model, {"en-es": tuple(zip(*rows, strict=True))})
    assert elsewhere.accuracy == by_share[curve.share].others
    assert TrainResult.from_json((Path(result.run) / "results.json").read_text()) == result


def test_result_card_and_terminal_show_the_curve(configured, tmp_path):
    result = otembed.train(configured())
    card = (Path(result.model) / "README.md").read_text(encoding="utf-8")
    assert result.interpolation.table().markdown() in card
    assert str(tmp_path) not in card
    assert f"plus {result.interpolation.share:g} times the change" in card
    console = Console(width=80, file=io.StringIO())
    console.print(train_summary(result))
    shown = console.file.getvalue()
    assert "Interpolation" in shown
    assert "released" in shown
    assert "before centering" not in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_terminal_and_page_say_that_the_curve_is_measured_before_centering(configured):
    result = otembed.train(configured(center="global", interpolate=0.5))
    console = Console(width=200, file=io.StringIO())
    console.print(train_summary(result))
    page = (Path(result.run) / "report.html").read_text(encoding="utf-8")
    for shown in (console.file.getvalue(), page):
        assert "difference in points. Measured before centering." in shown


def test_run_interrupted_in_the_phase_gives_the_same_bytes(configured, monkeypatch):
    straight = otembed.train(configured())
    cut = replace(configured(), output=str(Path(straight.run).with_name("cut") / "run"))

    def fail(*args, **kwargs):
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(interpolation, "curve_points", fail)
        with pytest.raises(RuntimeError, match="power cut"):
            otembed.train(cut)
    resumed = otembed.train(resume=cut.output)
    assert resumed.interpolation == straight.interpolation
    assert_same_release(straight.run, resumed.run)


@pytest.mark.parametrize("share", [0, 0.3])
@pytest.mark.parametrize("size", [0, 12])
def test_given_share_is_released_without_other_pairs(configure, tiny_model_path, share, size):
    changes = {"optimization": {"max_steps": 3}, "held_out": {"size": size}, "model": {"freeze": ["embeddings"]}}
    plain = otembed.train(configure(**changes))
    config = configure(**changes, release={"interpolate": share}, output=f"{plain.run}-between")
    result = otembed.train(config)
    start = SentenceTransformer(str(tiny_model_path), device="cpu", local_files_only=True).state_dict()
    end = weights(plain.run)
    for name, each in weights(result.run).items():
        torch.testing.assert_close(each, start[name] + share * (end[name] - start[name]))
        assert share or torch.equal(each, start[name])
        assert "embeddings" not in name or torch.equal(each, start[name])
    # The table of the training names a checkpoint as the released model only if it is one.
    cards = ["saved checkpoint" in (Path(each.model) / "README.md").read_text("utf-8") for each in (plain, result)]
    assert cards == [bool(size), False]
    if size:
        assert [each.share for each in result.interpolation.points] == sorted({0, share, 1})
        assert not result.interpolation.automatic
        assert result.interpolation.share == share
        assert share or result.after.scores == result.before.scores
    else:
        assert result.interpolation is None


def test_share_1_changes_nothing(configure):
    changes = {"optimization": {"max_steps": 3}}
    plain = otembed.train(configure(**changes))
    assert plain.interpolation is None
    same = otembed.train(configure(**changes, release={"interpolate": 1}, output=f"{plain.run}-1"))
    assert_same_weights(plain.run, same.run)


def report(values, pair="en-de"):
    scores = RetrievalScores(pair, len(values), *[float(np.mean(values))] * 4, 0.0, 0.0)
    return RetrievalReport(
        "m", (scores,), 0.0, outcomes=(Outcomes("retrieval", pair, "accuracy", "d", tuple(values)),)
    )


def found(values, others=None, rank=2.0):
    evaluation = Evaluation(1, 0.0, [], [{"en-de_mean_cosine": 0.25, "en-de_effective_rank": rank}], 0.0)
    return interpolation._Found(evaluation, report(values), None if others is None else report(others, "en-es"))


def test_interval_is_the_paired_bootstrap_of_the_difference_to_the_best():
    draw = np.random.default_rng(0)
    best = draw.integers(0, 2, 200)
    near = best.copy()
    near[:3] = 1 - near[:3]
    far = best * draw.integers(0, 2, 200)
    points = curve_points({0.0: found(far), 0.5: found(near), 1.0: found(best)}, [0.5, 1.0])
    chosen = max((0.5, 1.0), key=lambda share: {0.5: near.mean(), 1.0: best.mean()}[share])
    reference = {0.5: near, 1.0: best}[chosen]
    for point, values in zip(points, (far, near, best), strict=True):
        assert point.accuracy == pytest.approx(values.mean())
        difference = (values - reference).astype(float)
        rows = draw.integers(0, 200, (4000, 200))
        low, high = np.quantile(difference[rows].mean(1), [0.025, 0.975])
        assert point.low == pytest.approx(low, abs=0.01)
        assert point.high == pytest.approx(high, abs=0.01)
        assert (point.mean_cosine, point.effective_rank) == (0.25, 2.0)
    assert [each.keeps for each in points] == [False, True, True]


def point(share, *, keeps=True, others=None, rank=2.0):
    return SharePoint(share, 0.5, -0.1, 0.1, keeps, others, 0.5, rank)


def test_choice_is_best_for_others_among_those_that_keep_retrieval():
    points = [
        point(0, others=0.99),
        point(0.25, keeps=False, others=0.95),
        point(0.5, others=0.9, rank=1.0),
        point(0.75, others=0.9, rank=3.0),
        point(1, others=0.8, rank=9.0),
    ]
    shares = (0.25, 0.5, 0.75, 1.0)
    assert choose_share(points, shares) == 0.5
    without = [replace(each, others=None) for each in points]
    assert choose_share(without, shares) == 1
    assert choose_share(without, (0.5, 0.75)) == 0.75
    assert choose_share([point(0), point(0.5), point(1)], (0.5, 1.0)) == 0.5


def test_shares_of_the_curve():
    assert evaluated_shares(ReleaseConfig(interpolate="auto", shares=[0.5, 0.25])) == [0, 0.25, 0.5, 1]
    assert evaluated_shares(ReleaseConfig(interpolate=0.3)) == [0, 0.3, 1]


def test_other_pairs_are_never_trained_on(configured, text_path, other_pairs):
    row = text_path.read_text(encoding="utf-8").splitlines()[0]
    Path(other_pairs["en-es"]).write_text(f"{row}\n{row.upper()}\n", encoding="utf-8")
    material = load_material(configured())
    english, german = row.split("\t")
    assert material.others == {"en-es": ([english, english.upper()], [german, german.upper()])}
    assert english not in material.train["en-de"]["target"]
    assert len(material.train["en-de"]) == 72 - 1 - 12


def test_other_pairs_alone_are_compared_at_both_ends(configured):
    result = otembed.train(configured(interpolate=1))
    assert [each.share for each in result.interpolation.points] == [0, 1]
    assert None not in [each.others for each in result.interpolation.points]


@pytest.mark.parametrize("release", [{"interpolate": "auto"}, {"other_pairs": "other pairs"}])
@pytest.mark.parametrize("start", [otembed.train, dry_run])
def test_settings_that_require_held_out_pairs(configure, other_pairs, release, start):
    (name,) = release
    if name == "other_pairs":
        release = {name: other_pairs}
    with pytest.raises(ConfigError, match=name) as caught:
        start(configure(release=release, held_out={"size": 0}))
    assert "held_out" in caught.value.hint


@pytest.mark.parametrize(
    "release",
    [{"interpolate": "best"}, {"interpolate": 1.5}, {"interpolate": -0.1}, {"interpolate": True}, {"shares": []},
     {"shares": [0.0]}, {"shares": [2.0]}],
)  # fmt: skip
def test_invalid_settings_are_rejected(configure, release):
    with pytest.raises(ConfigError, match=next(iter(release))):
        configure(release=release)


def test_card_has_no_folders_of_other_pairs(configure):
    config = publishable(configure(release={"other_pairs": {"en-es": "/home/me/a.tsv"}}))
    assert config.release.other_pairs == {"en-es": "a.tsv"}


def test_dry_run_counts_the_evaluations_of_the_curve(configured, monkeypatch):
    monkeypatch.setattr(
        "otembed.training.estimate._evaluation_seconds", lambda model, pairs: 1000.0 if pairs else 0.0
    )
    plain, curve = (dry_run(configured(**each)) for each in ({"interpolate": 1, "other_pairs": {}}, {}))
    added = curve.total_seconds - plain.total_seconds
    assert added == pytest.approx(1000 * (1 + 3), abs=100)  # share 0.5 on held-out pairs, three shares on others


def test_curve_survives_a_file(tmp_path):
    curve = InterpolationCurve(0.5, True, (point(0.5, others=0.25), point(1)))
    curve.to_json(tmp_path / "c.json")
    assert InterpolationCurve.read(tmp_path / "c.json") == curve
