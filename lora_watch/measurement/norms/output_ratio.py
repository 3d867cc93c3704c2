"""``output_ratio``: each adapter's part of the output relative to its layer's own, on the step's own tokens."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from threading import get_ident
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from lora_watch.adapters import Adapter
from lora_watch.adapters.live import Live, Resolved
from lora_watch.adapters.tensors import partitioned, sharded, whole
from lora_watch.base.deferred import Deferred, is_far, ready
from lora_watch.base.records import Due, FloatArray, Reading, Readings
from lora_watch.measurement.hooks import Hook, has_compiled
from lora_watch.measurement.norms.layer_outputs import Part, Rows, Sampled, squares_and_norms

TOKENS = 64
"""Rows of a layer's input that are sampled in a step. The ratio is a quotient of two sums over them."""

KEPT, KEPT_FAR = 2 << 20, 32 << 20
"""Bytes of rows that are kept before they are measured, on a CPU (what its caches hold) and on an accelerator, where
measuring them takes up to four times as much for a moment: they may be in half precision, and are made float64."""

_EXPERT = re.compile(r"experts?\.\d")


class _Measured(NamedTuple):
    """Adapters that were measured together."""

    adapters: list[int]
    scales: list[float]
    numbers: Tensor
    """``[2, n]``: see ``squares_and_norms``."""


@dataclass(slots=True)
class _Pass:
    """What is kept of one forward pass of the model, in one thread: several replicas of it may run at a time."""

    sampled: Sampled
    kept: dict[Any, Rows] = field(default_factory=dict)
    bytes: int = 0


