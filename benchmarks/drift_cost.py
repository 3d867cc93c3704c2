"""Claim: drift_norm and step_norm cost a few measurements of the norms and one copy of the adapters in memory.

    python benchmarks/drift_cost.py [--rounds 5]

The adapters are those of measure_vs_naive.py, moved a little. Time is CPU time of one thread, the median of
interleaved rounds. Memory is the peak of the memory that the call allocated, its buffer counted.
"""

from __future__ import annotations

import argparse
import os
import sys

import torch

from lora_watch.measurement.norms import AdapterBank, Snapshot


def main() -> None:
    from measure_vs_naive import SETS, make, memory, seconds

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    print("adapters          floor    measure   distance     update   copy held  extra memory")
    for chosen in SETS:
        adapters = make(chosen)
        for i, adapter in enumerate(adapters):
            adapter.name = str(i)
        held, target, bank = Snapshot(adapters), Snapshot(adapters), AdapterBank(adapters)
        factors = [factor for adapter in adapters for factor in (adapter.a, adapter.b)]
        for factor in factors:
            factor += 1e-3 * torch.randn_like(factor)
        took = seconds(
            {
                "floor": lambda factors=factors: torch._foreach_norm(factors),
                "measure": bank.measure,
                "distance": lambda held=held, adapters=adapters: held.distance(adapters),
                "update": lambda target=target, adapters=adapters: target.update(adapters),
            },
            rounds,
        )
        times = "".join(f"{1e3 * seconds:8,.1f} ms" for seconds in took.values())
        copy = sum(factor.nbytes for factor in factors) / 2**20
        extra = memory(lambda held=held, adapters=adapters: held.distance(adapters)) / 2**20
        print(f"{chosen.name:12}{times}{copy:8,.0f} MiB{extra:10,.1f} MiB")


if __name__ == "__main__":
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":  # numpy's BLAS reads it when it is loaded: start once more
        os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        os.execv(sys.executable, [sys.executable, *sys.argv])
    main()
