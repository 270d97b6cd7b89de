"""``threshold="auto"`` from end to end: what is expected against the truth, and what never changes."""

import re

import numpy as np
import pytest

from otembed import mine_bitext
from otembed.config.mining import MiningConfig
from otembed.data import parse_pair_spec
from otembed.embeddings import embed
from otembed.errors import ConfigError, DataError, NumericsError
from otembed.mining.calibration import dev_pairs
from otembed.mining.mined import MiningReport
from otembed.mining.plan import plan_mining
from otembed.mining.search import blocks, search
from otembed.mining.search.exact import Tiling
from otembed.mining.search.plan import SearchPlan
from otembed.mining.side import open_sides
from tests.interruption import Cut, stop_after


def bitext(translations, sources, targets, planted, noise=0.9, seed=0, dimension=64):
    """Vectors of both sides, whose first rows are translations, and of development pairs of the same kind."""
    draw = np.random.default_rng(seed)
    shift = draw.normal(size=dimension)

    def look(meaning):
        spread = noise * np.exp(0.4 * draw.normal(size=(len(meaning), 1)))
        return (meaning + shift + spread * draw.normal(size=meaning.shape)).astype(np.float32)

    shared, known = (draw.normal(size=(count, dimension)) for count in (translations, planted))
    sides = [
        look(np.concatenate([shared, draw.normal(size=(rows - translations, dimension))]))
        for rows in (sources, targets)
    ]
    return *sides, (look(known), look(known))


def truth(mined, translations):
    right = sum(pair.source_id == pair.target_id <= translations for pair in mined)
    return right / len(mined), right / translations, 2 * right / (translations + len(mined))


@pytest.mark.parametrize("margin", ["distance", "ratio", "absolute"])
@pytest.mark.parametrize(
    ("translations", "sources", "targets", "noise"),
    [(600, 1200, 1200, 0.9), (300, 900, 1500, 0.7), (900, 1000, 1000, 1.1)],
)
def test_expected_figures_are_close_to_true_figures_and_best_f1(translations, sources, targets, noise, margin):
    x, y, known = bitext(translations, sources, targets, 300, noise)
    every = mine_bitext(x, y, threshold=None, margin=margin)
    right = np.array([pair.source_id == pair.target_id <= translations for pair in every])
    best = (2 * np.cumsum(right) / (translations + np.arange(1, len(right) + 1))).max()
    mined = mine_bitext(x, y, threshold="auto", calibrate=known, margin=margin)
    expected = mined.report.calibration
    precision, recall, f1 = truth(mined, translations)
    assert f1 > best - 0.02
    for name, value in (("precision", precision), ("recall", recall), ("f1", f1)):
        error = getattr(expected, f"{name}_error")
        assert 0 < error < 0.06
        assert abs(getattr(expected, name) - value) < max(3 * error, 0.03)
    assert expected.translations == pytest.approx(translations, rel=0.15)
    assert expected.found == len(mined) == mined.report.pairs
    assert expected.threshold == mined.report.threshold
    precise = mine_bitext(x, y, threshold="auto", calibrate=known, margin=margin, min_precision=0.9)
    assert precise.report.calibration.precision >= 0.9
    assert truth(precise, translations)[0] > 0.87


def test_pairs_match_an_explicit_threshold_and_report_round_trips():
    x, y, known = bitext(300, 600, 500, 100)
    mined = mine_bitext(x, y, threshold="auto", calibrate=known)
    same = mine_bitext(x, y, threshold=mined.report.threshold)
    assert list(mined) == list(same)
    assert (len(mined.source), len(mined.target)) == (600, 500)
    assert mined.report.candidates == same.report.candidates
    assert MiningReport.from_json(mined.report.to_json()) == mined.report
    assert MiningReport.from_json(same.report.to_json()).calibration is None


def texts(sentences, translations=60, alone=30, planted=60):
    """Both sides and development pairs; a translation is its source with an article more or less."""
    draw = np.random.default_rng(0)
    lines = sentences(translations + 2 * alone + planted)
    turned = [f"{line} {draw.choice(['the', 'die', 'on'])}" for line in lines]
    end = translations + alone
    source, target = lines[:end], turned[:translations] + turned[end : end + alone]
    return source, target[::-1], list(zip(lines[end + alone :], turned[end + alone :], strict=True))


