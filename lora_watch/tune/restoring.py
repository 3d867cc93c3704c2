"""The way back after a sweep: what a checkpoint holds, kept in memory and put back in its place, bit for bit.

These are adapters and buffers, optimizer, scheduler, scaler, random states and the attributes of the Trainer and of the
model's modules. Frozen weights are not copied, and the data are not kept: a sweep reads them by a fresh iterator.
"""

import copy
import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lora_watch.base.generators import kinds_in_use, random_state, set_random_state
from lora_watch.measurement.signals.optimizer import unwrapped
from lora_watch.snapshots import copies

SMALL = 64 << 10
"""Bytes up to which a buffer of integers may be changed by training. Larger ones are masks and quantised weights."""
Back = Callable[[], Any]


@contextmanager
def restored(
    model: nn.Module, optimizer: Any = None, scalers: Iterable[Any] = (), owners: Iterable[Any] = ()
) -> Iterator[None]:
    """What is trained inside the ``with`` is afterwards as it was, also after an exception.

    Args:
        model: with its adapters. Frozen weights are taken to stay.
        optimizer: None where the training makes one, which then goes.
        scalers: of the loss, and whatever else has a ``state_dict``.
        owners: objects whose attributes go back, containers with what was in them.
    """
    inner = unwrapped(optimizer)
    owned = (*owners, *model.modules(), *(each for each in (optimizer, inner) if each is not None))
    back = [partial(scaler.load_state_dict, copy.deepcopy(scaler.state_dict())) for scaler in scalers]
    back += [*map(_attributes, owned), _numbers(model, inner)]
    numbers = random_state(kinds_in_use(model))
    try:
        yield
    finally:
        gc.collect()  # generators and DDP's wrapper, which may still change something when they end
        with torch.no_grad():
            for put_back in back:
                put_back()
        set_random_state(numbers)


def _trained(model: nn.Module) -> Iterator[Tensor]:
    for parameter in model.parameters():
        if parameter.requires_grad and not parameter.is_meta:
            yield parameter
    for buffer in model.buffers():
        numbers = buffer.is_floating_point() and buffer.element_size() > 1  # one byte: a quantised weight
        if not buffer.is_meta and (numbers or buffer.numel() * buffer.element_size() <= SMALL):
            yield buffer


def _numbers(model: nn.Module, optimizer: Any) -> Back:
    """What is trained and its gradients, and the optimizer's groups and states: tensors in their own memory."""
    tensors = list(_trained(model))
    grads = [tensor.grad if tensor.is_leaf else None for tensor in tensors]
    dicts = [] if optimizer is None else [*optimizer.param_groups, *optimizer.state.values()]
    there = {
        "tensors": dict(enumerate(tensors)),
        "grads": {i: grad for i, grad in enumerate(grads) if grad is not None},
        "dicts": {i: {k: value for k, value in each.items() if k != "params"} for i, each in enumerate(dicts)},
    }
    kept = copies.take(there, 0)

    def back() -> None:
        before = copies.restored(there, kept.read())
        for tensor, grad in zip(tensors, grads):
            if tensor.is_leaf:
                tensor.grad = grad
        for each, content in zip(dicts, before["dicts"].values()):
            for name in [name for name in each if name != "params"]:
                del each[name]
            each.update(content)

    return back


def _attributes(owner: Any) -> Back:
    """The same objects under the same names; lists, dicts and sets with the same contents."""
    before = dict(vars(owner))
    contents = [(each, copy.copy(each)) for each in before.values() if isinstance(each, (list, dict, set))]

    def back() -> None:
        vars(owner).clear()
        vars(owner).update(before)
        for each, content in contents:
            each.clear()
            each.extend(content) if isinstance(each, list) else each.update(content)

    return back
