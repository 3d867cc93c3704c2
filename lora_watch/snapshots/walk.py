"""Everything that can be reached from some objects: kept before a sweep, put back after it, and compared then."""

from __future__ import annotations

import copy
import functools
import io
import logging
import queue
import random
import re
import sys
import sysconfig
import threading
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from enum import Enum
from pathlib import Path
from types import BuiltinMethodType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from lora_watch.snapshots import contents
from lora_watch.snapshots.contents import Names, Way

log = logging.getLogger("lora_watch")

ROOM = 1 << 30
"""Bytes of the copies of data, apart from what is trained. Of what is larger a sum is compared."""

_ATOMS = frozenset(
    (int, float, complex, bool, str, bytes, type(None), type(...), range, torch.dtype, torch.device, torch.Size)
)
_LEAVES = (ModuleType, logging.Logger, logging.Handler, logging.Filter, Enum, weakref.ref, threading.Thread)
_GENERATORS = (
    (random.Random, contents.PYTHON_RANDOM),
    (torch.Generator, contents.TORCH_RANDOM),
    (np.random.RandomState, contents.NUMPY_RANDOM),
    (np.random.BitGenerator, contents.NUMPY_BITS),
)
_STANDARD = frozenset({"argparse", "collections", "functools", "multiprocessing", "queue", "types"})
"""Rooms of the standard library whose objects hold what a user gives them. Those of others (sockets, locks, event
loops) are tied to the system."""
_ELSEWHERE = tuple(f"multiprocessing.{module}" for module in ("connection", "managers", "process", "queues"))
_LIBRARIES = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), str(Path(__file__).parents[1]))


class Where(NamedTuple):
    """The way to an object."""

    before: Where | None
    step: str
    owner: Any = None
    """The object that is left by this step."""

    def __str__(self) -> str:
        steps = "".join(where.step for where in reversed([*_steps(self)]))
        return re.sub(r"\._(?:modules|parameters|buffers)\['([^']*)'\]", r".\1", steps)


def _steps(where: Where | None) -> Iterator[Where]:
    """From the object back to where the walk began."""
    while where is not None:
        yield where
        where = where.before


class Record(NamedTuple):
    """What was kept of one object."""

    way: Way
    thing: Any
    kept: Any
    where: Where


