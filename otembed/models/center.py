"""Centering as part of a model: subtract a mean sentence vector, with modules of sentence-transformers alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from sentence_transformers.base.modules import Dense, Module, Router
from sentence_transformers.sentence_transformer.modules import Normalize
from torch import nn

from otembed.errors import ConfigError, DataError, NumericsError
from otembed.models.architecture import full_dimension

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

# The tasks that encode_query and encode_document set; they say nothing of the language.
USUAL_TASKS = ("query", "document")
OVERALL = "all"


def center(
    model: SentenceTransformer,
    mean: NDArray[np.floating],
    by_language: Mapping[str, NDArray[np.floating]] | None = None,
) -> None:
    r"""Append modules that turn the vector of a text into :math:`(u - m) / |u - m|`, with :math:`u = x / |x|`.

    The modules are ``Normalize`` (unless the model already ends with one), ``Dense`` with the identity as weight and
    :math:`-m` as bias, and ``Normalize``. With means by language, a ``Router`` chooses among Dense modules:
    ``model.encode(texts, task="sw")`` subtracts the mean of Swahili, and without a task, or with that of ``encode_query`` and
    ``encode_document``, ``mean`` is subtracted. The saved model needs neither otembed nor ``trust_remote_code``.

    Parameters
    ----------
    model
        The model, changed in place; not centered yet, see :func:`uncenter`.
    mean
        (d,) mean of unit sentence vectors.
    by_language
        The mean of each language.

    Raises
    ------
    ConfigError
        Vectors of the model are compared by another measure than cosine, and are not normalized.
    DataError
        A mean has another shape than the model's vectors.
    NumericsError
        A mean is not finite.

    References
    ----------
    J. Libovicky, R. Rosa, A. Fraser, "On the Language Neutrality of Pre-trained Multilingual Representations", Findings of
    EMNLP 2020.
    """
    check_centerable(model)
    if not isinstance(model[-1], Normalize):
        model.append(Normalize())
    dimension = full_dimension(model) or 0
    overall = _shift(mean, dimension, OVERALL)
    shift: Module = overall
    if by_language:
        routes = {OVERALL: overall, **{name: _shift(each, dimension, name) for name, each in by_language.items()}}
        routes |= dict.fromkeys(USUAL_TASKS, overall)
        modules: dict[str, list[Module]] = {name: [each] for name, each in routes.items()}
        shift = Router(modules, default_route=OVERALL)
    device = next(model.parameters()).device
    model.append(shift.to(device).requires_grad_(False))
    model.append(Normalize())


def uncenter(model: SentenceTransformer) -> bool:
    """Remove the modules that :func:`center` appended; return False if there are none. ``Normalize`` is kept."""
    if not (len(model) > 2 and isinstance(model[-1], Normalize) and isinstance(model[-3], Normalize)):
        return False
    shift = model[-2]
    routes = (
        [list(route.children()) for route in shift.sub_modules.values()] if isinstance(shift, Router) else [[shift]]
    )
    if not all(len(route) == 1 and _is_shift(route[0]) for route in routes):
        return False
    del model[-1]
    del model[-1]
    return True


def routes_of(model: SentenceTransformer) -> list[str]:
    """Return the names of all routes of the model's Routers: the values of ``task`` that ``model.encode`` accepts."""
    return [name for module in model.children() if isinstance(module, Router) for name in module.sub_modules]


def language_routes(model: SentenceTransformer) -> list[str]:
    """Return the routes that :func:`center` made for languages; empty for a model whose Router does something else."""
    routes = routes_of(model)
    return [name for name in routes if name not in (OVERALL, *USUAL_TASKS)] if OVERALL in routes else []


def check_centerable(model: SentenceTransformer) -> None:
    """Reject a model whose lengths of vectors have a meaning; call it before training, too."""
    measure = model.similarity_fn_name
    if not isinstance(model[-1], Normalize) and measure not in (None, "cosine"):
        raise ConfigError(
            f"centering requires vectors that are compared by cosine, but the model's similarity is {measure}",
            "Set release.center to none.",
        )


def _shift(mean: NDArray[np.floating], dimension: int, name: str) -> Dense:
    """Return a module that subtracts a vector: the product with the identity matrix is exact."""
    if np.shape(mean) != (dimension,):
        raise DataError(
            f"{name}: the mean has shape {np.shape(mean)}, vectors of the model have {dimension} dimensions",
            "Compute the mean with the same model.",
        )
    if not np.isfinite(mean).all():
        raise NumericsError(f"{name}: the mean is not finite", "Check the model's vectors of this text.")
    bias = -torch.from_numpy(np.array(mean, np.float32))
    return Dense(
        dimension, dimension, activation_function=nn.Identity(), init_weight=torch.eye(dimension), init_bias=bias
    )


def _is_shift(module: nn.Module) -> bool:
    return (
        isinstance(module, Dense)
        and module.in_features == module.out_features
        and bool(module.bias)
        and not module.use_residual
        and isinstance(module.activation_function, nn.Identity)
        and torch.equal(module.linear.weight, torch.eye(module.in_features).to(module.linear.weight))
    )