class OutputRatioProbe:
    """Measures ‖s·B·A·x‖_F / ‖W₀·x‖_F for every adapter, over a sample of one training step's tokens.

    From ``arm()`` to ``begin()``, but for times between ``close()`` and ``place_hooks()``, a forward hook on each
    frozen layer sees its input x and output W₀·x (a bias is taken off); no other step has a hook of ours in it. Of the
    first micro-batch it copies rows of both, as
    ``Sampled`` says. Before the model's forward pass is over, and whenever the copies take more than ``KEPT``, those
    of all layers of one shape are measured together, and dropped. It draws no random number, changes no value and
    returns nothing to the forward pass.

    Counted once a step: a second forward under gradient checkpointing, further micro-batches, evaluation and
    forward passes without gradients (a reference model) are passed over, and of replicas in several threads
    (``DataParallel``) all but the first, or the one where the adapter's own parameters are. Rows that the batch's
    ``attention_mask`` marks as padding do not count. Where the pairing of one input with one output does not exist
    (convolutions, experts, fused projections, merged adapters, compiled models, kernels that never call the frozen
    layer) the adapter is unknown, not zero. Factors that are sharded (FSDP) are read in the layer's own forward
    pass, where they are whole if they are sharded together with the layer; the tokens are this rank's.

    Good to 1e-3 where sums do not cancel to less than 1e-4 of their terms, for outputs whose norms are between 1e±18:
    on a CPU the sample is multiplied in single precision. ‖W₀·x‖ is taken from what the layer has answered: in half
    precision a bias that is hundreds of times as large leaves few digits of it.

    Cost: r · (tokens · d_in + r · d_out) multiply-adds for each adapter; two copies inside a layer, and some fifteen
    operations for all layers of one shape; no synchronisation.

    Args:
        tokens: rows of a layer's input that are sampled, at most.
        guard: what to do everything in that happens inside a forward pass, given what it does in words.
        live: of the same adapters, kept up to date by the caller: what it keeps is not looked up again.
        wanted: without it there are no hooks, and every ratio is unknown.
    """

    KINDS = ("Linear", "Conv1D", "Embedding", "HQQLinear")

    def __init__(
        self,
        model: nn.Module,
        adapters: Sequence[Adapter],
        tokens: int = TOKENS,
        guard: Callable[[str], AbstractContextManager[Any]] = lambda doing: torch.no_grad(),
        live: Live | None = None,
        wanted: bool = True,
    ):
        self._model, self._adapters, self._tokens = model, list(adapters), tokens
        self.guard, self._live = guard, live
        self._late: set[int] = set()
        """Adapters whose factors are whole in the layer's forward pass alone."""
        self._parts: tuple[Resolved | None, dict[int, Part | None]] = (None, {})
        """What the others add, as long as it can be looked up once."""
        self._adds: dict[int, Part | None] = {}
        """What is added by the adapters that are to be measured; None where it is looked up in the forward pass."""
        self._due: set[int] = set()
        """Those that are still to be seen."""
        self._passes: dict[int, _Pass] = {}
        """The model's forward passes that have begun and not ended, by their threads: their ends say when to measure
        what is kept."""
        self._most = KEPT
        self._measured: list[_Measured] = []
        """Since ``arm()``."""
        self.armed_for: int | None = None
        """The step whose forward pass is being seen; None between ``begin`` and ``arm``."""
        self._sampled = Sampled(tokens, 0)
        """Of the latest pass."""
        self._handles: list[RemovableHandle] = []
        self._hooks: list[tuple[nn.Module, Hook]] = []
        """The layers to hook, and their hooks."""
        self._hooked: list[int] = []
        """The adapters of those layers."""
        self.steps = 0
        """Steps whose forward pass was looked at."""
        self.never_seen: set[int] = set()
        """Adapters whose frozen layer was seen in none of them."""
        self._in_evaluation: set[int] = set()
        """Adapters whose layer was called in evaluation mode, with gradients."""
        self._in_parts: set[int] = set()
        """Adapters whose factors were not whole even in their layer's own pass."""
        self.why_unavailable = self._choose_layers() if wanted else "it is not wanted"
        """Why nothing can be measured, in words; None when something can."""
        self.left_out = len(self._adapters) - len(self._hooked)
        """Adapters of which nothing can be."""

    def _choose_layers(self) -> str | None:
        if has_compiled(self._model):
            return "the model is compiled, and a hook inside a compiled graph would slow it down"
        by_layer: dict[int, tuple[nn.Module, list[int]]] = {}
        for index, adapter in enumerate(self._adapters):
            layer = adapter.base_layer
            if layer is not None and adapter.kind in self.KINDS and self._has_one_block(adapter, index):
                by_layer.setdefault(id(layer), (layer, []))[1].append(index)
        if not by_layer:
            return "no adapted layer takes one input row to one output row"
        self._hooks = [(layer, self._hook(partial(self.see_layer, indices))) for layer, indices in by_layer.values()]
        self._hooked = [index for _, indices in by_layer.values() for index in indices]
        self.never_seen = set(self._hooked)
        self._most = KEPT_FAR if all(is_far(p.device) for p in self._model.parameters()) else KEPT
        return None

    def _has_one_block(self, adapter: Adapter, index: int) -> bool:
        if all(type(tensor) is nn.Parameter and whole(tensor) for tensor in adapter.parameters):
            return len(adapter.factors()) == 1
        self._late.add(index)
        return not any(map(partitioned, adapter.own))  # each comes for its own forward pass only

    def arm(self, step: int) -> None:
        """Look at the next training forward pass, that of the step after ``step``."""
        self._forget()
        self._adds = self._look_up()
        self._due = set(self._adds)
        self.armed_for, self._sampled = step + 1, Sampled(self._tokens, step)
        self.place_hooks()

    def place_hooks(self) -> None:
        """See passes from now on, as far as there is still something to be seen."""
        if self._hooks and self._due and not self._handles:
            self._handles = [  # of a layer, first in line: another hook may change the output
                *(layer.register_forward_hook(hook, prepend=True) for layer, hook in self._hooks),
                self._model.register_forward_pre_hook(self._hook(self.begin_pass), with_kwargs=True),
                self._model.register_forward_hook(self._hook(self.end_pass)),
            ]

    def _look_up(self) -> dict[int, Part | None]:
        """What the adapters add: all at once, for between two layers every line of Python waits for caches that the
        layers have emptied."""
        now = self._live.now if self._live is not None else Resolved(self._adapters, known=False)
        if self._parts[0] is now:
            return self._parts[1]
        parts: dict[int, Part | None] = {}
        for index in self._hooked:
            adapter = self._adapters[index]
            if adapter.merged:
                continue
            if index in self._late:
                parts[index] = None
            elif blocks := adapter.factors():
                parts[index] = Part.of(*blocks[0], adapter.diagonal)
        if now.kept is not None:
            self._parts = now, parts
        return parts

    def begin(self, due: Due) -> Deferred[Readings]:
        """``output_ratio`` since ``arm()``. Disarms."""
        if not (due.full and due.trained):
            return ready({})
        ratios = self.so_far()
        self.steps += 1
        self.never_seen.difference_update(*(group.adapters for group in self._measured))
        self._forget()
        self.close()
        return ratios

    def so_far(self) -> Deferred[Readings]:
        """``output_ratio`` of what was seen since ``arm()``; nothing is forgotten. Known nowhere without ``arm()``."""
        groups = list(self._measured)

        def finish(values: Sequence[FloatArray]) -> Readings:
            ratio = np.full(len(self._adapters), np.nan)
            known = np.zeros(len(self._adapters), dtype=bool)
            for (indices, scales, _), numbers in zip(groups, values):
                squares, own = numbers.reshape(2, -1)
                spoken = np.sqrt(np.maximum(squares, 0.0))  # what has cancelled may have become negative
                # Zero: only padding was sampled, or the layer is silent. Infinite: beyond single precision. Either way
                # there is nothing to compare with.
                known[indices] = comparable = (own != 0) & ~np.isinf(own)
                ratio[indices] = np.divide(
                    np.abs(scales) * spoken, own, out=np.full(len(own), np.nan), where=comparable
                )
            return {"output_ratio": Reading(ratio, known)}

        return Deferred([group.numbers for group in groups], finish)

    def why_never_seen(self) -> dict[str, int]:
        """For how many adapters ``output_ratio`` was unknown at every step so far, by the reason in words."""
        compiled = has_compiled(self._model)
        return dict(Counter(self._why_unseen(index, compiled) for index in sorted(self.never_seen)))

    def _why_unseen(self, index: int, compiled: bool) -> str:
        adapter = self._adapters[index]
        if index in self._in_evaluation:
            return "the model is in evaluation mode: call model.train()"
        if index in self._in_parts or any(map(partitioned, adapter.own)):
            return "their factors are in parts, in their layers' own forward passes too (tensor parallelism, ZeRO-3)"
        if compiled:
            return "the model was compiled after the run had begun"
        if _EXPERT.search(adapter.name):
            return "no token has reached their experts yet"
        return "their frozen layers were never called: a kernel computes layer and adapter together"

    def close(self) -> None:
        """Remove every hook, until ``arm`` or ``place_hooks`` is called."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _forget(self) -> None:
        self._due, self._measured, self._passes, self.armed_for = set(), [], {}, None

    # -- inside the forward pass: few operations, since a small model's step is short ----------------------------------
    def _hook(self, see: Callable[..., None]) -> Hook:
        return Hook(self.guard, "measuring output_ratio in a layer", see)

    def begin_pass(self, model: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        """The model's own hook: it sees which tokens are padding."""
        self.end_pass()  # of a pass that was broken off
        self._sampled = Sampled(self._tokens, (self.armed_for or 1) - 1, kwargs.get("attention_mask"))
        self._passes[get_ident()] = _Pass(self._sampled)

    def end_pass(self, *_: Any) -> None:
        """The model's own hook: what was kept is measured before anybody can change a weight."""
        if (over := self._passes.pop(get_ident(), None)) is not None:
            self._measure(over)

    def see_layer(self, indices: Sequence[int], layer: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        """The hook of a frozen layer under the adapters at the places ``indices``."""
        if not layer.training:
            self._in_evaluation.update(indices)
            return
        passing = self._passes.get(get_ident())
        now = passing or _Pass(self._sampled)
        for index in indices:
            if index not in self._due:
                continue
            adapter, x = self._adapters[index], args[0]
            if not adapter.active:  # switched off or deleted since ``arm``: it adds nothing
                continue
            if (part := self._adds[index] or self._part(index)) is None:
                self._in_parts.add(index)
                continue
            if x.device != _device_of(part, adapter):
                continue
            try:
                self._due.remove(index)
            except KeyError:  # another thread was faster
                continue
            now.bytes += now.sampled.keep(now.kept, index, adapter, part, layer, x, output)
            # Outside of the model's own pass nobody says when it is over; and what is whole now may not stay so.
            if passing is None or now.bytes > self._most or index in self._late:
                self._measure(now)

    def _part(self, index: int) -> Part | None:
        """What an adapter adds of which it is told in its layer's pass; None where that is not whole even there."""
        adapter = self._adapters[index]
        if any(map(sharded, adapter.own)) or len(blocks := adapter.factors()) != 1:
            return None
        return Part.of(*blocks[0], adapter.diagonal)

    def _measure(self, passing: _Pass) -> None:
        """Make numbers of what is kept."""
        kept, passing.kept, passing.bytes = passing.kept.values(), {}, 0
        self._measured.extend([_Measured(same.adapters, same.scales, squares_and_norms(same)) for same in kept])


def _device_of(part: Part, adapter: Adapter) -> torch.device:
    """Where an adapter's own numbers are: a replica on another device computes with copies of them."""
    tensor = part.a if part.a is not None else part.b
    return adapter.own[0].device if tensor is None else tensor.device
