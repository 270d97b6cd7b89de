"""Run an encoder on slices of a batch, so that no or little padding is computed."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from inspect import signature
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers import PreTrainedModel

from otembed.models.cutting import PER_TOKEN, FlatSlice, PaddedSlice, cut, flat_position
from otembed.models.dropout import fast_dropout
from otembed.models.flat_attention import flat_attention
from otembed.models.joining import column_of, is_joined, join_outputs
from otembed.models.onednn import fast_linear

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sentence_transformers.base import BaseModel

    from otembed.models.cutting import AnySlice


@contextmanager
def sliced(model: BaseModel | PreTrainedModel, loss: nn.Module | None = None) -> Iterator[None]:
    """Make the transformer of ``model`` compute padded batches in slices while the context is open.

    A batch is sorted by length, computed in slices, and put together in its order. On a CPU, the slices of the BERT,
    RoBERTa, XLM-R, DistilBERT, ELECTRA and ModernBERT families are flat, without padding; other slices are padded, and
    the batch is cut where that saves more padding than another slice costs. Token embeddings, hidden layers, pooled
    outputs and gradients are those of the padded call up to rounding. States at padding have no meaning, as in the
    padded call, and dropout draws other numbers. Linear layers are computed as :func:`fast_linear` does, dropout
    as :func:`fast_dropout <otembed.models.dropout.fast_dropout>`.

    Calls that cannot be cut run unchanged: inputs other than ids with a two-dimensional mask, requested
    attention maps, a key-value cache, flattened batches, and compiled models.

    Parameters
    ----------
    model
        A sentence-transformers or transformers model; one without a transformer is left as it is. Contexts may be
        nested. Copies made of the model in the context compute in slices as well, on their own weights.
    loss
        A loss of sentence-transformers that runs ``model`` on one column of a batch after the other. Flat slices of all
        columns are then computed together (see :func:`together`). otembed's losses ask for that themselves.
    """
    transformer = _transformer_of(model)
    with fast_linear(model), fast_dropout(model), ExitStack() as stack:
        # Otherwise it is sliced already, or replaced by someone else.
        if transformer is not None and "forward" not in vars(transformer):
            tokenizer = getattr(model, "tokenizer", None) or transformer.config
            transformer.forward = _Sliced(transformer, tokenizer.pad_token_id)
            stack.callback(delattr, transformer, "forward")
        forward = _stand_in(model)
        if loss is not None and forward is not None:

            def announce(module: nn.Module, args: tuple[Any, ...]) -> None:
                if args and isinstance(args[0], (list, tuple)):  # an iterator can be read only once
                    forward.announce(args[0])

            stack.callback(loss.register_forward_pre_hook(announce).remove)
        yield


@contextmanager
def together(model: BaseModel | PreTrainedModel, columns: Iterable[dict[str, Any]]) -> Iterator[None]:
    """Let :func:`sliced` compute the flat slices of all columns of a batch when the first of them is run.

    The weights are then read once, and their gradients need not be added up over columns. A column is recognized by the
    identity of its ``input_ids``. One that is run in another way than the first, for instance without a graph, is
    computed by itself.

    Parameters
    ----------
    model
        The model of :func:`sliced`; another one is left as it is.
    columns
        Features of each column, as the model is run on them.
    """
    forward = _stand_in(model)
    if forward is None:
        yield
        return
    forward.announce(columns)
    try:
        yield
    finally:
        forward.announce(())


def run_sliced(transformer: PreTrainedModel, inputs: dict[str, Any], forward: Callable[..., Any]) -> Any:
    """Return the output of a function for a batch, computed in slices where :func:`sliced` is open.

    Parameters
    ----------
    transformer
        The model of :func:`sliced`, or the transformer inside it.
    inputs
        Arguments of its ``forward``, by name.
    forward
        Called as ``forward(run, **inputs)`` with the inputs of a slice, on which ``run`` runs the transformer. Returns an
        output of transformers.
    """
    stand_in = _stand_in(transformer)
    if stand_in is None:
        return forward(transformer, **inputs)
    return stand_in.of_one(dict(inputs), partial(forward, stand_in.plain))


def _transformer_of(model: BaseModel | PreTrainedModel) -> Any:
    inner = model if isinstance(model, PreTrainedModel) else getattr(model, "transformers_model", None)
    return None if inner is None else cast("Any", inner).base_model


def _stand_in(model: BaseModel | PreTrainedModel) -> _Sliced | None:
    """Return the object that stands in for ``forward`` of the transformer of ``model``, if it is sliced."""
    transformer = _transformer_of(model)
    forward = None if transformer is None else vars(transformer).get("forward")
    return forward if isinstance(forward, _Sliced) else None


def computes_flat(model: BaseModel | PreTrainedModel) -> bool:
    """Say whether :func:`sliced` computes the batches of ``model`` in flat slices."""
    transformer = _transformer_of(model)
    return transformer is not None and flat_position(transformer, transformer.device) is not None


class _Sliced:
    """Stand in for ``forward`` of a transformer; a copy of the transformer gets a copy of this object."""

    def __init__(self, transformer: PreTrainedModel, padding: int | None) -> None:
        self._transformer = transformer
        self._padding = padding
        self._flat = True
        self._columns: list[dict[str, Any]] = []
        self._ready: dict[int, tuple[Any, Any]] = {}
        self._names = [
            name
            for name, each in signature(transformer.forward).parameters.items()
            if each.kind is each.POSITIONAL_OR_KEYWORD
        ]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if len(args) > len(self._names):
            return self.plain(*args, **kwargs)
        kwargs |= zip(self._names, args, strict=False)
        place = next(
            (i for i, each in enumerate(self._columns) if each["input_ids"] is kwargs.get("input_ids")), None
        )
        if place is None:
            return self.of_one(kwargs, self.plain)
        way = _way(self._transformer, kwargs)
        found, output = self._ready.pop(place, (None, None))
        if found == way:
            return output
        outputs = self._of_all(place, kwargs)
        if outputs is None:
            return self.of_one(kwargs, self.plain)
        self._ready = {column: (way, each) for column, each in enumerate(outputs)}
        return self._ready.pop(place)[1]

    def plain(self, *args: Any, **kwargs: Any) -> Any:
        """Call the transformer's own ``forward``."""
        return type(self._transformer).forward(self._transformer, *args, **kwargs)

    def announce(self, columns: Iterable[dict[str, Any]]) -> None:
        """Set the columns to be computed together, if slices are flat, and drop what was computed for earlier ones."""
        columns = [each for each in columns if isinstance(each.get("input_ids"), Tensor)]
        flat = self._flat and flat_position(self._transformer, self._transformer.device) is not None
        self._columns = columns if flat and len(columns) > 1 else []
        self._ready = {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave columns out of copies."""
        return vars(self) | {"_columns": [], "_ready": {}}

    def _cut(self, kwargs: dict[str, Any]) -> Sequence[AnySlice] | None:
        return cut(self._transformer, kwargs, self._padding, flat=self._flat)

    def of_one(self, kwargs: dict[str, Any], forward: Callable[..., Any]) -> Any:
        """Return the output of a call of ``forward``."""
        slices = self._cut(kwargs)
        output = None if slices is None else self._run(kwargs, slices, forward)
        return forward(**kwargs) if output is None else output

    def _of_all(self, place: int, kwargs: dict[str, Any]) -> list[Any] | None:
        """Return the outputs of all columns, given the call of one of them, or None if they cannot be flat."""
        names = [name for name, value in kwargs.items() if isinstance(value, Tensor)]
        if not PER_TOKEN.issuperset(names) or any(
            self._columns[place].get(name) is not kwargs[name] for name in names
        ):
            return None
        if not all(
            isinstance(each.get(name), Tensor) and each[name].ndim == 2 for each in self._columns for name in names
        ):
            return None
        counts, widths = zip(*(each["input_ids"].shape for each in self._columns), strict=True)
        joined = {}
        for name in names:
            filling = (self._padding or 0) if name == "input_ids" else 0
            joined[name] = torch.cat(
                [
                    pad(each[name], (0, max(widths) - width), value=filling)
                    for each, width in zip(self._columns, widths, strict=True)
                ]
            )
        slices = self._cut(kwargs | joined)
        if slices is None or not isinstance(slices[0], FlatSlice):
            return None
        output = self._run(kwargs | joined, slices, self.plain)
        if output is None:
            return None
        return [column_of(output, column, counts, width) for column, width in enumerate(widths)]

    def _run(self, kwargs: dict[str, Any], slices: Sequence[AnySlice], forward: Callable[..., Any]) -> Any:
        """Return the joined output of the slices of a call, or None if it is of a kind that cannot be joined."""
        ids = kwargs["input_ids"]
        batch, width = ids.shape
        on_the_left = any(isinstance(each, PaddedSlice) and each.columns.start for each in slices)
        if on_the_left and kwargs.get("position_ids") is None:
            kwargs["position_ids"] = torch.arange(width, device=ids.device).expand(batch, width)
        calls = [each.inputs(kwargs, batch) for each in slices]
        outputs = []
        flat = isinstance(slices[0], FlatSlice)
        attention = flat_attention(self._transformer) if flat else nullcontext()
        with attention, _one_lookup(self._transformer, ids, slices, [each["input_ids"] for each in calls]):
            for call in calls:
                outputs.append(forward(**call))
                if not is_joined(outputs[0]):
                    return None
        if isinstance(slices[0], FlatSlice) and not slices[0].groups.calls:
            # Attention is computed in some other way, across all texts.
            self._flat = False
            return self.of_one(kwargs, forward)
        joined = join_outputs(outputs, slices, batch, width)
        if flat and joined.get("pooler_output") is not None:
            joined["pooler_output"] = cast("Any", self._transformer).pooler(joined["last_hidden_state"])
        return joined


@contextmanager
def _one_lookup(
    transformer: PreTrainedModel, ids: Tensor, slices: Sequence[AnySlice], parts: Sequence[Tensor]
) -> Iterator[None]:
    """Look up trained input embeddings once a batch: their gradient has the size of the matrix, for every slice."""
    matrix = transformer.get_input_embeddings()
    if not torch.is_grad_enabled() or not any(each.requires_grad for each in matrix.parameters()):
        yield
        return
    found = matrix(ids)

    def replaced(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        for each, part in zip(slices, parts, strict=True):
            if args and args[0] is part:
                selected: Tensor = found[each.place].view_as(output)
                return selected
        return None

    handle = matrix.register_forward_hook(replaced)
    try:
        yield
    finally:
        handle.remove()


def _way(transformer: PreTrainedModel, inputs: dict[str, Any]) -> tuple[Any, ...]:
    """Return all that decides how a column is computed, but the column."""
    rest = sorted((name, repr(value)) for name, value in inputs.items() if not isinstance(value, Tensor))
    autocast = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")
    return torch.is_grad_enabled(), torch.is_inference_mode_enabled(), autocast, transformer.training, rest
