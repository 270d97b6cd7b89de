"""The teacher of a run: its vectors of the training text, or the model itself as a guide."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa  # type: ignore[import-untyped]
from sentence_transformers.sentence_transformer.modules import Dense

from otembed.embeddings.cache import cache_home
from otembed.embeddings.texts import embed_sides
from otembed.losses.distillation import PROJECTED
from otembed.models import load_model
from otembed.models.architecture import full_dimension

if TYPE_CHECKING:
    import numpy as np
    from datasets.arrow_dataset import Dataset
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from otembed.config.train import TrainConfig
    from otembed.training.preparation import Material

logger = logging.getLogger(__name__)

LABEL = "label"
# Objectives that compare with the teacher's vectors; gist runs the teacher on each batch.
FROM_VECTORS = ("mse", "distill")


def load_teacher(config: TrainConfig, model: SentenceTransformer) -> SentenceTransformer:
    """Load the teacher onto the device of the student, frozen; ModelError if there is none of that name."""
    assert config.loss.teacher is not None, "LossConfig requires it"
    teacher = load_model(
        config.loss.teacher, device=model.device, local_files_only=config.model.local_files_only or None
    )
    return teacher.requires_grad_(False).eval()


def with_teacher(material: Material, model: SentenceTransformer, config: TrainConfig) -> Material:
    """Add the teacher's unit vectors of the targets as labels, and a linear map to the student if dimensions differ.

    Each distinct sentence is encoded once; the vectors are stored in the cache that mining and evaluation use. The map
    belongs to the model until :func:`drop_projection`.
    """
    if config.loss.sentence not in FROM_VECTORS:
        return material
    teacher = load_teacher(config, model)
    logger.info("encoding the target side with %s", config.loss.teacher)
    vectors = embed_sides(
        teacher,
        [list(each["target"]) for each in material.train.values()],
        batch_size=None,
        prompt=None,
        prompt_name=None,
        truncate_dim=None,
        show_progress_bar=False,
        cache=cache_home(None),
        names=[f"target side of {name}" for name in material.train],
        languages=[material.languages[name][1] for name in material.train],
    )
    dimension, own = vectors[0].shape[1], full_dimension(model)
    if config.loss.sentence == "mse" and own != dimension:
        assert own is not None, "a model that encodes has a dimension"
        logger.info("the teacher has %d dimensions, the model %d: a linear map is trained", dimension, own)
        model.append(Dense(own, dimension, activation_function=None, module_output_name=PROJECTED).to(model.device))
    train = zip(material.train.items(), vectors, strict=True)
    return replace(material, train={name: _labeled(dataset, each) for (name, dataset), each in train})


def has_projection(model: SentenceTransformer) -> bool:
    """Return whether the last module is a map to the teacher's space."""
    last = list(model.children())[-1]
    return isinstance(last, Dense) and last.module_output_name == PROJECTED


def drop_projection(model: SentenceTransformer) -> None:
    """Remove the map to the teacher's space, if there is one; vectors of sentences do not change."""
    if has_projection(model):
        del model[-1]


def _labeled(dataset: Dataset, vectors: NDArray[np.float32]) -> Dataset:
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    labeled: Dataset = dataset.add_column(LABEL, column)
    return labeled
