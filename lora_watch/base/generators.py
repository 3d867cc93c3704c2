"""The random generators that a training uses: Python's, numpy's, torch's, and those of accelerators of any kind."""

import random
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn


def kinds_in_use(model: nn.Module | None) -> set[str]:
    """Kinds of accelerators that ``model`` is on, and CUDA where it is in use. Wakes none."""
    kinds = {parameter.device.type for parameter in model.parameters()} if model is not None else set()
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        kinds.add("cuda")
    return kinds - {"cpu", "meta"}


def random_state(kinds: Iterable[str] = ()) -> dict[str, Any]:
    """The state of every source of random numbers that a training on accelerators of ``kinds`` may use. Draws nothing,
    wakes no device."""
    devices = {}
    for kind in kinds:
        backend: Any = getattr(torch, kind)  # every backend names these alike; MPS is one device
        several = hasattr(backend, "get_rng_state_all")
        devices[kind] = backend.get_rng_state_all() if several else [backend.get_rng_state()]
    host = {"torch": torch.get_rng_state(), "numpy": np.random.get_state(), "python": random.getstate()}
    return {**host, "devices": devices}


def set_random_state(state: Mapping[str, Any]) -> None:
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    for kind, states in state["devices"].items():
        backend: Any = getattr(torch, kind)
        if hasattr(backend, "set_rng_state_all"):
            backend.set_rng_state_all(states)
        else:
            backend.set_rng_state(states[0])


@contextmanager
def put_back(model: nn.Module) -> Iterator[None]:
    """Inside, all generators may be drawn from, those of the host and of ``kinds_in_use``."""
    state = random_state(kinds_in_use(model))
    try:
        yield
    finally:
        set_random_state(state)
