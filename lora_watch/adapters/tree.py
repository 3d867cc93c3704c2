"""The modules of a model, and whether adapters are still where they were found: layers come and go in training."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from typing import Any

from torch import nn


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
        modules = dict(walk(model))
        paths = {id(module): path for path, module in modules.items()}
        self._families = [module._modules for module in modules.values()]
        self._members = self._everything()
        links: dict[str, tuple[dict[str, Any], str]] = {}
        held: dict[int, dict[str, Any]] = {}
        for layer in layers:
            held[id(layer)] = _held(layer)
            path = paths.get(id(layer), "")
            while path and path not in links:
                above, _, name = path.rpartition(".")
                links[path] = modules[above]._modules, name
                path = above
        self._links, self._held = list(links.values()), list(held.values())
        self._children = [children.get(name) for children, name in self._links]
        self._sizes = list(map(len, self._held))

    @property
    def is_whole(self) -> bool:
        """Every layer is still in its place in the model, and holds as many adapters. Takes one look-up a layer."""
        children = [children.get(name) for children, name in self._links]
        return all(map(operator.is_, children, self._children)) and list(map(len, self._held)) == self._sizes

    @property
    def is_same(self) -> bool:
        """Each module has the same children: nothing has come, either."""
        now = self._everything()
        return len(now) == len(self._members) and all(map(operator.is_, now, self._members))

    def _everything(self) -> list[nn.Module | None]:
        return [child for family in self._families for child in family.values()]


def _held(layer: nn.Module) -> dict[str, Any]:
    """By its adapters' names, what ``layer`` holds of each."""
    mappings = [child for child in layer._modules.values() if isinstance(child, (nn.ModuleDict, nn.ParameterDict))]
    filled = (mapping for mapping in mappings if next(mapping.parameters(), None) is not None)
    return next((mapping._modules or mapping._parameters for mapping in filled), {})
