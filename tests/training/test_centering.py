"""Centering of a released model: means of the training text, figures of the model as it is saved, resuming."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

import otembed
from otembed.embeddings.arrays import unit_vectors
from otembed.errors import ConfigError, OtembedError
from otembed.tasks.retrieval import bitext_scores
from otembed.training import centering, dry_run
from otembed.training.centering import training_sentences
from otembed.training.preparation import load_material
from otembed.training.result import TrainResult
from tests.training.test_train import assert_same_release

CHANGES = {"optimization": {"max_steps": 3}}


@pytest.fixture
def plain(configure):
    """The run without centering."""
    return otembed.train(configure(**CHANGES))


def centered(configure, plain, how, **changes):
    config = configure(**CHANGES, release={"center": how, **changes})
    return otembed.train(replace(config, output=f"{plain.run}-{how}"))


@pytest.mark.parametrize("how", ["global", "language"])
def test_released_model_subtracts_the_means_of_the_training_text(configure, plain, how, tmp_path):
    result = centered(configure, plain, how)
    material = load_material(configure(**CHANGES))
    uncentered = SentenceTransformer(plain.model, device="cpu", local_files_only=True)
    model = SentenceTransformer(result.model, device="cpu", local_files_only=True)
    columns = material.train["en-de"]
    assert material.languages == {"en-de": ("de", "en")}
    means = {
        language: unit_vectors(uncentered.encode(list(dict.fromkeys(columns[side])))).mean(axis=0)
        for side, language in (("source", "de"), ("target", "en"))
    }
    overall = (means["de"] + means["en"]) / 2
    english, german = material.held_out["en-de"]
    sides = {}
    for language, texts in (("en", english), ("de", german)):
        mean = overall if how == "global" else means[language]
        sides[language] = unit_vectors(unit_vectors(uncentered.encode(texts)) - mean)
        task = None if how == "global" else language
        np.testing.assert_allclose(model.encode(texts, task=task), sides[language], atol=1e-5)
    expected = bitext_scores(sides["en"], sides["de"], pair="en-de")
    assert result.after.scores == (expected,)
    names = {"all"} if how == "global" else {"all", "de", "en"}
    assert set(result.mean_lengths) == names
    assert result.mean_lengths["all"] == pytest.approx(np.linalg.norm(overall), abs=1e-5)
    card = (Path(result.model) / "README.md").read_text(encoding="utf-8")
    assert f"| all | {result.mean_lengths['all']:.3f} |" in card
    value = card.split("type: accuracy\n")[1].split("value: ")[1].split("\n")[0]
    assert float(value) == pytest.approx(expected.accuracy)
    assert TrainResult.from_json((Path(result.run) / "results.json").read_text()) == result


def test_run_interrupted_while_centering_gives_the_same_bytes(configure, tmp_path, monkeypatch):
    config = configure(**CHANGES, release={"center": "language", "interpolate": 0.5})
    straight, cut = (replace(config, output=str(tmp_path / name / "run")) for name in ("straight", "cut"))
    otembed.train(straight)

    def fail(*args, **kwargs):
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(centering, "center", fail)
        with pytest.raises(RuntimeError, match="power cut"):
            otembed.train(cut)
    assert_same_release(straight.output, otembed.train(resume=cut.output).run)


def test_training_starts_from_the_uncentered_model(configure, plain, caplog):
    first = centered(configure, plain, "language")
    runs = []
    for start in (plain.model, first.model):
        config = configure(**CHANGES, model={"name": start})
        with caplog.at_level("INFO", "otembed"):
            runs.append(otembed.train(replace(config, output=f"{plain.run}-again-{len(runs)}")))
    assert "centering" in caplog.text
    assert runs[1].before.scores == runs[0].before.scores
    models = [SentenceTransformer(run.model, device="cpu", local_files_only=True) for run in runs]
    assert [len(model) for model in models] == [3, 3]
    texts = ["the cat sat", "die Katze saß"]
    np.testing.assert_allclose(models[1].encode(texts), models[0].encode(texts), atol=1e-5)


def test_without_held_out_pairs_the_model_is_centered_all_the_same(configure):
    result = otembed.train(configure(**CHANGES, held_out={"size": 0}, release={"center": "global"}))
    assert len(SentenceTransformer(result.model, device="cpu", local_files_only=True)) == 5
    assert set(result.mean_lengths) == {"all"}


def test_sentences_of_a_language_are_different_limited_and_of_all_its_pairs(
    configure, tmp_path, monkeypatch, sentences
):
    monkeypatch.setattr(centering, "MOST_SENTENCES", 20)
    pairs = {}
    for code, count in (("de", 100), ("es", 30)):
        path = tmp_path / f"{code}.tsv"
        rows = zip(sentences(count, 1), sentences(count, 2 + len(pairs)), strict=True)
        path.write_text("\n".join(f"{a} {code}\t{b} x{code}" for a, b in rows), encoding="utf-8")
        pairs[f"en-{code}"] = str(path)
    config = configure(held_out={"size": 10})
    material = load_material(replace(config, pairs=pairs))
    found = training_sentences(material)
    assert set(found) == {"de", "en", "es"}
    held = {text for sides in material.held_out.values() for side in sides for text in side}
    for language, texts in found.items():
        assert len(texts) == len(set(texts)) == 20
        assert held.isdisjoint(texts)
        columns = [
            list(rows[side])
            for pair, rows in material.train.items()
            for side, code in zip(("source", "target"), material.languages[pair], strict=True)
            if code == language
        ]
        assert set(texts) <= {text for column in columns for text in column}
        # English is in both pairs.
        assert min(len(set(texts) & set(column)) for column in columns) >= 5
        # Evenly spaced: also from the last third of a column.
        assert all(set(texts) & set(column[2 * len(column) // 3 :]) for column in columns)


@pytest.mark.parametrize("start", [otembed.train, dry_run])
def test_too_little_text_for_a_mean_is_rejected(configure, text_path, start):
    lines = text_path.read_text(encoding="utf-8").splitlines()[:12]
    text_path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ConfigError, match="12 training sentences") as caught:
        start(configure(release={"center": "language"}, held_out={"size": 0}))
    assert "release.center" in caught.value.hint


def test_unknown_kind_is_rejected(configure):
    with pytest.raises(OtembedError, match=r"release\.center"):
        configure(release={"center": "both"})


@pytest.mark.parametrize("how", ["global", "language"])
def test_model_that_keeps_its_first_dimensions_is_centered_in_all_of_them(configure, tiny_model, tmp_path, how):
    tiny_model.truncate_dim = 8
    tiny_model.save(str(tmp_path / "cut"), create_model_card=False)
    config = configure(**CHANGES, model={"name": str(tmp_path / "cut")}, release={"center": how})
    result = otembed.train(config)
    model = SentenceTransformer(result.model, device="cpu", local_files_only=True)
    english, german = load_material(config).held_out["en-de"]
    tasks = (None, None) if how == "global" else ("en", "de")
    sides = [
        unit_vectors(model.encode(texts, task=task)) for texts, task in zip((english, german), tasks, strict=True)
    ]
    assert sides[0].shape[1] == 8
    assert result.after.scores == (bitext_scores(*sides, pair="en-de"),)
    assert len(model[-2].linear.bias if how == "global" else model[-2].sub_modules["de"][0].linear.bias) == 32
