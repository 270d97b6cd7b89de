"""The site: its navigation, its pages, the check of its links, the tutorials and the picture of the start page."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import yaml

import otembed
from otembed.config import MiningConfig
from tests.conftest import unigram_tokenizer, write_tiny_model

ROOT = Path(__file__).parent.parent
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.ipynb"))


@pytest.fixture
def website(monkeypatch):
    """Import a module of ``website/`` by name."""
    monkeypatch.syspath_prepend(str(ROOT / "website"))
    return import_module


def test_navigation_lists_every_page(website):
    site = website("build_site")
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    pages |= {f"tutorials/{path.stem}.md" for path in TUTORIALS} | set(site.ROOT_PAGES)
    listed = set(site.navigation())
    assert {name for name in listed if not name.startswith("api/")} == pages
    for name in listed - pages:
        package = name.removeprefix("api/").removesuffix(".md")
        assert import_module(package).__all__
        assert (ROOT / package.replace(".", "/") / "__init__.py").exists()


def test_reference_covers_the_packages_with_public_names(website):
    listed = {name.removeprefix("api/").removesuffix(".md") for name in website("build_site").navigation()}
    public = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / "otembed").rglob("__init__.py")
        if "__all__" in path.read_text(encoding="utf-8")
    }
    parts_of_one_room = {"otembed.comparison.page", "otembed.models.offline"}
    assert public - parts_of_one_room <= listed


def test_pages_name_each_other_by_title_and_link_within_the_site(website):
    site = website("build_site")
    text = "see [data.md](../data.md#x), [it](comparing.ipynb), [CONTRIBUTING.md](../CONTRIBUTING.md#a), [t](t.md)"
    assert site._staged(text, {"data.md": "Data"}) == (
        "see [Data](../data.md#x), [it](comparing.md), [CONTRIBUTING.md](CONTRIBUTING.md#a), [t](t.md)"
    )
    assert site._staged(site._from_docs("[docs/data.md](docs/data.md)"), {"data.md": "Data"}) == "[Data](data.md)"
    assert site._staged("| `a \\|\\| b` | `c` |\n`\\|`", {}) == "| <code>a &#124;&#124; b</code> | `c` |\n`\\|`"
    included = site._staged("<!-- README.md: What to expect -->", {})
    assert "| --- |" in included
    assert "docs/" not in included
    with pytest.raises(SystemExit, match="No such heading"):
        site._staged("<!-- README.md: No such heading -->", {})


def test_broken_links_and_foreign_files_are_found(website, tmp_path):
    (tmp_path / "b.html").write_text('<h1 id="there">x</h1><a href="a.html">a</a><a href="https://x.org">x</a>')
    (tmp_path / "style.css").write_text("")
    (tmp_path / "a.html").write_text(
        '<link rel="stylesheet" href="style.css"><a href="b.html#there">1</a> <a href="b.html#gone">2</a>'
        '<a href="gone.html">3</a> <img src="gone.png"> <a href="#self">4</a>'
        '<script src="https://cdn.example.org/x.js"></script>'
    )
    assert website("build_site").broken_links(tmp_path) == [
        "a.html: b.html#gone",
        "a.html: gone.html",
        "a.html: gone.png",
        "a.html: #self",
        "a.html: loads https://cdn.example.org/x.js",
    ]


def test_docstrings_become_markdown(website):
    docstrings = website("docstrings")
    text = (
        "See :class:`otembed.losses.OTAlignmentLoss`, :func:`solve` and :func:`hidden` for :math:`x_i` [1]_.\n\n"
        ".. math:: a\n    + b\n\nAs here::\n\n    code\n\n"
        "===  ===\n``a``  b\n===  ===\n\n>>> 1 + 1\n2"
    )
    public = {"otembed.losses.OTAlignmentLoss", "otembed.transport.solve"}
    assert docstrings._markdown(text, public, "otembed.transport.interface") == (
        "See [`otembed.losses.OTAlignmentLoss`][otembed.losses.OTAlignmentLoss], [`solve`][otembed.transport.solve] and"
        " `hidden` for $x_i$ [1].\n\n$$a + b$$\n\nAs here:\n\n    code\n\n"
        "```text\n===  ===\n``a``  b\n===  ===\n```\n\n\nExamples\n--------\n>>> 1 + 1\n2"
    )


def test_cells_share_names_and_show_output_and_last_value(website, tmp_path, monkeypatch):
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    notebooks = website("notebooks")
    monkeypatch.chdir(tmp_path)
    sources = ["x = 2\nprint('a')", "x * 21", "from otembed.results import Table\nTable(('b',), (('c',),))", "None"]
    notebook = new_notebook(cells=[new_markdown_cell("# Title"), *map(new_code_cell, sources)])
    notebooks.run_notebook(notebook, "n")
    assert Path.cwd() == tmp_path
    assert not list(tmp_path.iterdir())
    assert [cell.execution_count for cell in notebook.cells[1:]] == [1, 2, 3, 4]
    assert notebooks.page(notebook) == (
        "# Title\n\n```python\nx = 2\nprint('a')\n```\n\n```{.text .output}\na\n```\n\n"
        "```python\nx * 21\n```\n\n```{.text .output}\n42\n```\n\n"
        "```python\nfrom otembed.results import Table\nTable(('b',), (('c',),))\n```\n\n| b |\n| --- |\n| c |\n\n"
        "```python\nNone\n```\n"
    )
    broken = new_notebook(cells=[new_code_cell("1 / 0")])
    with pytest.raises(ZeroDivisionError):
        notebooks.run_notebook(broken, "n")


@pytest.fixture(scope="module")
def small_encoder(tmp_path_factory):
    """As many layers as the offline encoder has, small ones with random weights."""
    place = tmp_path_factory.mktemp("small") / "encoder"
    return write_tiny_model(place, unigram_tokenizer(), layers=12, size=128, length=512, prompt="query")


@pytest.mark.slow
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_tutorials_run_and_their_outputs_are_stored(path, website, small_encoder, monkeypatch):
    notebooks = website("notebooks")
    if path.stem != "mining":  # calibration rejects random vectors
        monkeypatch.setattr("otembed.models.load.offline_model_path", lambda *_: small_encoder)
    stored, run = notebooks.read_notebook(path), notebooks.read_notebook(path)
    notebooks.run_notebook(run, path.name)
    for before, after in zip(stored.cells, run.cells, strict=True):
        kinds = [
            [(output.output_type, sorted(output.get("data", ()))) for output in cell.get("outputs", ())]
            for cell in (before, after)
        ]
        assert kinds[0] == kinds[1], before.source


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_tutorials_name_no_place_of_a_machine(path):
    assert not re.search(r"/(?:home|root|tmp|work|Users)/", path.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_picture_of_the_start_page_is_the_plan_of_the_offline_encoder(website):
    picture = website("plan_picture")
    found = picture.plan(otembed.load_model("offline:multilingual-e5-small"))
    drawn = dict(re.findall(r"<title>(.+ – .+): ([.\d]+)</title>", picture.PLACE.read_text(encoding="utf-8")))
    expected = {
        f"{source} – {target}": found.probabilities[row, column]
        for row, source in enumerate(found.source_words)
        for column, target in enumerate(found.target_words)
        if found.probabilities[row, column] >= picture.LEAST
    }
    assert drawn.keys() == expected.keys()
    np.testing.assert_allclose(
        [float(each) for each in drawn.values()], [expected[each] for each in drawn], atol=0.02
    )


def test_only_the_publishing_job_may_get_a_token_and_it_runs_after_the_check():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8"))
    build, publish = workflow["jobs"]["build"], workflow["jobs"]["publish"]
    assert workflow["permissions"] == {}
    assert build["permissions"] == {"contents": "read"}
    assert publish["permissions"] == {"id-token": "write"}
    assert publish["needs"] == "build"
    commands = "\n".join(step.get("run", "") for step in build["steps"])
    assert commands.index("build") < commands.index("twine check --strict dist/*")


def test_settings_are_documented_by_their_descriptions(website):
    from griffe import load, load_extensions

    extensions = load_extensions(str(ROOT / "website" / "docstrings.py"))
    config = load("otembed", search_paths=[str(ROOT)], extensions=extensions, submodules=True)["config"]
    k, groups = config["mining.MiningConfig.k"], config["train.TrainConfig.loss"]
    field = MiningConfig.__dataclass_fields__["k"].default
    assert (str(k.value), k.docstring.value) == (str(field.default), field.description)
    assert groups.docstring.value == "Settings of [`LossConfig`][otembed.config.LossConfig]."
    assert groups.value is None
