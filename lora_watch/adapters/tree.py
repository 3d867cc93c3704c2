"""The modules of a model, and whether adapters are still where they were found: layers come and go in training."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from torch import nn

_VALUES = operator.methodcaller("values")


def walk(module: nn.Module, path: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, nn.Module]]:
    """Like ``named_modules()``, which PEFT's attention layer overrides to replace parameters as a side effect."""
    seen = set() if seen is None else seen
    if id(module) in seen:
        return
    seen.add(id(module))
    yield path, module
    for name, child in module.named_children():
        yield from walk(child, f"{path}.{name}" if path else name, seen)


class Tree:
    """The modules of ``model`` as they were when its adapters, in ``layers``, were looked for."""

    def __init__(self, model: nn.Module, layers: Iterable[nn.Module] = ()):
        modules, parents = _modules_of(model)
        self._families = [module._modules for module in modules]
        self._members = self._everything()
        links: dict[int, tuple[dict[str, Any], str]] = {}
        held_by: dict[int, dict[str, Any]] = {}
        for layer in layers:
            here: nn.Module | None = layer
            while here is not None and id(here) not in links and id(here) in parents:
                parent, name = parents[id(here)]
                links[id(here)] = parent._modules, name
                here = parent
            if (held := _held(layer)) is not None:
                held_by[id(layer)] = held
        self._links, self._held = list(links.values()), list(held_by.values())
        self._children, self._sizes = self._now()

    @property
    def is_whole(self) -> bool:
        """Every layer is still in its place in the model, and holds as many adapters. Takes one look-up a layer."""
        children, sizes = self._now()
        return all(map(operator.is_, children, self._children)) and sizes == self._sizes

    def _now(self) -> tuple[list[Any], list[int]]:
        """What is in each layer's place, and how many adapters each layer holds."""
        return [children.get(name) for children, name in self._links], list(map(len, self._held))

    @property
    def is_same(self) -> bool:
        """Each module has the same children: nothing has come, either. Goes through all of them."""
        now = self._everything()
        return len(now) == len(self._members) and all(map(operator.is_, now, self._members))

    def _everything(self) -> list[nn.Module | None]:
        """The children of every module, those of one after those of another."""
        return list(chain.from_iterable(map(_VALUES, self._families)))


def _held(layer: nn.Module) -> dict[str, Any] | None:
    """By its adapters' names, what ``layer`` holds of each: of several such mappings one that is not empty."""
    mappings = [child for child in layer._modules.values() if isinstance(child, (nn.ModuleDict, nn.ParameterDict))]
    filled = (mapping for mapping in mappings if next(mapping.parameters(), None) is not None)
    return next((mapping._modules or mapping._parameters for mapping in filled), None)


def _modules_of(model: nn.Module) -> tuple[list[nn.Module], dict[int, tuple[nn.Module, str]]]:
    """All modules, and by the identity of each its parent and its name there."""
    order: list[nn.Module] = []
    parents: dict[int, tuple[nn.Module, str]] = {}
    seen, to_do = {id(model)}, [model]
    while to_do:
        module = to_do.pop()
        order.append(module)
        for name, child in module._modules.items():
            if child is not None and id(child) not in seen:
                seen.add(id(child))
                parents[id(child)] = module, name
                to_do.append(child)
    return order, parents
