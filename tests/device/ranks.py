"""DDP over two ranks whose models are on the strict device: what ``test_runs.py`` starts.

    LORA_WATCH_TEST_DEVICE=strict torchrun --nproc_per_node 2 -m tests.device.ranks FOLDER

No library has collectives for the device. ``Staged`` copies to the host, has gloo do it there, and copies back.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import _create_work_from_future

from tests.device import strict

strict.load()

from lora_watch import LoraWatchError, Monitor  # noqa: E402
from tests.device.loops import llama  # noqa: E402
from tests.support import DEVICE, stdlib_blocks  # noqa: E402

STEPS = 4


class Staged(dist.ProcessGroup):
    """Gloo for tensors of any device."""

    def __init__(self, store: Any, rank: int, size: int, timeout: Any):
        super().__init__(rank, size)
        self._gloo = dist.ProcessGroupGloo(store, rank, size, timeout=timeout)

    def getBackendName(self) -> str:
        return "staged"

    def allreduce(self, tensors: Sequence[torch.Tensor], opts: Any = None) -> Any:  # type: ignore[override]
        options = dist.AllreduceOptions()
        options.reduceOp = dist.ReduceOp.SUM if opts is None else opts.reduceOp
        return self._staged(tensors, lambda there: self._gloo.allreduce(there, options))

    def broadcast(self, tensors: Sequence[torch.Tensor], opts: Any = None) -> Any:  # type: ignore[override]
        return self._staged(tensors, lambda there: self._gloo.broadcast(there, opts))

    def allgather(self, outputs: Any, inputs: Any, opts: Any = None) -> Any:  # type: ignore[override]
        there = [[torch.empty_like(tensor, device="cpu") for tensor in row] for row in outputs]
        self._gloo.allgather(there, [tensor.cpu() for tensor in inputs]).wait()
        for row, come in zip(outputs, there):
            for tensor, value in zip(row, come):
                tensor.copy_(value)
        return _done([tensor for row in outputs for tensor in row])

    def all_gather_single(self, output: torch.Tensor, input: torch.Tensor, opts: Any = None) -> Any:
        """What torch 2.15 gathers objects by."""
        return self.allgather([list(output.chunk(self.size()))], [input])

    def barrier(self, opts: Any = None) -> Any:  # type: ignore[override]
        return self._gloo.barrier()

    def _staged(self, tensors: Sequence[torch.Tensor], collective: Any) -> Any:
        there = [tensor.detach().cpu() for tensor in tensors]
        collective(there).wait()
        with torch.no_grad():
            for tensor, value in zip(tensors, there):
                tensor.copy_(value)
        return _done(list(tensors))


def _done(tensors: list[torch.Tensor]) -> Any:
    devices = sorted({tensor.device for tensor in tensors if tensor.device.type != "cpu"}, key=str)
    future: torch.futures.Future[Any] = torch.futures.Future(devices=devices)
    future.set_result(tensors)
    return _create_work_from_future(future)


def train(watch: bool, nan_at: int | None = None) -> dict[str, Any]:
    """The second rank alone hears of a loss that is not finite, after step ``nan_at``."""
    torch.manual_seed(0)
    model = torch.nn.parallel.DistributedDataParallel(llama(torch.float64, targets=["q_proj"]).to(DEVICE).train())
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    monitor = Monitor(model, optimizer, fail_on="error", console=False, max_overhead=1.0) if watch else None
    batches = torch.tensor([each["input_ids"] for each in stdlib_blocks(4 * STEPS, 32)]).split(2)
    ended = None
    try:
        with monitor or contextlib.nullcontext():
            for step, ids in enumerate(batches[dist.get_rank() :: 2], start=1):
                ids = ids.to(DEVICE)
                loss = model(input_ids=ids, labels=ids).loss
                loss.backward()
                optimizer.step()
                if monitor is not None:
                    spoiled = step == nan_at and dist.get_rank() == 1
                    monitor.step(loss=loss * float("nan") if spoiled else loss)
                optimizer.zero_grad()
    except LoraWatchError as error:
        ended = error.alerts[0].rule
    last = monitor.last if monitor is not None else None
    return {
        "ended": ended,
        "steps": monitor.steps if monitor is not None else len(batches) // 2,
        "weights": [p.detach().cpu().sum().item() for p in model.parameters() if p.requires_grad],
        "norms": last.metrics["delta_norm"].values.tolist() if last is not None else [],
        "rules": [alert.rule for alert in monitor.alerts] if monitor is not None else [],
    }


def main(folder: Path) -> None:
    dist.Backend.register_backend("staged", Staged, devices=["cpu", DEVICE.type])
    dist.init_process_group("staged")
    results = {"plain": train(False), "watched": train(True), "spoiled": train(True, nan_at=2)}
    (folder / f"rank{dist.get_rank()}.json").write_text(json.dumps(results))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
