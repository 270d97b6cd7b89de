"""Models, run folders and result files side by side; what is refused."""

import json
import shutil

import pytest
from sentence_transformers import SentenceTransformer

import otembed
from otembed.comparison import Comparison, compare
from otembed.comparison.sources import open_source, read_curve, stand_in_notes
from otembed.errors import ConfigError, DataError, ModelError
from otembed.tasks.mining import evaluate_mining
from otembed.tasks.retrieval import evaluate_retrieval
from otembed.tasks.word_alignment import evaluate_alignment
from otembed.tasks.word_alignment.gold import GoldSentence
from otembed.tasks.xnli import evaluate_xnli
from otembed.tasks.xquad import evaluate_xquad

SOURCE = [
    "the cat sat on the mat",
    "the dog slept in the house",
    "a dog sat in the house",
    "the cat slept there",
] * 5
TARGET = [
    "die Katze saß auf der Matte",
    "der Hund schlief im Haus",
    "ein Hund saß im Haus",
    "die Katze schlief da",
] * 5
FAST = {"resamples": 200}


@pytest.fixture
def run(tmp_path, planted):
    """Make run folders as training leaves them."""

    def make(name, share, model=None):
        folder = tmp_path / name
        folder.mkdir()
        outcomes = [vars(planted(task, share, suite="retrieval")) for task in ("en-sw", "en-ar")]
        report = {"schema": 1, "kind": "RetrievalReport", "outcomes": outcomes}
        (folder / "results.json").write_text(json.dumps({"schema": 1, "kind": "TrainResult", "after": report}))
        (folder / "config.yaml").write_text("output: x\n")
        records = [{"step": step, "loss": 1 / step, "note": "x", "eval_en-sw_accuracy": 0.5} for step in (1, 2)]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
        (folder / "environment.json").write_text(json.dumps({"command": ["/bin/otembed", "train", "a b"]}))
        if model is not None:
            shutil.copytree(model, folder / "model")
        return folder

    return make


def test_result_files_and_names(results):
    found = compare(results["base"], f"better one={results['good']}", results["like"], **FAST)
    assert [model.name for model in found.models] == [results["base"], "better one", results["like"]]
    assert [each.verdict for each in found.means[0].differences] == ["better", "no clear difference"]
    assert found.headlines[0] == f"better one is better than {results['base']} on xnli."
    assert found.headlines[1] == f"{results['like']} shows no clear difference from {results['base']} on xnli."
    assert Comparison.from_json(found.to_json()) == found
    assert otembed.compare is compare


def test_run_folder_is_compared_by_its_figures_after_training(run):
    first, second = run("a", 0.5), run("b", 0.7)
    found = compare(first, second, **FAST)
    assert [model.origin for model in found.models] == ["run folder"] * 2
    assert found.models[1].curve == (
        {"step": 1, "loss": 1.0, "eval_en-sw_accuracy": 0.5},
        {"step": 2, "loss": 0.5, "eval_en-sw_accuracy": 0.5},
    )
    assert found.models[0].commands == ("otembed train 'a b'",)
    assert found.means[0].differences[0].verdict == "better"
    (first / "results.json").unlink()
    with pytest.raises(ConfigError, match=f"otembed train --resume {first}"):
        compare(first, second)


