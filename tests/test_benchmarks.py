"""The benchmark scripts run, and their figures are those of a count by hand."""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from sentence_transformers import SentenceTransformer

import otembed
from otembed.documents import AlignedPair, Link
from otembed.documents.read import document_of
from otembed.results import Outcomes
from otembed.tasks.documents import GoldDocuments
from otembed.tasks.mining import mining_scores
from otembed.tasks.retrieval import evaluate_retrieval
from otembed.tasks.word_alignment import GoldSentence, evaluate_alignment, read_gold_set
from otembed.tasks.xquad.data import Question, QuestionSet
from tests.tasks.xquad.test_report import spans

ROOT = Path(__file__).parent.parent


@pytest.fixture
def run(benchmark_script, monkeypatch, capsys) -> Callable[..., str]:
    """Run a benchmark script in this process with the given arguments and return what it prints.

    What it measures in separate processes is measured here, too: a process takes seconds to start. Growth of the memory, which has
    a test of its own, would be that of all tests.
    """

    def run(name: str, *arguments: object) -> str:
        module = benchmark_script(name)
        threads = torch.get_num_threads()
        start = subprocess.run

        def here(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
            if command[1] != module.__file__ or "env" in options:
                return start(command, **options)
            with monkeypatch.context() as patch, redirect_stdout(io.StringIO()) as printed:
                patch.setattr(sys, "argv", command[1:])
                module.main()
            return subprocess.CompletedProcess(command, 0, printed.getvalue(), "")

        capsys.readouterr()
        try:
            with monkeypatch.context() as patch:
                patch.setattr(sys, "argv", [module.__file__, *map(str, arguments)])
                patch.setattr(subprocess, "run", here)
                if hasattr(module, "growth"):
                    patch.setattr(module, "growth", lambda call, *each: (call(*each), 1_000_000))
                module.main()
        finally:
            torch.set_num_threads(threads)
        return capsys.readouterr().out

    return run


def test_growth_of_the_memory_is_that_of_the_largest_array(benchmark_script):
    growth = benchmark_script("memory").growth
    value, grown = growth(lambda: np.ones(10**7).sum())
    assert value == 10**7
    assert 7e7 < grown < 1.2e8


@pytest.mark.slow
def test_recipes_run_resume_and_render(run, tmp_path, tiny_model_path):
    output = tmp_path / "recipes.json"
    arguments = [
        "--pairs", "en-sw=starter:en-sw", "--held-out", "en-sw=starter:en-sw@test", "--held-out-limit", 16,
        "--model", tiny_model_path, "--objectives", "mnrl", "--steps", 2, "--batch-size", 8, "-o", output, "--seeds",
    ]  # fmt: skip
    run("recipes", *arguments, 1)
    first = json.loads(output.read_text())
    table = run("recipes", *arguments, 1, 2)
    document = json.loads(output.read_text())
    assert [each["seed"] for each in document["runs"]] == [1, 2]
    assert document["runs"][0] == first["runs"][0]
    cell = [100 * each["after"]["scores"][0]["accuracy_target_to_source"] for each in document["runs"]]
    assert f"| mnrl | 2 | {sum(cell) / 2:.1f}% ± " in table


def test_sizes_of_an_installation_count_requirements_and_files_once(benchmark_script, tmp_path, monkeypatch):
    requires = {
        "a": ["b>=1", "c ; extra == 'x'", "d[y]", "gone ; python_version < '3'"],
        "b": ["D"], "c": ["a[x]"], "d": ["e ; extra == 'y'"], "e": [],
    }  # fmt: skip
    for name, needed in requires.items():
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0", "Provides-Extra: x", "Provides-Extra: y"]
        (folder / "METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {each}" for each in needed), ""]))
        (tmp_path / f"{name}.py").write_bytes(b"#" * 10)
        (folder / "RECORD").write_text(f"{name}.py,,10\n{name}.py,,10\n{name}-gone.py,,5\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    sizes = benchmark_script("install_sizes")
    assert sizes.closure("a") == {"a", "b", "d", "e"}
    assert sizes.closure("a[x]") == {"a", "b", "c", "d", "e"}
    assert sizes.size("a") == 10
    document = {"core": {"a": 2_000_000, "b": 1_500_000}, "extras": {"x": {"c": 400_000}}}
    assert sizes.table(document).splitlines()[2:] == ["| otembed | 2 | 4 | a 2, b 2 |", "| + x | 1 | 0 | c 0 |"]


def test_alignment_error_rate_matches_a_hand_count(benchmark_script):
    """Links 0-0, 1-1, 2-2 are found; sure are 0-0 and 2-1, possible 1-1 as well: AER = 1 - (1 + 2) / (3 + 2)."""
    benchmark = benchmark_script("alignment_knobs")
    units = torch.eye(3)[None]
    mask = torch.ones(1, 3, dtype=torch.bool)
    sure = frozenset({(0, 0), (2, 1)})
    gold = [GoldSentence(sure, sure | {(1, 1)})]
    knobs = benchmark.DEFAULTS | {"center": False}
    assert benchmark.error_rate([((units, mask), (units, mask))], gold, knobs) == pytest.approx(1 - 3 / 5)


def test_itermax_links_remaining_words_in_a_second_round(benchmark_script):
    """Round 1: 0-0. Round 2: row 1 and column 1 are free, .5 against .9 * .52; row 2's best is column 1, taken by row 1."""
    similarity = np.array([[0.9, 0.2], [0.52, 0.5], [0.1, 0.3]])
    assert benchmark_script("word_alignment").itermax(similarity) == {(0, 0), (1, 1)}


def word_alignment_files(tmp_path):
    pairs = [("the cat sat", "die Katze saß"), ("the dog slept in the house", "der Hund schlief im Haus")] * 30
    (tmp_path / "text").write_text("".join(f"{x} ||| {y}\n" for x, y in pairs), encoding="utf-8")
    (tmp_path / "links").write_text("1-1 2-2 3-3\n1-1 2-2 3-3 4-4 5p4 6-5\n" * 30)
    return f"toy={tmp_path / 'text'},{tmp_path / 'links'}"


@pytest.mark.slow
def test_word_alignment_benchmark_matches_the_evaluation(run, benchmark_script, tmp_path, tiny_model_path):
    output = tmp_path / "word_alignment.json"
    gold = word_alignment_files(tmp_path)
    golds = ("--gold", gold, "--gold", gold.replace("toy", "same"))
    printed = run("word_alignment", "--smoke", *golds, "--model", tiny_model_path, "-o", output)
    document = json.loads(output.read_text())
    benchmark = benchmark_script("word_alignment")
    for table in (benchmark.table, benchmark.choice_table, benchmark.grid_table):
        assert table(document) in printed
    source, target, found = read_gold_set(tmp_path / "links", tmp_path / "text")
    model = otembed.load_model(tiny_model_path, device="cpu")
    for layer in (1, 3):
        config = otembed.words.WordAlignmentConfig(layer=layer)
        report = evaluate_alignment(model, {"toy": (source[:12], target[:12], found[:12])}, config)
        assert document["aer"][benchmark.OURS]["toy"][layer - 1] == pytest.approx(report.aer, abs=1e-4)
    assert document["aer"][benchmark.OURS]["toy"] == document["aer"][benchmark.OURS]["same"]


def test_word_alignment_tables_and_verdict_by_hand(benchmark_script):
    """Two layers, two sets; the text of the first chooses layer 1, that of the second layer 2."""
    benchmark = benchmark_script("word_alignment")
    aer = {
        benchmark.PLAIN: {"one": [0.5, 0.6], "two": [0.3, 0.4]},
        benchmark.CENTERED: {"one": [0.4, 0.5], "two": [0.3, 0.4]},
        benchmark.OURS: {"one": [0.35, 0.5], "two": [0.2, 0.25]},
    }
    choice = {"one": {"pairs": 7, "auto": 1, "best": 1}, "two": {"pairs": 9, "auto": 2, "best": 1}}
    document = {"settings": {"layers": [1, 2]}, "aer": aer, "choice": choice}
    assert benchmark.verdict(document) == {
        "aer": 0.3, "argmax_last_layer": 0.45, "argmax_best_layer": 0.35, "goal_met": True,
    }  # fmt: skip
    assert f"| {benchmark.OURS} | 0.350 | 0.250 | 0.300 | 0.275 (1) | 0.375 |" in benchmark.table(document)
    assert "| two | 9 | 2 | 0.250 | 1 | 0.200 |" in benchmark.choice_table(document)
    document["grid"] = [
        {
            "settings": {"epsilon": e, "relaxation": r, "order_prior": p},
            "aer": {"one": {"1": p, "2": e}, "two": {"2": r}},
        }
        for e in benchmark.GRID["epsilon"]
        for r in benchmark.GRID["relaxation"]
        for p in benchmark.GRID["order_prior"]
    ]
    assert "| 0.05 | 0.5 | 0.250 / 0.275 | 0.300 / 0.275 | 0.400 / 0.275 |" in benchmark.grid_table(document)


def test_planted_bitext_matches_its_description(benchmark_script):
    benchmark = benchmark_script("mining")
    x, y, gold = benchmark.planted(400, dimension=32)
    assert (x.shape, y.shape, len(gold)) == ((400, 32), (400, 32), 200)
    cosines = x @ y.T
    pairs = np.array(sorted(gold))
    assert cosines[pairs[:, 0], pairs[:, 1]].mean() > cosines.mean() + 0.2


def test_rules_of_common_miners_by_hand(benchmark_script):
    """Two lines a side: each direction's best by ratio, then greedily one to one."""
    benchmark = benchmark_script("mining")
    there = np.array([[0.9, 0.6], [0.8, 0.3]]), np.array([[0, 1], [0, 1]])
    back = np.array([[0.9, 0.8], [0.6, 0.3]]), np.array([[0, 1], [0, 1]])
    pairs = benchmark.best_of_both(None, None, there, back)
    # Means .75, .55 and .85, .45: ratios .9/.8, .6/.6, .8/.7, .3/.5; the best of each line: (0,0), (1,0), (0,1).
    assert [pair[1:] for pair in pairs] == [(1, 0), (0, 1)]
    assert [pair[0] for pair in pairs] == pytest.approx([0.8 / 0.7, 1.0])


@pytest.mark.slow
def test_mining_runs_resumes_and_renders(run, tmp_path):
    output = tmp_path / "mining.json"
    arguments = ("--smoke", "--repeats", 1, "-o", output)
    run("mining", *arguments)
    first = output.read_text()
    table = run("mining", *arguments)
    assert output.read_text() == first
    document = json.loads(first)
    assert document["search"][0]["same_neighbors"] > 0.999
    assert document["search"][0]["largest_difference"] < 1e-5
    best = {each["method"]: each["best_f1"] for each in document["pairs"]}
    assert best["otembed (distance, centered)"] >= best["LASER's rules, exact"]
    assert "| otembed, ratio | planted | " in table


@pytest.mark.slow
def test_solver_benchmark_runs_and_renders(run, benchmark_script, tmp_path):
    output = tmp_path / "transport.json"
    printed = run("transport", "--smoke", "--repeats", 1, "-o", output)
    document = json.loads(output.read_text())
    assert benchmark_script("transport").table(document) in printed
    assert all(each["met"] for each in document["accuracy"])
    assert {each["kind"] for each in document["speed"]} == {"balanced", "unbalanced", "plan gradients"}
    assert all(each["ratio"] > 0 for each in document["speed"] + document["memory"])


def test_gpu_benchmark_measures_on_a_cpu(run, benchmark_script, tmp_path):
    output = tmp_path / "gpu.json"
    parts = ("--part", "training", "--part", "solver")
    printed = run("gpu", "--device", "cpu", "--smoke", "--repeats", 1, *parts, "-o", output)
    document = json.loads(output.read_text())
    benchmark = benchmark_script("gpu")
    assert benchmark.table(document) in printed
    assert [row["pairs"] for row in document["training"]] == [4, 8]
    assert all(
        row["arms"].keys() == {benchmark.PLAIN, benchmark.ALIGNED, benchmark.RANKED} for row in document["training"]
    )
    assert all({"otembed", "ot.batch, detached"} <= row["arms"].keys() for row in document["solver"])
    late = run("gpu", "--device", "cpu", "--smoke", "--minutes", 0, *parts, "-o", output)
    assert late.count("no time left") == 6


@pytest.mark.slow
def test_training_steps_are_measured_against_the_plain_trainer(run, benchmark_script, tmp_path, tiny_model_path):
    output = tmp_path / "training.json"
    printed = run(
        "training", "--smoke", "--rounds", 1, "--model", tiny_model_path, "--max-seq-length", 64, "-o", output
    )  # fmt: skip
    document = json.loads(output.read_text())
    benchmark = benchmark_script("training")
    assert benchmark.table(document) in printed
    (cell,) = document["cells"]
    assert cell["cpu_seconds"].keys() == benchmark.ARMS.keys()
    assert cell["ratios"][benchmark.PEER] == 1
    lengths = [len(text.split()) for side in ("source", "target") for text in benchmark.planted(32)[side]]
    words = np.array(lengths).reshape(-1, 4)
    # The tokenizer of the tiny model has about one token a word: padding is close to that of words.
    assert cell["padding"] == pytest.approx(1 - np.mean(words / words.max(axis=1, keepdims=True)), abs=0.15)
    assert cell["peak_memory_mb"][benchmark.PEER] > 0


@pytest.mark.slow
def test_ablation_runs_shares_its_work_and_renders(run, benchmark_script, monkeypatch, tmp_path, tiny_model_path):
    gold = word_alignment_files(tmp_path).partition("=")[2].split(",")
    paragraphs = [
        {"context": text, "qas": [{"id": text, "question": text, "answers": [{"text": text, "answer_start": 0}]}]}
        for text in ("the cat", "the dog slept")
    ]
    (tmp_path / "en.json").write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    (tmp_path / "runs").mkdir()
    # The middle layer of ablation.py is that of a 12-layer encoder, the tiny one has 3.
    monkeypatch.setattr(benchmark_script("ablation"), "MIDDLE", 2)
    arguments = [
        "ablation", "--pairs", "en-sw=starter:en-sw", "--held-out", "en-sw=starter:en-sw@test", "--held-out-limit", 16,
        "--gold", f"toy={gold[1]},{gold[0]}", "--xquad", f"en={tmp_path / 'en.json'}", "--model", tiny_model_path,
        "--steps", 2, "--batch-size", 8, "--objectives", "mse distillation", "linked words (L2)", "--shares", 1, 0.5,
        "--noise", "misaligned=0.3,truncated=0.2",
        "--runs", tmp_path / "runs", "-o", tmp_path / "ablation.json",
    ]  # fmt: skip
    (tmp_path / "runs" / "mse-distillation-1.lock").touch()  # of a killed process
    with FileLock(tmp_path / "runs" / "linked-words-l2--1.lock"):  # another process trains this objective
        assert "| objective |" not in run(*arguments, "--train-only")
        assert not list((tmp_path / "runs").glob("*.json"))
        printed = run(*arguments)
    document = json.loads((tmp_path / "ablation.json").read_text())
    found = [(each["objective"], each["share"]) for each in document["runs"]]
    assert found == [("untrained", 0), ("mse distillation", 1), ("mse distillation", 0.5)]
    noise = {"misaligned": 0.3, "truncated": 0.2}
    assert document["settings"]["noise"] == noise
    assert [each.get("noise") for each in document["runs"]] == [None, noise, noise]
    trained = document["runs"][1]
    assert trained["questions"] == {"en": 1.0}
    scores = trained["retrieval"]["scores"]
    cell = 100 * scores[0]["accuracy_target_to_source"]
    assert f"| mse distillation | 1 | {cell:.1f} | " in printed
    assert "| mse distillation, 0.5 of the way | 1 | " in printed
    benchmark = benchmark_script("ablation")
    options = argparse.Namespace(model=str(tiny_model_path))
    weights = tmp_path / "runs" / "mse-distillation-1.safetensors"
    start, half, end = (
        dict(benchmark.load(options, weights, share)[0].named_parameters()) for share in (0, 0.5, 1)
    )
    moved = 0.0
    for name in start:
        torch.testing.assert_close(half[name], (start[name] + end[name]) / 2)
        moved = max(moved, float((end[name] - start[name]).detach().abs().max()))
    assert moved > 1e-6

    # The same row again, from the document alone: every figure is in its range, until the published one is changed.
    reproduce = benchmark_script("reproduce")
    monkeypatch.setattr(reproduce.ablation, "MIDDLE", 2)
    monkeypatch.setattr(reproduce, "RESULTS", tmp_path)
    again = ["reproduce", "ablation", "--row", "mse distillation, 0.5 of the way", "--data", tmp_path]
    printed = run(*again, "--runs", tmp_path / "again", "--models", tmp_path / "models")
    assert "\n0 of " in printed
    saved = dict(SentenceTransformer(str(tmp_path / "models" / "mse-distillation-1-0.5")).named_parameters())
    for name, expected in half.items():
        torch.testing.assert_close(saved[name], expected)
    document["runs"][2]["mean_cosine"] += 0.11  # one seed: twice the allowance is .1
    (tmp_path / "ablation.json").write_text(json.dumps(document))
    printed = run(*again, "--runs", tmp_path / "again")
    assert "\n1 of " in printed
    assert printed.count("OUTSIDE") == 1


def test_noise_is_planted_in_the_stated_shares_of_different_pairs(benchmark_script):
    """10 pairs: 3 exchange their targets, 2 others lose half of a side, 5 stay; 'c d' is the second half of a side."""
    benchmark = benchmark_script("noise")
    source = [f"{row} a b c d" for row in range(10)]
    target = [f"{row} v w x y" for row in range(10)]
    noise = {"misaligned": 0.3, "truncated": 0.2}
    found = benchmark.with_noise(source, target, noise, "en-sw")
    assert (len(found.misaligned), len(found.truncated)) == (3, 2)
    assert not set(found.misaligned) & set(found.truncated)
    assert sorted(found.target[row][0] for row in found.misaligned) == sorted(map(str, found.misaligned))
    for row in range(10):
        sides = found.source[row], found.target[row]
        if row in found.misaligned:
            assert sides[0] == source[row]
            assert sides[1] != target[row]
            assert sides[1] in target
        elif row in found.truncated:
            assert sides in ((f"{row} a b", target[row]), (source[row], f"{row} v w"))
        else:
            assert sides == (source[row], target[row])
    assert benchmark.with_noise(source, target, noise, "en-sw") == found
    assert benchmark.with_noise(source, target, noise, "en-ar") != found


def test_misaligned_pairs_have_another_text_although_targets_repeat(benchmark_script):
    """Two of four targets are equal: three can be exchanged, four cannot; one pair alone has no other to exchange with."""
    noisy = benchmark_script("noise").with_noise
    source, target = ["a", "b", "c", "d"], ["v", "v", "x", "y"]
    for seed in "abcdefgh":
        found = noisy(source, target, {"misaligned": 0.75}, seed)
        assert found.misaligned == [0, 2, 3]
        assert found.target[1] == "v"
        assert all(found.target[row] != target[row] for row in found.misaligned)
    with pytest.raises(ValueError, match="only 3"):
        noisy(source, target, {"misaligned": 1.0}, "a")
    with pytest.raises(ValueError, match="one pair"):
        noisy(source, target, {"misaligned": 0.25}, "a")
    with pytest.raises(ValueError, match="only 0"):
        noisy(source, target, {"truncated": 0.5}, "a")


def test_half_of_a_text_ends_at_the_space_nearest_to_its_middle(benchmark_script):
    half = benchmark_script("noise").first_half
    texts = ["one two three four", "แมวนอน", "ab", "a bcdefgh", "Donaudampfschiff fährt"]
    assert [half(text) for text in texts] == ["one two", "แมว", "a", "a", "Donaudampfschiff"]


@pytest.mark.parametrize("text", ["misaligned=0.7,truncated=0.4", "shuffled=0.1", "misaligned=-0.1", "truncated"])
def test_impossible_noise_is_refused(benchmark_script, text):
    with pytest.raises((argparse.ArgumentTypeError, ValueError), match=r"share|float"):
        benchmark_script("noise").parse_noise(text)


@pytest.mark.parametrize(
    ("name", "recorded", "option"),
    [
        ("noise", {"misaligned": 0.3}, ["--noise", "misaligned=0.3"]),
        ("freeze", ["embeddings", "layers:7"], ["--freeze", "embeddings", "layers:7"]),
    ],
)
def test_runs_under_different_conditions_are_not_joined(benchmark_script, tmp_path, name, recorded, option):
    ablation = benchmark_script("ablation")
    runs = [{"objective": "mnrl", "seed": seed, "share": 1.0, "retrieval": {}} for seed in (1, 2)]
    options = ablation.parser().parse_args(["--runs", str(tmp_path), *option])
    for number, each in enumerate(runs):
        (tmp_path / f"{number}.json").write_text(json.dumps(each | {name: recorded}))
    document = ablation.collect(options)
    assert document["settings"][name] == recorded
    assert len(document["runs"]) == 2
    (tmp_path / "1.json").write_text(json.dumps(runs[1]))
    with pytest.raises(SystemExit, match=f"other {name}"):
        ablation.collect(options)


RIGHT = [
    ("the cat sat on the mat", "the cat sat on the mat"),
    ("der Hund schlief im Haus", "der Hund schlief im Haus"),
    ("el gato duerme en la casa", "el gato duerme en la casa"),
    ("кошка спит в доме", "кошка спит в доме"),
]


def columns_of(model, pairs):
    return [model.preprocess([pair[side] for pair in pairs]) for side in (0, 1)]


@pytest.mark.parametrize("share", [None, 0.6])
def test_ranking_weighted_by_transport_trusts_wrong_pairs_less(benchmark_script, tiny_model, share):
    """Two pairs exchange their targets; equal sentences transport at no cost, and have cosine 1."""
    loss = benchmark_script("baselines").WeightedRankingLoss(tiny_model.eval(), share=share)
    pairs = [RIGHT[0], (RIGHT[1][0], RIGHT[2][1]), (RIGHT[2][0], RIGHT[1][1]), RIGHT[3], ("the dog", "the dog")]
    columns = columns_of(tiny_model, pairs)
    with loss._reader.recording(tiny_model) as passes, torch.no_grad():
        for each in columns:
            tiny_model(each)
    units = [loss._reader.units(columns[side], passes, side) for side in (0, 1)]
    weights = loss.weights(*units)
    assert not weights.requires_grad
    assert weights[[1, 2]].max() < weights[[0, 3, 4]].min() - 0.1
    loss(columns, None).backward()
    moved = [each.grad for each in tiny_model.parameters() if each.grad is not None]
    assert all(torch.isfinite(each).all() for each in moved)
    assert max(float(each.abs().max()) for each in moved) > 0


def test_ranking_with_equal_weights_is_that_of_sentence_transformers(benchmark_script, tiny_model, monkeypatch):
    baselines = benchmark_script("baselines")
    tiny_model.eval()
    loss = baselines.WeightedRankingLoss(tiny_model)
    plain = benchmark_script("ablation").ranking(tiny_model)
    pairs = [(first[0], second[1]) for first, second in zip(RIGHT, [*RIGHT[1:], RIGHT[0]], strict=True)]
    monkeypatch.setattr(loss, "weights", lambda source, target: torch.full((len(pairs),), 0.3))
    found = loss(columns_of(tiny_model, pairs), None)
    torch.testing.assert_close(found, plain(columns_of(tiny_model, pairs), None))
    # With weights 1, 0, 0, 0, the loss is the term of the first pair.
    monkeypatch.setattr(loss, "weights", lambda source, target: torch.eye(len(pairs))[0])
    x, y = (torch.tensor(tiny_model.encode([pair[side] for pair in pairs])) for side in (0, 1))
    scores = 20 * x @ y.T
    terms = scores.logsumexp(1)[0] + scores.logsumexp(0)[0] - 2 * scores[0, 0]
    torch.testing.assert_close(loss(columns_of(tiny_model, pairs), None), terms / 2, rtol=1e-4, atol=1e-4)


def test_weights_are_a_sigmoid_of_the_distance_from_the_median(benchmark_script, tiny_model, monkeypatch):
    """Costs .2, .3, .5 and an empty pair: the median is .3, and the weights sigmoid(1), sigmoid(0), sigmoid(-2), .5."""
    baselines = benchmark_script("baselines")
    loss = baselines.WeightedRankingLoss(tiny_model)
    plan = argparse.Namespace(plan=torch.ones(4, 1, 1), status=torch.tensor([0, 0, 0, 2]))
    cost = torch.tensor([0.2, 0.3, 0.5, 0.0]).reshape(4, 1, 1)
    monkeypatch.setattr(baselines, "transported", lambda source, target, share: (cost, plan))
    units = argparse.Namespace(vectors=torch.zeros(4, 1, 1))
    torch.testing.assert_close(loss.weights(units, units), torch.tensor([1.0, 0.0, -2.0, 0.0]).sigmoid())


def test_partial_transport_beside_a_loss_trains_and_is_free_for_equal_sides(benchmark_script, tiny_model):
    """The exact partial plan of equal clouds costs 0; the entropic value is above it by less than its entropy term."""
    ranking = benchmark_script("ablation").ranking(tiny_model.eval())
    loss = benchmark_script("baselines").PartialTransportLoss(tiny_model, ranking, layer=2)
    wrong = [(first[0], second[1]) for first, second in zip(RIGHT, [*RIGHT[1:], RIGHT[0]], strict=True)]
    values = [loss(columns_of(tiny_model, pairs), None) for pairs in (RIGHT, wrong)]
    assert values[0].keys() == {"sentence", "alignment"}
    assert values[0]["alignment"] < 0.05 * (np.log(6) + 1)
    assert values[1]["alignment"] > values[0]["alignment"] + 0.1
    values[1]["alignment"].backward()
    gradients = [each.grad for each in tiny_model.parameters() if each.grad is not None]
    assert max(float(each.abs().max()) for each in gradients) > 0


def test_words_labeled_by_mutual_neighbors_or_by_every_word(benchmark_script, tiny_model):
    """By hand: of two pairs, the first has the link (0, 0), whose words have the masses 1/2 and 1; the second has no target."""
    ranking = benchmark_script("ablation").ranking(tiny_model.eval())
    baselines = benchmark_script("baselines")
    x = torch.tensor([[[1.0, 0.0], [0.8, 0.6]], [[1.0, 0.0], [0.0, 1.0]]])
    y = torch.tensor([[[1.0, 0.1], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    a, b = torch.tensor([[0.5, 0.5], [0.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    wanted = {"mutual": [[[0.5, 0], [0, 0]], [[0, 0], [0, 0]]], "every": [[[0.5, 0], [0.5, 0]], [[0, 0], [0, 0]]]}
    for labels, plan in wanted.items():
        loss = baselines.LabeledWordsLoss(tiny_model, ranking, labels, 2.0)
        assert loss.plan(x, y, a, b).tolist() == plan
        terms = loss(columns_of(tiny_model, RIGHT), None)
        assert terms.keys() == {"sentence", "alignment"}
        tiny_model.zero_grad()
        terms["alignment"].backward()
        gradients = [each.grad for each in tiny_model.parameters() if each.grad is not None]
        assert max(float(each.abs().max()) for each in gradients) > 0
        once = baselines.LabeledWordsLoss(tiny_model, ranking, labels, 1.0)(columns_of(tiny_model, RIGHT), None)
        assert terms["alignment"].item() == pytest.approx(2 * once["alignment"].item())


@pytest.mark.parametrize("layer", [-1, 2])
def test_words_labeled_by_the_plans_of_the_library_are_ranked_as_in_the_library(
    benchmark_script, tiny_model, monkeypatch, layer
):
    ranking = benchmark_script("ablation").ranking(tiny_model.eval())
    wanted = otembed.OTAlignmentLoss(tiny_model, ranking, objective="ranking", weight=1.0, label_layer=layer)
    loss = benchmark_script("baselines").LabeledWordsLoss(tiny_model, ranking, "every", 1.0, layer)
    monkeypatch.setattr(loss, "plan", lambda *clouds: wanted._transport.solve(*clouds).plan)
    found, expected = (each(columns_of(tiny_model, RIGHT), None)["alignment"].item() for each in (loss, wanted))
    assert found == pytest.approx(expected, rel=1e-6)


def test_precision_of_labels_is_the_share_of_their_mass_on_possible_links(benchmark_script):
    """By hand: .5 of .8 in the first sentence, none of .2 in the second."""
    labels = torch.tensor([[[0.5, 0.2], [0.0, 0.1]], [[0.0, 0.2], [0.0, 0.0]]])
    gold = [GoldSentence(frozenset({(0, 0)}), frozenset({(0, 0), (1, 0)})), GoldSentence(frozenset(), frozenset())]
    assert benchmark_script("word_labels").label_masses(labels, gold) == pytest.approx((0.5, 1.0))


def test_labels_of_words_are_compared(run, benchmark_script, tmp_path, tiny_model_path, monkeypatch):
    """The layers of word_labels.py are those of a 12-layer encoder, the tiny one has 3."""
    monkeypatch.setattr(benchmark_script("word_labels"), "LAYERS", (2, -1))
    (tmp_path / "text").write_text("the cat sat ||| die Katze saß\nthe dog ||| der Hund\n", encoding="utf-8")
    (tmp_path / "links").write_text("1 1 1 S\n1 2 2 S\n2 1 1 S\n2 2 2 P\n", encoding="utf-8")
    output = tmp_path / "labels.json"
    gold = f"deen={tmp_path / 'links'},{tmp_path / 'text'}"
    shown = run("word_labels", "--model", tiny_model_path, "--gold", gold, "-o", output)
    document = json.loads(output.read_text(encoding="utf-8"))
    assert benchmark_script("word_labels").table(document) in shown
    for each in document["figures"]:
        assert 0 <= each["precision"]["deen"] <= 1 + 1e-6
        assert 0 < each["mass"]["deen"] <= 1 + 1e-6
    balanced = [each for each in document["figures"] if each["labels"] == "plan" and each["relaxation"] is None]
    assert [each["mass"]["deen"] for each in balanced] == pytest.approx([1.0] * 8, abs=1e-3)


def test_expected_range_is_the_prediction_interval_of_the_seeds(benchmark_script, monkeypatch):
    """Values 1, 2, 6: mean 3, standard deviation sqrt(7); 4.3027 is Student's t for 2 degrees of freedom."""
    reproduce = benchmark_script("reproduce")
    monkeypatch.setattr(reproduce.ablation, "figures_of", lambda each, trained: {"AER last": each})
    document = {"settings": {"trained": []}}
    mean, width = reproduce.expected(document, [1.0, 2.0, 6.0])["AER last"]
    assert (mean, width) == pytest.approx((3, 4.3027 * 7**0.5 * (4 / 3) ** 0.5), rel=1e-4)
    assert reproduce.expected(document, [1.0])["AER last"] == (1, 2)
    assert reproduce.expected(document, [1.0, 1.0])["AER last"] == (1, 1)


def test_files_of_a_recorded_command_are_found_by_name(benchmark_script, tmp_path):
    located = benchmark_script("reproduce").located
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "twice").touch()
    (tmp_path / "a" / "once").touch()
    assert located("en-sw=once,once", tmp_path) == f"en-sw={tmp_path / 'a' / 'once'},{tmp_path / 'a' / 'once'}"
    assert located("en-sw=starter:en-sw", tmp_path) == "en-sw=starter:en-sw"
    with pytest.raises(SystemExit, match="2 files"):
        located("en-sw=twice", tmp_path)
    command = [
        "ablation.py",
        "--pairs",
        "en-sw=starter:en-sw",
        "--held-out",
        "en-de=x.en,x.de",
        "--tagging-train",
        "t",
    ]
    assert benchmark_script("reproduce").files_of({"environment": {"command": command}}) == ["t", "x.de", "x.en"]


def test_otsu_threshold_matches_a_search_over_all_splits(benchmark_script):
    benchmark = benchmark_script("calibration")
    scores = np.random.default_rng(0).normal(size=60) + np.repeat([0.0, 3.0], [40, 20])
    values = np.sort(scores)
    within = {
        t: sum(part.var() * len(part) for part in (values[values < t], values[values >= t])) for t in values[1:]
    }
    assert benchmark.otsu(scores) == min(within, key=within.get)
    right = np.array([True, False, True, True])
    assert benchmark.figures(np.array([4.0, 3.0, 2.0, 1.0]), right, 5, 2.0) == pytest.approx([2 / 3, 2 / 5, 4 / 8])


@pytest.mark.slow
def test_rescoring_benchmark_matches_mining(run, benchmark_script, tmp_path, tiny_model_path):
    """Figures of the default form against mine_bitext itself on the same lines."""
    benchmark = benchmark_script("rescore")
    names = ["the", "cat", "dog", "house", "mat", "slept", "sat", "in", "on", "Katze", "Hund", "Haus"]
    draw = np.random.default_rng(0)
    for language in ("ara", "swh"):
        lines = [f"{language} {number} {' '.join(draw.choice(names, 5))}" for number in range(30)]
        turned = [" ".join(["the", *line.split()[::-1]]) for line in lines]
        for side, rows in ((language, lines), ("eng", turned)):
            (tmp_path / f"tatoeba.{language}-eng.{side}").write_text("\n".join(rows) + "\n")
    output = tmp_path / "rescore.json"
    printed = run(
        "rescore", "--smoke", "--tatoeba", tmp_path, "--model", f"tiny={tiny_model_path}", "--cache", tmp_path / "cache",
        "-o", output,
    )  # fmt: skip
    document = json.loads(output.read_text())
    assert benchmark.table(document) in printed
    assert benchmark.forms_table(document) in printed
    assert document["chosen"] in benchmark.forms()
    bitext = benchmark.read(tmp_path, 30)
    rows = np.flatnonzero(bitext.language == "swh")
    found = []
    for seed in range(benchmark.DRAWS):
        left, right = benchmark.orphaned(rows, seed)
        sides = [bitext.source[row] for row in left], [bitext.target[row] for row in right]
        mined = otembed.mine_bitext(
            *sides, otembed.load_model(tiny_model_path), rescore="ot", threshold=None, cache=tmp_path / "cache"
        )
        right_ones = [left[pair.source_id - 1] == right[pair.target_id - 1] for pair in mined]
        gold = len(np.intersect1d(left, right))
        found.append(mining_scores(mined.pairs.score, right_ones, gold).average_precision)
    (cell,) = [
        each
        for each in document["models"]["tiny"]["pairs"]
        if (each["language"], each["form"]) == ("swh", benchmark.DEFAULT_FORM)
    ]
    assert cell["average_precision"] == pytest.approx(np.mean(found), abs=0.01)


@pytest.mark.slow
def test_calibration_runs_and_renders(run, tmp_path):
    output = tmp_path / "calibration.json"
    table = run("calibration", "--smoke", "-o", output)
    (setting,) = json.loads(output.read_text())["settings"]
    assert setting["lost"]["calibrated"] < 0.05
    assert setting["lost"]["calibrated"] < setting["lost"]["otsu"]
    assert f"| small | 400 x 400 | 200 | 200 | {setting['best_f1']:.3f} | " in table


@pytest.mark.slow
def test_encoding_benchmark_runs_and_renders(run, benchmark_script, tmp_path, tiny_model_path):
    output = tmp_path / "encoding.json"
    printed = run("encoding", "--smoke", "--rounds", 1, "--model", tiny_model_path, "-o", output, "--limit", 12)
    document = json.loads(output.read_text())
    benchmark = benchmark_script("encoding")
    assert benchmark.table(document) in printed
    (text,) = document["texts"]
    assert text["sentences"] == 24
    assert set(text["ratios"]) == set(benchmark.ARMS)
    assert text["ratios"][benchmark.PEER] == 1
    assert 0.99 < text["quality"]["smallest_cosine"] <= 1
    model = otembed.load_model(str(tiny_model_path))
    report = evaluate_retrieval(model, {"en-xx": benchmark.read("", 12)})
    assert text["quality"]["otembed, float32"] == pytest.approx(
        [100 * report.scores[0].accuracy_target_to_source, 100 * report.scores[0].accuracy_source_to_target]
    )
    only = tmp_path / "float32.json"
    run("encoding", "--smoke", "--no-bf16", "--rounds", 1, "--model", tiny_model_path, "-o", only, "--limit", 12)
    (text,) = json.loads(only.read_text())["texts"]
    assert set(text["ratios"]) == set(benchmark.ARMS) - {"otembed, bf16"}
    assert "quality" not in text


@pytest.mark.slow
def test_xnli_probe_benchmark_runs_and_renders(run, benchmark_script, tmp_path, tiny_model_path):
    output = tmp_path / "xnli_probe.json"
    printed = run("xnli_probe", "--smoke", "--repeats", 1, "--model", tiny_model_path, "-o", output)
    document = json.loads(output.read_text())
    benchmark = benchmark_script("xnli_probe")
    assert benchmark.table(document) in printed
    assert document["same_accuracies"]
    assert document["largest_difference"] < 1e-5
    assert document["settings"]["sentences"] <= 2 * (60 + 6 * 15)
    assert document["ratio"] == pytest.approx(
        min(document["all_cpu_seconds"][benchmark.PROBE]) / min(document["all_cpu_seconds"][benchmark.PLAIN]),
        rel=0.1,
    )


def test_vecalign_costs_match_a_count_by_hand(benchmark_script):
    """Two sentences a side, equal to each other: the pairs cost nothing, whatever the sampled means are."""
    benchmark = benchmark_script("documents")
    x = np.zeros((2, 2, 4), np.float32)
    x[0, 0, 0] = x[0, 1, 1] = 1
    x[1, 0, :2] = 2**-0.5
    steps = benchmark.vecalign(x, x, max_sentences=3)
    assert [(step.source, step.target) for step in steps] == [((0, 1), (0, 1)), ((1, 2), (1, 2))]
    y = x[:, :1].copy()
    y[0, 0] = x[1, 0]
    # 1-1 costs 1 - .71 over the mean distances, 2-1 costs nothing, although it is multiplied by 2.
    (step,) = benchmark.vecalign(x, y, max_sentences=3)
    assert (step.source, step.target) == ((0, 2), (0, 1))


def test_planted_documents_match_their_links(benchmark_script):
    benchmark = benchmark_script("documents")
    lines = [f"line {number}" for number in range(120)]
    for kind in benchmark.KINDS:
        source, target, links = benchmark.plant(lines, lines, kind, 1)
        pairs = [link for link in links if link[1]]
        assert sorted(line for link in links for line in link[0]) == list(range(120))
        assert [target.sentences[link[1][0]] for link in pairs] == [
            " ".join(source.sentences[line] for line in link[0]) for link in pairs
        ]
        missing = sum(not link[1] for link in links)
        assert missing == (24 if kind in ("deleted", "all") else 0)
        assert any(len(link[0]) == 2 for link in pairs) == (kind in ("joined", "all"))
        assert (benchmark.moved_share(links) > 0) == (kind in ("exchanged", "all"))


def test_links_are_counted_as_gold_has_them(benchmark_script):
    side = document_of(["a", "b", "c"], "x")
    links = (Link((0,), (0,), 0.9, 0.9), Link((1,), (2,), 0.4, 0.4), Link((2,), (), 0.0, 0.0))
    gold = GoldDocuments(side, side, (((0,), (0, 1)), ((1,), ()), ((2,), (2,))))
    pair = AlignedPair("d", side, side, links)
    scores, right = benchmark_script("link_threshold").counted([pair], {"d": gold})
    assert (scores.tolist(), right.tolist()) == ([0.9, 0.4], [True, False])


@pytest.mark.slow
def test_documents_benchmark_runs_and_renders(run, benchmark_script, tmp_path, tiny_model_path):
    texts = [f"the cat {number} sat on the mat\n" for number in range(12)]
    for name, content in (("a.en", texts), ("a.de", texts[1:])):
        (tmp_path / name).write_text("".join(content))
    (tmp_path / "links").write_text("".join(f"[{number}]:[{number - 1}]\n" for number in range(1, 12)))
    gold = ",".join(str(tmp_path / name) for name in ("a.en", "a.de", "links"))
    output = tmp_path / "documents.json"
    arguments = [
        "--smoke",
        "--gold",
        f"dev={gold}",
        "--gold",
        f"toy={gold}",
        "--model",
        tiny_model_path,
        "-o",
        output,
    ]
    printed = run("documents", *arguments)
    document = json.loads(output.read_text())
    benchmark = benchmark_script("documents")
    assert benchmark.table(document) in printed
    assert document["verdict"] == benchmark.verdict(document)
    toy = {each["method"]: each for each in document["gold"] if each["documents"] == "toy"}
    assert set(toy) == {benchmark.PEER, *benchmark.VARIANTS}
    assert {each["gold"] for each in toy.values()} == {11}
    assert len(document["planted"]) == len(benchmark.KINDS)
    assert all(each["cpu_seconds"] >= 0 and each["vectors_mb"] == 2.5 for each in document["scaling"])


def test_greedy_distance_and_bimax_by_hand(benchmark_script):
    """Cosines .9 .1 / .8 .2: greedily .5 x .9 first, then .5 x .2, at costs .1 and .8; best matches .9, .8, .9, .2."""
    benchmark = benchmark_script("document_matching")
    x = np.eye(2, dtype=np.float32)
    y = np.array([[0.9, 0.8], [0.1, 0.2]], np.float32)
    half = np.array([0.5, 0.5], np.float32)
    assert benchmark.greedy_distance(x, y, half, half) == pytest.approx(0.5 * 0.1 + 0.5 * 0.8)
    assert benchmark.bimax(x, y) == pytest.approx((0.9 + 0.8 + 0.9 + 0.2) / 4)


def test_drawn_collections_match_their_description(benchmark_script):
    benchmark = benchmark_script("document_matching")
    documents = [list(range(4 * number, 4 * number + 4)) for number in range(50)]
    drawn = benchmark.draw_collections(documents, 3)
    assert len(drawn.source) == 40
    assert len(drawn.target) == 37  # 30 and 10, of which 3 are joined with another one
    assert len(drawn.gold) == 30
    lengths = [len(drawn.target[target]) for _, target in drawn.gold]
    assert sorted(lengths) == [2] * 9 + [4] * 18 + [8] * 3
    assert all(set(drawn.source[source]) & set(drawn.target[target]) for source, target in drawn.gold)
    paired = {source for source, _ in drawn.gold}
    others = {line for place in range(40) if place not in paired for line in drawn.source[place]}
    assert not others & {line for each in drawn.target for line in each}


@pytest.mark.slow
def test_distractors_are_pieces_of_other_documents(benchmark_script):
    benchmark = benchmark_script("document_matching")
    documents = [list(range(10 * number, 10 * number + 10)) for number in range(70)]
    pieces = benchmark.pieces_of(documents)
    assert [each for each in pieces if each[0] < 10] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    drawn = {count: benchmark.draw_distracted(pieces, count, 3) for count in benchmark.DISTRACTORS}
    for count, each in drawn.items():
        assert len(each.source) == len(each.gold) == 10
        assert len(each.target) == 10 * (1 + count)
        assert each.source == drawn[1].source
        halved = 0
        for row, column in each.gold:
            assert set(each.target[column]) <= set(each.source[row])
            halved += len(each.target[column]) < len(each.source[row])
        assert halved == 3
        lines = [line for target in each.target for line in target]
        assert len(lines) == len(set(lines))


def test_document_matching_runs_and_renders(run, benchmark_script, tmp_path, tiny_model_path):
    output = tmp_path / "matching.json"
    printed = run("document_matching", "--smoke", "--model", tiny_model_path, "-o", output)
    document = json.loads(output.read_text())
    benchmark = benchmark_script("document_matching")
    assert benchmark.table(document) in printed
    assert [each["method"] for each in document["languages"]["sw"]["figures"]] == list(benchmark.METHODS)
    assert benchmark.distractor_table(document) in printed


@pytest.mark.slow
def test_onnx_export_runs_and_compares_with_torch(run, benchmark_script, tmp_path, tiny_model_path):
    output = tmp_path / "onnx.json"
    shown = run("onnx_export", "--smoke", "--model", tiny_model_path, "-o", output)
    document = json.loads(output.read_text())
    assert shown == run("onnx_export", "--table", output)
    figures = document["figures"]
    assert figures["onnxruntime, float32"]["largest_difference"] < 1e-4
    assert 0.9 < figures["onnxruntime, int8"]["lowest_cosine"] <= figures["onnxruntime, int8"]["mean_cosine"] < 1
    assert (document["sentences"], figures["torch"]["times_torch"]) == (24, 1)
    module = benchmark_script("onnx_export")
    assert module.ratio([1.0, 2.0, 1.0], [2.0, 2.0, 3.0]) == 2
    assert (
        module.verdict({**figures, module.FLOAT: {"largest_difference": 1e-3, "times_torch": 2}}) == "does not hold"
    )


@pytest.mark.slow
def test_streamed_text_is_measured_against_stored_text(run, benchmark_script, tmp_path):
    output = tmp_path / "streaming.json"
    printed = run("streaming", "--lines", 400, "-o", output)
    document = json.loads(output.read_text())
    benchmark = benchmark_script("streaming")
    assert benchmark.table(document) in printed
    rows = {each["arm"]: each for each in document["rows"]}
    assert rows.keys() == benchmark.ARMS.keys()
    # Lines 1, 101, 201, 301 are copies, lines 2, 102, 202, 302 have an empty side.
    assert {each["kept"] for each in rows.values()} == {392}
    assert rows["streamed"]["pairs"] == rows["stored first"]["pairs"] == 384
    assert rows["streamed"]["disk_mb"] == 0 < rows["stored first"]["disk_mb"]


@pytest.mark.slow
def test_adapters_are_measured_against_full_training(run, benchmark_script, tmp_path, tiny_model_path):
    output = tmp_path / "lora.json"
    arguments = [
        "--pairs", "en-sw=starter:en-sw", "--held-out", "en-sw=starter:en-sw@test", "--held-out-limit", 16,
        "--model", tiny_model_path, "--steps", 2, "--batch-size", 8, "--precision", "float32", "-o", output,
    ]  # fmt: skip
    printed = run("lora", *arguments, "--arms", "full", "4")
    document = json.loads(output.read_text())
    benchmark = benchmark_script("lora")
    assert benchmark.table(document) in printed
    assert set(document["arms"]) == {"full", "4"}
    # Query and value of three layers: two factors of 4 x 32 each.
    assert document["arms"]["4"]["trained_parameters"] == 3 * 2 * 2 * 4 * 32
    assert document["arms"]["4"]["checkpoint_mb"] < document["arms"]["full"]["checkpoint_mb"]


def test_gains_are_means_over_directions_and_seeds(run, benchmark_script, tmp_path):
    """Untrained 50 and 60: mean 55. Trained 60 and 70, and 80 and 90: 65 and 85, so 75 and a gain of 20."""

    def measured(objective, forward, backward, seed=0, share=1.0):
        score = {"pair": "en-sw", "accuracy_source_to_target": forward, "accuracy_target_to_source": backward}
        return {"objective": objective, "seed": seed, "share": share, "retrieval": {"scores": [score]}}

    settings = {"steps": 40, "limit": 10_000, "trained": ["en-sw"]}
    runs = [measured("untrained", 0.5, 0.6), measured("mnrl", 0.6, 0.7, 1), measured("mnrl", 0.8, 0.9, 2)]
    runs += [measured("mnrl", 0.1, 0.1, 1, share=0.75), measured("mse distillation", 0.1, 0.1, 1)]
    made = {"environment": {"command": ["ablation.py"]}}
    (tmp_path / "forty.json").write_text(json.dumps(made | {"settings": settings, "runs": runs}))
    later = made | {
        "settings": settings | {"steps": 1500, "limit": 250},
        "runs": [runs[0], measured("mnrl", 0.4, 0.5, 1)],
    }
    (tmp_path / "later.json").write_text(json.dumps(later))
    printed = run(
        "gains", "--steps", tmp_path / "later.json", "--steps", tmp_path / "forty.json", "--pairs",
        tmp_path / "later.json", "-o", tmp_path / "gains.json",
    )  # fmt: skip
    assert printed.splitlines() == [
        "| steps | pairs | seeds | sw |",
        "| ---: | ---: | ---: | ---: |",
        "| 40 | 10,000 | 2 | +20.0 |",
        "| 1,500 | 250 | 1 | -10.0 |",
        "| 1,500 | 250 | 1 | -10.0 |",
    ]
    assert run("gains", "--table", tmp_path / "gains.json") == printed
    pytest.importorskip("matplotlib")
    run("gains", "--plot", tmp_path / "gains.svg", tmp_path / "gains.json")
    drawn = (tmp_path / "gains.svg").read_text()
    assert all(text in drawn for text in ("1,500", "steps of 32 pairs", "pairs of each trained language", "sw"))


def span_report(f1, seed, **changes):
    outcomes = [
        Outcomes("xquad", f"span/{code}", metric, "0", tuple(values))
        for code, values in f1.items()
        for metric in ("f1", "exact_match")
    ]
    return replace(spans(), outcomes=tuple(outcomes), settings={**spans().settings, "seed": seed}, **changes)


def test_spans_are_compared_with_the_head_of_the_same_seed(benchmark_script):
    script = benchmark_script("span_seeds")
    start = [span_report({"en": (0.2, 9, 0.4, 9), "ar": (0.5, 9, 0.5, 9)}, seed) for seed in (1, 2)]
    trained = [
        span_report({"en": (0.1, 9, 0.3, 9), "ar": (0.5, 9, 0.5, 9)}, 1),
        span_report({"en": (0.4, 0, 0.6, 0), "ar": (0.6, 0, 0.6, 0)}, 2),
    ]
    runs = script.collect({"a": start, "b": trained}, 2)
    assert [(run["model"], run["seed"], run["questions"]) for run in runs] == [
        ("a", 1, 2),
        ("a", 2, 2),
        ("b", 1, 2),
        ("b", 2, 2),
    ]
    assert runs[2]["f1"] == pytest.approx({"en": 0.2, "ar": 0.5})
    # All questions change alike, so every resample has the same change.
    assert [*runs[2]["interval"], runs[2]["change"]] == pytest.approx([-0.05] * 3)
    assert [*runs[3]["interval"], runs[3]["change"]] == pytest.approx([0.15] * 3)
    lines = script.table({"runs": runs}).splitlines()
    assert lines[3] == "| a | 2 | 30.0 | 50.0 | 40.0 |  |"
    assert lines[5:] == [
        "| b | 1 | 20.0 | 50.0 | 35.0 | -5.0 (-5.0 to -5.0) |",
        "| b | 2 | 50.0 | 60.0 | 55.0 | +15.0 (+15.0 to +15.0) |",
        "| b | mean | 35.0 | 55.0 | 45.0 | +5.0 |",
    ]
    one = {"en": (0.1, 0.2)}
    for other, message in (
        ([span_report(one, 2)], "other settings"),
        ([span_report(one, 1, training_data="else")], "other settings"),
        ([span_report({"en": (0.1,)}, 1)], "other questions"),
        ([], "0 reports"),
    ):
        with pytest.raises(SystemExit, match=message):
            script.collect({"a": [span_report(one, 1)], "b": other}, None)


def test_spaced_questions_are_those_of_a_limit(benchmark_script):
    questions = QuestionSet("x", (), tuple(Question(str(number), "?", 0, ()) for number in range(11)))
    chosen = [int(each.id) for each in questions.spread(4).questions]
    one = Outcomes("xquad", "span/en", "f1", "0", tuple(range(11)))
    assert list(benchmark_script("span_seeds").spaced(one, 4).values) == chosen
