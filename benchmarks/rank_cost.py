"""Claim: on several ranks a step of monitoring is three to five collectives, and moves little of what training moves.

    python benchmarks/rank_cost.py [--rounds 20]

The script first measures with two gloo processes on this machine: the time of one collective and of one byte. It reads
the 56 factors of the packaged model one by one, and all together. Then it computes the collectives of a step, and the
bytes that each rank receives. The adapters are of rank 16 in bf16, on every projection of Llama-3.1's shapes.
"training" is the bytes that FSDP2 moves in any case: every weight for the forward and for the backward pass. Nobody ran
more than two ranks, or NCCL.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

R, BYTES = 16, 2
SMALL = 2 * 8 + 2 * 2 * 4
"""Bytes received in a ring for one float64 and two flags of 4 bytes."""


class Shape(NamedTuple):
    name: str
    parameters: float
    layers: int
    hidden: int
    heads_kv: int
    """Width of the keys and of the values."""
    wide: int

    def factors(self) -> Iterator[torch.Size]:
        """A and B of every projection of all layers."""
        d, kv, f = self.hidden, self.heads_kv, self.wide
        for d_in, d_out in ((d, d), (d, kv), (d, kv), (d, d), (d, f), (d, f), (f, d)):
            yield from [torch.Size((R, d_in)), torch.Size((d_out, R))] * self.layers


SHAPES = (
    Shape("8B", 8.03e9, 32, 4096, 1024, 14336),
    Shape("70B", 70.6e9, 80, 8192, 1024, 28672),
    Shape("405B", 406e9, 126, 16384, 1024, 53248),
)


def received(shapes: list[torch.Size], ranks: int) -> float:
    """The bytes that a rank receives in a ring when FSDP2's factors are brought together by one all-reduce."""
    return 2 * BYTES * sum(s.numel() for s in shapes) * (ranks - 1) / ranks


def table(latency: float, per_byte: float) -> None:
    print("\nFSDP2 with fail_on, a step, each rank: factors, gradients' squares, the loss, twice whether to stop")
    print("shape  ranks  collectives (one by one)  MB received  of training's  seconds of gloo's as here")
    for shape in SHAPES:
        shapes = list(shape.factors())
        for ranks in (2, 8, 64, 512):
            factors = received(shapes, ranks)
            small = 2 * 8 * len(shapes) + SMALL
            training = 2 * shape.parameters * BYTES * (ranks - 1) / ranks
            print(
                f"{shape.name:5}{ranks:7}{5:13} ({2 * len(shapes) + 3:5}){(factors + small) / 1e6:13,.0f}"
                f"{100 * (factors + small) / training:13.2f} %{5 * latency + (factors + small) * per_byte:15.2f}"
            )
    print("\nother ways, collectives a step and bytes received by each rank; the model's size has no part in it")
    for way, collectives, what in (
        ("DDP, ZeRO-1, ZeRO-2, FSDP1", "3", f"{SMALL}: the loss, twice whether to stop"),
        ("ZeRO-3, at the first 20 steps and every 16th", "one a factor + 3", "all factors once, whatever the ranks"),
        ("ZeRO-3, other steps", "3", str(SMALL)),
    ):
        print(f"{way:46}{collectives:18}{what}")


def measure(rank: int, port: int, rounds: int, answers: mp.SimpleQueue) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "WORLD_SIZE": "2"}
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor

    from lora_watch.adapters.sharding import gathered_together
    from lora_watch.adapters.tensors import gathered

    def seconds(action: Callable[[], object]) -> float:
        took = []
        for _ in range(rounds):
            dist.barrier()
            began = time.perf_counter()
            action()
            took.append(time.perf_counter() - began)
        return statistics.median(took)

    mesh = init_device_mesh("cpu", (2,))
    torch.manual_seed(0)
    sizes = [(8, 128), (128, 8)] * 28
    factors = [torch.nn.Parameter(distribute_tensor(torch.randn(size), mesh, [Shard(0)])) for size in sizes]

    def together() -> list[torch.Tensor]:
        with gathered_together(factors):
            return [gathered(factor) for factor in factors]

    def one_by_one() -> list[torch.Tensor]:
        return [gathered(factor) for factor in factors]

    same = all(map(torch.equal, together(), one_by_one()))
    small, large = torch.zeros(1), torch.zeros(16 << 20)
    answers.put(
        {
            "same": same,
            "together": seconds(together),
            "one by one": seconds(one_by_one),
            "latency": seconds(lambda: dist.all_reduce(small)),
            "large": seconds(lambda: dist.all_reduce(large)),
            "bytes": float(large.nbytes),
        }
    )
    dist.barrier()  # neither leaves while the other is at work
    dist.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    answers = mp.get_context("spawn").SimpleQueue()
    port = 20000 + os.getpid() % 20000
    mp.spawn(measure, (port, rounds, answers), nprocs=2)  # pyright: ignore[reportPrivateImportUsage]
    found = answers.get()
    latency, per_byte = found["latency"], (found["large"] - found["latency"]) / found["bytes"]
    print(f"two gloo processes: a collective {1e3 * latency:.2f} ms, a byte {1e9 * per_byte:.2f} ns")
    print(
        f"56 factors one by one {1e3 * found['one by one']:.1f} ms, together {1e3 * found['together']:.1f} ms", end=""
    )
    print(", the same bits" if found["same"] else ", OTHER BITS")
    table(latency, per_byte)


if __name__ == "__main__":
    main()
