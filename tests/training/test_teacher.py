"""Training with a teacher: its vectors, a map to its space, a guide; and what is released."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import DistillKLDivLoss, MSELoss
from sentence_transformers.sentence_transformer.modules import Dense
from sentence_transformers.util import pairwise_cos_sim
from transformers import TrainerCallback

import otembed
from otembed.embeddings import embed_work
from otembed.embeddings.arrays import unit_vectors
from otembed.errors import ConfigError, ModelError
from otembed.losses.distillation import SimilarityDistillationLoss
from otembed.training import dry_run
from otembed.training.centering import training_sentences
from otembed.training.preparation import load_material
from tests.training.test_train import PROBE, Crash, assert_same_release, records

SOURCE = ["die Katze saß auf der Matte", "der Hund schlief im Haus", "die Katze", "der Hund"]
TARGET = ["the cat sat on the mat", "the dog slept in the house", "the cat", "the dog"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of vectors for each test."""
    monkeypatch.setenv("OTEMBED_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def small_teacher(tiny_wordpiece_model_path, tmp_path_factory):
    """A teacher of 16 dimensions, with another tokenizer."""
    folder = tmp_path_factory.mktemp("teacher") / "small"
    plain = SentenceTransformer(str(tiny_wordpiece_model_path), device="cpu", local_files_only=True)
    torch.manual_seed(0)
    SentenceTransformer(modules=[*plain, Dense(32, 16)], device="cpu", local_files_only=True).save(
        str(folder), create_model_card=False
    )
    return folder


def taught(configure, sentence, teacher, **changes):
    return configure(loss={"sentence": sentence, "teacher": str(teacher), "contrastive": None}, **changes)


class Labels(TrainerCallback):
    """Look at the batches of the trainer."""

    def __init__(self):
        self.rows = {}

    def on_train_begin(self, args, state, control, train_dataloader=None, **kwargs):
        dataset = train_dataloader.dataset
        for row in dataset.select(range(len(dataset))) if hasattr(dataset, "select") else dataset:
            self.rows[row["target"]] = row["label"]


def test_distillation_equals_the_divergence_of_sentence_transformers(tiny_model):
    """DistillKLDivLoss with all targets of the batch as candidates, in both directions."""
    tiny_model.eval()
    teacher = torch.randn(4, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    features = [dict(tiny_model.preprocess(texts)) for texts in (SOURCE, TARGET)]
    vectors = [tiny_model(dict(each))["sentence_embedding"] for each in features]
    wanted = torch.nn.functional.cosine_similarity(teacher[:, None], teacher[None], dim=2)
    inner = DistillKLDivLoss(tiny_model, similarity_fct=pairwise_cos_sim, temperature=0.1)
    expected = []
    for one, other in (vectors, vectors[::-1]):
        order = [torch.arange(4).roll(-shift) for shift in range(4)]
        scores = torch.stack([wanted[torch.arange(4), each] for each in order], 1)
        expected.append(
            inner.compute_loss_from_embeddings([one, *(other[each] for each in order)], scores) / 0.1**2
        )
    for symmetric in (False, True):
        loss = SimilarityDistillationLoss(tiny_model, temperature=0.1, symmetric=symmetric)
        value = loss([dict(each) for each in features], teacher)
        torch.testing.assert_close(
            value, torch.stack(expected).mean() if symmetric else expected[0], rtol=1e-4, atol=1e-6
        )
    with pytest.raises(ConfigError, match="teacher"):
        loss(features, None)
    with pytest.raises(ConfigError, match="temperature"):
        SimilarityDistillationLoss(tiny_model, temperature=0)


def test_mse_moves_both_sides_to_the_teachers_vector_of_the_pivot(configure, tiny_wordpiece_model_path, cache):
    looked = Labels()
    config = taught(
        configure, "mse", tiny_wordpiece_model_path, optimization={"max_steps": 30, "learning_rate": 3e-3}
    )
    result = otembed.train(config, callbacks=[looked])
    teacher = SentenceTransformer(str(tiny_wordpiece_model_path), device="cpu", local_files_only=True)
    texts = list(looked.rows)
    assert "the cat sat on the mat" in texts or "the dog sat on the mat" in texts
    np.testing.assert_allclose(
        np.array(list(looked.rows.values())), teacher.encode(texts, normalize_embeddings=True), atol=1e-5
    )
    losses = [each["loss"] for each in records(result.run) if "loss" in each]
    assert losses[-1] < losses[0] / 2
    # The vectors are in the cache: the teacher does not encode again.
    assert list(cache.rglob("*"))


def test_vectors_of_the_teacher_are_computed_once(configure, tiny_wordpiece_model_path, monkeypatch):
    counted = []
    original = embed_work.encode_by_length

    def counting(model, texts, **kwargs):
        counted.append(len(texts))
        return original(model, texts, **kwargs)

    monkeypatch.setattr(embed_work, "encode_by_length", counting)
    for count in (1, 0):
        config = taught(
            configure, "distill", tiny_wordpiece_model_path, optimization={"max_steps": 1}, held_out={"size": 0}
        )
        otembed.train(config, overwrite=not count)
        assert bool(counted) == bool(count)
        counted.clear()


def test_map_to_another_dimension_is_trained_and_not_released(configure, small_teacher, tiny_model_path):
    config = taught(configure, "mse", small_teacher, optimization={"learning_rate": 0.01, "max_steps": 9})
    straight = otembed.train(replace(config, output=str(Path(config.output).parent / "straight" / "run")))
    # The student, and 32 x 16 weights and 16 biases of the map.
    assert straight.trained_parameters == straight.parameters + 32 * 16 + 16
    plain = SentenceTransformer(straight.model, device="cpu", local_files_only=True)
    assert plain.get_embedding_dimension() == 32
    assert len(list(plain.children())) == 3
    # The map is in the checkpoints: an interrupted run ends with the same model.
    with pytest.raises(RuntimeError, match="power cut"):
        otembed.train(config, callbacks=[Crash(7)])
    resumed = otembed.train(resume=config.output)
    assert_same_release(straight.run, resumed.run)
    assert not np.allclose(
        plain.encode(PROBE), SentenceTransformer(str(tiny_model_path), device="cpu").encode(PROBE), atol=1e-3
    )


def test_map_to_another_dimension_and_every_change_of_the_release(configure, small_teacher, tiny_model_path):
    """Mean of checkpoints, interpolation and centering act on the student, whose vectors have its own dimension."""

    def run(name, **release):
        changes = {"optimization": {"learning_rate": 0.01}, "release": release}
        config = taught(configure, "mse", small_teacher, **changes)
        return replace(config, output=str(Path(config.output).parent / name / "run"))

    both = {"average_checkpoints": 2, "interpolate": 0.5}
    plain, straight = otembed.train(run("plain", **both)), otembed.train(run("straight", **both, center="global"))
    student, model = (
        SentenceTransformer(each.model, device="cpu", local_files_only=True) for each in (plain, straight)
    )
    assert model.get_embedding_dimension() == 32
    means = [
        unit_vectors(student.encode(texts)).mean(axis=0)
        for texts in training_sentences(load_material(run("straight"))).values()
    ]
    expected = unit_vectors(unit_vectors(student.encode(PROBE)) - np.mean(means, axis=0))
    np.testing.assert_allclose(model.encode(PROBE), expected, atol=1e-5)
    cut = run("cut", **both, center="global")
    with pytest.raises(RuntimeError, match="power cut"):
        otembed.train(cut, callbacks=[Crash(5)])
    assert_same_release(straight.run, otembed.train(resume=cut.output).run)


def test_a_student_that_cannot_be_centered_is_refused_before_the_teacher_is_loaded(
    configure, tiny_model_path, tmp_path
):
    student = SentenceTransformer(str(tiny_model_path), device="cpu", local_files_only=True)
    student.similarity_fn_name = "dot"
    del student[-1]
    student.save(str(tmp_path / "dot"), create_model_card=False)
    changes = {"model": {"name": str(tmp_path / "dot")}, "release": {"center": "global"}}
    for start in (otembed.train, dry_run):
        with pytest.raises(ConfigError, match="similarity is dot"):
            start(taught(configure, "mse", "./nowhere", **changes))


@pytest.mark.parametrize("sentence", ["mse", "gist", "distill"])
@pytest.mark.parametrize(
    "changes",
    [{"mini_batch_size": 3}, {"alignment": {"anchor": {}}}, {"contrastive": {"sentence_weight": 1.0}}],
    ids=["gradcache", "alignment", "contrastive"],
)
def test_teachers_combine_with_the_other_terms(configure, small_teacher, sentence, changes):
    loss = {"sentence": sentence, "teacher": str(small_teacher), "contrastive": None, **changes}
    if "alignment" in changes:
        del loss["contrastive"]
    config = configure(loss=loss, held_out={"size": 0}, optimization={"max_steps": 2})
    result = otembed.train(config)
    assert result.last_log["grad_norm"] > 0
    if "mini_batch_size" not in changes:
        assert result.last_log["sentence"] > 0


def test_guide_is_not_trained_and_not_released(configure, small_teacher):
    before = {each.name: each.read_bytes() for each in Path(small_teacher).rglob("*.safetensors")}
    result = otembed.train(taught(configure, "gist", small_teacher, optimization={"max_steps": 3}))
    assert {each.name: each.read_bytes() for each in Path(small_teacher).rglob("*.safetensors")} == before
    assert result.trained_parameters == result.parameters
    assert "GISTEmbedLoss" in (Path(result.model) / "README.md").read_text()


def test_adapters_and_a_map_to_the_teacher_resume_together(configure, small_teacher):
    pytest.importorskip("peft")
    config = taught(
        configure,
        "mse",
        small_teacher,
        model={"lora": {"r": 4}},
        optimization={"learning_rate": 0.01, "max_steps": 9},
    )
    straight = otembed.train(replace(config, output=str(Path(config.output).parent / "straight" / "run")))
    with pytest.raises(RuntimeError, match="power cut"):
        otembed.train(config, callbacks=[Crash(7)])
    assert_same_release(straight.run, otembed.train(resume=config.output).run)


def test_dry_run_uses_the_teacher(configure, small_teacher):
    for sentence in ("mse", "gist"):
        assert dry_run(taught(configure, sentence, small_teacher)).seconds_per_step > 0


def test_mse_of_sentence_transformers_serves_equal_dimensions(configure, tiny_model, tiny_wordpiece_model_path):
    from otembed.training.objective import build_loss

    loss = build_loss(tiny_model, taught(configure, "mse", tiny_wordpiece_model_path).loss)
    assert type(loss) is MSELoss


@pytest.mark.parametrize(
    ("loss", "word"),
    [
        ({"sentence": "mse"}, "loss.teacher"),
        ({"teacher": "x"}, "loss.teacher"),
        ({"sentence": "mnrl", "teacher": "x"}, "loss.sentence"),
        ({"sentence": "mse", "teacher": "x", "matryoshka_dims": [16]}, "mnrl"),
        ({"sentence": "distill", "teacher": "x", "gather_across_devices": True}, "mnrl"),
    ],
)
def test_settings_that_do_not_fit_are_rejected(configure, loss, word):
    with pytest.raises(ConfigError) as caught:
        configure(loss=loss)
    assert word in caught.value.hint + caught.value.message


def test_missing_teacher_ends_the_run_before_anything_is_written(configure):
    config = taught(configure, "gist", "./nowhere")
    with pytest.raises(ModelError, match="nowhere"):
        otembed.train(config)
    assert not Path(config.output).exists()


@pytest.mark.parametrize("kept", [8, 16])
def test_student_that_keeps_its_first_dimensions_learns_in_all_of_them(
    configure, small_teacher, tiny_model, tmp_path, kept
):
    tiny_model.truncate_dim = kept
    tiny_model.save(str(tmp_path / "cut"), create_model_card=False)
    changes = {"model": {"name": str(tmp_path / "cut")}, "held_out": {"size": 0}, "optimization": {"max_steps": 1}}
    result = otembed.train(taught(configure, "mse", small_teacher, **changes))
    model = otembed.load_model(result.model, device="cpu")
    assert model.encode("the cat").shape == (kept,)
    assert not any(isinstance(module, Dense) for module in model)
