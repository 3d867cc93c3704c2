"""What training changes of a model besides its parameters: running statistics, counters, AdaLoRA's scores."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lora_watch.adapters.peft_scores import RankScores, Scores
from lora_watch.adapters.tensors import local

SMALL = 64 << 10
"""Bytes up to which a buffer of integers may be changed by training. Larger ones are masks and quantised weights."""


class Buffers:
    """A model's buffers that training may change, as the last finished step has left them.

    A forward pass changes running statistics long before the update that may have to be taken back.
    """

    def __init__(self, model: nn.Module | None):
        found = [] if model is None else [(m, n, b) for m in model.modules() for n, b in m.named_buffers(recurse=False)]
        self._places = [(module, name) for module, name, buffer in found if _may_change(buffer)]
        self._scores = None if model is None else RankScores(model)
        self.seen: list[Tensor] = []
        self.scores: list[Scores] = []
        """AdaLoRA's importance scores then."""
        self.see()

    @property
    def size(self) -> int:
        """Bytes of the buffers."""
        return sum(buffer.numel() * buffer.element_size() for buffer in self._live)

    def see(self) -> None:
        """A step is finished."""
        with torch.no_grad():
            live = self._live
            if not _alike(live, self.seen):
                self.seen = [buffer.clone() for buffer in live]
            else:
                for kept, buffer in zip(self.seen, live):
                    kept.copy_(buffer)
        self.scores = self._scores.now if self._scores is not None else []

    def put_back(self, kept: Sequence[Tensor], scores: Sequence[Scores]) -> None:
        """What ``seen`` and ``scores`` have been. A buffer that has become another is replaced."""
        with torch.no_grad():
            for (module, name), live, values in zip(self._places, self._live, kept):
                if _alike([live], [values]):
                    live.copy_(values)
                else:
                    setattr(module, name, values.to(live.device, copy=True))
        if self._scores is not None:
            self._scores.put_back(scores)
        self.see()

    @property
    def _live(self) -> list[Tensor]:
        return [local(getattr(module, name)) for module, name in self._places]


def _may_change(buffer: Tensor) -> bool:
    numbers = buffer.is_floating_point() and buffer.element_size() > 1  # one byte: a quantised weight
    return not buffer.is_meta and (numbers or buffer.numel() * buffer.element_size() <= SMALL)


def _alike(some: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    return [(t.shape, t.dtype) for t in some] == [(t.shape, t.dtype) for t in others]
