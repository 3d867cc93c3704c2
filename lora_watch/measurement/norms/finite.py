"""Which weights are not finite, frozen ones and adapters: the places where a NaN loss comes from."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lora_watch.adapters import Adapter
from lora_watch.adapters.tensors import here, local
from lora_watch.base.names import clean_name


@torch.no_grad()
def not_finite(model: nn.Module) -> tuple[str, ...]:
    """Clean names of the frozen weights that hold a NaN or an infinity, in the model's order: what trains may have
    become so by the update that a NaN loss led to.

    Waits for each weight. Of a sharded one this rank's part is read; quantised ones and placeholders cannot be told.
    """
    tops = {clean_name(name): _top(p) for name, p in model.named_parameters() if not p.requires_grad and _numbers(p)}
    return tuple(name for name, top in tops.items() if not bool(torch.isfinite(top)))


@torch.no_grad()
def spoiled(adapters: Sequence[Adapter]) -> tuple[str, ...]:
    """Names of the adapters that hold a NaN or an infinity. Waits for their devices; of a sharded tensor this rank's
    part is read."""
    tops = [(a.name, [_top(t) for t in a.own if _numbers(t)]) for a in adapters]
    return tuple(name for name, own in tops if not all(bool(torch.isfinite(top)) for top in own))


def _numbers(weight: Tensor) -> bool:
    return weight.is_floating_point() and weight.element_size() > 1 and here(weight)


def _top(weight: Tensor) -> Tensor:
    """max|w|, ``[]``: NaN if any element is."""
    part = local(weight)
    return torch.linalg.vector_norm(part, ord=torch.inf) if part.numel() else part.new_zeros(())
