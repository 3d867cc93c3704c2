"""What a list of adapters is made of: looked up once, and again when their fingerprints tell that it has changed."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor, nn

from lora_watch.adapters.adapter import Factors
from lora_watch.adapters.peft import fingerprints, plain_scales
from lora_watch.adapters.sharding import takes_every_rank
from lora_watch.base.records import BoolArray, FloatArray


class Read(NamedTuple):
    """The numbers of one adapter."""

    blocks: Sequence[Factors]
    diagonal: Tensor | None


class Resolved:
    """Adapters as they are between two changes of anything but their numbers. Answers are found when first asked for.
    ``known``: the adapters' fingerprints say all there is to say."""

    def __init__(self, adapters: Sequence[Any], known: bool):
        self._adapters, self._known = adapters, known

    @cached_property
    def parameters(self) -> list[tuple[nn.Parameter, nn.Parameter]]:
        return [adapter.parameters for adapter in self._adapters]

    @cached_property
    def scale(self) -> FloatArray:
        """``[n_adapters]``."""
        return np.array([adapter.scale for adapter in self._adapters], dtype=np.float64)

    @cached_property
    def state(self) -> BoolArray:
        """``[n_adapters, 3]``: active, merged, trainable; an inactive adapter, perhaps deleted, is asked no more."""
        rows = [(True, a.merged, a.trainable) if a.active else (False, False, False) for a in self._adapters]
        return np.array(rows, dtype=bool).reshape(-1, 3)

    @cached_property
    def kept(self) -> list[Read] | None:
        """Views of the live numbers. None where some can only be had as copies (sharded, padded), which ``read`` makes
        anew."""
        if not self._known or takes_every_rank(p for adapter in self._adapters for p in adapter.own):
            return None
        once, again = ([self._read(adapter) for adapter in self._adapters] for _ in range(2))
        return once if list(map(_memory, once)) == list(map(_memory, again)) else None

    def read(self) -> Iterator[Read]:
        """The numbers of each adapter now. A collective for DTensors."""
        return map(self._read, self._adapters) if self.kept is None else iter(self.kept)

    @staticmethod
    def _read(adapter: Any) -> Read:
        blocks = adapter.factors()
        return Read(blocks, adapter.diagonal if blocks else None)


class Live:
    """The present ``Resolved`` of a list of adapters.

    It stands as long as the adapters' fingerprints, which is all that a step looks at. What holds something that it has
    made of ``now`` compares the object by ``is``.
    """

    def __init__(self, adapters: Sequence[Any]):
        self.adapters = list(adapters)
        self.now = self._resolved()
        self._followed: Any = None

    def refresh(self) -> Resolved:
        if fingerprints(self.adapters) != self._before:
            self.now = self._resolved()
        return self.now

    def follow(self) -> Resolved:
        """``refresh`` after an update, for what is used of the numbers: of plain LoRA it looks at scales and addresses
        alone."""
        own = (parameter for pair in self.now.parameters for parameter in pair)
        where = [parameter.data_ptr() for parameter in own if type(parameter) is nn.Parameter]
        scales = plain_scales(self.adapters)
        all_plain = len(scales) == len(self.adapters) and len(where) == 2 * len(self.adapters)
        if not all_plain or self._followed != (self.now, scales, where):
            self._followed = self.refresh(), scales, where
        return self.now

    def _resolved(self) -> Resolved:
        before = fingerprints(self.adapters)
        # Each holds the parameters' identities: ``now`` keeps those alive that it was asked for.
        resolved = Resolved(self.adapters, known=fingerprints(self.adapters) == before)
        self._before = before  # last: a look that has failed is made again
        return resolved


def _memory(read: Read) -> list[int]:
    tensors = [factor for block in read.blocks for factor in block]
    tensors += [] if read.diagonal is None else [read.diagonal]
    return [tensor.untyped_storage().data_ptr() for tensor in tensors]
