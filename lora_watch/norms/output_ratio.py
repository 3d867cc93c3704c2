"""``output_ratio``: how loudly each adapter speaks beside the layer it adapts, on the step's own tokens."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lora_watch.adapters import Adapter, DenseAdapter, walk
from lora_watch.records import BoolArray, FloatArray
from lora_watch.transfer import Deferred, is_far

TOKENS = 64
"""Rows of a layer's input that are looked at in a step. The ratio is a quotient of two sums over them."""

_GOLDEN = 0.6180339887498949

log = logging.getLogger("lora_watch")


class OutputRatioProbe:
    """Measures ‖s·B·A·x‖_F / ‖W₀·x‖_F for every adapter, over a sample of one training step's tokens.

    From ``arm()`` to ``read()`` a forward hook on each frozen layer sees the layer's input x and output W₀·x (a bias is
    taken off); no other step has a hook of ours in it. Of the first micro-batch it takes ``tokens`` evenly spaced rows,
    shifted from step to step so that every position is sampled alike, and works on those alone, through the
    r-dimensional h = A·x. It draws no random number, keeps no activation, changes no value and returns nothing to the
    forward pass.

    Counted once a step: a second forward under gradient checkpointing, further micro-batches, evaluation and
    forward passes without gradients (a reference model) are passed over. Rows that the batch's ``attention_mask``
    marks as padding do not count. Where the pairing of one input with one output does not exist (convolutions,
    experts, fused projections, sharded parameters, merged adapters, compiled models) the adapter is unknown, not zero.

    Good to 1e-3 where sums do not cancel to less than 1e-4 of their terms, for outputs whose norms are between 1e±18:
    on a CPU the sample is multiplied in single precision. ‖W₀·x‖ is taken from what the layer has answered: in half
    precision a bias that is hundreds of times as large leaves few digits of it.

    Cost: tokens · r · (d_in + d_out) multiply-adds for each adapter, on an accelerator some ten operations a layer, in
    float64, and no synchronisation. Where the change is no product of two factors, it is made whole.
    """

    KINDS = ("Linear", "Conv1D", "Embedding", "HQQLinear")

    def __init__(self, model: nn.Module, adapters: Sequence[Adapter | DenseAdapter], tokens: int = TOKENS):
        self._model = model
        self._adapters = list(adapters)
        self._tokens = tokens
        self._due: dict[int, Sequence[Tensor]] = {}
        """A and B of the adapters that are to be looked at in the coming forward pass; nothing of dense ones."""
        self._seen: dict[int, tuple[float, Tensor, Tensor]] = {}
        """Adapters looked at since ``arm()``: scale, ‖B·A·x‖ and ‖W₀·x‖, the norms still on their device."""
        self._failed = False
        self._mask: Tensor | None = None
        self._weights: dict[int, Tensor | None] = {}
        self._phase = 0.0
        self._handles: list[Any] = []
        self.seconds = 0.0
        """Wall time spent inside forward passes so far."""
        self._hooks: list[tuple[nn.Module, Any]] = []
        """The layers to look into, and what looks."""
        self._hooked: list[int] = []
        """The adapters of those layers."""
        self.why_unavailable = self._choose_layers()
        """Why nothing can be measured, in words; None when something can."""

    def _choose_layers(self) -> str | None:
        if _is_compiled(self._model):
            return "the model is compiled, and a hook inside a compiled graph would slow it down"
        by_layer: dict[int, tuple[nn.Module, list[int]]] = {}
        for index, adapter in enumerate(self._adapters):
            layer = adapter.base_layer
            sharded = any(hasattr(p, "full_tensor") for p in adapter.parameters)  # would need a collective in the hook
            one = adapter.why_not is None if isinstance(adapter, DenseAdapter) else len(adapter.blocks()) == 1
            if layer is not None and adapter.kind in self.KINDS and not sharded and one:
                by_layer.setdefault(id(layer), (layer, []))[1].append(index)
        if not by_layer:
            return "no adapted layer takes one input row to one output row"
        self._hooks = [(layer, self._hook(indices)) for layer, indices in by_layer.values()]
        self._hooked = [index for _, indices in by_layer.values() for index in indices]
        return None

    def arm(self, step: int) -> None:
        """Look at the next training forward pass. ``step`` only decides which rows are sampled."""
        self._forget()
        # Read here, all at once: between two layers every line of Python waits for caches that the layers have emptied.
        for index in self._hooked:
            adapter = self._adapters[index]
            if not adapter.merged and ((blocks := adapter.blocks()) or isinstance(adapter, DenseAdapter)):
                self._due[index] = blocks[0] if blocks else ()
        self._phase = (step * _GOLDEN) % 1.0
        if self._hooks and not self._handles:
            # First in line: another hook may change the output.
            self._handles = [layer.register_forward_hook(hook, prepend=True) for layer, hook in self._hooks]
            self._handles.append(self._model.register_forward_pre_hook(self._see_mask, with_kwargs=True))

    def read(self) -> Deferred[tuple[FloatArray, BoolArray]]:
        """The ratios since ``arm()``, float64 ``[n_adapters]``, and where they are measurements. Disarms."""
        by_device: dict[torch.device, list[int]] = {}
        for index, (_, spoken, _) in self._seen.items():
            by_device.setdefault(spoken.device, []).append(index)
        norms = [torch.stack([norm for i in same for norm in self._seen[i][1:]]) for same in by_device.values()]
        scales = [np.array([abs(self._seen[i][0]) for i in same]) for same in by_device.values()]
        self._forget()
        self.close()

        def finish(values: Sequence[FloatArray]) -> tuple[FloatArray, BoolArray]:
            ratio = np.full(len(self._adapters), np.nan)
            known = np.zeros(len(self._adapters), dtype=bool)
            for indices, scale, numbers in zip(by_device.values(), scales, values):
                spoken, own = numbers[0::2], numbers[1::2]
                # Zero: only padding was sampled, or the layer is silent. Infinite: beyond single precision. Either way
                # there is nothing to compare with.
                known[indices] = comparable = (own != 0) & ~np.isinf(own)
                ratio[indices] = np.divide(scale * spoken, own, out=np.full(len(own), np.nan), where=comparable)
            return ratio, known

        return Deferred(norms, finish)

    def close(self) -> None:
        """Remove every hook, until ``arm`` is called again."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _forget(self) -> None:
        self._due, self._seen, self._mask, self._weights = {}, {}, None, {}

    # -- inside the forward pass: few operations, since a small model's step is short ----------------------------------
    def _see_mask(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        mask = kwargs.get("attention_mask")
        self._mask = mask if isinstance(mask, Tensor) and mask.dim() == 2 else None
        self._weights = {}

    def _hook(self, indices: list[int]) -> Any:
        def hook(layer: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            if indices[0] not in self._due or not layer.training or not torch.is_grad_enabled():
                return
            began = time.perf_counter()
            try:
                device = output.device.type
                half = torch.is_autocast_enabled(device)  # it would compute our products in half precision
                with torch.no_grad(), torch.autocast(device, enabled=False) if half else nullcontext():
                    for index in indices:
                        if index in self._due:
                            self._seen[index] = self._look(index, layer, args[0], output)
            except Exception:  # the layer's own output is what it is without us
                if not self._failed:
                    log.exception("lora_watch could not measure output_ratio in a layer; training goes on")
                self._failed = True
            self.seconds += time.perf_counter() - began

        return hook

    def _look(self, index: int, layer: nn.Module, x: Tensor, y: Tensor) -> tuple[float, Tensor, Tensor]:
        adapter = self._adapters[index]
        # What x is multiplied by, one after the other: A and B, or ΔW.
        factors = [_wide(factor) for factor in self._due.pop(index) or _whole(adapter)]
        kind = factors[0].dtype
        embedding = adapter.kind == "Embedding"
        rows = x.reshape(-1) if embedding else x.reshape(-1, x.shape[-1])
        count = rows.shape[0]
        stride = max(1, count // self._tokens)
        first = int(self._phase * stride)
        sample = slice(first, first + stride * self._tokens, stride)
        xs, ys = rows[sample], y.reshape(count, -1)[sample].to(kind)
        spoken = F.embedding(xs, factors[0].t()) if embedding else F.linear(xs.to(kind), factors[0])
        if (middle := adapter.middle) is not None:
            spoken = spoken * middle.flatten().to(kind)
        if len(factors) == 2:
            spoken = F.linear(spoken, factors[1])
        bias: Any = getattr(layer, "bias", None)  # HQQ's is no parameter
        if bias is not None:
            ys = ys - bias.to(kind)
        if (weight := self._weight(count, sample, kind)) is not None:
            spoken, ys = spoken * weight, ys * weight
        # A copy side by side and its norm take a third of the time of the norm of rows that lie apart.
        return adapter.scale, torch.linalg.vector_norm(spoken), torch.linalg.vector_norm(ys.contiguous())

    def _weight(self, count: int, sample: slice, dtype: torch.dtype) -> Tensor | None:
        """``[rows, 1]``: 0 for the sampled rows that are padding; None where none is known to be."""
        if self._mask is None or self._mask.numel() != count:
            return None
        if count not in self._weights:
            weight = (self._mask.reshape(-1)[sample] != 0).to(dtype).unsqueeze(1)
            # Asking an accelerator whether all are ones would wait for it.
            self._weights[count] = None if weight.device.type == "cpu" and bool(weight.all()) else weight
        return self._weights[count]


def _whole(adapter: Adapter | DenseAdapter) -> Sequence[Tensor]:
    return adapter.delta_blocks() if isinstance(adapter, DenseAdapter) else ()


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
