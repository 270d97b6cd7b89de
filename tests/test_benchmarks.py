"""The benchmark scripts run, and their figures are those of a count by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parent.parent


def script(name):
    specification = spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_recipes_run_resume_and_render(tmp_path, tiny_model_path):
    output = tmp_path / "recipes.json"
    command = [
        sys.executable, str(ROOT / "benchmarks" / "recipes.py"), "--pairs", "en-sw=starter:en-sw", "--held-out",
        "en-sw=starter:en-sw@test", "--held-out-limit", "16", "--model", str(tiny_model_path), "--objectives", "mnrl",
        "--steps", "2", "--batch-size", "8", "-o", str(output), "--seeds",
    ]  # fmt: skip
    subprocess.run([*command, "1"], check=True, capture_output=True)
    first = json.loads(output.read_text())
    table = subprocess.run([*command, "1", "2"], check=True, capture_output=True, text=True).stdout
    document = json.loads(output.read_text())
    assert [each["seed"] for each in document["runs"]] == [1, 2]
    assert document["runs"][0] == first["runs"][0]
    cell = [100 * each["after"]["scores"][0]["accuracy_target_to_source"] for each in document["runs"]]
    assert f"| mnrl | 2 | {sum(cell) / 2:.1f}% ± " in table


def test_gold_links_are_read_from_1_and_possible_links_hold_the_sure_ones(tmp_path):
    (tmp_path / "text").write_text("a b ||| x y\n")
    (tmp_path / "links").write_text("1-1 2p1\n")
    ((source, target, sure, possible),) = script("alignment_knobs").read_gold(
        str(tmp_path / "text"), str(tmp_path / "links"), 9
    )
    assert (source, target, sure, possible) == (["a", "b"], ["x", "y"], {(0, 0)}, {(0, 0), (1, 0)})


def test_alignment_error_rate_equals_a_count_by_hand():
    """Links 0-0, 1-1, 2-2 are found; sure are 0-0 and 2-1, possible 1-1 as well: AER = 1 - (1 + 2) / (3 + 2)."""
    benchmark = script("alignment_knobs")
    units = torch.eye(3)[None]
    mask = torch.ones(1, 3, dtype=torch.bool)
    gold = [(["a", "b", "c"], ["x", "y", "z"], {(0, 0), (2, 1)}, {(0, 0), (2, 1), (1, 1)})]
    knobs = benchmark.DEFAULTS | {"center": False}
    assert benchmark.error_rate([((units, mask), (units, mask))], gold, knobs) == pytest.approx(1 - 3 / 5)


def test_planted_bitext_is_what_it_says():
    benchmark = script("mining")
    x, y, gold = benchmark.planted(400, dimension=32)
    assert (x.shape, y.shape, len(gold)) == ((400, 32), (400, 32), 200)
    cosines = x @ y.T
    pairs = np.array(sorted(gold))
    assert cosines[pairs[:, 0], pairs[:, 1]].mean() > cosines.mean() + 0.2


def test_the_rules_of_the_usual_miners_by_hand():
    """Two lines a side: each direction's best by ratio, then greedily one to one."""
    benchmark = script("mining")
    there = np.array([[0.9, 0.6], [0.8, 0.3]]), np.array([[0, 1], [0, 1]])
    back = np.array([[0.9, 0.8], [0.6, 0.3]]), np.array([[0, 1], [0, 1]])
    pairs = benchmark.best_of_both(None, None, there, back)
    # Means .75, .55 and .85, .45: ratios .9/.8, .6/.6, .8/.7, .3/.5; the best of each line: (0,0), (1,0), (0,1).
    assert [pair[1:] for pair in pairs] == [(1, 0), (0, 1)]
    assert [pair[0] for pair in pairs] == pytest.approx([0.8 / 0.7, 1.0])


@pytest.mark.slow
def test_mining_runs_resumes_and_renders(tmp_path):
    output = tmp_path / "mining.json"
    command = [
        sys.executable,
        str(ROOT / "benchmarks" / "mining.py"),
        "--smoke",
        "--repeats",
        "1",
        "-o",
        str(output),
    ]
    subprocess.run(command, check=True, capture_output=True)
    first = output.read_text()
    table = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert output.read_text() == first
    document = json.loads(first)
    assert document["search"][0]["same_neighbours"] > 0.999
    assert document["search"][0]["largest_difference"] < 1e-5
    best = {each["method"]: each["best_f1"] for each in document["pairs"]}
    assert best["otembed (distance, centred)"] >= best["LASER's rules, exact"]
    assert "| otembed, ratio | planted | " in table


def test_otsus_threshold_is_that_of_a_search_over_all_partings():
    benchmark = script("calibration")
    scores = np.random.default_rng(0).normal(size=60) + np.repeat([0.0, 3.0], [40, 20])
    values = np.sort(scores)
    within = {
        t: sum(part.var() * len(part) for part in (values[values < t], values[values >= t])) for t in values[1:]
    }
    assert benchmark.otsu(scores) == min(within, key=within.get)
    right = np.array([True, False, True, True])
    assert benchmark.figures(np.array([4.0, 3.0, 2.0, 1.0]), right, 5, 2.0) == pytest.approx([2 / 3, 2 / 5, 4 / 8])


@pytest.mark.slow
def test_calibration_runs_and_renders(tmp_path):
    output = tmp_path / "calibration.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "calibration.py"), "--smoke", "-o", str(output)]
    table = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    (setting,) = json.loads(output.read_text())["settings"]
    assert setting["lost"]["calibrated"] < 0.05
    assert setting["lost"]["calibrated"] < setting["lost"]["otsu"]
    assert f"| small | 400 x 400 | 200 | 200 | {setting['best_f1']:.3f} | " in table
