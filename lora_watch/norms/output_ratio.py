"""``output_ratio``: how loudly each adapter speaks beside the layer it adapts, on the step's own tokens."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lora_watch.adapters import Adapter, walk
from lora_watch.records import BoolArray, FloatArray
from lora_watch.transfer import Deferred, is_far

TOKENS = 64
"""Rows of a layer's input that are looked at in a step. The ratio is a quotient of two sums over them."""

_GOLDEN = 0.6180339887498949


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

    Cost: tokens · r · (d_in + d_out) multiply-adds for each adapter, on an accelerator some ten operations a layer, in
    float64, and no synchronisation.
    """

    KINDS = ("Linear", "Conv1D", "Embedding", "HQQLinear")

    def __init__(self, model: nn.Module, adapters: Sequence[Adapter], tokens: int = TOKENS):
        self._model = model
        self._adapters = list(adapters)
        self._tokens = tokens
        self._armed = [False] * len(self._adapters)
        self._seen: dict[int, tuple[float, Tensor, Tensor]] = {}
        """Adapters looked at since ``arm()``: scale, ‖B·A·x‖ and ‖W₀·x‖, the norms still on their device."""
        self._mask: Tensor | None = None
        self._weights: dict[int, Tensor | None] = {}
        self._phase = 0.0
        self._handles: list[Any] = []
        self.seconds = 0.0
        """Wall time spent inside forward passes so far."""
        self._hooks: list[tuple[nn.Module, Any]] = []
        """The layers to look into, and what looks."""
        self.why_unavailable = self._choose_layers()
        """Why nothing can be measured, in words; None when something can."""

    def _choose_layers(self) -> str | None:
        if _is_compiled(self._model):
            return "the model is compiled, and a hook inside a compiled graph would slow it down"
        by_layer: dict[int, tuple[nn.Module, list[int]]] = {}
        for index, adapter in enumerate(self._adapters):
            layer = adapter.base_layer
            sharded = any(hasattr(p, "full_tensor") for p in adapter.parameters)  # would need a collective in the hook
            if layer is not None and adapter.kind in self.KINDS and not sharded and len(adapter.blocks()) == 1:
                by_layer.setdefault(id(layer), (layer, []))[1].append(index)
        if not by_layer:
            return "no adapted layer takes one input row to one output row"
        self._hooks = [(layer, self._hook(indices)) for layer, indices in by_layer.values()]
        return None

    def arm(self, step: int) -> None:
        """Look at the next training forward pass. ``step`` only decides which rows are sampled."""
        self._forget(armed=True)
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
        self._forget(armed=False)
        self.close()

        def finish(values: Sequence[FloatArray]) -> tuple[FloatArray, BoolArray]:
            ratio = np.full(len(self._adapters), np.nan)
            known = np.zeros(len(self._adapters), dtype=bool)
            for indices, scale, numbers in zip(by_device.values(), scales, values):
                spoken, own = numbers[0::2], numbers[1::2]
                # Zero: only padding was sampled, or the layer is silent, and there is nothing to compare with.
                known[indices] = own != 0
                ratio[indices] = np.divide(scale * spoken, own, out=np.full(len(own), np.nan), where=own != 0)
            return ratio, known

        return Deferred(norms, finish)

    def close(self) -> None:
        """Remove every hook, until ``arm`` is called again."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _forget(self, armed: bool) -> None:
        self._armed = [armed] * len(self._adapters)
        self._seen, self._mask, self._weights = {}, None, {}

    # -- inside the forward pass: few operations, since a small model's step is short ----------------------------------
    def _see_mask(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        mask = kwargs.get("attention_mask")
        self._mask = mask if isinstance(mask, Tensor) and mask.dim() == 2 else None
        self._weights = {}

    def _hook(self, indices: list[int]) -> Any:
        def hook(layer: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            if not self._armed[indices[0]] or not layer.training or not torch.is_grad_enabled():
                return
            began = time.perf_counter()
            device = output.device.type
            with torch.no_grad():
                for index in indices:
                    self._armed[index] = False
                    if torch.is_autocast_enabled(device):  # it would compute our products in half precision
                        with torch.autocast(device, enabled=False):
                            self._look(index, layer, args[0], output)
                    else:
                        self._look(index, layer, args[0], output)
            self.seconds += time.perf_counter() - began

        return hook

    def _look(self, index: int, layer: nn.Module, x: Tensor, y: Tensor) -> None:
        adapter = self._adapters[index]
        blocks = adapter.blocks()
        if not blocks or adapter.merged:
            return
        a, b = blocks[0]
        if is_far(a.device):  # in float64 there is no TF32, whatever the global switch says
            a, b = a.double(), b.double()
        elif a.dtype in (torch.float16, torch.bfloat16):
            a, b = a.float(), b.float()
        embedding = adapter.kind == "Embedding"
        rows = x.reshape(-1) if embedding else x.reshape(-1, x.shape[-1])
        count = rows.shape[0]
        stride = max(1, count // self._tokens)
        first = int(self._phase * stride)
        sample = slice(first, first + stride * self._tokens, stride)
        xs, ys = rows[sample], y.reshape(count, -1)[sample].to(a.dtype)
        h = F.embedding(xs, a.t()) if embedding else F.linear(xs.to(a.dtype), a)
        if (middle := adapter.middle) is not None:
            h = h * middle.flatten().to(a.dtype)
        spoken = F.linear(h, b)
        bias: Any = getattr(layer, "bias", None)  # HQQ's is no parameter
        if bias is not None:
            ys = ys - bias.to(a.dtype)
        if (weight := self._weight(count, sample, a.dtype)) is not None:
            spoken, ys = spoken * weight, ys * weight
        self._seen[index] = (adapter.scale, torch.linalg.vector_norm(spoken), torch.linalg.vector_norm(ys))

    def _weight(self, count: int, sample: slice, dtype: torch.dtype) -> Tensor | None:
        """``[rows, 1]``: 0 for the sampled rows that are padding; None where none is known to be."""
        if self._mask is None or self._mask.numel() != count:
            return None
        if count not in self._weights:
            weight = (self._mask.reshape(-1)[sample] != 0).to(dtype).unsqueeze(1)
            # Asking an accelerator whether all are ones would wait for it.
            self._weights[count] = None if weight.device.type == "cpu" and bool(weight.all()) else weight
        return self._weights[count]


def _is_compiled(model: nn.Module) -> bool:
    return any(
        hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None
        for _, module in walk(model)
    )
