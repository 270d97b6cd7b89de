"""Any loss over the whole batch with the encoder run in mini-batches, so memory does not limit the batch size.

Axes: B sentences, T tokens, D dimension.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import torch
from sentence_transformers.base.losses.gradcache import RandContext, uses_gradient_cache
from torch import Tensor, nn
from torch.nn.functional import pad

from otembed.errors import ConfigError, ModelError
from otembed.losses.encoder import unwrap
from otembed.losses.gather import average_gradients, replica, unsynchronized
from otembed.losses.parts import check_loss
from otembed.models import sliced
from otembed.models.flat import cut_flat, is_flat, text_lengths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from otembed.losses.encoder import Encoder, Features

CITATION = """
@inproceedings{gao-2021-scaling,
    title = "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup",
    author = "Gao, Luyu and Zhang, Yunyi and Han, Jiawei and Callan, Jamie",
    booktitle = "Proceedings of the 6th Workshop on Representation Learning for NLP",
    year = "2021",
    url = "https://arxiv.org/abs/2101.06983",
}
"""


class GradCacheLoss(nn.Module):
    """Compute ``loss`` on the whole batch while the encoder processes ``mini_batch_size`` sentences at a time.

    The encoder first runs on each mini-batch without a graph. The loss is computed on all token states and
    differentiated with respect to them. The encoder then runs on each mini-batch again, with a graph and the same
    dropout, and backpropagates the cached gradients. Value and gradients equal those of ``loss`` alone, up to
    rounding. Memory holds one mini-batch in the encoder and all token states; a step takes one more forward pass.

    Parameters
    ----------
    model
        A SentenceTransformer or MultiVectorEncoder whose first module is a transformer over text; this module
        runs in mini-batches.
    loss
        Any loss on ``model``: :class:`OTAlignmentLoss` or :class:`OTContrastiveLoss`, with or without a wrapped loss,
        or a sentence-transformers loss. It must not cache gradients itself.
    mini_batch_size
        Number of sentences of a column that the encoder processes at a time.

    Notes
    -----
    ``forward`` returns what ``loss`` returns, one scalar or a dict of scalars, which may be summed and scaled
    together, as the trainer does. Differentiable once, by one backward pass, which adds the gradients of the encoder to
    ``grad`` of its parameters: ``torch.autograd.grad`` does not return them. Under autocast, the second pass uses the same
    autocast. With several processes, the model must be wrapped in DDP; the gradients are averaged after the second pass, once a batch.

    Raises
    ------
    ConfigError
        ``mini_batch_size`` below 1, an argument that is not a loss or that caches gradients itself, several processes
        without DDP, loss terms that are scaled differently, or a second backward pass or derivative.
    ModelError
        A batch that is not text.

    References
    ----------
    Gao et al., Scaling deep contrastive learning batch size under memory limited setup, RepL4NLP 2021.

    Examples
    --------
    ::

        loss = GradCacheLoss(model, OTContrastiveLoss(model), mini_batch_size=16)
    """

    uses_gradient_cache = True

    def __init__(self, model: Encoder, loss: nn.Module, *, mini_batch_size: int) -> None:
        super().__init__()
        if isinstance(mini_batch_size, bool) or not isinstance(mini_batch_size, int) or mini_batch_size < 1:
            raise ConfigError(f"mini_batch_size must be a positive integer, got {mini_batch_size!r}")
        check_loss(loss)
        if uses_gradient_cache(loss):
            raise ConfigError(f"{type(loss).__name__} already caches gradients", "Use it without GradCacheLoss.")
        self.model = model
        self.loss = loss
        self.mini_batch_size = mini_batch_size

    def forward(
        self, sentence_features: Iterable[Features], labels: Tensor | None = None
    ) -> Tensor | dict[str, Tensor]:
        """Compute the loss of one batch; its backward pass runs the encoder again."""
        model = unwrap(self.model)
        encoder = model[0]
        wrapper = replica(self.model) if torch.is_grad_enabled() else None
        passes: list[_Pass] = []
        with unsynchronized(wrapper), sliced(model), self._in_mini_batches(encoder, passes):
            value = self.loss(list(sentence_features), labels)
        terms = value if isinstance(value, dict) else {"loss": value}
        if torch.is_grad_enabled():
            terms = self._with_gradients(encoder, terms, passes, spread=wrapper is not None)
        return terms if isinstance(value, dict) else terms["loss"]

    def pop_statistics(self) -> dict[str, float]:
        """Return and reset the statistics of the wrapped loss, if it keeps any."""
        found: dict[str, float] = getattr(self.loss, "pop_statistics", dict)()
        return found

    def get_config_dict(self) -> dict[str, Any]:
        """Return the settings for the model card."""
        return {"loss": self.loss, "mini_batch_size": self.mini_batch_size}

    @property
    def citation(self) -> str:
        """BibTeX entries of the gradient cache and of the wrapped loss."""
        return CITATION + str(getattr(self.loss, "citation", ""))

    @contextmanager
    def _in_mini_batches(self, encoder: nn.Module, passes: list[_Pass]) -> Iterator[None]:
        """Run ``encoder`` in mini-batches; its states become leaves of the graph."""
        replaced = encoder.__dict__.get("forward")
        run = encoder.forward

        def forward(features: Features, **kwargs: Any) -> Features:
            made = _Pass(encoder, run, kwargs)
            features.update(made.first(features, self.mini_batch_size))
            passes.append(made)
            return features

        encoder.forward = forward
        try:
            yield
        finally:
            if replaced is None:
                del encoder.forward
            else:
                encoder.forward = replaced

    def _with_gradients(
        self, encoder: nn.Module, terms: dict[str, Tensor], passes: list[_Pass], *, spread: bool
    ) -> dict[str, Tensor]:
        """Differentiate the sum of the terms with respect to the states and to parameters after the encoder."""
        total = torch.stack(list(terms.values())).sum()
        if not total.requires_grad:
            return terms
        inside = {id(parameter) for parameter in encoder.parameters()}
        behind = [each for each in self.parameters() if each.requires_grad and id(each) not in inside]
        leaves = [leaf for each in passes for leaf in each.leaves]
        found = torch.autograd.grad(total, [*leaves, *behind], allow_unused=True)
        for each in passes:
            each.gradients, found = found[: len(each.leaves)], found[len(each.leaves) :]
        reached = [(each, gradient) for each, gradient in zip(behind, found, strict=True) if gradient is not None]
        if spread:
            reached = _averaged(behind, {id(each): gradient for each, gradient in reached})
        # A trained parameter of the encoder makes the terms differentiable; it gets no gradient this way.
        trained = [each for each in encoder.parameters() if each.requires_grad]
        first = trained[0] if trained else None
        values = _Replayed.apply(  # type: ignore[no-untyped-call]
            passes,
            trained if spread else [],
            [gradient for _, gradient in reached],
            first,
            len(terms),
            *(term.detach() for term in terms.values()),
            *(each for each, _ in reached),
        )
        return dict(zip(terms, values, strict=True))


class _Replayed(torch.autograd.Function):
    """Values of the terms; their backward pass runs the encoder again with the cached gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        passes: list[_Pass],
        averaged: list[nn.Parameter],
        gradients: list[Tensor],
        first: Any,
        count: int,
        *inputs: Tensor,
    ) -> Any:
        ctx.passes, ctx.averaged, ctx.gradients, ctx.count = passes, averaged, gradients, count
        return tuple(term.clone() for term in inputs[:count])

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Any, ...]:
        if ctx.passes is None or torch.is_grad_enabled():
            raise ConfigError(
                "a GradCacheLoss can be differentiated only once",
                "Compute the loss again before another backward pass; remove create_graph=True.",
            )
        scale = upstream[0]
        if any(not torch.equal(scale, other) for other in upstream[1:]):
            raise ConfigError(
                "the terms of a GradCacheLoss are scaled differently", "Sum them; set weights in the loss itself."
            )
        for each in ctx.passes:
            each.again(scale)
        ctx.passes = None
        average_gradients(ctx.averaged)
        return None, None, None, None, None, *[None] * ctx.count, *(scale * gradient for gradient in ctx.gradients)


