"""The monitor reads no number of a device but through the copy to the host."""

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks import gpu
from lora_watch import Monitor
from lora_watch.base.deferred import HostCopy, PendingCopy
from tests.monitor.test_monitor import loop
from tests.support import DEVICE, few, stdlib_blocks

READING = ("numpy", "cpu", "tolist", "item", "__bool__", "__float__", "__int__", "__index__", "__array__")
"""Methods of a tensor that wait for its device."""


@pytest.fixture
def read(far: None, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the monitor reads of tensors but through the copy to the host, and so would wait for: to stay empty in a
    step."""
    found: list[str] = []
    doors = 0
    send = HostCopy.send

    def allowed(step: int) -> None:
        nonlocal doors
        doors += step

    def through_the_copy(self: HostCopy, wanted: Any) -> PendingCopy:
        pending = send(self, wanted)

        def reading() -> dict[str, Any]:
            allowed(1)
            try:
                return pending.read()
            finally:
                allowed(-1)

        return PendingCopy(pending.late, reading)

    def monitored(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def method(self: Tensor, *args: Any, **kwargs: Any) -> Any:
            ours = sys._getframe(1).f_globals["__name__"].startswith("lora_watch")
            if ours and not doors and (name != "to" or "cpu" in map(str, (*args, *kwargs.values()))):
                found.append(name)
            return real(self, *args, **kwargs)

        return method

    for name in (*READING, "to"):
        monkeypatch.setattr(Tensor, name, monitored(name, getattr(Tensor, name)))
    monkeypatch.setattr(HostCopy, "send", through_the_copy)
    return found


@pytest.mark.parametrize("full", [False, True], ids=["norms", "full"])
def test_a_step_reads_nothing(full: bool, read: list[str]) -> None:
    """In the forward pass, before the update and after it."""
    model = few().train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    ids = torch.tensor([example["input_ids"] for example in stdlib_blocks(2, 64)], device=DEVICE)
    with Monitor(model, optimizer, fail_on="never", full_every=1 if full else 16) as monitor:
        loop(monitor, model, optimizer, 21)
        read.clear()
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        monitor.engine.before_update(loss)
        monitor.engine.after_update(loss)
        assert read == []
    assert ("output_ratio" in monitor.last.metrics) == full


@pytest.mark.skipif(DEVICE.type != "cpu", reason="there may be one")
def test_the_script_for_accelerators_measures_nothing_without_one() -> None:
    assert "Never run" in str(gpu.__doc__)
    with pytest.raises(SystemExit, match="cuda device"):
        gpu.main(["--device", "cuda"])
