"""``output_ratio``: each adapter's part of the output relative to its layer's own, on the step's own tokens."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from lora_watch.adapters import Adapter
from lora_watch.adapters.live import Live, Read, Resolved
from lora_watch.adapters.tensors import sharded
from lora_watch.base.deferred import Deferred, has_float64, is_far, ready
from lora_watch.base.records import Due, FloatArray, Reading, Readings
from lora_watch.measurement.hooks import Hook, has_compiled

TOKENS = 64
"""Rows of a layer's input that are sampled in a step. The ratio is a quotient of two sums over them."""

_KINDS = ("Linear", "Conv1D", "Embedding", "HQQLinear")
"""Layers that take one input row to one output row."""

_GOLDEN = 0.6180339887498949

_COMPILED = "the model is compiled, and a hook inside a compiled graph would slow it down"
_OTHERS = "their layers do not take one input row to one output row (convolutions, experts, fused projections)"
_EVALUATION = "the model is in evaluation mode: call model.train()"
_UNSEEN = (
    "no pass of their frozen layers was seen whole (torch.no_grad(), experts without a token, adapters that are off, "
    "kernels that compute layer and adapter together, DataParallel, tensor parallelism, ZeRO-3)"
)


class _Measured(NamedTuple):
    adapter: int
    """Its place among all of them."""
    scale: float
    numbers: Tensor
    """``[2]``: see ``_norms``."""


