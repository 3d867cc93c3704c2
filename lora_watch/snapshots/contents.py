"""How the contents of one object are kept, compared and put back in place, one ``Way`` for each kind of object."""

from __future__ import annotations

import operator
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from types import CellType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lora_watch.adapters.tensors import local

MISSING = object()


class Way(NamedTuple):
    """Contents are kept by the identity of what is in there: whatever that is has a record of its own."""

    read: Callable[[Any], Any]
    """What is kept of an object."""
    same: Callable[[Any, Any], bool]
    """Whether the object still holds what was kept."""
    write: Callable[[Any, Any], object] | None = None
    """Puts back what was kept; None where only a sum of it is kept."""


def _identical(now: Sequence[Any], kept: Sequence[Any]) -> bool:
    return len(now) == len(kept) and all(map(operator.is_, now, kept))


def _alike(read: Callable[[Any], Any]) -> Callable[[Any, Any], bool]:
    return lambda thing, kept: read(thing) == kept


# -- containers --------------------------------------------------------------------------------------------------------
def attributes(thing: Any) -> dict[str, Any]:
    """The object's own, whatever its class says of attributes that are not there."""
    return object.__getattribute__(thing, "__dict__")


def _base(mapping: Any) -> Any:
    return OrderedDict if isinstance(mapping, OrderedDict) else dict


