"""Distillation from the vectors of a teacher, as sentence-transformers losses.

Axes: B sentence pairs, D dimension of the student, T dimension of the teacher.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from sentence_transformers.sentence_transformer.losses import MSELoss
from torch import Tensor, nn
from torch.nn.functional import kl_div

from otembed.errors import ConfigError
from otembed.losses.parts import cosines, pair_columns

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sentence_transformers import SentenceTransformer

    from otembed.losses.encoder import Features

PROJECTED = "teacher_embedding"
"""The feature that holds the student's vector in the teacher's space."""


class ProjectedMSELoss(MSELoss):
    """Mean squared error between the teacher's vectors and a linear map of the student's, for other dimensions.

    The map is a module of the model that writes ``teacher_embedding`` and leaves ``sentence_embedding`` as it is. So it is
    in checkpoints and is averaged over processes, unlike parameters of a loss.

    Parameters
    ----------
    model
        The student, with a ``Dense(D, T, module_output_name="teacher_embedding")`` at its end.
    """

    def forward(self, sentence_features: Iterable[Features], labels: Tensor | None) -> Tensor:
        """Return the mean over columns of the error to ``labels`` (B, T)."""
        if labels is None:
            raise ConfigError("mse requires the teacher's vectors", "Add them as the column label.")
        found = [self.model(features)[PROJECTED] for features in sentence_features]
        value: Tensor = self.compute_loss_from_embeddings(found, [labels.detach()] * len(found))
        return value


class SimilarityDistillationLoss(nn.Module):
    r"""Match the similarities within a batch to those of a teacher, whose dimension may be another.

    .. math:: L = \frac{1}{B} \sum_i KL\big(\mathrm{softmax}_j(\cos(t_i, t_j) / \tau) \,\|\,
        \mathrm{softmax}_j(\cos(s_i, p_j) / \tau)\big)

    :math:`s_i, p_j` are the student's vectors of source i and target j, :math:`t_i` the teacher's of target i: each source
    is as similar to all targets as its own target is in the teacher's space. With ``symmetric``, the mean of this and of the
    same from targets to sources.

    Parameters
    ----------
    model
        The student.
    temperature
        Divides the similarities of both.
    symmetric
        Also from targets to sources.

    Inputs
    ------
    (source, target) pairs; labels (B, T), the teacher's vectors of the targets.

    Notes
    -----
    ``DistillKLDivLoss`` of sentence-transformers is the same divergence over given candidates, times the squared
    temperature; here the candidates are the batch. The loss has no parameters.

    References
    ----------
    Hinton et al., Distilling the knowledge in a neural network, arXiv 1503.02531.
    """

    def __init__(self, model: SentenceTransformer, *, temperature: float = 0.05, symmetric: bool = True) -> None:
        super().__init__()
        if not temperature > 0:
            raise ConfigError(f"temperature = {temperature} must be positive", "Use 0.05, for example.")
        self.model = model
        self.temperature = temperature
        self.symmetric = symmetric

    def forward(self, sentence_features: Iterable[Features], labels: Tensor | None) -> Tensor:
        """Return the divergence of the first two columns from the similarities of ``labels``."""
        if labels is None:
            raise ConfigError("distill requires the teacher's vectors", "Add them as the column label.")
        source, target = (self.model(each)["sentence_embedding"] for each in pair_columns(sentence_features)[:2])
        with torch.autocast(source.device.type, enabled=False):
            student = cosines(source, target) / self.temperature
            teacher = (cosines(labels.detach(), labels.detach()) / self.temperature).to(student)
            wanted = teacher.log_softmax(1)
            directions = [student, student.mT] if self.symmetric else [student]
            values = [
                kl_div(each.log_softmax(1), wanted, reduction="batchmean", log_target=True) for each in directions
            ]
            return torch.stack(values).mean()

    def get_config_dict(self) -> dict[str, Any]:
        """Return the settings for the model card."""
        return {"temperature": self.temperature, "symmetric": self.symmetric}

    @property
    def citation(self) -> str:
        """BibTeX entry of the method."""
        return """
@misc{hinton-2015-distilling,
    title = "Distilling the Knowledge in a Neural Network",
    author = "Hinton, Geoffrey and Vinyals, Oriol and Dean, Jeff",
    year = "2015",
    url = "https://arxiv.org/abs/1503.02531",
}
"""
