"""What some training steps change, and the way back: weights, gradients, buffers, optimizer, random generators."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Restore = Callable[[], None]


@contextmanager
def put_back(model: nn.Module, optimizer: Any = None, others: Sequence[Any] = ()) -> Iterator[None]:
    """Whatever is trained inside the ``with``, afterwards all is bit for bit as it was, also after an exception.

    Kept is one copy of what is trained (and its gradients, where there are any), of the model's buffers and of the
    optimizer's state. Frozen weights are taken to stay.

    Args:
        others: what else has a state: a scheduler, a scaler, a loader (``state_dict``), a collator, or a random
            generator of one's own. What has neither a state nor a generator is left as it is.
    """
    back = [_random_states(), _model(model), *map(_state_of, others)]
    if optimizer is not None:
        back.append(_optimizer(optimizer))
    try:
        yield
    finally:
        for restore in reversed(back):
            restore()


def _model(model: nn.Module) -> Restore:
    with torch.no_grad():
        kept = [(t, t.detach().clone()) for t in [*_trained(model), *model.buffers()]]
        gradients = [(p, None if p.grad is None else p.grad.detach().clone()) for p in _trained(model)]
    modes = [(module, module.training) for module in model.modules()]
    # Accelerate wraps ``forward`` on the instance for mixed precision, once more at each preparation.
    forwards = {name: vars(model).get(name) for name in ("forward", "_original_forward")}

    def restore() -> None:
        with torch.no_grad():
            for tensor, copied in kept:
                tensor.copy_(copied)
        for parameter, gradient in gradients:
            parameter.grad = gradient
        for module, training in modes:
            module.training = training
        for name, forward in forwards.items():
            vars(model).pop(name, None)
            if forward is not None:
                vars(model)[name] = forward

    return restore


def _trained(model: nn.Module) -> list[nn.Parameter]:
    return [p for p in model.parameters() if p.requires_grad]


def _optimizer(optimizer: Any) -> Restore:
    """Of torch's own form: ``state`` by parameter and ``param_groups``; else by ``state_dict``."""
    inner = optimizer
    while hasattr(inner, "optimizer") and not isinstance(inner, torch.optim.Optimizer):
        inner = inner.optimizer
    if not isinstance(inner, torch.optim.Optimizer):
        return _state_of(inner)
    state = {parameter: _copied(values) for parameter, values in inner.state.items()}
    groups = [{key: _copied(value) for key, value in g.items() if key != "params"} for g in inner.param_groups]
    defaults = dict(inner.defaults)

    def restore() -> None:
        inner.state.clear()
        inner.state.update({parameter: _copied(values) for parameter, values in state.items()})
        for group, kept in zip(inner.param_groups, groups):
            for key in group.keys() - kept.keys() - {"params"}:
                del group[key]
            group.update({key: _copied(value) for key, value in kept.items()})
        inner.defaults.update(defaults)

    return restore


def _copied(value: Any) -> Any:
    """Tensors and containers copied; all else, such as a hook of a library's, is the same object."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_copied, value)) if type(value) in (list, tuple) else value
    return value


def _state_of(thing: Any) -> Restore:
    """Of a generator; of what has ``state_dict``; of the generators that an object holds as attributes."""
    if isinstance(thing, torch.Generator):
        state = thing.get_state()
        return lambda: (thing.set_state(state), None)[1]
    if isinstance(thing, np.random.Generator):
        numbers = copy.deepcopy(thing.bit_generator.state)
        return lambda: setattr(thing.bit_generator, "state", numbers)
    if isinstance(thing, random.Random):
        drawn = thing.getstate()
        return lambda: thing.setstate(drawn)
    if hasattr(thing, "state_dict") and hasattr(thing, "load_state_dict"):
        saved = copy.deepcopy(thing.state_dict())
        return lambda: thing.load_state_dict(saved)
    kinds = (torch.Generator, np.random.Generator, random.Random)
    inside = [_state_of(value) for value in getattr(thing, "__dict__", {}).values() if isinstance(value, kinds)]

    def restore() -> None:
        for each in inside:
            each()

    return restore


def _random_states() -> Restore:
    """Python's, numpy's and torch's, of every device that has drawn."""
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() and torch.cuda.is_initialized() else None
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None

    def restore() -> None:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)
        if mps is not None:
            torch.mps.set_rng_state(mps)

    return restore
