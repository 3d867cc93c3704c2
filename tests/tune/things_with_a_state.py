"""Data sets, collators, models and Trainers that remember something between two batches, each in its own way."""

from __future__ import annotations

import array
import ctypes
import itertools
import multiprocessing
import queue
import random
import tempfile
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, Dataset, IterableDataset, Subset

VOCABULARY, LENGTH, ROWS = 1024, 6, 24

CASES: dict[str, Callable[[], dict[str, Any]]] = {}
"""By name: makes arguments of ``build_trainer`` anew, with whatever is global put to its beginning."""
REFUSED: set[str] = set()
"""Those that cannot be put back."""


def case(make: Callable[[], Any]) -> Callable[[], Any]:
    """``make`` returns a data set, or arguments by name."""

    def arguments() -> dict[str, Any]:
        made = make()
        return made if isinstance(made, dict) else {"dataset": made}

    CASES[make.__name__] = arguments
    return make


def refused(make: Callable[[], Any]) -> Callable[[], Any]:
    REFUSED.add(make.__name__)
    return case(make)


def row(first: int = 1, i: int = 0) -> dict[str, Tensor]:
    ids = (torch.arange(LENGTH) * 7 + 13 * i) % VOCABULARY
    ids[0] = first % VOCABULARY
    return {"input_ids": ids, "labels": ids.clone()}


class Rows(Dataset[Any]):
    """The first token of each row is what ``draw`` says."""

    def __init__(self, draw: Callable[[], float] = lambda: 1):
        self.draw = draw

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        return row(int(self.draw()), i)


class Holds(Rows):
    """Has a state, and knows how to draw from it."""

    def __init__(self, state: Any, draw: Callable[[Any], float]):
        super().__init__(self._draw)
        self.state, self.how = state, draw

    def _draw(self) -> float:
        return self.how(self.state)


# -- generators --------------------------------------------------------------------------------------------------------
@case
def plain_rows():
    return Rows()


@case
def list_of_lists():
    return [{"input_ids": [3, 1, i, 2], "labels": [3, 1, i, 2]} for i in range(ROWS)]


@case
def random_of_python():
    return Holds(random.Random(4), lambda r: r.randrange(VOCABULARY))


@case
def generator_of_numpy():
    return Holds(np.random.default_rng(4), lambda r: r.integers(VOCABULARY))


@case
def random_state_of_numpy():
    return Holds(np.random.RandomState(4), lambda r: 500 + 100 * r.standard_normal())


@case
def bits_of_numpy():
    return Holds(np.random.PCG64(4), lambda bits: bits.random_raw() % VOCABULARY)


@case
def generator_of_torch():
    return Holds(torch.Generator().manual_seed(4), lambda g: torch.randint(VOCABULARY, (), generator=g).item())


@case
def bound_method_of_a_generator():
    return Holds(random.Random(4).random, lambda draw: VOCABULARY * draw())


@case
def generator_made_late():
    def draw(state: dict[str, Any]) -> float:
        return state.setdefault("rng", random.Random(3)).randrange(VOCABULARY)

    return Holds({}, draw)


@case
def subset():
    return Subset(generator_of_numpy(), range(8, ROWS))


@case
def concatenated():
    return ConcatDataset([random_of_python(), random_state_of_numpy()])


# -- counters and containers -------------------------------------------------------------------------------------------
class Counts(Rows):
    n = 0

    def __init__(self) -> None:
        super().__init__(self._count)

    def _count(self) -> int:
        self.n += 1
        return self.n


class CountsInTheClass(Rows):
    n = 0

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        type(self).n += 1
        return row(type(self).n, i)


class Slots:
    __slots__ = ("n",)

    def __init__(self) -> None:
        self.n = 0


@dataclass(frozen=True)
class Frozen:
    memory: list[int] = field(default_factory=list)


IN_A_MODULE = 0
GENERATOR_IN_A_MODULE = random.Random(1)


def _count_in_a_module() -> int:
    global IN_A_MODULE
    IN_A_MODULE += 1
    return IN_A_MODULE


def _plus_one(state: Any, at: Any = 0) -> int:
    state[at] += 1
    return int(state[at])


@case
def counter():
    return Counts()


@case
def counter_in_the_class():
    CountsInTheClass.n = 0
    return CountsInTheClass()


@case
def counter_in_the_module():
    global IN_A_MODULE
    IN_A_MODULE = 0
    return Rows(_count_in_a_module)


@case
def generator_in_the_module():
    GENERATOR_IN_A_MODULE.seed(1)
    return Rows(lambda: GENERATOR_IN_A_MODULE.randrange(VOCABULARY))


@case
def counter_in_a_closure():
    n = 0

    def draw() -> int:
        nonlocal n
        n += 1
        return n

    return Rows(draw)


