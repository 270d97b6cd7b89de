"""Models between two models: a weighted mean of their weights, tensor by tensor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from otembed._version import __version__
from otembed.errors import ConfigError, ModelError, NumericsError
from otembed.models.alike import first_difference
from otembed.models.describe import public_name
from otembed.models.export import OWN_FILES, check_target
from otembed.models.folders import whole_folder
from otembed.models.load import load_model
from otembed.models.lora import without_adapter
from otembed.models.portable import make_portable
from otembed.models.save import check_saveable, weight_bytes
from otembed.results import Result
from otembed.results.paths import expand
from otembed.results.table import markdown_escaped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sentence_transformers import SentenceTransformer

CARD_FILE = "README.md"


def weights_between(first: Tensor, second: Tensor, share: float) -> Tensor:
    r"""Return a new tensor ``first + share * (second - first)``.

    Exactly ``first`` at 0 and where both are equal, and exactly ``second`` at 1. Computed in float32 or wider, and
    returned in the type of ``first``. Every operation is rounded by itself, so the bits do not depend on the number of
    threads.

    >>> weights_between(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 2.0]), 0.25).tolist()
    [1.5, 2.0]
    """
    if share == 0:
        return first.clone()
    if share == 1:
        return second.to(first.dtype, copy=True)
    wide = torch.promote_types(first.dtype, torch.float32)
    start = first.to(wide)
    return (second.to(wide) - start).mul_(share).add_(start).to(first.dtype)


def trained_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return copies of the trained parameters in main memory, tied ones once; frozen ones are left out."""
    return {
        name: each.detach().to("cpu", copy=True) for name, each in model.named_parameters() if each.requires_grad
    }


@torch.no_grad()
def set_weights(model: nn.Module, first: Mapping[str, Tensor], second: Mapping[str, Tensor], share: float) -> None:
    """Set the parameters that ``first`` and ``second`` name to :func:`weights_between` them; the others stay."""
    for name, parameter in model.named_parameters():
        if name in first:
            parameter.copy_(weights_between(first[name], second[name], share))


@dataclass(frozen=True)
class MergeReport(Result):
    """Report of a merge: ``weight`` is the share of ``second``; ``differing`` of ``tensors`` differ between the models."""

    first: str
    second: str
    weight: float
    folder: str
    parameters: int
    tensors: int
    differing: int


def merge_models(
    first: str | Path, second: str | Path, folder: str | Path, *, weight: float = 0.5, device: str | None = "cpu"
) -> MergeReport:
    """Write the model whose weights are ``(1 - weight) * first + weight * second``, for plain sentence-transformers.

    Both models must have the same modules, tokenizer and tensors: usually two fine-tuned versions of one encoder, or
    such a version and its start. Tokenizer, prompts, length limit and buffers are those of ``first``. Adapters are merged
    into the weights first.

    Parameters
    ----------
    first, second
        Models as for :func:`otembed.load_model`.
    folder
        The folder to write; it must not exist or be empty. It is written atomically.
    weight
        Share of ``second``, from 0 to 1.
    device
        Where the models are loaded.

    Raises
    ------
    ConfigError
        ``weight`` is not between 0 and 1.
    ModelError
        A model cannot be loaded, contains custom modules, or the models differ; the message names the first difference.
    NumericsError
        A merged tensor is not finite.
    OutputError
        The folder cannot be written.

    References
    ----------
    M. Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022 (WiSE-FT).
    """
    if not 0 <= weight <= 1:
        raise ConfigError(f"weight is {weight}", "Use a number from 0 (the first model) to 1 (the second model).")
    target = expand(folder).resolve()
    check_target(target)
    model, other = (without_adapter(load_model(each, device=device)) for each in (first, second))
    for each in (model, other):
        check_saveable(each)
    found = first_difference(model, other)
    if found is not None:
        raise ModelError(
            f"{first} and {second} cannot be merged: they differ in {found}",
            "Merge models of the same architecture and tokenizer, such as two fine-tuned versions of one encoder.",
        )
    starts, ends = dict(model.named_parameters()), dict(other.named_parameters())
    differing = sum(not torch.equal(each, ends[name]) for name, each in starts.items())
    with torch.no_grad():
        for name, parameter in starts.items():
            parameter.copy_(weights_between(parameter, ends[name], weight))
            if not torch.isfinite(parameter).all():
                raise NumericsError(
                    f"{name} of the merged model is not finite", "Check the weights of both models."
                )
    _forget_origin(model)
    names = tuple(public_name(str(each)) for each in (first, second))
    with whole_folder(target, needed=weight_bytes(model)) as fresh:
        model.save(str(fresh))
        make_portable(fresh)
        card = fresh / CARD_FILE
        card.write_text(_card(card.read_text(encoding="utf-8"), names, weight), encoding="utf-8")
        for name in OWN_FILES:
            _keep_if_equal(expand(first) / name, expand(second) / name, fresh / name)
    return MergeReport(
        first=str(first),
        second=str(second),
        weight=weight,
        folder=str(target),
        parameters=sum(each.numel() for each in starts.values()),
        tensors=len(starts),
        differing=differing,
    )


def _forget_origin(model: SentenceTransformer) -> None:
    """Give the model a card of its own: figures and training of the first model do not describe it."""
    model._model_card_text = None
    model.model_card_data = type(model.model_card_data)(local_files_only=True)
    model.model_card_data.register_model(model)
    model.model_card_data.add_tags(["otembed", "merge"])


def _card(card: str, names: tuple[str, ...], weight: float) -> str:
    first, second = map(markdown_escaped, names)
    return (
        f"{card.rstrip()}\n\n## Merged with otembed\n\n"
        f"Every weight is {1 - weight:g} times that of **{first}** plus {weight:g} times that of **{second}** (otembed"
        f" {__version__}). Tokenizer, prompts and length limit are those of the first model. The merged model was not"
        " trained further, and no figures of either model hold for it.\n"
    )


def _keep_if_equal(first: Path, second: Path, target: Path) -> None:
    """Copy a file that both models have with the same content."""
    if first.is_file() and second.is_file() and first.read_bytes() == second.read_bytes():
        target.write_bytes(first.read_bytes())