class OutputRatioProbe:
    """Measures ‖s·B·A·x‖_F / ‖W₀·x‖_F for every adapter, over a sample of one training step's tokens.

    From ``arm()`` to ``begin()``, but for times between ``close()`` and ``place_hooks()``, a forward hook on each
    frozen layer sees its input x and output W₀·x (a bias is taken off), and measures both there and then. Nothing
    waits, and nothing of the forward pass is changed.

    Counted is the first pass of a step that keeps gradients: no second one under gradient checkpointing, no further
    micro-batch, no evaluation. Rows that ``attention_mask`` marks as padding do not count. Where the pairing of one
    input with one output does not exist the adapter is unknown, not zero. Factors that are sharded (FSDP) are read in
    the layer's own forward pass, where they are whole; the tokens are this rank's.

    Good to 1e-3 where sums do not cancel to less than 1e-4 of their terms, for outputs whose norms are between 1e±18.
    ‖W₀·x‖ is taken from what the layer has answered: in half precision a bias that is hundreds of times as large leaves
    few digits of it.

    Args:
        tokens: rows of a layer's input that are sampled, at most.
        guard: what to do everything in that happens inside a forward pass, given what it does in words.
        live: of the same adapters, kept up to date by the caller.
    """

    def __init__(
        self,
        model: nn.Module,
        adapters: Sequence[Adapter],
        tokens: int = TOKENS,
        guard: Callable[[str], AbstractContextManager[Any]] = lambda doing: torch.no_grad(),
        live: Live | None = None,
    ):
        self._model, self._adapters, self._tokens = model, list(adapters), tokens
        self.guard, self._live = guard, live
        self._reads: Sequence[Read] | None = None
        """What the adapters hold, as long as it can be looked up once."""
        self._due: set[int] = set()
        """The adapters that are still to be seen."""
        self._measured: list[_Measured] = []
        """Since ``arm()``."""
        self.armed_for: int | None = None
        """The step whose forward pass is being seen."""
        self._mask: Tensor | None = None
        """Of the latest pass, ``[batch, length]``: 0 for padding."""
        self._handles: list[RemovableHandle] = []
        by_layer: dict[nn.Module, list[int]] = {}
        for index, adapter in enumerate([] if has_compiled(model) else self._adapters):
            if (layer := adapter.base_layer) is not None and adapter.kind in _KINDS:
                by_layer.setdefault(layer, []).append(index)
        self._hooks = [(layer, self._hook(partial(self.see_layer, layer, own))) for layer, own in by_layer.items()]
        """The layers to hook, and their hooks."""
        self._hooked = [index for own in by_layer.values() for index in own]
        """The adapters of those layers."""
        self.steps = 0
        """Steps whose forward pass was looked at."""
        self._ever_seen: set[int] = set()
        self._in_evaluation: set[int] = set()

    def arm(self, step: int) -> None:
        """Look at the next training forward pass, that of the step after ``step``."""
        now = self._live.now if self._live is not None else Resolved(self._adapters, known=False)
        self._reads = now.kept  # here, for between two layers every line of Python waits for caches
        self._measured, self._mask, self.armed_for = [], None, step + 1
        self._due = {index for index in self._hooked if not self._adapters[index].merged}
        self.place_hooks()

    def place_hooks(self) -> None:
        """See passes from now on, as far as there is still something to be seen."""
        if self._hooks and self._due and not self._handles:
            self._handles = [  # of a layer, first in line: another hook may change the output
                *(layer.register_forward_hook(hook, prepend=True) for layer, hook in self._hooks),
                self._model.register_forward_pre_hook(self._hook(self.begin_pass), with_kwargs=True),
            ]

    def begin(self, due: Due) -> Deferred[Readings]:
        """``output_ratio`` since ``arm()``. Disarms."""
        if not (due.full and due.trained):
            return ready({})
        ratios = self.so_far()
        self.steps += 1
        self._ever_seen.update(measured.adapter for measured in self._measured)
        self._due, self._measured, self._reads, self.armed_for = set(), [], None, None
        self.close()
        return ratios

    def so_far(self) -> Deferred[Readings]:
        """``output_ratio`` of what was seen since ``arm()``; nothing is forgotten. Known nowhere without ``arm()``."""
        by_device: dict[torch.device, list[_Measured]] = {}
        for measured in self._measured:
            by_device.setdefault(measured.numbers.device, []).append(measured)

        def finish(values: Sequence[FloatArray]) -> Readings:
            ratio = np.full(len(self._adapters), np.nan)
            known = np.zeros(len(self._adapters), dtype=bool)
            for group, numbers in zip(by_device.values(), values):
                indices, scales = [each.adapter for each in group], [each.scale for each in group]
                spoken, own = numbers.reshape(-1, 2).T
                # Zero: only padding was sampled, or the layer is silent. Infinite: beyond single precision. Either way
                # there is nothing to compare with.
                known[indices] = comparable = (own != 0) & ~np.isinf(own)
                ratio[indices] = np.divide(
                    np.abs(scales) * spoken, own, out=np.full(len(own), np.nan), where=comparable
                )
            return {"output_ratio": Reading(ratio, known)}

        return Deferred([torch.stack([each.numbers for each in group]) for group in by_device.values()], finish)

    def never_seen(self) -> dict[str, int]:
        """For how many adapters ``output_ratio`` was unknown at every step so far, by the reason in words."""
        compiled = has_compiled(self._model)

        def why(index: int) -> str:
            if compiled:
                return _COMPILED
            if index not in self._hooked:
                return _OTHERS
            return _EVALUATION if index in self._in_evaluation else _UNSEEN

        return dict(Counter(why(index) for index in range(len(self._adapters)) if index not in self._ever_seen))

    def close(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []

    # -- inside the forward pass -----------------------------------------------------------------------------------
    def _hook(self, see: Callable[..., None]) -> Hook:
        return Hook(self.guard, "measuring output_ratio in a layer", see)

    def begin_pass(self, model: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        mask = kwargs.get("attention_mask")
        self._mask = mask if isinstance(mask, Tensor) and mask.dim() == 2 else None

    def see_layer(
        self, layer: nn.Module, indices: Sequence[int], called: nn.Module, args: tuple[Any, ...], output: Any
    ) -> None:
        """The hook of the frozen ``layer`` under the adapters at the places ``indices``."""
        if called is not layer:  # a replica of it
            return
        if not layer.training:
            self._in_evaluation.update(indices)
            return
        for index in self._due.intersection(indices):
            adapter = self._adapters[index]
            # Switched off or deleted since ``arm``: it adds nothing.
            if not adapter.active or (read := self._read(index)) is None:
                continue
            self._due.remove(index)
            numbers = self._norms(read, adapter.kind == "Embedding", layer, args[0], output)
            self._measured.append(_Measured(index, adapter.scale, numbers))

    def _read(self, index: int) -> Read | None:
        """None where it is not whole even in its layer's pass."""
        if self._reads is not None and len((read := self._reads[index]).blocks) == 1:
            return read
        adapter = self._adapters[index]
        if any(map(sharded, adapter.own)) or len(blocks := adapter.factors()) != 1:
            return None
        return Read(blocks, adapter.diagonal)

    def _norms(self, read: Read, embedding: bool, layer: Any, x: Tensor, y: Tensor) -> Tensor:
        """``[2]``, over the sampled rows: ‖B·diag(diagonal)·A·x‖ and ‖W₀·x‖.

        On a CPU products are in single precision, of float64 factors in double; all else is in float64 where there is
        one.
        """
        (a, b), diagonal = read.blocks[0], read.diagonal
        count = x.numel() if embedding else x.numel() // x.shape[-1]
        sample = sampled(count, self._tokens, (self.armed_for or 1) - 1)
        # Autocast would compute our products in half precision.
        autocast = torch.is_autocast_enabled(x.device.type)
        with torch.autocast(x.device.type, enabled=False) if autocast else nullcontext():
            a = a.double() if is_far(a.device) else a.float() if a.dtype in (torch.float16, torch.bfloat16) else a
            inside = F.embedding(x.reshape(-1)[sample], a.T) if embedding else F.linear(_rows(x)[sample].to(a.dtype), a)
            own = _rows(y)[sample].to(a.dtype)
            if getattr(layer, "bias", None) is not None:
                own = own - layer.bias.to(own.dtype)
            if self._mask is not None and self._mask.numel() == count:
                counts = (self._mask.reshape(-1)[sample] != 0).to(own.device)[:, None]
                inside, own = inside * counts, own * counts
            if diagonal is not None:
                inside = inside * diagonal
            spoken = F.linear(inside, b.to(inside.dtype))
            precise = torch.float64 if has_float64(own.device) else torch.float32
            return torch.stack([torch.linalg.vector_norm(each, dtype=precise) for each in (spoken, own)])


def sampled(count: int, most: int, step: int) -> slice:
    """At most ``most`` of ``count`` rows, evenly spaced from end to end, for answers stand at the end. ``step`` shifts
    them, so that over steps every row is sampled alike."""
    stride = max(1, -(-count // most))
    return slice(int((step * _GOLDEN) % 1.0 * stride), None, stride)


def _rows(x: Tensor) -> Tensor:
    """x ``[…, d]`` as ``[rows, d]``."""
    return x.reshape(-1, x.shape[-1])
