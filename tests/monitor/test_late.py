"""The way of accelerators, where numbers arrive one step later, run on a CPU that is made to look like one.

What a CPU cannot show is the asynchrony itself. In its place every copy is filled with NaN until somebody waits for it,
so that reading too early, or a buffer that is used again too soon, shows in the numbers.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.corpus.faults import FAULTS
from lora_watch import LoraWatchCallback, LoraWatchError
from lora_watch.base.deferred import Deferred, HostCopy, has_float64
from tests.rules.runs import At
from tests.support import DEVICE, build_trainer, few, lora, report_of, stdlib_blocks, tiny_model, train

LATE = pytest.mark.skipif(not has_float64(DEVICE), reason="what is on a device without float64 is read at once")

WAITS: list[int] = []
"""Sizes of the copies that were waited for."""


@pytest.fixture
def slow(far: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """And its numbers are not there before they are waited for."""
    real = HostCopy._copy

    def copy(self: HostCopy, device: torch.device, tensors: Any) -> Callable[[], Tensor]:
        target = real(self, device, tensors)()
        numbers = target.clone()
        target.fill_(torch.nan)

        def wait() -> Tensor:
            WAITS.append(numbers.numel())
            return target.copy_(numbers)

        return wait

    WAITS.clear()
    monkeypatch.setattr(HostCopy, "_copy", copy)


# -- the copy to the host ---------------------------------------------------------------------------------------------
def total(*values: float) -> Deferred[float]:
    tensors = [torch.tensor(value, device=DEVICE) for value in values]
    return Deferred(tensors, lambda arrays: float(sum(a[0] for a in arrays)))


@LATE
@pytest.mark.usefixtures("slow")
def test_two_sendings_do_not_disturb_each_other_whatever_their_sizes() -> None:
    host_copy = HostCopy()
    before = host_copy.send({"a": total(0)})
    for size in (1, 2, 9, 3, 3, 30, 1):
        now = host_copy.send({"a": total(*range(size)), "b": total(size)})
        assert now.late
        assert np.isfinite(before.read()["a"])
        before = now
    assert before.read() == {"a": 0.0, "b": 1.0}


# -- the Trainer -------------------------------------------------------------------------------------------------------
def test_a_trainers_run_leaves_the_same_report(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    def report(folder: str) -> tuple[dict[str, Any], list[Tensor]]:
        torch.manual_seed(0)
        callback = LoraWatchCallback(report_dir=tmp_path / folder, tensorboard=False, full_every=1)
        trainer = train(few(), steps=4, callbacks=[callback], gradient_accumulation_steps=2)
        weights = [p.detach().clone() for p in trainer.model.parameters() if p.requires_grad]
        return json.loads((tmp_path / folder / "report.json").read_text()), weights

    at_once, weights = report("at-once")
    request.getfixturevalue("slow")
    late, same_weights = report("late")
    assert WAITS or not has_float64(DEVICE), "numbers must have been late, or the test says nothing"
    assert all(torch.equal(one, other) for one, other in zip(weights, same_weights, strict=True))
    assert (late["verdict"], late["step"]) == (at_once["verdict"], at_once["step"]) == ("ok", 4)
    assert len(at_once["adapters"]) == 8
    for one, other in zip(at_once["adapters"], late["adapters"], strict=True):
        assert one.pop("last") == pytest.approx(other.pop("last"), rel=1e-5)
        assert one == other


@pytest.mark.usefixtures("slow")
def test_nothing_non_finite_is_applied(tmp_path: Path) -> None:
    """The check before the update waits, where there is a policy."""
    model = few()
    seen = 0

    def poison(grad: Tensor) -> Tensor:
        nonlocal seen
        seen += 1
        return grad * (torch.nan if seen == 3 else 1.0)

    next(p for n, p in model.named_parameters() if "lora_B" in n).register_hook(poison)
    callback = LoraWatchCallback(fail_on="error", console=False, report_dir=tmp_path, tensorboard=False)
    trainer = build_trainer(model, steps=6, callbacks=[callback], max_grad_norm=0.0)
    with pytest.raises(LoraWatchError, match="LW101"):
        trainer.train()
    assert trainer.state.global_step == 2
    assert all(p.isfinite().all() for p in model.parameters())
    assert (tmp_path / "last_good" / "adapter_model.safetensors").exists()


@pytest.mark.usefixtures("slow")
def test_an_adapter_that_a_last_step_has_spoiled_fails_the_run(tmp_path: Path) -> None:
    def spoil(model: Any) -> None:
        next(p for n, p in model.named_parameters() if "lora_B" in n)[0, 0] = torch.nan

    callback = LoraWatchCallback(fail_on="error", console=False, report_dir=tmp_path, tensorboard=False)
    trainer = build_trainer(few(), steps=3, callbacks=[At(3, spoil), callback])
    with pytest.raises(LoraWatchError, match="LW101"):
        trainer.train()
    assert json.loads((tmp_path / "report.json").read_text())["alerts"][0]["step"] == 3
    kept = load_file(tmp_path / "last_good" / "adapter_model.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in kept.values()), "what is spoiled is not kept as good"


@pytest.mark.parametrize(("fault", "rule"), [(None, "LW102"), ("nan-loss", "LW201"), ("nan-in-one-layer", "LW101")])
def test_a_run_recovers_although_it_is_judged_a_step_late(slow: None, fault: str | None, rule: str) -> None:
    callback = LoraWatchCallback(recover=3, console=False, tensorboard=False)
    strong: dict[str, Any] = {"alpha": 16} if fault else {"alpha": 128}
    model = lora(tiny_model(), **strong)
    trainer = build_trainer(model, stdlib_blocks(64, 32), 24, callbacks=[callback], lr=2e-3 if fault else 1e-2)
    if fault is not None:
        FAULTS[fault].inject(trainer, 18)
    trainer.train()
    assert [a.rule for a in callback.monitor.alerts if a.step > 0] == [rule, "LW910"]
    assert all(torch.isfinite(p).all() for p in model.parameters())
    report = report_of(trainer)
    assert report["verdict"] == "ok"