def test_models_are_evaluated_on_every_task(run, tiny_model, tiny_model_path, tiny_wordpiece_model_path):
    sides = [[text.split() for text in side] for side in (SOURCE, TARGET)]
    gold = [GoldSentence(frozenset({(0, 0)}), frozenset({(0, 0), (1, 1)}))] * len(SOURCE)
    known = {(1, 1), (2, 2)}
    suites = {
        "retrieval": {"en-de": (SOURCE, TARGET), "de-en": (TARGET, SOURCE)},
        "mining": {"en-de": (SOURCE, TARGET, known)},
        "alignment": {"ende": (*sides, gold)},
    }
    folder = run("trained", 0.5, tiny_wordpiece_model_path)
    found = compare(tiny_model_path, folder, suites=suites, device="cpu", centered=True, sentences=2, **FAST)
    figures = {(each.suite, each.task, each.metric): each.figures[0].value for each in found.tasks}
    retrieval = evaluate_retrieval(tiny_model, suites["retrieval"], centered=True)
    assert figures["retrieval", "en-de", "accuracy"] == retrieval.scores[0].accuracy
    assert figures["retrieval", "de-en, centered", "accuracy"] == retrieval.centered_scores[1].accuracy
    assert figures["mining", "en-de", "f1"] == evaluate_mining(SOURCE, TARGET, known, tiny_model).f1
    report = evaluate_alignment(tiny_model, suites["alignment"])
    assert figures["alignment", "ende", "aer"] == pytest.approx(report.aer)
    assert not found.not_compared
    assert found.models[1].curve
    assert [each.task for each in found.models[1].shapes] == ["en-de", "de-en"]
    shape = found.models[0].shapes[0]
    assert (shape.sentences, 0 < shape.mean_cosine < 1, shape.effective_rank > 1) == (40, True, True)
    maps = [(each.task, each.row, each.model) for each in found.word_maps]
    assert len(set(maps)) == len(maps)
    assert {(task, row) for task, row, model in maps if model == 0} == {
        (task, row) for task, row, model in maps if model == 1
    }
    for each in found.word_maps:
        assert (len(each.probabilities), len(each.probabilities[0])) == (len(each.source), len(each.target))
    assert Comparison.from_json(found.to_json()) == found


def test_model_is_compared_with_a_result_file(tmp_path, tiny_model, tiny_model_path):
    pairs = {"en-de": (SOURCE, TARGET)}
    evaluate_retrieval(tiny_model, pairs).to_json(tmp_path / "earlier.json")
    found = compare(tmp_path / "earlier.json", tiny_model_path, suites={"retrieval": pairs}, device="cpu", **FAST)
    assert all(each.differences[0].value == 0 and each.differences[0].p == 1 for each in found.tasks)
    assert "shows no clear difference from" in found.headlines[0]


def test_files_of_one_model_are_joined_and_tasks_selected(tmp_path, planted, write_result):
    one = write_result(tmp_path / "x.json", planted("sw"))
    two = write_result(tmp_path / "q.json", planted("en-ar", suite="xquad", metric="f1"), kind="XquadReport")
    found = compare(f"A={one},{two}", f"B={one},{two}", **FAST)
    assert {each.suite for each in found.tasks} == {"xnli", "xquad"}
    assert {each.suite for each in compare(f"A={one},{two}", one, only=["xnli"], **FAST).tasks} == {"xnli"}
    with pytest.raises(DataError, match=r"B .*mining"):
        compare(f"B={one}", f"C={one}", only=["mining"])
    with pytest.raises(DataError, match=r"B: .*xnli sw accuracy"):
        compare(one, f"B={one},{one}")


@pytest.mark.parametrize("names", [("m", "m", None), ("m", None, "n")])
def test_joined_files_of_other_models_are_noted(tmp_path, planted, write_result, names):
    places = [
        write_result(tmp_path / f"{row}.json", planted(str(row)), **({} if name is None else {"model": name}))
        for row, name in enumerate(names)
    ]
    source = open_source(f"B={','.join(places)}", evaluated=False)
    assert source.notes == (["joins results of m and n"] if "n" in names else [])


@pytest.mark.parametrize(
    ("document", "noted"),
    [
        ({"kind": "X", "stand_in": True}, True),
        ({"kind": "X", "stand_in": False}, False),
        ({"kind": "X", "training": {"stand_in_data": "SNLI"}}, True),
        ({"kind": "X", "training": "snli (stand-in)"}, True),
        ({"kind": "X", "model": "stand-in-model", "settings": {"data": "stand-in"}}, False),
        ({"kind": "X", "training": "MNLI"}, False),
    ],
)
def test_stand_in_training_is_noted(document, noted):
    assert stand_in_notes(document) == (["X: trained on stand-in data"] if noted else [])


