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
    """What is in an object, or a sum of it."""
    write: Callable[[Any, Any], object] | None = None
    """Puts back what was kept; None where only a sum of it is kept."""
    same: Callable[[Any, Any], bool] = operator.eq
    """Whether what is read is what was kept."""
    copy: Callable[[Any], Any] = lambda read: read
    """Makes of what is read what is kept, where that would change with the object."""


def _identical(now: Sequence[Any], kept: Sequence[Any]) -> bool:
    return len(now) == len(kept) and all(map(operator.is_, now, kept))


# -- containers --------------------------------------------------------------------------------------------------------
def attributes(thing: Any) -> dict[str, Any]:
    """The object's own, whatever its class says of attributes that are not there."""
    return object.__getattribute__(thing, "__dict__")


def _base(mapping: Any) -> Any:
    return OrderedDict if isinstance(mapping, OrderedDict) else dict


def _read_dict(mapping: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    base = _base(mapping)
    return tuple(base.keys(mapping)), tuple(base.values(mapping))


def _same_dict(now: Any, kept: Any) -> bool:
    return all(map(_identical, now, kept))


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


def _list(thing: list[Any]) -> list[Any]:
    return list.__getitem__(thing, slice(None))  # a class of its own may count how often it is read


LIST = Way(_list, lambda x, kept: list.__setitem__(x, slice(None), kept), _identical)
LONG_LIST = Way(lambda x: hash(tuple(x)))
DICT = Way(_read_dict, _write_dict, _same_dict)
SET = Way(tuple, _write_set, lambda now, kept: set(map(id, now)) == set(map(id, kept)))
DEQUE = Way(list, _write_deque, _identical)
ATTRIBUTES = Way(lambda x: _read_dict(attributes(x)), lambda x, kept: _write_dict(attributes(x), kept), _same_dict)
SLOTS = Way(read_slots, _write_slots, _identical)
CELL = Way(read_cell, _write_cell, operator.is_)
CLASS = Way(read_class, _write_class, lambda now, kept: _same_dict(_read_dict(now), _read_dict(kept)))
NAMES = Way(
    lambda x: tuple(x.namespace.get(name, MISSING) for name in x.names),
    lambda x, kept: x.namespace.update(zip(x.names, kept)),
    _identical,
)


# -- numbers -----------------------------------------------------------------------------------------------------------
_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def _bits(tensor: Tensor) -> Tensor:
    """The numbers as integers: NaN equals itself there, and 0 is not −0."""
    flat = (torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor).reshape(-1)
    return flat.view(_INTEGERS[flat.element_size()])


def _same_numbers(now: Tensor, kept: Tensor) -> bool:
    return now.shape == kept.shape and torch.equal(_bits(now), _bits(kept))


def _write_numbers(tensor: Tensor, kept: Tensor) -> None:
    if local(tensor).shape == kept.shape:
        local(tensor).copy_(kept)
    else:  # something has put other numbers into the same tensor
        tensor.data = kept.clone()


def _write_gradient(parameter: Tensor, kept: tuple[bool, Tensor | None]) -> None:
    required, gradient = kept
    parameter.requires_grad_(required)
    parameter.grad = gradient


def _same_array(now: Any, kept: Any) -> bool:
    return now.shape == kept.shape and now.dtype == kept.dtype and now.tobytes() == kept.tobytes()


def _write_bytes(buffer: Any, kept: bytes) -> None:
    memoryview(buffer).cast("B")[:] = kept


TENSOR = Way(local, _write_numbers, _same_numbers, Tensor.clone)
LARGE_TENSOR = Way(lambda x: int(_bits(local(x)).sum(dtype=torch.int64)))
GRADIENT = Way(lambda x: (x.requires_grad, x.grad), _write_gradient, _identical)
ARRAY = Way(np.asarray, np.copyto, _same_array, np.array)
LARGE_ARRAY = Way(lambda x: hash(x.tobytes()))
BUFFER = Way(lambda x: memoryview(x).tobytes(), _write_bytes)


# -- random generators, files ------------------------------------------------------------------------------------------
def _same_state(now: Any, kept: Any) -> bool:
    """Of one of numpy's: numbers, arrays, and dicts of them."""
    if isinstance(now, dict):
        return now.keys() == kept.keys() and all(_same_state(now[key], kept[key]) for key in now)
    return np.array_equal(now, kept)


PYTHON_RANDOM = Way(lambda x: x.getstate(), lambda x, kept: x.setstate(kept))
TORCH_RANDOM = Way(lambda x: x.get_state(), lambda x, kept: x.set_state(kept), torch.equal)
NUMPY_BITS = Way(lambda x: x.state, lambda x, kept: setattr(x, "state", kept), _same_state)
NUMPY_RANDOM = Way(lambda x: x.get_state(legacy=False), lambda x, kept: x.set_state(kept), _same_state)
FILE = Way(lambda x: x.tell(), lambda x, kept: x.seek(kept))