class Walk:
    """Goes through objects and keeps what each of them holds.

    Entered are containers, objects' attributes and slots, closures, and of the user's own code classes and the global
    names that functions read. Objects of C without attributes are taken to be immutable, unless they are iterators.
    ``apart``: classes whose objects are left alone.
    """

    def __init__(self, apart: tuple[type, ...] = ()):
        self._apart = (*_LEAVES, *apart)
        self.stuck: list[tuple[Where, Any]] = []
        """What cannot be put back: iterators at work, and threads."""
        self._room = ROOM
        """Bytes that copies of tensors, arrays and lists may still take."""
        self._whole = self._loose = False
        self._records: list[Record] = []
        self._seen: dict[int, Any] = {}
        self._to_do: deque[tuple[Any, Where]] = deque()
        self._own_states: dict[int, tuple[Any, Any]] = {}

    def add(self, thing: Any, name: str, whole: bool = False, loose: bool = False) -> None:
        """Keep ``thing`` and all that it leads to: ``whole``, however large it is; ``loose``, without what is stuck."""
        self._whole, self._loose = whole, loose
        self._to_do.append((thing, Where(None, name)))
        while self._to_do:
            thing, where = self._to_do.popleft()  # the shortest way to each first
            if type(thing) not in _ATOMS and id(thing) not in self._seen:
                self._seen[id(thing)] = thing
                try:
                    self._to_do.extend((part, Where(where, step, thing)) for part, step in self._parts(thing, where))
                except Exception:  # an object that cannot be asked what it holds
                    log.debug("lora_watch takes %s to stay as it is", where, exc_info=True)

    def put_back(self) -> None:
        """Write what was kept into everything that holds something else by now."""
        with torch.no_grad():
            for record in self._records:
                with suppress(Exception):  # ``differing`` tells
                    if record.way.write is not None and _is_same(record) is not True:
                        record.way.write(record.thing, record.kept)
            for owner, state in self._own_states.values():
                owner.load_state_dict(copy.deepcopy(state))

    def differing(self) -> list[str]:
        """The ways to what is not as it was."""
        with torch.no_grad():
            differing = [record for record in self._records if _is_same(record) is False]
        return [str(record.where) for record in differing if not self._has_own_state(record)]

    def _has_own_state(self, record: Record) -> bool:
        """It belongs to what ``load_state_dict`` has put back, which may make parts of it anew."""
        holders = {id(record.thing), *(id(where.owner) for where in _steps(record.where))}
        return not holders.isdisjoint(self._own_states)

    # -- one object ----------------------------------------------------------------------------------------------------
    def _parts(self, thing: Any, where: Where) -> Iterator[tuple[Any, str]]:
        """What ``thing`` leads to, and how; keeps what it holds."""
        kind = type(thing)
        if isinstance(thing, type):
            if _is_users(thing) and not issubclass(thing, self._apart):
                self._keep(contents.CLASS, thing, where)
                yield from ((value, f".{name}") for name, value in contents.read_class(thing).items())
        elif issubclass(kind, self._apart):
            if isinstance(thing, threading.Thread) and thing.is_alive() and thing is not threading.main_thread():
                self._give_up(thing, where)
        elif issubclass(kind, Tensor):
            yield from self._of_tensor(thing, where)
        elif issubclass(kind, np.ndarray):
            yield from self._of_array(thing, where)
        elif (way := next((way for known, way in _GENERATORS if issubclass(kind, known)), None)) is not None:
            with suppress(NotImplementedError):  # the operating system's
                self._keep(way, thing, where)
        elif issubclass(kind, np.random.Generator):
            yield thing.bit_generator, ".bit_generator"
        elif _is_at_work(thing):
            self._give_up(thing, where)
        elif issubclass(kind, io.IOBase):
            self._visit_file(thing, where)
        else:
            yield from self._of_object(thing, where)

    def _of_object(self, thing: Any, where: Where) -> Iterator[tuple[Any, str]]:
        yield from self._of_container(thing, where)
        if isinstance(thing, FunctionType):
            yield from self._of_function(thing, where)
        elif isinstance(thing, (MethodType, BuiltinMethodType)):
            yield thing.__self__, ".__self__"
            yield getattr(thing, "__func__", None), ".__func__"
        elif isinstance(thing, functools.partial):
            yield from ((thing.func, ".func"), (thing.args, ".args"), (thing.keywords, ".keywords"))
        elif isinstance(thing, (property, classmethod, staticmethod)):
            yield getattr(thing, "fget", None) or getattr(thing, "__func__", None), ""
        elif isinstance(thing, CellType):
            self._keep(contents.CELL, thing, where)
            yield contents.read_cell(thing), ""
        elif _is_entered(kind := type(thing)):
            if kind.__dictoffset__:
                yield from self._of_attributes(thing, where)
            if slots := contents.read_slots(thing):
                self._keep(contents.SLOTS, thing, where)
                yield from ((value, "") for value in slots)
            yield from ((cls, "") for cls in kind.__mro__ if _is_users(cls))
        if (size := _buffer_size(thing)) is not None and self._has_room(size):
            self._keep(contents.BUFFER, thing, where)

    def _of_container(self, thing: Any, where: Where) -> Iterator[tuple[Any, str]]:
        if isinstance(thing, dict):
            self._keep(contents.DICT, thing, where)
            for key, value in dict.items(thing):
                if type(value) not in _ATOMS:
                    yield value, f"[{key!r:.60}]" if type(key) in _ATOMS else "[…]"
                if type(key) not in _ATOMS:
                    yield key, "[…]"
        elif isinstance(thing, (list, tuple)):
            numbers = set(map(type, thing)) <= _ATOMS
            if isinstance(thing, list):
                fits = not numbers or self._has_room(8 * len(thing))
                self._keep(contents.LIST if fits else contents.LONG_LIST, thing, where)
            if not numbers:
                yield from ((item, f"[{i}]") for i, item in enumerate(thing) if type(item) not in _ATOMS)
        elif isinstance(thing, (set, frozenset, deque)):
            if not isinstance(thing, frozenset):
                self._keep(contents.SET if isinstance(thing, set) else contents.DEQUE, thing, where)
            yield from ((item, "[…]") for item in thing if type(item) not in _ATOMS)

    def _of_attributes(self, thing: Any, where: Where) -> Iterator[tuple[Any, str]]:
        self._keep(contents.ATTRIBUTES, thing, where)
        yield from ((value, f".{name}") for name, value in contents.attributes(thing).items())

    def _of_function(self, function: FunctionType, where: Where) -> Iterator[tuple[Any, str]]:
        if function.__dict__:
            yield from self._of_attributes(function, where)
        yield from ((function.__defaults__, ""), (function.__kwdefaults__, ""))
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
            yield cell, f".{name}"
        if not _is_library(function.__code__.co_filename):
            space = function.__globals__
            names = Names(space, tuple(name for name in _names(function.__code__) if name in space))
            self._keep(contents.NAMES, names, where)
            yield from ((space[name], f" → {name}") for name in names.names)

    def _of_tensor(self, tensor: Tensor, where: Where) -> Iterator[tuple[Any, str]]:
        if tensor.is_meta:
            return
        is_parameter = isinstance(tensor, nn.Parameter)
        frozen = is_parameter and not tensor.requires_grad
        fits = not frozen and self._has_room(tensor.numel() * tensor.element_size())
        with suppress(Exception), torch.no_grad():  # a class of tensors that keeps its numbers elsewhere
            self._keep(contents.TENSOR if fits else contents.LARGE_TENSOR, tensor, where)
        if is_parameter:
            self._keep(contents.GRADIENT, tensor, where)
            yield tensor.grad, ".grad"
        if contents.attributes(tensor):
            yield from self._of_attributes(tensor, where)

    def _of_array(self, array: Any, where: Where) -> Iterator[tuple[Any, str]]:
        if array.dtype.hasobject:
            yield from ((item, f"[{i}]") for i, item in enumerate(array.flat) if type(item) not in _ATOMS)
        if array.flags.writeable:
            fits = array.dtype.hasobject or self._has_room(array.nbytes)
            self._keep(contents.ARRAY if fits else contents.LARGE_ARRAY, array, where)

    def _visit_file(self, file: Any, where: Where) -> None:
        if file.closed or not file.readable() or file.writable():
            return  # a log, which goes on
        if file.seekable():
            with suppress(OSError):  # in the middle of a loop over its lines: the position is unknown
                return self._keep(contents.FILE, file, where)
        self._give_up(file, where)

    # -- notes ---------------------------------------------------------------------------------------------------------
    def _keep(self, way: Way, thing: Any, where: Where) -> None:
        self._records.append(Record(way, thing, way.copy(way.read(thing)), where))

    def _has_room(self, size: int) -> bool:
        if not self._whole:
            if size > self._room:
                return False
            self._room -= size
        return True

    def _give_up(self, thing: Any, where: Where) -> None:
        """``thing`` cannot be put back; whoever holds it may be able to."""
        holders = [thing, *(step.owner for step in _steps(where))]
        holder = next(filter(_has_state, holders), None)
        if holder is None:
            if not self._loose:
                self.stuck.append((where, thing))
        elif id(holder) not in self._own_states:
            self._own_states[id(holder)] = holder, copy.deepcopy(holder.state_dict())


