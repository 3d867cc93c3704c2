"""``output_ratio``: each adapter's part of the output relative to its layer's own, on the step's own tokens."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from lora_watch.adapters import Adapter, DenseAdapter, Factors, walk
from lora_watch.adapters.live import Live
from lora_watch.adapters.tensors import partitioned, sharded, whole
from lora_watch.deferred import Deferred, is_far, ready
from lora_watch.records import Due, FloatArray, Reading, Readings

TOKENS = 64
"""Rows of a layer's input that are sampled in a step. The ratio is a quotient of two sums over them."""

_GOLDEN = 0.6180339887498949


class _Seen(NamedTuple):
    """What is kept of one adapter's layer in a forward pass, on its device."""

    scale: float
    inside: Tensor
    """h = A·x, ``[r, rows]``; where there is no A, ‖ΔW·x‖, ``[1, rows]``."""
    own: Tensor
    """‖W₀·x‖, ``[rows]``."""
    gram: Tensor | None
    """BᵀB with what lies between B and A, ``[r, r]``; None where there is no B."""
    weight: Tensor | None
    """``[rows]``: False for padding."""


class OutputRatioProbe:
    """Measures ‖s·B·A·x‖_F / ‖W₀·x‖_F for every adapter, over a sample of one training step's tokens.

    From ``arm()`` to ``begin()`` a forward hook on each frozen layer sees its input x and output W₀·x (a bias is taken
    off); no other step has a hook of ours in it. Of the first micro-batch it takes ``tokens`` evenly spaced rows,
    shifted from step to step so that every position is sampled alike, and keeps of those no more than h = A·x, ``r``
    numbers, and ‖W₀·x‖, one. ``begin()`` makes ‖B·h‖² of them, as tr(BᵀB·h·hᵀ), for all layers together. It draws no
    random number, changes no value and returns nothing to the forward pass.

    Counted once a step: a second forward under gradient checkpointing, further micro-batches, evaluation and
    forward passes without gradients (a reference model) are passed over. Rows that the batch's ``attention_mask``
    marks as padding do not count. Where the pairing of one input with one output does not exist (convolutions,
    experts, fused projections, merged adapters, compiled models, kernels that never call the frozen layer) the adapter
    is unknown, not zero. Factors that are sharded (FSDP) are read in the layer's own forward pass, where they are whole
    if they are sharded together with the layer; the tokens are this rank's.

    Good to 1e-3 where sums do not cancel to less than 1e-4 of their terms, for outputs whose norms are between 1e±18:
    on a CPU the sample is multiplied in single precision. ‖W₀·x‖ is taken from what the layer has answered: in half
    precision a bias that is hundreds of times as large leaves few digits of it.

    Cost: r · (tokens · d_in + r · d_out) multiply-adds for each adapter; two operations inside a layer, on an
    accelerator some eight, in float64, and no synchronisation. Where the change is no product of two factors, it is
    made whole.

    Copies of a model, pickled ones too, hold none of these hooks but a trace that goes at the first call.

    Args:
        model: what is trained.
        adapters: those to measure.
        tokens: rows of a layer's input that are sampled.
        guard: what to do everything in that happens inside a forward pass, given what it does in words.
        live: of the same adapters, kept up to date by the caller: what it keeps is not looked up again.
    """

    KINDS = ("Linear", "Conv1D", "Embedding", "HQQLinear")

    def __init__(
        self,
        model: nn.Module,
        adapters: Sequence[Adapter | DenseAdapter],
        tokens: int = TOKENS,
        guard: Callable[[str], AbstractContextManager[Any]] = lambda doing: torch.no_grad(),
        live: Live | None = None,
    ):
        self._model, self.guard, self._live = model, guard, live
        self._adapters = list(adapters)
        self._tokens = tokens
        self._due: dict[int, Factors | None] = {}
        """The factors of the adapters that are to be measured in the coming forward pass; None for dense ones."""
        self._late: set[int] = set()
        """Those of them whose factors are whole in the layer's forward pass alone."""
        self._grams: dict[int, Tensor] | None = None
        """BᵀB of each, as it is in that pass; None until it has begun."""
        self._seen: dict[int, _Seen] = {}
        """Adapters measured since ``arm()``."""
        self._mask: Tensor | None = None
        self._weights: dict[int, Tensor | None] = {}
        self._phase = 0.0
        self._handles: list[Any] = []
        self._hooks: list[tuple[nn.Module, _LayerHook]] = []
        """The layers to hook, and the hooks."""
        self._hooked: list[int] = []
        """The adapters of those layers."""
        self.steps = 0
        """Steps whose forward pass was looked at."""
        self.never_seen: set[int] = set()
        """Adapters whose frozen layer was called in none of them."""
        self.why_unavailable = self._choose_layers()
        """Why nothing can be measured, in words; None when something can."""

    def _choose_layers(self) -> str | None:
        if _is_compiled(self._model):
            return "the model is compiled, and a hook inside a compiled graph would slow it down"
        by_layer: dict[int, tuple[nn.Module, list[int]]] = {}
        for index, adapter in enumerate(self._adapters):
            layer = adapter.base_layer
            if layer is not None and adapter.kind in self.KINDS and self._has_one_block(adapter, index):
                by_layer.setdefault(id(layer), (layer, []))[1].append(index)
        if not by_layer:
            return "no adapted layer takes one input row to one output row"
        self._hooks = [(layer, _LayerHook(self, indices)) for layer, indices in by_layer.values()]
        self._hooked = [index for _, indices in by_layer.values() for index in indices]
        self.never_seen = set(self._hooked)
        return None

    def _has_one_block(self, adapter: Adapter | DenseAdapter, index: int) -> bool:
        if isinstance(adapter, DenseAdapter):
            return adapter.why_not is None and not any(map(sharded, adapter.own))  # a collective in the hook
        if all(type(tensor) is nn.Parameter and whole(tensor) for tensor in adapter.parameters):
            return len(adapter.factors()) == 1
        self._late.add(index)
        return not any(map(partitioned, adapter.own))  # each comes for its own forward pass only

    def arm(self, step: int) -> None:
        """Look at the next training forward pass. ``step`` only decides which rows are sampled."""
        self._forget()
        # Read here, all at once: between two layers every line of Python waits for caches that the layers have emptied.
        kept = self._live.now.kept if self._live is not None else None
        for index in self._hooked:
            adapter = self._adapters[index]
            if adapter.merged:
                continue
            blocks = () if index in self._late else adapter.factors() if kept is None else kept[index].blocks
            if blocks or index in self._late or isinstance(adapter, DenseAdapter):
                self._due[index] = blocks[0] if blocks else None
        self._phase = (step * _GOLDEN) % 1.0
        if self._hooks and not self._handles:
            # First in line: another hook may change the output.
            self._handles = [_Hooked(layer, hook) for layer, hook in self._hooks]
            self._handles.append(self._model.register_forward_pre_hook(_MaskHook(self), with_kwargs=True))

    def begin(self, due: Due) -> Deferred[Readings]:
        """``output_ratio`` since ``arm()``. Disarms."""
        if not (due.full and due.trained):
            return ready({})
        ratios = self.so_far()
        self.steps += 1
        self.never_seen -= self._seen.keys()
        self._forget()
        self.close()
        return ratios

    def so_far(self) -> Deferred[Readings]:
        """``output_ratio`` of what was seen since ``arm()``; nothing is forgotten. Known nowhere without ``arm()``."""
        alike: dict[tuple[Any, ...], list[int]] = {}
        for index, seen in self._seen.items():
            key = seen.inside.device, seen.inside.dtype, seen.inside.shape, seen.own.shape, id(seen.weight)
            alike.setdefault(key, []).append(index)
        groups = list(alike.values())
        norms = [self._norms(group) for group in groups]
        scales = [np.array([abs(self._seen[i].scale) for i in group]) for group in groups]

        def finish(values: Sequence[FloatArray]) -> Readings:
            ratio = np.full(len(self._adapters), np.nan)
            known = np.zeros(len(self._adapters), dtype=bool)
            for indices, scale, numbers in zip(groups, scales, values):
                squares, own = numbers.reshape(2, -1)
                spoken = np.sqrt(np.maximum(squares, 0.0))  # what has cancelled may have become negative
                # Zero: only padding was sampled, or the layer is silent. Infinite: beyond single precision. Either way
                # there is nothing to compare with.
                known[indices] = comparable = (own != 0) & ~np.isinf(own)
                ratio[indices] = np.divide(scale * spoken, own, out=np.full(len(own), np.nan), where=comparable)
            return {"output_ratio": Reading(ratio, known)}

        return Deferred(norms, finish)

    def _norms(self, group: Sequence[int]) -> Tensor:
        """‖B·h‖² of each of the group, and ‖W₀·x‖: ``[2, len(group)]``."""
        seen = [self._seen[i] for i in group]
        inside, own = (_precise(torch.stack(parts)) for parts in zip(*((s.inside, s.own) for s in seen)))
        if (weight := seen[0].weight) is not None:
            inside, own = inside * weight, own * weight
        squares = inside @ inside.mT
        if grams := [s.gram for s in seen if s.gram is not None]:
            squares = squares * torch.stack(grams)
        return torch.stack((squares.sum((1, 2)), torch.linalg.vector_norm(own, dim=1)))

    def close(self) -> None:
        """Remove every hook, until ``arm`` is called again."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _forget(self) -> None:
        self._due, self._grams, self._seen, self._mask, self._weights = {}, None, {}, None, {}

    # -- inside the forward pass: few operations, since a small model's step is short ----------------------------------
    def see_mask(self, mask: Any) -> None:
        self._mask = mask if isinstance(mask, Tensor) and mask.dim() == 2 else None
        self._weights = {}

    def see_layer(self, indices: Sequence[int], layer: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if indices[0] not in self._due or not layer.training:
            return
        device = output.device.type
        half = torch.is_autocast_enabled(device)  # it would compute our products in half precision
        with torch.autocast(device, enabled=False) if half else nullcontext():
            if self._grams is None:  # all at once, as the factors in arm()
                self._grams = self._read_grams()
            for index in indices:
                if index in self._due and (index not in self._late or self._has_come(index)):
                    self._seen[index] = self._look(index, layer, args[0], output, self._grams.get(index))

    def _has_come(self, index: int) -> bool:
        """The factors that were not whole before the forward pass are so now: ``_due`` and ``_grams`` have them."""
        adapter = self._adapters[index]
        if any(map(sharded, adapter.own)) or len(blocks := adapter.factors()) != 1 or self._grams is None:
            return False
        self._due[index] = blocks[0]
        self._grams[index] = self._gram(index, blocks[0])
        return True

    def _read_grams(self) -> dict[int, Tensor]:
        """Of those that are due and have a B."""
        return {index: self._gram(index, block) for index, block in self._due.items() if block is not None}

    def _gram(self, index: int, block: Factors) -> Tensor:
        """diag(middle)·BᵀB·diag(middle), ``[r, r]``."""
        b = _precise(block.b)
        if (middle := self._adapters[index].middle) is not None:
            b = b * _precise(middle).flatten()
        return b.T @ b

    def _look(self, index: int, layer: nn.Module, x: Tensor, y: Tensor, gram: Tensor | None) -> _Seen:
        adapter, block = self._adapters[index], self._due.pop(index)
        factor = _wide(_whole(adapter) if block is None else block.a)
        kind = factor.dtype
        embedding = adapter.kind == "Embedding"
        rows = x.reshape(-1) if embedding else x.reshape(-1, x.shape[-1])
        count = rows.shape[0]
        stride = max(1, count // self._tokens)
        first = int(self._phase * stride)
        sample = slice(first, first + stride * self._tokens, stride)
        xs, ys = rows[sample], y.reshape(count, -1)[sample].to(kind)
        # The sample as columns: BLAS takes rows that lie apart as they are, and half the time of F.linear.
        inside = F.embedding(xs, factor.t()).t() if embedding else factor @ xs.to(kind).t()
        if block is None:  # it has spoken already
            inside = torch.linalg.vector_norm(inside, dim=0, keepdim=True)
        bias: Any = getattr(layer, "bias", None)  # HQQ's is no parameter
        if bias is not None:
            ys = ys - bias.to(kind)
        return _Seen(adapter.scale, inside, torch.linalg.vector_norm(ys, dim=1), gram, self._weight(count, sample))

    def _weight(self, count: int, sample: slice) -> Tensor | None:
        """``[rows]``: 0 for the sampled rows that are padding; None where none is known to be."""
        if self._mask is None or self._mask.numel() != count:
            return None
        if count not in self._weights:
            weight = self._mask.reshape(-1)[sample] != 0
            # Asking an accelerator whether all are ones would wait for it.
            self._weights[count] = None if weight.device.type == "cpu" and bool(weight.all()) else weight
        return self._weights[count]


def _inside(see: Callable[..., None]) -> Callable[..., None]:
    """For a hook of a probe: its body is done in the probe's guard, and only where a pass keeps gradients."""

    @functools.wraps(see)
    def hook(self: Any, *args: Any) -> None:
        # Inside the guard they are off. While a graph is being made nothing of ours gets into it.
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():
            with self.probe.guard("measuring output_ratio in a layer"):
                see(self, *args)

    return hook