def test_notes_reach_the_summary(tmp_path, planted, write_result):
    places = [write_result(tmp_path / f"{row}.json", planted(), stand_in=bool(row)) for row in range(2)]
    found = compare(*places, **FAST)
    assert f"Note on {places[1]}: xnli: trained on stand-in data." in found.summary
    other = write_result(tmp_path / "other.json", planted(suite="mining"), stand_in=True)
    more = write_result(tmp_path / "more.json", planted(task="sw"), stand_in=True)
    joined = compare(places[0], f"B={places[1]},{other},{more}", **FAST)
    assert joined.models[1].notes == ("xnli: trained on stand-in data", "mining: trained on stand-in data")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "JSON"),
        ("[" * 100_000, "JSON"),
        ("[1]", "kind"),
        ('{"kind": 5}', "kind"),
        ('{"kind": "X"}', "X has no outcomes"),
        ('{"kind": "TrainResult", "after": 3}', "after training"),
        ('{"kind": "X", "outcomes": [1]}', "outcomes"),
        ('{"kind": "X", "outcomes": 7}', "int"),
    ],
)
def test_files_that_are_not_results_are_rejected_by_name(tmp_path, text, message):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        open_source(str(path), evaluated=False)
    assert str(path) in str(caught.value)


def test_a_second_model_that_is_missing_is_found_before_the_first_is_loaded(tmp_path, tiny_model_path, monkeypatch):
    def load(*_args, **_kwargs):
        raise AssertionError("a model is loaded")

    monkeypatch.setattr("otembed.models.load_model", load)
    monkeypatch.setattr("otembed.models.load._load", load)
    (tmp_path / "empty").mkdir()
    for place, message in (
        (tmp_path / "nowhere", "no such model folder"),
        (tmp_path / "empty", "does not contain a model"),
    ):
        with pytest.raises(ModelError, match=message):
            compare(tiny_model_path, place, suites={"retrieval": {"a-b": (["x"], ["y"])}})


@pytest.mark.parametrize(
    ("suite", "text", "message"),
    [
        ("xnli", "premise\thypothesis\tlabel\na\tb\tperhaps\n", r"bad:2: unknown label"),
        ("nli", "premise\thypothesis\tlabel\na\tb\tperhaps\n", r"bad:2: unknown label"),
        ("xquad", '{"data": [\n}', r"bad:2: "),
        ("tagging", "1\tcat\n", r"bad:1: "),
        ("tagging_train", "1\tcat\n", r"bad:1: "),
        ("mining", "\n\n", r"bad: "),
    ],
)
def test_malformed_data_is_found_before_a_model_is_loaded(
    tmp_path, tiny_model_path, xquad_files, monkeypatch, suite, text, message
):
    for module in ("otembed.models", "otembed.models.load"):
        monkeypatch.setattr(f"{module}.load_model", None)
    suffix = {"xquad": ".json", "mining": ".txt"}.get(suite, ".conllu" if "tagging" in suite else ".tsv")
    bad = tmp_path / f"bad{suffix}"
    bad.write_text(text)
    rest = "_\t_\t_\t_\t_\t_"
    (good_tags := tmp_path / "good.conllu").write_text(f"1\tcat\t_\tNOUN\t{rest}\n\n")
    (good_pairs := tmp_path / "good.tsv").write_text("premise\thypothesis\tlabel\na\tb\tneutral\n")
    suites = {
        "xnli": {"xnli": {"de": bad}},
        "nli": {"xnli": {"de": good_pairs}},
        "xquad": {"xquad": {**xquad_files, "de": bad}},
        "tagging": {"tagging": {"de": bad}},
        "tagging_train": {"tagging": {"de": good_tags}},
        "mining": {"mining": {"en-de": (SOURCE, bad, {(1, 1)})}},
    }[suite]
    options = {"nli": bad if suite == "nli" else good_pairs}
    options["tagging_train"] = bad if suite == "tagging_train" else good_tags
    with pytest.raises(DataError, match=message.replace("bad", rf"bad\{suffix}")):
        compare(tiny_model_path, tiny_model_path, suites=suites, **options)