def _is_same(record: Record) -> bool | None:
    """None where that is unknown."""
    with suppress(Exception):
        return record.way.same(record.way.read(record.thing), record.kept)
    return None


def _has_state(holder: Any) -> bool:
    """Of a stream's position, not of a model's weights."""
    has = hasattr(holder, "state_dict") and hasattr(holder, "load_state_dict")
    return has and not isinstance(holder, (type, nn.Module, torch.optim.Optimizer))


def _is_at_work(thing: Any) -> bool:
    """It does not give again what it has given, and its position is unknown."""
    kind = type(thing)
    if isinstance(thing, queue.SimpleQueue) or str(kind.__module__).startswith(_ELSEWHERE):
        return True
    return hasattr(kind, "__next__") and not kind.__dictoffset__ and not hasattr(kind, "__slots__")


def _is_entered(kind: type) -> bool:
    room = str(kind.__module__).partition(".")[0]
    return room not in sys.stdlib_module_names or room in _STANDARD


def _buffer_size(thing: Any) -> int | None:
    """Bytes of memory that can be written: shared counters, ``array``, ``bytearray``. None for all else."""
    with suppress(TypeError, ValueError, BufferError), memoryview(thing) as view:
        return view.nbytes if not view.readonly and view.c_contiguous else None
    return None


@functools.cache
def _is_library(filename: str) -> bool:
    """Code that is not the user's own."""
    return filename.startswith(("<frozen", *_LIBRARIES)) or bool(re.search(r"[/\\](site|dist)-packages[/\\]", filename))


def _is_users(cls: type) -> bool:
    module = str(cls.__module__)
    if module.partition(".")[0] in sys.stdlib_module_names or issubclass(cls, Enum):
        return False
    file = getattr(sys.modules.get(module), "__file__", None)  # a notebook has none
    return not _is_library(file) if file else module == "__main__"


def _names(code: CodeType) -> set[str]:
    """Names that a function reads, and the functions inside it."""
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*map(_names, inner))