class _LayerHook:
    """The forward hook of a frozen layer under some adapters."""

    def __init__(self, probe: OutputRatioProbe, indices: list[int]):
        self.probe, self._indices = probe, indices
        self.key: int | None = None
        """Its place among a layer's hooks, which is its own for good."""

    @_inside
    def __call__(self, layer: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        self.probe.see_layer(self._indices, layer, args, output)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Gone, ()


class _MaskHook:
    """The model's own: before a forward pass it sees which tokens are padding."""

    def __init__(self, probe: OutputRatioProbe):
        self.probe = probe

    @_inside
    def __call__(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        self.probe.see_mask(kwargs.get("attention_mask"))

    def __reduce__(self) -> tuple[Any, ...]:
        return _Gone, ()


class _Hooked:
    """A forward hook that is the first of its layer's: what ``register_forward_hook(hook, prepend=True)`` does, without
    a new handle each time, which would take longer than all else of arming."""

    def __init__(self, layer: nn.Module, hook: _LayerHook):
        self._hooks: Any = layer._forward_hooks
        if hook.key is None:
            hook.key = RemovableHandle(self._hooks).id
        self._key = hook.key
        self._hooks[self._key] = hook
        self._hooks.move_to_end(self._key, last=False)

    def remove(self) -> None:
        self._hooks.pop(self._key, None)


class _Gone:
    """What a copy of a model has in a hook's place: does nothing and takes itself out."""

    def __call__(self, module: nn.Module, *args: Any) -> None:
        for hooks in (module._forward_hooks, module._forward_pre_hooks):
            for place in [place for place, hook in hooks.items() if hook is self]:
                del hooks[place]


def _whole(adapter: Adapter | DenseAdapter) -> Tensor:
    """``[d_out, d_in]``."""
    assert isinstance(adapter, DenseAdapter)
    (delta,) = adapter.delta_matrices()
    return delta


def _precise(x: Tensor) -> Tensor:
    """In float64, which MPS has not."""
    return x.float() if x.device.type == "mps" else x.double()


def _wide(factor: Tensor) -> Tensor:
    """In float64 on an accelerator, where TF32 may be on whatever we say; else in single precision at least."""
    if is_far(factor.device):
        return factor.double()
    return factor.float() if factor.dtype in (torch.float16, torch.bfloat16) else factor


def _is_compiled(model: nn.Module) -> bool:
    return any(
        hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None
        for _, module in walk(model)
    )