def test_calibration_keeps_the_cache_and_bytes_of_the_collections(tiny_model, tmp_path, sentences, monkeypatch):
    """Shards, tiles, workers, a cut in every stage; development pairs embedded beside, never among the lines."""
    monkeypatch.setattr(embed, "WINDOW", 32)
    source, target, known = texts(sentences)
    path = tmp_path / "dev.tsv"
    path.write_text("".join(f"{a}\t{b}\n" for a, b in known), encoding="utf-8")
    outputs, reports = set(), []
    ways = [(-1, Tiling(), 1), (60, Tiling(16, 8, 16), 3), (-1, Tiling(16, 8, 16), 1)]
    for number, (seconds, tiling, workers) in enumerate(ways):
        monkeypatch.setattr(embed, "SHARD_SECONDS", seconds)
        monkeypatch.setattr(blocks, "SAVE_SECONDS", seconds)
        for module in (search, dev_pairs):
            monkeypatch.setattr(module, "plan_search", lambda *_, t=tiling, w=workers, **__: SearchPlan(t, w, 0))
        options = {
            "cache": tmp_path / str(number),
            "threshold": "auto",
            "calibrate": parse_pair_spec("en-de", str(path)),
        }
        for cut in (3, 9):
            with pytest.raises(Cut):
                mine_bitext(source, target, tiny_model, progress=stop_after(cut), **options)
        mined = mine_bitext(source, target, tiny_model, **options)
        outputs.add(mined.write(tmp_path / "out.jsonl").read_bytes())
        reports.append(mined.report.calibration)
    assert len(outputs) == 1
    assert all(report == reports[0] for report in reports)
    assert {pair.source for pair in mined} <= set(source)
    assert {pair.target for pair in mined} <= set(target)
    before = {each: each.stat().st_mtime_ns for each in (tmp_path / "0").rglob("*") if each.is_file()}
    plain = mine_bitext(source, target, tiny_model, cache=tmp_path / "plain", threshold=mined.report.threshold)
    assert plain.write(tmp_path / "plain.jsonl").read_bytes() in outputs
    searches = [{each.name for each in (tmp_path / name / "searches").iterdir()} for name in ("plain", "0")]
    embeddings = [
        {each.name for each in (tmp_path / name / "embeddings").iterdir() if each.is_dir()}
        for name in ("plain", "0")
    ]
    assert searches[0] == searches[1]
    assert embeddings[0] < embeddings[1]
    assert len(embeddings[1]) == len(embeddings[0]) + 2
    mine_bitext(source, target, tiny_model, calibrate=known[:55], threshold="auto", cache=tmp_path / "0")
    assert {each: each.stat().st_mtime_ns for each in before if each.suffix != ".lock"} == {
        each: time for each, time in before.items() if each.suffix != ".lock"
    }


def test_unusable_development_pairs_are_dropped_and_counted(tiny_model, tmp_path, sentences):
    source, target, known = texts(sentences)
    noisy = [
        *known,
        known[0],
        (known[1][0], "another"),
        (source[0], "on the mat"),
        ("in the house", target[3]),
        ("", "z"),
        ("same", "same"),
    ]
    mined = mine_bitext(source, target, tiny_model, threshold="auto", calibrate=noisy, cache=tmp_path)
    clean = mine_bitext(source, target, tiny_model, threshold="auto", calibrate=known, cache=tmp_path)
    assert mined.report.calibration.left_out == {
        "duplicate": 1,
        "repeated": 1,
        "in_collection": 2,
        "empty": 1,
        "identical": 1,
    }
    assert mined.report.calibration.threshold == clean.report.calibration.threshold
    config = MiningConfig(threshold="auto")
    sides = open_sides(source, target, None, None, config)
    planted = dev_pairs.open_dev_pairs(noisy, sides, config)
    plan = plan_mining(sides, tiny_model, config, planted=planted.sides, cache=tmp_path / "new")
    assert plan.lines_to_embed == len(source) + len(target) + 2 * len(planted) == 180 + 120


