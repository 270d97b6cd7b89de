"""Code in the documents runs, names in them exist, and their tables are rendered from the measurements."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from statistics import fmean, stdev

import pytest
import yaml

from otembed.comparison import compare
from otembed.config import TrainConfig
from otembed.config.io import build, read_preset, to_yaml
from otembed.tasks.xnli.report import XnliReport
from otembed.tasks.xquad.report import QuestionReport

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(path, language):
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_python_in_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for code in blocks(ROOT / "README.md", "python"):
        exec(compile(code, "README.md", "exec", dont_inherit=True), {"__name__": "__main__"})


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_resolve(path):
    for target in re.findall(r"\]\(([^)#]+)", path.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), target


def test_tests_and_files_named_in_the_documents_exist():
    defined = {
        (path.name, name)
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        named = set(re.findall(r"(test_\w+\.py)::(\w+)", text))
        assert named <= defined, named - defined
        for place in re.findall(r"`((?:otembed|tests|benchmarks|cli)/[\w./]+)`", text):
            assert (ROOT / place).exists(), place


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_options_in_the_documents_exist(path):
    # tests/cli/test_reference.py checks that docs/cli.md has the options of every command.
    known = {"--master-port", "--nproc-per-node", "--no-python"}
    known |= set(re.findall(r"--[a-z][a-z-]*", (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")))
    for line in re.findall(
        r"otembed (?:train|align|eval|compare|presets|mine|negatives|documents|embed|score|config|export|push|info)[^\n`]*",
        path.read_text(encoding="utf-8"),
    ):
        assert set(re.findall(r"(?<!\S)--[a-z][a-z-]*", line)) <= known, line


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_yaml_in_the_documents_is_valid(path):
    for text in blocks(path, "yaml"):
        build(TrainConfig, {"pairs": {"en-sw": "x"}} | yaml.safe_load(text))


def test_settings_named_in_the_training_guide_exist():
    known: set[str] = set()
    for loss in ({"contrastive": {}}, {"alignment": {}}):
        settings = {"pairs": {"en-sw": "x"}, "loss": loss, "model": {"lora": {}}}
        known |= set(paths(to_plain(build(TrainConfig, settings))))
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:loss|model|data|held_out|optimization|hub)\.[a-z_.]+)", text))
    assert named
    assert named <= known


def to_plain(config):
    return yaml.safe_load(to_yaml(config))


def paths(tree, head=""):
    for key, value in tree.items():
        yield head + key
        if isinstance(value, dict):
            yield from paths(value, f"{head}{key}.")


@pytest.mark.parametrize(
    ("script", "name", "place"),
    [
        ("ablation", "ablation", "log.md"),
        ("ablation", "ablation_words", "log.md"),
        ("ablation", "ablation_low_resource", "log.md"),
        ("ablation", "ablation_words400", "log.md"),
        ("ablation", "ablation_noise400", "log.md"),
        ("ablation", "ablation_float32", "log.md"),
        ("ablation", "ablation_languages", "log.md"),
        ("ablation", "ablation_short", "log.md"),
        ("ablation", "ablation_1500", "log.md"),
        ("ablation", "ablation_ranked", "log.md"),
        ("ablation", "ablation_labels", "log.md"),
        ("word_labels", "word_labels", "log.md"),
        ("gains", "gains", "log.md"),
        ("transport", "transport", "log.md"),
        ("training", "training", "log.md"),
        ("training", "training_bf16", "log.md"),
        ("training", "training_intel", "log.md"),
        ("training", "training_amx", "log.md"),
        ("reliability", "reliability", "log.md"),
        ("span_seeds", "span_seeds", "xquad.md"),
        ("streaming", "streaming", "log.md"),
        ("lora", "lora", "log.md"),
        ("link_threshold", "link_threshold", "log.md"),
        ("onnx_export", "onnx_export", "log.md"),
        ("encoding", "encoding", "log.md"),
        ("encoding", "encoding_amx", "log.md"),
        ("document_matching", "document_matching", "documents.md"),
        ("documents", "documents", "documents.md"),
        ("install_sizes", "install_sizes", "install.md"),
    ],
)
def test_tables_of_the_documents_are_rendered_from_the_measurements(script, name, place, benchmark_script):
    benchmark = benchmark_script(script)
    document = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))
    assert benchmark.table(document) in (ROOT / "docs" / place).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name", ["recipes", "recipes_160", "alignment_knobs", "mining", "calibration", "documents"]
)
def test_tables_of_the_log_are_rendered_from_the_measurements(name, benchmark_script):
    script = name.removesuffix("_160")
    benchmark = benchmark_script(script)
    document = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))
    assert benchmark.table(document) in (ROOT / "docs" / "log.md").read_text(encoding="utf-8")


# Lines of the tables by goal, and the measurement and its row that each of them quotes.
CLEAN, FLOAT32, NOISE = "ablation_words400", "ablation_float32", "ablation_noise400"
EIGHT, LONG, RANKED, LABELS = "ablation_languages", "ablation_1500", "ablation_ranked", "ablation_labels"
CONTRASTIVE = "contrastive ot + sentence cosine, temperature .1"
COST = "mnrl+ot, middle, unbalanced"
COARSE = "mnrl + ranked words, last, weight 1"
WORDS = f"{COARSE}, sharp, labels of the middle"
PART = "0.75 of the way"
QUOTED = {
    "README.md": {
        "the encoder as it is": (CLEAN, "untrained"),
        "the default": (CLEAN, "mnrl"),
        "`--preset retrieval`": (CLEAN, f"mnrl, {PART}"),
        "`--preset words`": (LABELS, f"{WORDS}, {PART}"),
        "MNRL with OT as a cost": (CLEAN, f"{COST}, {PART}"),
        "contrastive OT": (FLOAT32, CONTRASTIVE),
    },
    "docs/recipes.md": {
        "no training": (CLEAN, "untrained"),
        "sentences of the trained languages": (CLEAN, "mnrl"),
        "retrieval, search, mining": (CLEAN, f"mnrl, {PART}"),
        "words and sentences": (LABELS, f"{WORDS}, {PART}"),
        "tags above all": (LABELS, f"{WORDS}, of the pair, {PART}"),
        "nearest words of the last layer above": (RANKED, COARSE),
        "nearest words of the last layer, sentences": (FLOAT32, CONTRASTIVE),
        "words of a middle layer": (RANKED, f"mnrl + ranked words, middle, {PART}"),
        "eight, no training": (EIGHT, "untrained"),
        "eight, MNRL": (EIGHT, "mnrl"),
        "eight, `--preset retrieval`": (EIGHT, f"mnrl, {PART}"),
        "eight, `--preset words`": (EIGHT, f"{WORDS}, {PART}"),
        "eight, OT as a cost": (EIGHT, f"{COST}, {PART}"),
        "noise, MNRL": (NOISE, "mnrl"),
        "noise, OT as a cost": (NOISE, f"{COST}, {PART}"),
        "noise, contrastive OT": (NOISE, CONTRASTIVE),
    },
}
# Objectives of which an XNLI probe was trained; all start from the same encoder.
XNLI_AFTER_400_STEPS = ("words", "mnrl75", "ranked")


@pytest.mark.parametrize(
    ("place", "start", "name", "row"),
    [(place, start, *source) for place, lines in QUOTED.items() for start, source in lines.items()],
)
def test_figures_by_goal_are_those_of_the_measurement(place, start, name, row, benchmark_script):
    ablation = benchmark_script("ablation")
    document = json.loads((ROOT / f"benchmarks/results/{name}.json").read_text(encoding="utf-8"))
    lines = (ROOT / place).read_text(encoding="utf-8").splitlines()
    (line,) = (each for each in lines if each.startswith(f"| {start}"))
    figures = ablation.figures_by_row(document)[row]
    found = {column: fmean(each[column] for each in figures) for column in figures[0]}
    pairs = [f"{found[f'{group} xx→en']:.1f} / {found[f'{group} en→xx']:.1f}" for group in ("trained", "untrained")]
    cells = [cell.strip() for cell in line.split("|")[-5:-1]]
    assert cells == [*pairs, f"{found['words last']:.1f}", f"{found['tags last']:.1f}"]


def test_gains_of_swahili_are_those_of_the_measurements():
    directions = ("accuracy_target_to_source", "accuracy_source_to_target")  # into and from English

    def figures(name, objective, share):
        document = json.loads((ROOT / f"benchmarks/results/{name}.json").read_text(encoding="utf-8"))
        runs = [each for each in document["runs"] if (each["objective"], each["share"]) == (objective, share)]
        scores = [one for run in runs for one in run["retrieval"]["scores"] if one["pair"] == "en-sw"]
        return [100 * fmean(one[direction] for one in scores) for direction in directions]

    start = figures(EIGHT, "untrained", 0)
    unseen, seen = (
        " / ".join(
            f"{after - before:.1f}" for after, before in zip(figures(name, "mnrl", 0.75), start, strict=True)
        )
        for name in (EIGHT, CLEAN)
    )
    guide, log = (
        " ".join((ROOT / "docs" / name).read_text(encoding="utf-8").split()) for name in ("recipes.md", "log.md")
    )
    front = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    for text in (guide, front):
        assert f"Swahili gains {unseen} points with `--preset retrieval`" in text
    assert f"Swahili gains {unseen} without a Swahili sentence; training on it gives {seen}" in log


def test_figures_of_the_paper_loss_are_those_of_the_measurement(benchmark_script):
    document = json.loads((ROOT / f"benchmarks/results/{FLOAT32}.json").read_text(encoding="utf-8"))
    found = benchmark_script("ablation").figures_by_row(document)
    (start,), (paper,) = found["untrained"], found["paper, literal"]
    columns = [f"{group} {direction}" for group in ("trained", "untrained") for direction in ("xx→en", "en→xx")]
    figures = "{:.1f} / {:.1f} on trained and {:.1f} / {:.1f} on untrained languages, words {:.1f}, tags {:.1f}"
    gains = [f"{paper[column] - start[column]:.1f}".removeprefix("0") for column in columns]
    guide, front = (
        " ".join((ROOT / name).read_text(encoding="utf-8").split()) for name in ("docs/recipes.md", "README.md")
    )
    assert figures.format(*(paper[column] for column in [*columns, "words last", "tags last"])) in guide
    assert "{} / {} points on trained and {} / {} on untrained languages".format(*gains) in front


def test_changes_with_eight_languages_are_those_of_the_measurement(benchmark_script):
    document = json.loads((ROOT / f"benchmarks/results/{EIGHT}.json").read_text(encoding="utf-8"))
    found = {row: figures for row, (figures,) in benchmark_script("ablation").figures_by_row(document).items()}
    retrieval, words, cost = (found[f"{row}, {PART}"] for row in ("mnrl", WORDS, COST))

    def change(later, earlier, *columns):
        return [f"{abs(later[column] - earlier[column]):.1f}".removeprefix("0") for column in columns]

    trained, untrained = ([f"{group} xx→en", f"{group} en→xx"] for group in ("trained", "untrained"))
    text = " ".join((ROOT / "docs/recipes.md").read_text(encoding="utf-8").split())
    lead = "by {} points of words and {} of tags".format(*change(words, retrieval, "words last", "tags last"))
    assert lead in " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    price = ["{} / {}".format(*change(words, retrieval, *columns)) for columns in (trained, untrained)]
    assert f"{lead}, and is {price[0]} points behind on trained and {price[1]} on untrained languages" in text
    lead = "by {} and {} points".format(*change(cost, retrieval, "words last", "tags last"))
    price = "{} / {}".format(*change(cost, retrieval, *untrained))
    assert f"{lead}, at {price} points of untrained languages" in text


def test_figures_of_long_training_are_those_of_the_measurement(benchmark_script):
    ablation = benchmark_script("ablation")
    long, short = (
        {
            row: {column: fmean(each[column] for each in figures) for column in figures[0]}
            for row, figures in ablation.figures_by_row(
                json.loads((ROOT / f"benchmarks/results/{name}.json").read_text(encoding="utf-8"))
            ).items()
        }
        for name in ("ablation_1500", CLEAN)
    )
    guide, front, log = (
        " ".join((ROOT / name).read_text(encoding="utf-8").split())
        for name in ("docs/recipes.md", "README.md", "docs/log.md")
    )
    trained, untrained = ([f"{group} xx→en", f"{group} en→xx"] for group in ("trained", "untrained"))

    def change(later, earlier, *columns):
        return " / ".join(f"{abs(later[column] - earlier[column]):.1f}".removeprefix("0") for column in columns)

    def level(row, columns):
        return " / ".join(f"{long[row][column]:.1f}" for column in columns)

    start, mnrl, retrieval, words = (long[row] for row in ("untrained", "mnrl", f"mnrl, {PART}", f"{COST}, {PART}"))
    lead = change(words, retrieval, "words last"), change(words, retrieval, "tags last")
    more = change(mnrl, short["mnrl"], *trained), change(mnrl, short["mnrl"], *untrained)
    assert f"MNRL is {more[0]} points higher on trained languages and {more[1]} lower on untrained ones" in front
    middle = f"{start['words middle']:.1f} to {long[COST]['words middle']:.1f}"
    rate = f"{start['AER middle'] / 100:.3f} to {long[COST]['AER middle'] / 100:.3f}"
    for quoted in (middle, rate.replace("0.", ".")):
        assert quoted in guide
    for row in (COST, "mnrl", f"{COST}, {PART}", f"mnrl, {PART}"):
        assert level(row, trained) in guide
        assert level(row, untrained) in guide
    assert f"a lead of {lead[0]} points in words and {lead[1]} in tags" in guide
    above = change(words, start, *trained), change(words, start, *untrained)
    assert f"still {above[0]} and {above[1]} above the untrained encoder" in log
    full = change(long[COST], mnrl, *trained), change(long[COST], mnrl, *untrained)
    assert f"end {full[0]} points behind MNRL on trained and {full[1]} on untrained languages" in log


def shown(value, sign=""):
    return f"{value:{sign}.1f}".replace("0.", ".") if abs(value) < 1 else f"{value:{sign}.1f}"


def test_figures_of_ranked_words_are_those_of_the_measurement(benchmark_script):
    ablation = benchmark_script("ablation")
    clean, ranked, labels, long = (
        ablation.figures_by_row(json.loads((ROOT / f"benchmarks/results/{name}.json").read_text(encoding="utf-8")))
        for name in (CLEAN, RANKED, LABELS, LONG)
    )
    guide, front, log = (
        " ".join((ROOT / name).read_text(encoding="utf-8").split())
        for name in ("docs/recipes.md", "README.md", "docs/log.md")
    )
    trained, untrained = ([f"{group} xx→en", f"{group} en→xx"] for group in ("trained", "untrained"))

    def level(runs, columns):
        return " / ".join(f"{fmean(run[column] for run in runs):.1f}" for column in columns)

    def changes(later, earlier, columns, sign="+"):
        means = [fmean(run[column] for run in later) - fmean(run[column] for run in earlier) for column in columns]
        return " / ".join(shown(each if sign else abs(each), sign) for each in means)

    def lead(column):
        gains = [one[column] - other[column] for one, other in zip(words, retrieval, strict=True)]
        return f"{shown(fmean(gains))} ± {stdev(gains) / len(gains) ** 0.5:.2f}".replace(" 0.", " .")

    words, retrieval = labels[f"{WORDS}, {PART}"], clean[f"mnrl, {PART}"]
    mutual, middle, every = (
        labels[f"mnrl + words ranked by {kind}, {PART}"]
        for kind in ("mutual neighbors", "mutual neighbors of the middle", "every word")
    )
    assert len(words) == 3
    gain = f"by {lead('words last')} points of words and {lead('tags last')} of tags"
    price = f"{changes(words, retrieval, trained)} points on trained and {changes(words, retrieval, untrained)} on"
    errors = [
        f"{fmean(run['AER last'] for run in runs) / 100:.3f}".removeprefix("0") for runs in (retrieval, words)
    ]
    for text in (front, guide, log):
        assert gain in text
        assert f"sentence retrieval changes by {price} untrained languages" in text
        assert " to ".join(errors) in text
    likewise = f"{level(middle, ['words last'])} and {level(middle, ['tags last'])}"
    price = f"{changes(middle, retrieval, trained)} and {changes(middle, retrieval, untrained)} points"
    assert f"end at {likewise} points of words and tags (one seed), but cost more in sentences: {price}" in front
    assert f"tags fall to {level(every, ['tags last'])}" in guide
    for each in (mutual, middle):
        assert f"{level(each, trained)} and {level(each, untrained)}" in guide
    (after,), (usual,) = long[f"{COARSE}, {PART}"], long[f"mnrl, {PART}"]
    kept = (
        f"by {changes([after], [usual], ['words last'], '')} points of words and "
        f"{changes([after], [usual], ['tags last'], '')} of tags, {changes([after], [usual], trained, '')} points of sentence "
        f"retrieval behind on trained and {changes([after], [usual], untrained, '')} on untrained languages"
    )
    for text in (guide, log):
        assert kept in text
    (inner,) = ranked[f"mnrl + ranked words, middle, {PART}"]
    (lasting,) = long["mnrl + ranked words, middle"]
    assert f"{clean['untrained'][0]['words middle']:.1f} to {inner['words middle']:.1f}" in guide
    assert f"{lasting['words middle']:.1f} after 1,500 steps" in guide


def test_precision_of_labels_is_that_of_the_measurement():
    document = json.loads((ROOT / "benchmarks/results/word_labels.json").read_text(encoding="utf-8"))
    found = {
        (
            each["layer"],
            each.get("epsilon"),
            each.get("relaxation"),
        ): f"{100 * fmean(each['precision'].values()):.0f} %"
        for each in document["figures"]
    }
    middle, last = (sorted({layer for layer, *_ in found})[place] for place in (0, -1))
    sharp, coarse = found[middle, 0.02, 0.05], found[last, 0.05, 0.2]
    front, guide, training = (
        " ".join((ROOT / name).read_text(encoding="utf-8").split())
        for name in ("README.md", "docs/recipes.md", "docs/training.md")
    )
    assert f"{sharp} of the mass of these plans is on counterparts" in front
    assert f"Mutual nearest neighbors of that layer ({found[middle, None, None]})" in front
    assert f"{sharp} of that is on counterparts" in guide
    assert f"`0.05` and `0.2`, it is {coarse}" in guide
    assert f"{sharp} is right, against {coarse}" in training


@pytest.mark.parametrize("place", ["docs/recipes.md", "docs/log.md", "README.md"])
def test_mean_gains_by_steps_and_pairs_are_those_of_the_measurement(place):
    document = json.loads((ROOT / "benchmarks/results/gains.json").read_text(encoding="utf-8"))
    means = {}
    for axis in ("steps", "pairs"):
        for point in document[axis]:
            sides = [[], []]
            for pair, gain in point["gains"].items():
                sides[pair not in document["trained"]].append(gain)
            means[point["steps"], point["pairs"]] = " and ".join(f"{fmean(side):.1f}" for side in sides)
    text = " ".join((ROOT / place).read_text(encoding="utf-8").split())
    ends = [means[100, 250], means[400, 10000]]
    assert all(each in text for each in (ends if place == "README.md" else means.values()))


def test_every_extra_has_its_purpose_and_its_size():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].keys() - {"dev"}
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == extras
    sizes = json.loads((ROOT / "benchmarks" / "results" / "install_sizes.json").read_text(encoding="utf-8"))
    assert sizes["extras"].keys() == extras


def test_table_of_distractors_is_rendered_from_the_measurement(benchmark_script):
    path = ROOT / "benchmarks" / "results" / "document_matching.json"
    table = benchmark_script("document_matching").distractor_table(json.loads(path.read_text(encoding="utf-8")))
    assert table in (ROOT / "docs" / "documents.md").read_text(encoding="utf-8")


def test_tables_of_rescoring_are_rendered_from_the_measurement(benchmark_script):
    benchmark = benchmark_script("rescore")
    document = json.loads((ROOT / "benchmarks" / "results" / "rescore.json").read_text(encoding="utf-8"))
    guide, log = ((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("mining.md", "log.md"))
    assert benchmark.table(document) in guide
    assert benchmark.forms_table(document) in log
    assert document["chosen"] == benchmark.chosen(document) == benchmark.DEFAULT_FORM


def test_tables_of_word_alignment_are_rendered_from_the_measurement(benchmark_script):
    benchmark = benchmark_script("word_alignment")
    document = json.loads((ROOT / "benchmarks" / "results" / "word_alignment.json").read_text(encoding="utf-8"))
    guide, log = ((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("word-alignment.md", "log.md"))
    assert benchmark.table(document) in guide
    assert benchmark.choice_table(document) in guide
    assert benchmark.grid_table(document) in log
    assert document["verdict"] == benchmark.verdict(document)
    for figure in (document["throughput"]["times_single"], document["throughput"]["pairs_per_cpu_second"]):
        assert f"{figure:.1f}" in guide


def test_tables_of_the_xnli_guide_are_rendered_from_the_measurements(benchmark_script):
    guide = (ROOT / "docs" / "xnli.md").read_text(encoding="utf-8")
    results = ROOT / "benchmarks" / "results"
    for protocol in ("probe", "finetune"):
        before, after = (
            XnliReport.from_json((results / f"xnli_{protocol}_{name}.json").read_text(encoding="utf-8"))
            for name in ("before", "after")
        )
        assert before.table(after).markdown() in guide
        assert before.protocol == protocol
        assert before.label == after.label == "stand-in"
    document = json.loads((results / "xnli_probe.json").read_text(encoding="utf-8"))
    assert benchmark_script("xnli_probe").table(document) in guide


@pytest.mark.parametrize("preset", XNLI_AFTER_400_STEPS)
def test_tables_of_xnli_after_400_steps_are_rendered_from_the_measurements(preset):
    results = ROOT / "benchmarks" / "results"
    before, after = (
        XnliReport.from_json((results / f"xnli_{name}.json").read_text(encoding="utf-8"))
        for name in ("words_before", f"{preset}_after")
    )
    assert before.table(after).markdown() in (ROOT / "docs" / "xnli.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("before", "after", "places", "quoted"),
    [
        (
            "xnli_probe_before",
            "xnli_ranked_after",
            ("README.md", "docs/xnli.md", "docs/log.md"),
            "+{1} to +{2}",
        ),
        (
            "alignment_trained_before",
            "alignment_trained_after",
            ("docs/log.md",),
            "by {0} points ({1} to {2};",
        ),
    ],
)
def test_intervals_of_the_preset_words_are_those_of_compare(before, after, places, quoted):
    (mean,) = compare(*(ROOT / f"benchmarks/results/{name}.json" for name in (before, after))).means
    (found,) = mean.differences
    low, high = sorted(abs(each) for each in (found.low, found.high))
    points = [f"{100 * each:.1f}".removeprefix("0") for each in (abs(found.value), low, high)]
    expected = quoted.format(*points)
    for place in places:
        assert expected in " ".join((ROOT / place).read_text(encoding="utf-8").split())


def test_tables_of_untrained_question_answering_are_rendered_from_the_measurement():
    place = ROOT / "benchmarks" / "results" / "xquad_retrieval_before.json"
    document = json.loads(place.read_text(encoding="utf-8"))
    guide = (ROOT / "docs" / "xquad.md").read_text(encoding="utf-8")
    assert all(table.markdown() in guide for table in QuestionReport.from_dict(document).tables())
    share = document["scoring_seconds"] / (document["scoring_seconds"] + document["encoding_seconds"])
    assert f"scoring took {share:.1%} of the time" in guide


@pytest.mark.parametrize("kind", ["retrieval", "context", "span"])
def test_tables_of_question_answering_are_rendered_from_the_measurements(kind, benchmark_script):
    benchmark = benchmark_script("transfer")
    documents = [
        json.loads((ROOT / "benchmarks" / "results" / f"xquad_{kind}_{name}.json").read_text(encoding="utf-8"))
        for name in ("before", "after")
    ]
    for table in benchmark.tables(*documents):
        assert table in (ROOT / "docs" / "xquad.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("preset", ["words", "mnrl75"])
def test_tables_of_answers_after_400_steps_are_rendered_from_the_measurements(preset, benchmark_script):
    benchmark = benchmark_script("transfer")
    before, after = (
        json.loads((ROOT / "benchmarks" / "results" / f"xquad_span_{name}.json").read_text(encoding="utf-8"))
        for name in ("words_before", f"{preset}_after")
    )
    guide = (ROOT / "docs" / "xquad.md").read_text(encoding="utf-8")
    assert all(table in guide for table in benchmark.tables(before, after))
    recipes = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    (line,) = (each for each in recipes.splitlines() if each.startswith("| extractive question answering |"))
    for each in (before, after):
        assert f" {100 * each['means']['f1']:.1f} " in line


def test_losses_of_answers_in_the_readme_are_those_of_the_measurement():
    document = json.loads((ROOT / "benchmarks" / "results" / "span_seeds.json").read_text(encoding="utf-8"))
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    lost = {
        name: -100 * fmean(run["change"] for run in document["runs"] if run["model"] == name)
        for name in ("words", "retrieval")
    }
    figures = {name: f"{value:.1f}".removeprefix("0") for name, value in lost.items()}
    assert f"loses {figures['words']} points of F1 after OT as a cost and {figures['retrieval']} with" in readme


def test_starter_preset_covers_the_starter_languages():
    preset = read_preset("starter")
    assert preset["pairs"].keys() == preset["held_out"]["pairs"].keys()
    assert len(preset["pairs"]) == 8
