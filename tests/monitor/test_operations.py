"""What the monitor asks of a device: how many operations, and no number but through the copy to the host."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import gpu
from lora_watch import Monitor
from lora_watch.base.deferred import HostCopy, PendingCopy
from lora_watch.base.records import Due
from lora_watch.measurement.norms import AdapterBank
from lora_watch.monitor.cadence import Cadence
from tests.monitor.test_monitor import loop
from tests.norms.factors import Bare, pair
from tests.support import DEVICE, lora, on_device, stdlib_blocks, tiny_model

HOSTS_OWN = ("detach", "empty", "_unsafe_view", "linalg_cholesky_ex")
"""What is no work of a device: asking for memory, views, and the spectrum, which is made on the host."""


class Operations(TorchDispatchMode):
    """Counts operations that do work on a device."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not func.is_view and func.overloadpacket.__name__ not in HOSTS_OWN:
            self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("count", [4, 60])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_norms_take_two_operations_and_one_a_shape(count: int, dtype: torch.dtype, far: None) -> None:
    shapes = [(40, 30, 4), (64, 30, 4), (40, 50, 8)]
    bank = AdapterBank([Bare(on_device(pair(*shapes[i % 3], seed=i, dtype=dtype))) for i in range(count)])
    host_copy = HostCopy()
    for _ in range(2):
        host_copy.send({"norms": bank.begin(Due(1))})
    with Operations() as seen:
        pending = host_copy.send({"norms": bank.begin(Due(1))})
    groups = 5  # A: (4, 30), (8, 50); B: (40, 4), (64, 4), (40, 8)
    assert len(seen.names) == 2 + groups
    assert seen.names.count("copy_") == 1
    assert pending.late


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


def operations_of_a_step(adapters: int, full: bool, monkeypatch: pytest.MonkeyPatch, read: list[str]) -> list[str]:
    """Of the hooks in the forward pass, ``before_update`` and ``after_update``, which ``read`` nothing."""
    torch.manual_seed(0)
    targets = [name for name, _ in tiny_model().named_modules() if name.endswith(("q_proj", "o_proj"))][:adapters]
    model = lora(tiny_model(), targets=targets).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    ids = torch.tensor([example["input_ids"] for example in stdlib_blocks(2, 64)], device=DEVICE)
    monkeypatch.setattr(Cadence, "_affordable", lambda self: (True, full))
    with Monitor(model, optimizer, fail_on="never") as monitor:
        loop(monitor, model, optimizer, 21)
        with torch.no_grad(), Operations() as theirs:  # hooks look at nothing where no gradients are kept
            model(input_ids=ids, labels=ids)
        read.clear()
        with Operations() as seen:
            loss = model(input_ids=ids, labels=ids).loss
        ours = Counter(seen.names) - Counter(theirs.names)
        loss.backward()
        with Operations() as seen:
            monitor.before_update(loss)
            monitor.after_update(loss)
        assert read == []
    assert monitor.last is not None
    assert monitor.last.step == 22
    assert ("output_ratio" in monitor.last.metrics) == full
    assert not monitor.alerts
    return [*ours.elements(), *seen.names]


def test_a_plain_step_takes_a_fixed_number_of_operations_and_reads_nothing(
    monkeypatch: pytest.MonkeyPatch, read: list[str]
) -> None:
    few, many = (operations_of_a_step(adapters, False, monkeypatch, read) for adapters in (2, 8))
    assert few == many
    groups = 2  # one shape of A, one of B
    # The norms; the norms of the gradients and where they are put; with the loss side by side, in float64; the copy;
    # the targets that count.
    gradients, targets = ("_foreach_norm", "stack", "cat", "copy_"), ("ne", "sum")
    assert sorted(many) == sorted(["_foreach_copy_", *["bmm"] * groups, *gradients, *targets])


def test_a_full_step_takes_two_operations_a_layer_more_and_reads_nothing(
    monkeypatch: pytest.MonkeyPatch, read: list[str]
) -> None:
    few, many = (Counter(operations_of_a_step(adapters, True, monkeypatch, read)) for adapters in (2, 8))
    assert many - few == {"clone": 2 * (8 - 2)}, "the rows of a layer's input and of its output"
    plain, kinds_of_layers, base_weights = 9, 1, 5
    assert many.total() <= plain + 2 * 8 + 17 * kinds_of_layers + base_weights


@pytest.mark.thorough
@pytest.mark.skipif(DEVICE.type != "cpu", reason="the script itself has started this")
def test_the_script_for_accelerators_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """All that it does but on a device, as ``tests/device`` has it do where there is a compiler for one."""
    gpu.main(["--device", "cpu", "--models", "toy", "--steps", "1", "--no-tests"])
    output = capsys.readouterr().out
    assert "dry run" in output
    assert re.search("weights .*bit for .*; norms .*float64", output)
    assert re.search(r"torch\.compile \(eager\): .*losses .*\b1 graph", output)


@pytest.mark.skipif(DEVICE.type != "cpu", reason="there may be one")
def test_the_script_for_accelerators_measures_nothing_without_one() -> None:
    assert "Never run" in str(gpu.__doc__)
    with pytest.raises(SystemExit, match="cuda device"):
        gpu.main(["--device", "cuda"])
