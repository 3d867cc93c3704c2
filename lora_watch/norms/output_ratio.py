"""``output_ratio``: how loudly each adapter speaks beside the layer it adapts, on the step's own tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lora_watch.adapters.adapter import Adapter
from lora_watch.records import BoolArray, FloatArray

TOKENS = 64
"""Rows of a layer's input that are looked at in a step. The ratio is a quotient of two sums over them."""

_GOLDEN = 0.6180339887498949


class OutputRatioProbe:
    """Measures ‖s·B·A·x‖_F / ‖W₀·x‖_F for every adapter, over a sample of one training step's tokens.

    A forward hook on each frozen layer sees the layer's input x and output W₀·x (a bias is taken off). Of the first
    micro-batch after ``arm()`` it takes ``tokens`` evenly spaced rows, shifted from step to step so that every
    position is sampled alike, and works on those alone, through the r-dimensional h = A·x. It draws no random
    number, keeps no activation, changes no value and returns nothing to the forward pass.

    Counted once a step: a second forward under gradient checkpointing, further micro-batches, evaluation and
    forward passes without gradients (a reference model) are passed over. Rows that the batch's ``attention_mask``
    marks as padding do not count. Where the pairing of one input with one output does not exist (convolutions,
    experts, fused projections, merged adapters, compiled models) the adapter is unknown, not zero.

    Cost: tokens · r · (d_in + d_out) multiply-adds for each adapter, no synchronisation before ``read``.
    """

    KINDS = ("Linear", "Conv1D", "Embedding")

    def __init__(self, model: nn.Module, adapters: Sequence[Adapter], tokens: int = TOKENS):
        self._adapters = list(adapters)
        self._tokens = tokens
        self._armed = [False] * len(self._adapters)
        self._pairs: list[Tensor | None] = [None] * len(self._adapters)
        self._mask: Tensor | None = None
        self._phase = 0.0
        self._handles: list[Any] = []
        self.why_unavailable = self._attach(model)
        """Why nothing can be measured, in words; None when something can."""

    def _attach(self, model: nn.Module) -> str | None:
        if _is_compiled(model):
            return "the model is compiled, and a hook inside a compiled graph would slow it down"
        by_layer: dict[int, tuple[nn.Module, list[int]]] = {}
        for index, adapter in enumerate(self._adapters):
            layer = adapter.base_layer
            if layer is not None and adapter.kind in self.KINDS and len(adapter.blocks()) == 1:
                by_layer.setdefault(id(layer), (layer, []))[1].append(index)
        if not by_layer:
            return "no adapted layer takes one input row to one output row"
        for layer, indices in by_layer.values():
            self._handles.append(layer.register_forward_hook(self._hook(indices)))
        self._handles.append(model.register_forward_pre_hook(self._see_mask, with_kwargs=True))
        return None

    def arm(self, step: int) -> None:
        """Look at the next training forward pass. ``step`` only decides which rows are sampled."""
        self._armed = [True] * len(self._adapters)
        self._pairs = [None] * len(self._adapters)
        self._mask = None
        self._phase = (step * _GOLDEN) % 1.0

    def read(self) -> tuple[FloatArray, BoolArray]:
        """The ratios since ``arm()``, float64 ``[n_adapters]``, and where they are measurements. Disarms."""
        ratio = np.full(len(self._adapters), np.nan)
        known = np.zeros(len(self._adapters), dtype=bool)
        by_device: dict[torch.device, list[int]] = {}
        for index, pair in enumerate(self._pairs):
            if pair is not None:
                by_device.setdefault(pair.device, []).append(index)
        for indices in by_device.values():
            pairs = torch.stack([p for i in indices if (p := self._pairs[i]) is not None]).cpu().double().numpy()
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio[indices] = pairs[:, 0] / pairs[:, 1]
            known[indices] = pairs[:, 1] != 0  # only padding was sampled, or the layer is silent: nothing to say
        ratio[~known] = np.nan
        self._armed = [False] * len(self._adapters)
        self._pairs = [None] * len(self._adapters)
        self._mask = None
        return ratio, known

    def close(self) -> None:
        """Remove every hook."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    # -- inside the forward pass -------------------------------------------------------------------------------
    def _see_mask(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        mask = kwargs.get("attention_mask")
        self._mask = mask if isinstance(mask, Tensor) and mask.dim() == 2 else None

    def _hook(self, indices: list[int]) -> Any:
        def hook(layer: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            if not self._armed[indices[0]] or not layer.training or not torch.is_grad_enabled():
                return
            with torch.no_grad():
                for index in indices:
                    self._armed[index] = False
                    self._look(index, layer, args[0], output)

        return hook

    def _look(self, index: int, layer: nn.Module, x: Tensor, y: Tensor) -> None:
        adapter = self._adapters[index]
        blocks = adapter.blocks()
        if not blocks or adapter.merged:
            return
        a, b = blocks[0]
        wide = torch.promote_types(a.dtype, torch.float32)
        embedding = adapter.kind == "Embedding"
        rows = x.reshape(-1) if embedding else x.reshape(-1, x.shape[-1])
        out = y.reshape(-1, y.shape[-1])
        stride = max(1, rows.shape[0] // self._tokens)
        sample = slice(int(self._phase * stride), None, stride)
        xs, ys = rows[sample][: self._tokens], out[sample][: self._tokens].to(wide)
        # Autocast would compute our products in half precision.
        with torch.autocast(x.device.type, enabled=False):
            h = a.to(wide).t()[xs] if embedding else xs.to(wide) @ a.to(wide).t()
            if (middle := adapter.middle) is not None:
                h = h * middle.flatten().to(wide)
            spoken = h @ b.to(wide).t()
            if isinstance(bias := getattr(layer, "bias", None), Tensor):
                ys = ys - bias.to(wide)
            if self._mask is not None and self._mask.numel() == rows.shape[0]:
                weight = (self._mask.reshape(-1)[sample][: self._tokens] != 0).to(wide).unsqueeze(1)
                spoken, ys = spoken * weight, ys * weight
            pair = torch.stack((torch.linalg.vector_norm(spoken), torch.linalg.vector_norm(ys)))
            pair[0] *= abs(adapter.scale)
        self._pairs[index] = pair


def _is_compiled(model: nn.Module) -> bool:
    return any(
        hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None
        for module in model.modules()
    )
