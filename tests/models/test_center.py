"""Centering in the model against explicit subtraction, in plain sentence-transformers, and in everything that reads models."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.modules import Dense, Normalize

import otembed
from otembed.embeddings.arrays import unit_vectors
from otembed.embeddings.encode import encode_by_length
from otembed.embeddings.fingerprint import model_fingerprint
from otembed.errors import ConfigError, DataError, NumericsError
from otembed.losses import GradCacheLoss, OTAlignmentLoss
from otembed.models import describe_model, export_model, save_model, sliced
from otembed.models.center import center, uncenter

TEXTS = [
    "the cat sat on the mat",
    "die Katze schlief im Haus",
    "el gato duerme en la casa",
    "猫 睡 在 房子 里",
    "a",
]
GERMAN, ENGLISH = TEXTS[1:3], TEXTS[:2]


def mean_of(model, texts):
    return unit_vectors(model.encode(texts)).mean(axis=0, dtype=np.float64)


def subtracted(vectors, mean):
    """The centering of :func:`otembed.embeddings.arrays.centered_vectors` and the retrieval report, by a given mean."""
    return unit_vectors(unit_vectors(vectors) - mean)


@pytest.fixture(params=["normalized", "plain"])
def model(request, tiny_model):
    if request.param == "plain":
        del tiny_model[-1]
    return tiny_model


@pytest.fixture
def means(tiny_model):
    return {"de": mean_of(tiny_model, GERMAN), "en": mean_of(tiny_model, ENGLISH)}


@pytest.fixture
def by_language(tiny_model, means):
    """A model centered by language; and the model before."""
    before = copy.deepcopy(tiny_model)
    center(tiny_model, (means["de"] + means["en"]) / 2, means)
    return tiny_model, before


def test_centered_model_subtracts_the_mean_of_unit_vectors(model):
    before, mean = model.encode(TEXTS), mean_of(model, TEXTS)
    center(model, mean)
    assert [type(each).__name__ for each in model][2:] == ["Normalize", "Dense", "Normalize"]
    found = model.encode(TEXTS)
    np.testing.assert_allclose(found, subtracted(before, mean), atol=2e-6)
    assert np.abs(found - unit_vectors(before)).max() > 0.1
    explicit = unit_vectors(otembed.embeddings.arrays.centered_vectors(unit_vectors(before)))
    np.testing.assert_allclose(found, explicit, atol=2e-6)


def test_centered_model_loads_in_plain_sentence_transformers(model, tmp_path):
    mean = mean_of(model, TEXTS)
    center(model, mean)
    expected = model.encode(TEXTS)
    save_model(model, tmp_path / "m")
    plain = SentenceTransformer(str(tmp_path / "m"), device="cpu", local_files_only=True)
    np.testing.assert_array_equal(plain.encode(TEXTS), expected)
    modules = json.loads((tmp_path / "m" / "modules.json").read_text())
    assert {each["type"].rpartition(".")[0] for each in modules} == {"sentence_transformers.models"}
    settings = json.loads((tmp_path / "m" / "3_Dense" / "config.json").read_text())
    assert settings == {
        "in_features": 32, "out_features": 32, "bias": True, "activation_function": "torch.nn.modules.linear.Identity",
    }  # fmt: skip


def test_task_selects_the_mean_of_a_language(by_language, means):
    model, before = by_language
    plain, overall = before.encode(TEXTS), (means["de"] + means["en"]) / 2
    for task, mean in [("de", means["de"]), ("en", means["en"]), (None, overall)]:
        np.testing.assert_allclose(model.encode(TEXTS, task=task), subtracted(plain, mean), atol=2e-6)
    usual = before.encode_query(TEXTS), before.encode_document(TEXTS)
    for found, expected in zip((model.encode_query(TEXTS), model.encode_document(TEXTS)), usual, strict=True):
        np.testing.assert_allclose(found, subtracted(expected, overall), atol=2e-6)
    with pytest.raises(ValueError, match="xx"):
        model.encode(TEXTS, task="xx")


def test_model_centered_by_language_is_saved_in_its_older_form(by_language, tmp_path):
    model, _ = by_language
    save_model(model, tmp_path / "m")
    plain = SentenceTransformer(str(tmp_path / "m"), device="cpu", local_files_only=True)
    for task in ("de", "en", None, "query"):
        np.testing.assert_array_equal(plain.encode(TEXTS, task=task), model.encode(TEXTS, task=task))
    settings = json.loads((tmp_path / "m" / "3_Router" / "router_config.json").read_text())
    assert set(settings["types"].values()) == {"sentence_transformers.models.Dense"}
    assert settings["parameters"] == {"default_route": "all", "allow_empty_key": True}
    assert settings["structure"]["query"] == settings["structure"]["document"] == settings["structure"]["all"]
    for name in settings["types"]:
        assert "use_residual" not in json.loads((tmp_path / "m" / "3_Router" / name / "config.json").read_text())


@pytest.mark.parametrize("languages", [False, True])
def test_centering_is_removed_again(model, tmp_path, languages):
    mean = mean_of(model, TEXTS)
    before = unit_vectors(model.encode(TEXTS))
    assert not uncenter(model)
    center(model, mean, {"de": mean} if languages else None)
    save_model(model, tmp_path / "m")
    again = otembed.load_model(tmp_path / "m", device="cpu")
    assert uncenter(again)
    assert not uncenter(again)
    np.testing.assert_allclose(again.encode(TEXTS), before, atol=2e-6)
    assert [type(each).__name__ for each in again] == ["Transformer", "Pooling", "Normalize"]


@pytest.mark.parametrize(
    "dense",
    [
        Dense(32, 32, activation_function=None),
        Dense(32, 32, activation_function=None, init_weight=torch.eye(32), bias=False),
        Dense(32, 32, init_weight=torch.eye(32)),
        Dense(32, 32, init_weight=torch.eye(32), activation_function=None, use_residual=True),
    ],
    ids=["weight", "bias", "activation", "residual"],
)
def test_other_dense_modules_are_not_taken_for_centering(tiny_model, dense):
    tiny_model.append(dense)
    tiny_model.append(Normalize())
    assert not uncenter(tiny_model)
    assert len(tiny_model) == 5


@pytest.mark.parametrize("languages", [False, True])
def test_everything_that_reads_models_accepts_a_centered_one(tiny_model, tmp_path, languages):
    mean = mean_of(tiny_model, TEXTS)
    fingerprint = model_fingerprint(tiny_model)
    links = [each.to_pharaoh() for each in otembed.align(TEXTS[:2], TEXTS[1:3], model=tiny_model, layer=2)]
    center(tiny_model, mean, {"de": mean * 0.5} if languages else None)
    save_model(tiny_model, tmp_path / "m")
    model = otembed.load_model(tmp_path / "m", device="cpu")
    assert model_fingerprint(model) != fingerprint
    np.testing.assert_allclose(encode_by_length(model, TEXTS), model.encode(TEXTS), atol=2e-6)
    assert describe_model(model).dimension == 32
    assert [each.to_pharaoh() for each in otembed.align(TEXTS[:2], TEXTS[1:3], model=model, layer=2)] == links
    with sliced(model):
        np.testing.assert_allclose(model.encode(TEXTS), tiny_model.encode(TEXTS), atol=2e-6)
    report = export_model(tmp_path / "m", tmp_path / "half", precision="float16", check=TEXTS)
    assert report.lowest_cosine > 0.99
    batch = [model.preprocess(TEXTS[:2]), model.preprocess(TEXTS[2:4])]
    for loss in (
        OTAlignmentLoss(model, MultipleNegativesRankingLoss(model)),
        GradCacheLoss(model, MultipleNegativesRankingLoss(model), mini_batch_size=1),
    ):
        value = loss([dict(each) for each in batch], None)
        total = sum(value.values()) if isinstance(value, dict) else value
        assert torch.isfinite(total)


def test_half_precision_keeps_the_form(tiny_model, tmp_path):
    center(tiny_model, mean_of(tiny_model, TEXTS))
    tiny_model.half().save(str(tmp_path / "m"))
    assert uncenter(SentenceTransformer(str(tmp_path / "m"), device="cpu", local_files_only=True))


@pytest.mark.parametrize(
    ("mean", "error"),
    [(np.zeros(8), DataError), (np.zeros((1, 32)), DataError), (np.full(32, np.nan), NumericsError)],
)
def test_invalid_means_are_rejected(tiny_model, mean, error):
    with pytest.raises(error, match="all"):
        center(tiny_model, mean)


def test_model_of_another_similarity_is_rejected(tiny_model):
    tiny_model.similarity_fn_name = "dot"
    center(copy.deepcopy(tiny_model), np.zeros(32))  # of unit vectors, the dot product is the cosine
    del tiny_model[-1]
    with pytest.raises(ConfigError, match="dot") as caught:
        center(tiny_model, np.zeros(32))
    assert "release.center" in caught.value.hint


def test_dimensions_are_those_before_truncation(tiny_model):
    mean = mean_of(tiny_model, TEXTS)
    tiny_model.truncate_dim = 8
    expected = subtracted(tiny_model.encode(TEXTS, truncate_dim=32), mean)[:, :8]
    center(tiny_model, mean)
    np.testing.assert_allclose(tiny_model.encode(TEXTS), expected, atol=2e-6)
