"""Claim: every norm and the whole spectrum of every adapter, exact, take a small multiple of the time of reading the
adapters once. ``torch.linalg.norm(lora_B @ lora_A)`` takes a few hundred times as long and is not exact.

    python benchmarks/measure_vs_naive.py [--large] [--full] [--rounds 7]

Adapters are made up in the shapes of Llama-2 (q, k, v, o, gate, up, down of every layer). A is PEFT's own start
(Kaiming uniform), nudged; B has singular values over two decades in directions of its own, as after some training.

* floor: ``torch._foreach_norm`` of all factors: each number looked at once.
* products: A·Aᵀ and Bᵀ·B alone, of float64 numbers that are there already. No way through exact Grams is faster.
* float32: the time of norms alone with products in float32, 4096 columns at a time, added up in float64. Its error is
  the worst of ‖B·A‖_F, compared with the bank. The program does not use it: where rounding goes one way the error is
  larger, and nothing would tell.
* naive: one norm of one product at a time. A whole pass takes seconds to minutes. So two adapters of each shape, drawn
  at random, stand for all of that shape. ``--full`` times a whole pass.
* time: CPU time of the process with one thread, medians of interleaved rounds.
* memory: the peak of the memory that the call allocated: tensors as a dispatch mode sees them, plus numpy's arrays as
  tracemalloc sees them. The bank's own buffer, allocated once, is listed apart.
* error: of ‖B·A‖_F, worst of one adapter a shape, against the product in float64 (a few rows at a time).
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import statistics
import sys
import time
import tracemalloc
import weakref
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from lora_watch.adapters import Adapter, Factors
from lora_watch.measurement.norms import AdapterBank
from lora_watch.measurement.norms.bank import HOST_PIECE

LLAMA_7B = 32 * ([(4096, 4096)] * 4 + [(11008, 4096)] * 2 + [(4096, 11008)])
LLAMA_70B = 80 * ([(8192, 8192)] * 2 + [(1024, 8192)] * 2 + [(28672, 8192)] * 2 + [(8192, 28672)])


class Set(NamedTuple):
    name: str
    shapes: list[tuple[int, int]]
    r: int
    dtype: torch.dtype


SETS = [Set("7B fp32 r16", LLAMA_7B, 16, torch.float32), Set("7B bf16 r16", LLAMA_7B, 16, torch.bfloat16)]
LARGE = [
    Set("70B fp32 r16", LLAMA_70B, 16, torch.float32),
    Set("70B bf16 r16", LLAMA_70B, 16, torch.bfloat16),
    Set("7B fp32 r64", LLAMA_7B, 64, torch.float32),
]


class MadeUp(Adapter):
    """An adapter that is nothing but its factors."""

    name, kind, module = "made up", "Linear", nn.Identity()
    scale, scale_formula, alpha, active, merged, variant = 2.0, "alpha/r", None, True, False, "lora"
    base_layer = base_weight = None

    def __init__(self, a: Tensor, b: Tensor):
        self.a, self.b = a, b

    @property
    def parameters(self) -> tuple[nn.Parameter, nn.Parameter]:
        return nn.Parameter(self.a), nn.Parameter(self.b)

    @property
    def r(self) -> int:
        return len(self.a)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.b), self.a.shape[1]

    def factors(self) -> Sequence[Factors]:
        return (Factors(self.a, self.b),)

    def base_matrices(self) -> Sequence[Tensor]:
        return ()


def make(chosen: Set) -> list[MadeUp]:
    g = torch.Generator().manual_seed(0)
    r = chosen.r
    adapters = []
    for d_out, d_in in chosen.shapes:
        a = (2 * torch.rand(r, d_in, generator=g) - 1) * d_in**-0.5 + 1e-3 * torch.randn(r, d_in, generator=g)
        turn, _ = torch.linalg.qr(torch.randn(r, r, generator=g))
        b = 1e-2 * torch.randn(d_out, r, generator=g) * torch.logspace(0, -2, r) @ turn
        adapters.append(MadeUp(a.to(chosen.dtype), b.to(chosen.dtype)))
    return adapters


def naive(adapters: Sequence[MadeUp]) -> list[float]:
    return [float(torch.linalg.norm(adapter.b @ adapter.a)) for adapter in adapters]


def exact(adapter: MadeUp) -> float:
    """‖B·A‖_F in float64, 256 rows of the product at a time."""
    a = adapter.a.double()
    return float(torch.stack([torch.linalg.vector_norm(rows.double() @ a) for rows in adapter.b.split(256)]).norm())


def bare_products(adapters: Sequence[MadeUp]) -> Callable[[], None]:
    """Computes a Gram for each factor, from one float64 array a shape."""
    arrays = {x.shape: x.double().numpy() for adapter in adapters for x in (adapter.a, adapter.b.T)}
    chosen = [arrays[x.shape] for adapter in adapters for x in (adapter.a, adapter.b.T)]
    out = np.empty((len(adapters[0].a),) * 2)

    def work() -> None:
        for x in chosen:
            np.dot(x, x.T, out=out)

    return work


SINGLE = 4096
"""Columns of which products are summed up in float32."""


def in_single(adapters: Sequence[MadeUp]) -> list[float]:
    """‖B·A‖_F by products in float32, added up in float64."""
    norms = []
    for adapter in adapters:
        grams = [np.zeros((len(adapter.a),) * 2) for _ in range(2)]
        for x, gram in zip((adapter.a, adapter.b.T), grams):
            for start in range(0, x.shape[1], SINGLE):
                y = x[:, start : start + SINGLE].float().numpy()
                gram += np.dot(y, y.T)
        norms.append(float(np.sqrt((grams[0] * grams[1]).sum())))
    return norms


class Alive(TorchDispatchMode):
    """Bytes of the tensors made inside it that are alive at once, at most."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        given = {x.untyped_storage().data_ptr() for x in _tensors((args, kwargs))}
        for tensor in _tensors(out):
            if tensor.untyped_storage().data_ptr() not in given:
                size = tensor.untyped_storage().nbytes()
                self.now += size
                self.peak = max(self.peak, self.now)
                weakref.finalize(tensor, self._gone, size)
        return out

    def _gone(self, size: int) -> None:
        self.now -= size