def _read_dict(mapping: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    base = _base(mapping)
    return tuple(base.keys(mapping)), tuple(base.values(mapping))


def _same_dict(mapping: Any, kept: Any) -> bool:
    return all(map(_identical, _read_dict(mapping), kept))


def _write_dict(mapping: Any, kept: Any) -> None:
    base = _base(mapping)  # some classes forbid changes in their own methods
    base.clear(mapping)
    for key, value in zip(*kept):
        base.__setitem__(mapping, key, value)


def _write_set(thing: set[Any], kept: Iterable[Any]) -> None:
    set.clear(thing)
    set.update(thing, kept)


def _write_deque(thing: deque[Any], kept: Iterable[Any]) -> None:
    thing.clear()
    thing.extend(kept)


def _slots(thing: Any) -> list[Any]:
    """Descriptors of the attributes that an object has outside of its ``__dict__``."""
    found = []
    for cls in type(thing).__mro__:
        names = vars(cls).get("__slots__", ())
        for name in (names,) if isinstance(names, str) else names:
            private = name.startswith("__") and not name.endswith("__")
            found.append(vars(cls).get(f"_{cls.__name__.lstrip('_')}{name}" if private else name))
    return [slot for slot in found if hasattr(slot, "__set__") and hasattr(slot, "__delete__")]


def read_slots(thing: Any) -> list[Any]:
    return [_or_missing(lambda slot=slot: slot.__get__(thing)) for slot in _slots(thing)]


def _write_slots(thing: Any, kept: list[Any]) -> None:
    for slot, now, value in zip(_slots(thing), read_slots(thing), kept):
        if value is MISSING and now is not MISSING:
            slot.__delete__(thing)
        elif value is not now:
            slot.__set__(thing, value)


def _or_missing(read: Callable[[], Any]) -> Any:
    with suppress(AttributeError, ValueError):
        return read()
    return MISSING


def read_cell(cell: CellType) -> Any:
    return _or_missing(lambda: cell.cell_contents)


def _write_cell(cell: CellType, kept: Any) -> None:
    if kept is MISSING:
        del cell.cell_contents
    else:
        cell.cell_contents = kept


def read_class(cls: type) -> dict[str, Any]:
    """What a class holds, apart from what Python keeps there."""
    return {name: value for name, value in vars(cls).items() if not name.startswith(("__", "_abc_"))}


def _write_class(cls: type, kept: dict[str, Any]) -> None:
    now = read_class(cls)
    for name in now.keys() - kept.keys():
        type.__delattr__(cls, name)
    for name, value in kept.items():
        if now.get(name, MISSING) is not value:
            type.__setattr__(cls, name, value)


class Names(NamedTuple):
    """Some of a module's global names."""

    namespace: dict[str, Any]
    names: tuple[str, ...]


def _read_names(thing: Names) -> tuple[Any, ...]:
    return tuple(thing.namespace.get(name, MISSING) for name in thing.names)


def _write_names(thing: Names, kept: tuple[Any, ...]) -> None:
    thing.namespace.update(zip(thing.names, kept))


def _list(thing: list[Any]) -> list[Any]:
    return list.__getitem__(thing, slice(None))  # a class of its own may count how often it is read


LIST = Way(_list, lambda x, kept: _identical(_list(x), kept), lambda x, kept: list.__setitem__(x, slice(None), kept))
LONG_LIST = Way(lambda x: hash(tuple(x)), _alike(lambda x: hash(tuple(x))))
DICT = Way(_read_dict, _same_dict, _write_dict)
SET = Way(tuple, lambda x, kept: set(map(id, x)) == set(map(id, kept)), _write_set)
DEQUE = Way(list, lambda x, kept: _identical(x, kept), _write_deque)
ATTRIBUTES = Way(
    lambda x: _read_dict(attributes(x)),
    lambda x, kept: _same_dict(attributes(x), kept),
    lambda x, kept: _write_dict(attributes(x), kept),
)
SLOTS = Way(read_slots, lambda x, kept: _identical(read_slots(x), kept), _write_slots)
CELL = Way(read_cell, lambda x, kept: read_cell(x) is kept, _write_cell)
CLASS = Way(read_class, lambda x, kept: _same_dict(read_class(x), _read_dict(kept)), _write_class)
NAMES = Way(_read_names, lambda x, kept: _identical(_read_names(x), kept), _write_names)


# -- numbers -----------------------------------------------------------------------------------------------------------
_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def _bits(tensor: Tensor) -> Tensor:
    """The numbers as integers: NaN equals itself there, and 0 is not −0."""
    flat = local(tensor)
    flat = (torch.view_as_real(flat.resolve_conj()) if flat.is_complex() else flat).reshape(-1)
    return flat.view(_INTEGERS[flat.element_size()])


def _checksum(tensor: Tensor) -> Tensor:
    return _bits(tensor).sum(dtype=torch.int64)


def _same_numbers(tensor: Tensor, kept: Tensor) -> bool:
    return local(tensor).shape == kept.shape and torch.equal(_bits(tensor), _bits(kept))


def _write_numbers(tensor: Tensor, kept: Tensor) -> None:
    if local(tensor).shape == kept.shape:
        local(tensor).copy_(kept)
    else:  # something has put other numbers into the same tensor
        tensor.data = kept.clone()


def _read_gradient(tensor: Tensor) -> tuple[bool, Tensor | None, Tensor | None]:
    gradient = tensor.grad
    return tensor.requires_grad, gradient, None if gradient is None else local(gradient).clone()


def _same_gradient(tensor: Tensor, kept: tuple[bool, Tensor | None, Tensor | None]) -> bool:
    required, gradient, numbers = kept
    same = tensor.requires_grad is required and tensor.grad is gradient
    return same and (gradient is None or numbers is None or _same_numbers(gradient, numbers))


def _write_gradient(tensor: Tensor, kept: tuple[bool, Tensor | None, Tensor | None]) -> None:
    required, gradient, numbers = kept
    tensor.requires_grad_(required)
    if gradient is not None and numbers is not None:
        _write_numbers(gradient, numbers)
    tensor.grad = gradient


def _same_array(array: Any, kept: Any) -> bool:
    return array.shape == kept.shape and array.dtype == kept.dtype and array.tobytes() == kept.tobytes()


def _bytes(buffer: Any) -> bytes:
    return memoryview(buffer).tobytes()


def _write_bytes(buffer: Any, kept: bytes) -> None:
    memoryview(buffer).cast("B")[:] = kept


TENSOR = Way(lambda x: local(x).clone(), _same_numbers, _write_numbers)
LARGE_TENSOR = Way(_checksum, lambda x, kept: bool(_checksum(x) == kept))
GRADIENT = Way(_read_gradient, _same_gradient, _write_gradient)
ARRAY = Way(np.array, _same_array, np.copyto)
LARGE_ARRAY = Way(lambda x: hash(x.tobytes()), _alike(lambda x: hash(x.tobytes())))
BUFFER = Way(_bytes, _alike(_bytes), _write_bytes)


# -- random generators, files ------------------------------------------------------------------------------------------
def _plain(state: Any) -> Any:
    """The state of one of numpy's, in a form that can be compared."""
    if isinstance(state, dict):
        return {key: _plain(value) for key, value in state.items()}
    return state.tobytes() if isinstance(state, np.ndarray) else state


def _set_bits(generator: Any, state: Any) -> None:
    generator.state = state


PYTHON_RANDOM = Way(lambda x: x.getstate(), _alike(lambda x: x.getstate()), lambda x, kept: x.setstate(kept))
TORCH_RANDOM = Way(
    lambda x: x.get_state(), lambda x, kept: torch.equal(x.get_state(), kept), lambda x, kept: x.set_state(kept)
)
NUMPY_BITS = Way(lambda x: x.state, lambda x, kept: _plain(x.state) == _plain(kept), _set_bits)
NUMPY_RANDOM = Way(
    lambda x: x.get_state(legacy=False),
    lambda x, kept: _plain(x.get_state(legacy=False)) == _plain(kept),
    lambda x, kept: x.set_state(kept),
)
FILE = Way(lambda x: x.tell(), _alike(lambda x: x.tell()), lambda x, kept: x.seek(kept))
