"""The modules of a model, and whether they are still where they were found: layers come and go in training."""

from collections.abc import Iterator
from itertools import chain

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
    """The modules of ``model`` as they are now, and how many parameters lie in its dicts of them."""

    def __init__(self, model: nn.Module):
        modules = [module for _, module in walk(model)]
        grows = (module for module in modules if module._modules or isinstance(module, nn.ModuleDict))
        self._families = [module._modules for module in grows]
        self._dicts = [module._parameters for module in modules if isinstance(module, nn.ParameterDict)]
        self._members = self._everything()

    @property
    def is_same(self) -> bool:
        """Nothing has come, gone or been exchanged. Takes one look-up a module."""
        return self._everything() == self._members

    def _everything(self) -> list[nn.Module | int | None]:
        return [*chain.from_iterable(map(dict.values, self._families)), *map(len, self._dicts)]
