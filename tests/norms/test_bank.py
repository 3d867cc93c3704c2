"""The bank's own cases against explicit products in float64; ``test_every_metric`` draws whatever else there may be."""

import tracemalloc
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from lora_watch.measurement.norms import AdapterBank
from tests.norms.factors import Bare, pair


def test_unreadable_adapter_is_unknown() -> None:
    measured = AdapterBank([Bare(scale=3.0), Bare(pair(30, 20, 4))])
    metrics = measured.measure()
    assert measured.known.tolist() == [False, True]
    assert metrics["scale"][0] == 3.0
    assert all(np.isnan(values[0]) for name, values in metrics.items() if name != "scale")
    assert all(np.isfinite(values[1]) for values in metrics.values())


class Watch(TorchDispatchMode):
    """The largest tensor that any operation returned."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(tensor, Tensor):
                self.largest = max(self.largest, tensor.numel())
        return out


def test_nothing_as_large_as_a_product_is_ever_made() -> None:
    adapters = [Bare(pair(1024, 1024, 8, seed)) for seed in range(4)]
    measured = AdapterBank(adapters)
    with Watch():  # torch imports a lot when the first dispatch mode is entered
        measured.measure()
    tracemalloc.start()
    with Watch() as seen:
        measured.measure()
    peak = tracemalloc.get_traced_memory()[1]  # numpy's arrays
    tracemalloc.stop()
    assert 0 < seen.largest <= 4 * 2 * 1024 * 8
    assert peak < 1024 * 1024