def _averaged(
    parameters: Sequence[nn.Parameter], gradients: dict[int, Tensor]
) -> list[tuple[nn.Parameter, Tensor]]:
    """Return the parameters that have a gradient in any process, with its average over all processes."""
    stand_ins = [nn.Parameter(each, requires_grad=True) for each in parameters]
    for parameter, stand_in in zip(parameters, stand_ins, strict=True):
        found = gradients.get(id(parameter))
        stand_in.grad = None if found is None else found.clone()
    average_gradients(stand_ins)
    pairs = zip(parameters, stand_ins, strict=True)
    return [(parameter, each.grad) for parameter, each in pairs if each.grad is not None]


class _Pass:
    """One column of the batch: its mini-batches, with the random state of each."""

    def __init__(self, encoder: nn.Module, run: Callable[..., Features], kwargs: dict[str, Any]) -> None:
        self.leaves: list[Tensor] = []
        self.gradients: Sequence[Tensor | None] = ()
        self._run = run
        self._kwargs = kwargs
        self._transformer = cast("Any", encoder).model
        self._config = self._transformer.config
        self._hidden = self._config.output_hidden_states
        self._chunks: list[tuple[Features, RandContext]] = []
        self._autocast: dict[str, Any] = {}
        self._axis = 0  # of the states, along which mini-batches follow each other: 1 in a flat batch

    def first(self, features: Features, size: int) -> Features:
        """Encode without a graph; return the concatenated states as leaves of the graph of the loss."""
        if "input_ids" not in features:
            raise ModelError(
                "GradCacheLoss requires batches of text, but this model does not take text", "Use a text encoder."
            )
        flat = is_flat(features)
        width = features["input_ids"].shape[1]
        count = len(text_lengths(features)) if flat else len(features["input_ids"])
        kind = features["input_ids"].device.type
        self._autocast = {
            "device_type": kind,
            "enabled": torch.is_autocast_enabled(kind),
            "dtype": torch.get_autocast_dtype(kind),
        }
        made = []
        for begin in range(0, count, size):
            chunk = (cut_flat if flat else _cut)(features, begin, begin + size)
            self._chunks.append(
                (chunk, RandContext(*(each for each in chunk.values() if isinstance(each, Tensor))))
            )
            with torch.no_grad():
                states = self._states(self._run(dict(chunk), **self._kwargs))
            made.append(states if flat else [pad(each, (0, 0, 0, width - each.shape[1])) for each in states])
        self._axis = 1 if flat else 0
        self.leaves = [
            torch.cat(parts, self._axis).requires_grad_(torch.is_grad_enabled())
            for parts in zip(*made, strict=True)
        ]
        last, *layers = self.leaves
        return {"token_embeddings": last} | ({"all_layer_embeddings": tuple(layers)} if layers else {})

    def again(self, scale: Tensor) -> None:
        """Encode again with a graph, and backpropagate the cached gradients."""
        begin = 0
        for chunk, random_state in self._chunks:
            shape = chunk["input_ids"].shape
            count, width = shape[self._axis], shape[1]
            with random_state, sliced(self._transformer), torch.enable_grad(), torch.autocast(**self._autocast):
                before, self._config.output_hidden_states = self._config.output_hidden_states, self._hidden
                try:
                    states = self._states(self._run(dict(chunk), **self._kwargs))
                finally:
                    self._config.output_hidden_states = before
            wanted = [
                (state, scale * gradient.narrow(self._axis, begin, count)[:, :width])
                for state, gradient in zip(states, self.gradients, strict=True)
                if gradient is not None and state.requires_grad
            ]
            if wanted:
                torch.autograd.backward([state for state, _ in wanted], [gradient for _, gradient in wanted])
            begin += count

    @staticmethod
    def _states(output: Features) -> list[Tensor]:
        return [output["token_embeddings"], *output.get("all_layer_embeddings", ())]


def _cut(features: Features, begin: int, end: int) -> Features:
    """Return rows of padded features, without columns that are padding in all of them."""
    count, width = features["input_ids"].shape
    read = features["attention_mask"].bool()
    if "query_expansion_positions" in features:  # scored although masked from attention
        read = read | features["query_expansion_positions"].bool()
    used = read[begin:end].any(0).nonzero()
    kept = int(used.max()) + 1 if len(used) else 1
    chunk: Features = {}
    for name, value in features.items():
        if not isinstance(value, Tensor) or not value.ndim or len(value) != count:
            chunk[name] = value
        else:
            rows = value[begin:end]
            chunk[name] = rows[:, :kept] if rows.ndim > 1 and rows.shape[1] == width else rows
    return chunk