def test_more_pairs_than_needed_are_thinned_evenly(monkeypatch):
    monkeypatch.setattr(dev_pairs, "MOST_PAIRS", 60)
    x, y, known = bitext(300, 500, 500, 120)
    found = mine_bitext(x, y, threshold="auto", calibrate=known).report.calibration
    assert (found.planted, found.left_out) == (60, {"not_needed": 60})
    rows = np.linspace(0, 119, 60).astype(int)
    thinned = mine_bitext(x, y, threshold="auto", calibrate=tuple(side[rows] for side in known)).report.calibration
    assert thinned.threshold == found.threshold


def test_vectors_in_the_collections_or_repeated_are_dropped():
    x, y, (a, b) = bitext(300, 500, 500, 80)
    known = tuple(np.concatenate(parts) for parts in ((a, a[:2], x[:3]), (b, y[:2], y[5:8])))
    found = mine_bitext(x, y, threshold="auto", calibrate=known).report.calibration
    assert found.left_out == {"in_collection": 5}
    found = mine_bitext(x, y, threshold="auto", calibrate=(np.concatenate([a, a[:2]]), np.concatenate([b, -b[:2]])))
    assert found.report.calibration.left_out == {"repeated": 2}


def test_development_pairs_unlike_the_collections_give_a_warning(caplog):
    x, y, _ = bitext(600, 1000, 1000, 0)
    _, _, easy = bitext(0, 1, 1, 300, noise=0.6, seed=1)
    mine_bitext(x, y, threshold="auto", calibrate=easy)
    assert re.search(r"misfit 0\.\d+, at most 0\.08", caplog.text)


def test_mismatched_input_is_rejected(sentences, tiny_model, tmp_path):
    x, y, (a, b) = bitext(100, 200, 200, 60)
    auto = {"threshold": "auto"}
    bad, zero = a.copy(), a.copy()
    bad[3], zero[3] = np.nan, 0
    for known, message in (
        ((a[:49], b[:49]), r"49 .*\(49 read, 49 kept\).* 50 "),
        ((a, b[:50]), "60 source rows, 50 target rows"),
        ((a, b[:, :8].copy()), r"source vectors has vectors of dimension 64, development pairs \(target\) of 8"),
        ((zero, b), "zero vector"),
        ([("a", "b", "c")], "development pair 1 "),
        ([("a", 1)], "development pair 1 "),
        ([(line, f"{line} .") for line in sentences(30)], "30 development pairs"),
        ((a, np.roll(b, 1, axis=0)), "of 60 pairs"),
    ):
        with pytest.raises(DataError, match=message):
            mine_bitext(x, y, calibrate=known, **auto)
    with pytest.raises(NumericsError, match=r"development pairs \(source\): .* row 4"):
        mine_bitext(x, y, calibrate=(bad, b), **auto)
    with pytest.raises(DataError, match=r"of dimension 64, development pairs \(source\) of 32"):
        mine_bitext(
            x, y, tiny_model, calibrate=[(line, f"{line} .") for line in sentences(60)], cache=tmp_path, **auto
        )
    with pytest.raises(ConfigError, match="--model"):
        mine_bitext(x, y, calibrate=[(line, f"{line} .") for line in sentences(60)], **auto)
    with pytest.raises(ConfigError, match="--calibrate"):
        mine_bitext(x, y, **auto)
    with pytest.raises(ConfigError, match=r"threshold is 0\.1"):
        mine_bitext(x, y, calibrate=(a, b), threshold=0.1)
    with pytest.raises(ConfigError, match=r"min_precision is 0\.9"):
        MiningConfig(min_precision=0.9)
    with pytest.raises(ConfigError, match="min_precision"):
        MiningConfig(min_precision=0.0, threshold="auto")
    with pytest.raises(ConfigError, match="auto"):
        MiningConfig(threshold="auto").lowest_score(centered=True)