def test_lines_to_mine_are_read_once_for_all_models(tiny_model_path):
    suites = {"mining": {"en-de": (iter(SOURCE), iter(TARGET), {(1, 1), (2, 2)})}}
    found = compare(tiny_model_path, tiny_model_path, suites=suites, device="cpu", **FAST)
    assert all(each.differences[0].value == 0 for each in found.tasks)


def test_invalid_places_are_rejected(tmp_path, results, tiny_model_path):
    with pytest.raises(DataError, match=r"nowhere.json.*no such file"):
        compare(results["base"], "nowhere.json")
    with pytest.raises(ConfigError, match="got 1"):
        compare(results["base"])
    with pytest.raises(ConfigError, match="--pairs"):
        compare(results["base"], tiny_model_path)
    with pytest.raises(ConfigError, match="result files"):
        compare(results["base"], results["good"], suites={"retrieval": {"a-b": (["x"], ["y"])}})
    with pytest.raises(ConfigError, match="two models"):
        compare(results["base"], f"B={tiny_model_path},{tiny_model_path}")
    with pytest.raises(ConfigError, match=r"NAME=.*PLACE"):
        compare(results["base"], ",")
    with pytest.raises(ConfigError, match=r"'retrieva'.*\nDid you mean 'retrieval'"):
        compare(results["base"], tiny_model_path, suites={"retrieva": {"a-b": (["x"], ["y"])}})
    with pytest.raises(ConfigError, match="retrieval"):
        compare(results["base"], tiny_model_path, suites={"retrieval": {}})


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"resamples": 99}, "resamples is 99"),
        ({"confidence": 95}, "confidence is 95"),
        ({"confidence": float("nan")}, "confidence is nan"),
        ({"correction": "bonferroni"}, "'bonferroni'"),
        ({"sentences": -1}, "sentences is -1"),
    ],
)
def test_settings_out_of_range_are_rejected(results, setting, message):
    with pytest.raises(ConfigError, match=message):
        compare(results["base"], results["good"], **setting)


def test_malformed_log_is_rejected_with_its_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": NaN, "x": true}\n')
    assert read_curve(path) == [{"step": 1}]
    path.write_text('{"step": 1}\n{"step": \n')
    with pytest.raises(DataError, match=r"metrics\.jsonl:2: "):
        read_curve(path)


def test_incomplete_comparison_is_rejected():
    with pytest.raises(DataError, match="Comparison"):
        Comparison.from_dict({"schema": 1, "kind": "Comparison", "models": [1]})


def test_xnli_and_xquad_are_evaluated_and_stand_ins_noted(
    tmp_path, tiny_model, tiny_model_path, xquad_files, monkeypatch
):
    rows = [("premise", "hypothesis", "label")]
    for number in range(90):
        label = ("entailment", "neutral", "contradiction")[number % 3]
        rows.append(
            (f"the cat {number}", {"entailment": "the cat", "neutral": "a dog"}.get(label, "die Katze"), label)
        )
    pairs = tmp_path / "nli.tsv"
    pairs.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
    suites = {"xnli": {"de": pairs}, "xquad": xquad_files}
    options = {"suites": suites, "nli": pairs, "device": "cpu", "cache": tmp_path / "cache", **FAST}
    found = compare(tiny_model_path, tiny_model_path, **options)
    with monkeypatch.context() as patch:
        patch.setattr(SentenceTransformer, "encode", None)
        assert compare(tiny_model_path, tiny_model_path, **options).tasks == found.tasks
    figures = {(each.suite, each.task, each.metric): each.figures[0].value for each in found.tasks}
    assert (
        figures["xnli", "de", "accuracy"]
        == evaluate_xnli(tiny_model, {"de": pairs}, train=pairs).scores[0].accuracy
    )
    cell = evaluate_xquad(tiny_model, xquad_files).cells("paragraph")[0]
    task = f"paragraph/{cell.question_language}-{cell.text_language}"
    assert figures["xquad", task, "accuracy"] == pytest.approx(cell.accuracy)
    assert "stand-in" in found.models[0].notes[0]