def _tensors(tree: Any) -> list[Tensor]:
    if isinstance(tree, Tensor):
        return [tree]
    items = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, (list, tuple)) else ()
    return [tensor for item in items for tensor in _tensors(item)]


def memory(work: Callable[[], Any]) -> int:
    with Alive():  # torch imports a lot when the first dispatch mode is entered
        work()
    tracemalloc.start()
    with Alive() as alive:
        work()
    arrays = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return alive.peak + arrays


def seconds(works: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    taken: dict[str, list[float]] = defaultdict(list)
    for done in range(rounds + 1):
        for name, work in works.items():
            began = time.process_time()
            work()
            if done:  # the first round warms up
                taken[name].append(time.process_time() - began)
    return {name: statistics.median(times) for name, times in taken.items()}


def naive_seconds(adapters: Sequence[MadeUp], full: bool) -> float:
    by_shape: dict[tuple[int, int], list[MadeUp]] = defaultdict(list)
    for adapter in adapters:
        by_shape[adapter.shape].append(adapter)
    total, pick = 0.0, random.Random(0)
    for same in by_shape.values():
        chosen = same if full else pick.sample(same, 2)
        naive(chosen[:1])
        began = time.process_time()
        naive(chosen)
        total += (time.process_time() - began) * len(same) / len(chosen)
    return total


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="also Llama-70B shapes and r 64: minutes, 2 GB of memory")
    parser.add_argument("--full", action="store_true", help="time naive on every adapter")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of the fast ways")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"{platform.processor() or platform.machine()}, torch {torch.__version__}, numpy {np.__version__}, one thread"
    )
    print(f"The bank converts {HOST_PIECE:,} numbers at a time; naive is {'whole' if options.full else 'sampled'}.")
    heads = [
        "",
        "adapters",
        "floor",
        "naive",
        "measure",
        "÷ floor",
        "naive ÷",
        "no spectrum",
        "float32",
        "error",
        "products",
        "÷ floor",
        "extra memory",
    ]
    heads += ["naive's", "error", "naive's"]
    rows = [heads]
    for chosen in SETS + (LARGE if options.large else []):
        adapters = make(chosen)
        bank = AdapterBank(adapters)
        factors = [factor for adapter in adapters for factor in (adapter.a, adapter.b)]
        works = {
            "floor": lambda factors=factors: torch._foreach_norm(factors),
            "measure": bank.measure,
            "norms": lambda bank=bank: bank.measure(spectrum=False),
            "single": lambda adapters=adapters: in_single(adapters),
            "products": bare_products(adapters),
        }
        took = seconds(works, options.rounds)
        slow = naive_seconds(adapters, options.full)
        one_each = {adapter.shape: i for i, adapter in enumerate(adapters)}.values()
        few = [adapters[i] for i in one_each]
        truth = [exact(adapter) for adapter in few]
        all_ours = bank.measure()["product_norm"]
        ours = all_ours[list(one_each)]
        single = float(np.max(np.abs(np.array(in_single(adapters)) / all_ours - 1)))
        biggest = max(few, key=lambda adapter: adapter.shape[0] * adapter.shape[1])
        rows.append(
            [
                chosen.name,
                str(len(adapters)),
                *(f"{x * 1e3:,.1f} ms" for x in (took["floor"], slow, took["measure"])),
                f"{took['measure'] / took['floor']:.1f}",
                f"{slow / took['measure']:,.0f}",
                *(f"{took[name] * 1e3:,.1f} ms" for name in ("norms", "single")),
                f"{single:.1e}",
                f"{took['products'] * 1e3:,.1f} ms",
                f"{took['products'] / took['floor']:.1f}",
                *(f"{x / 2**20:,.1f} MiB" for x in (memory(bank.measure), memory(lambda one=biggest: naive([one])))),
                *(f"{max(abs(x / y - 1) for x, y in zip(got, truth)):.0e}" for got in (ours, naive(few))),
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print("  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:]))]))


if __name__ == "__main__":
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":  # numpy's BLAS reads it when it is loaded: start once more
        os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        os.execv(sys.executable, [sys.executable, *sys.argv])
    main()
