"""AdaLoRA's importance scores, by which PEFT cuts ranks: neither parameters nor buffers."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from lora_watch.adapters.tree import walk

Scores = dict[str, Tensor]
"""By the parameter's name. PEFT puts new tensors in the place of the old ones."""
_NAMES = ("ipt", "exp_avg_ipt", "exp_avg_unc")


class RankScores:
    """Those of a model; none without AdaLoRA."""

    def __init__(self, model: nn.Module):
        allocators = (getattr(module, "rankallocator", None) for _, module in walk(model))
        self._allocators = [each for each in allocators if all(hasattr(each, name) for name in _NAMES)]

    @property
    def now(self) -> list[Scores]:
        return [dict(getattr(each, name)) for each in self._allocators for name in _NAMES]

    def put_back(self, kept: Sequence[Scores]) -> None:
        """What ``now`` has been."""
        places = [(each, name) for each in self._allocators for name in _NAMES]
        for (each, name), scores in zip(places, kept):
            setattr(each, name, dict(scores))