@case
def counter_in_a_default():
    def draw(state: list[int] = [0]) -> int:  # noqa: B006
        return _plus_one(state)

    return Rows(draw)


@case
def counter_in_slots():
    def draw(state: Slots) -> int:
        state.n += 1
        return state.n

    return Holds(Slots(), draw)


@case
def list_in_what_is_frozen():
    return Holds(Frozen(), lambda frozen: frozen.memory.append(1) or len(frozen.memory))


@case
def array_of_numpy():
    return Holds(np.zeros(2, dtype=np.int64), _plus_one)


@case
def array_of_objects():
    return Holds(np.array([[0], "text"], dtype=object), lambda a: _plus_one(a[0]))


@case
def tensor():
    return Holds(torch.zeros(2), _plus_one)


@case
def tensor_replaced():
    def draw(state: dict[str, Tensor]) -> float:
        state["t"] = state["t"] + 1
        return state["t"].item()

    return Holds({"t": torch.zeros(())}, draw)


@case
def array_of_python():
    return Holds(array.array("q", [0, 0]), _plus_one)


@case
def bytes_that_change():
    return Holds(bytearray(2), _plus_one)


@case
def shared_with_workers():
    def draw(state: Any) -> int:
        state.value += 1
        return state.value

    return Holds(multiprocessing.Value(ctypes.c_int64, 0), draw)


@case
def cache():
    return Holds({}, lambda seen: seen.setdefault(len(seen), len(seen)))


@case
def cache_in_order():
    def draw(state: OrderedDict[int, int]) -> int:
        state.move_to_end(first := next(iter(state)))
        return first

    return Holds(OrderedDict((i, i) for i in range(100)), draw)


@case
def set_of_seen():
    return Holds(set(), lambda seen: seen.add(len(seen)) or len(seen))


@case
def ring():
    return Holds(deque(range(50)), lambda ring: ring.rotate(1) or ring[0])


@case
def file_read_on():
    file = tempfile.TemporaryFile()  # noqa: SIM115
    file.write(bytes(range(1, 250)))
    file.seek(0)
    reader = open(file.fileno(), "rb", closefd=False)  # noqa: SIM115
    reader.of = file  # type: ignore[attr-defined]  # else it is closed
    return Holds(reader, lambda reader: reader.read(1)[0])


@case
def dataset_of_hugging_face():
    from datasets import Dataset as Rows

    rng = np.random.default_rng(4)

    def transform(rows: dict[str, list[Any]]) -> dict[str, Any]:
        ids = [torch.tensor([int(rng.integers(VOCABULARY)), i, 5]) for i in rows["i"]]
        return {"input_ids": ids, "labels": ids}

    return {"dataset": Rows.from_dict({"i": list(range(ROWS))}).with_transform(transform), **AS_IS}


AS_IS = {"remove_unused_columns": False}


# -- streams -----------------------------------------------------------------------------------------------------------
class Stream(IterableDataset[Any]):
    """Goes on where it was."""

    def __init__(self) -> None:
        self.at = 0

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        while True:
            self.at += 1
            yield row(self.at)


class CountsAtItsEnd(Stream):
    """Its generator changes something when it is thrown away."""

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        try:
            yield from (row(i + 10 * self.at) for i in range(1000))
        finally:
            self.at += 1


class AtWork(Stream):
    """Holds the generator that it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = self._rows()

    def _rows(self) -> Iterator[dict[str, Tensor]]:
        return (row(i) for i in itertools.count(self.at))

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for each in self.rows:
            self.at += 1
            yield each


class WithState(AtWork):
    def state_dict(self) -> dict[str, int]:
        return {"at": self.at}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.at = state["at"]
        self.rows = self._rows()


@case
def stream_that_goes_on():
    return Stream()


@case
def stream_that_counts_at_its_end():
    return CountsAtItsEnd()


@case
def stream_with_a_state():
    return WithState()


@refused
def stream_at_work():
    return AtWork()


@refused
def iterator_inside():
    return Holds(itertools.count(5), next)


@refused
def queue_with_a_thread():
    full: queue.Queue[int] = queue.Queue(maxsize=4)
    thread = threading.Thread(target=lambda: [full.put(i) for i in range(10_000)], daemon=True)
    thread.start()
    return Holds((full, thread), lambda both: both[0].get())


@case
def stream_of_hugging_face():
    from datasets import IterableDataset as Rows

    def rows() -> Iterator[dict[str, list[int]]]:
        for i in range(200):
            yield {"input_ids": [i, 2, 3], "labels": [i, 2, 3]}

    return {"dataset": Rows.from_generator(rows).shuffle(seed=3, buffer_size=20), **AS_IS}
