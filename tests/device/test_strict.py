"""On the device: the CPU's numbers, the bits of training without the monitor, and nobody waits for the monitor."""

import contextlib
import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
from torch import Tensor

from benchmarks import gpu
from lora_watch import LoraWatchCallback, Monitor, StepRecord, measure
from tests.device import strict
from tests.support import DEVICE, Keeps, build_trainer, lora, stdlib_blocks, tiny_model

CPU, WIDE = torch.device("cpu"), torch.float64
"""In ``WIDE`` training itself is the same on both, so that the numbers can be compared."""


def llama(dtype: torch.dtype = torch.float32, **config: Any) -> Any:
    return lora(tiny_model().cpu(), **config).to(dtype)


def adalora() -> Any:
    config = peft.AdaLoraConfig(init_r=4, target_r=2, total_step=100, target_modules=["q_proj", "down_proj"])
    return peft.get_peft_model(tiny_model().cpu(), config).double()


@dataclass
class Outcome:
    weights: list[Tensor]
    records: list[StepRecord] = field(default_factory=list)
    found: list[tuple[str, int]] = field(default_factory=list)
    waited_for: list[list[str]] = field(default_factory=list)
    """By us in each step: from its forward pass to the end of ``Monitor.step``."""


def train(make: Callable[[], Any], device: torch.device, watch: bool = True, **settings: Any) -> Outcome:
    """Three steps of AdamW, monitored or not."""
    torch.manual_seed(0)
    model = make().to(device).train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer, sink, monitor = torch.optim.AdamW(trained, lr=1e-3), Keeps(), None
    if watch:
        monitor = Monitor(model, optimizer, console=False, full_every=1, sinks=[sink], **settings)
    outcome = Outcome(trained, sink.records)
    batches = torch.tensor([each["input_ids"] for each in stdlib_blocks(6, 32)]).split(2)
    with monitor or contextlib.nullcontext():
        for ids in batches:
            ids = ids.to(device)
            with strict.waits() as waits:
                loss = model(input_ids=ids, labels=ids).loss
                loss.backward()
                optimizer.step()
                if monitor is not None:
                    monitor.step(loss=loss)
            optimizer.zero_grad()
            outcome.waited_for.append([wait.what for wait in waits if wait.ours])
    outcome.found = [(alert.rule, alert.step) for alert in monitor.alerts] if monitor is not None else []
    outcome.weights = [p.detach().cpu() for p in trained]
    return outcome


def same_bits(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


# -- the device itself -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("pinned", [True, False])
def test_a_copy_that_need_not_block_arrives_when_it_is_waited_for(pinned: bool) -> None:
    source, target = torch.tensor([1.0, 2.0], device=DEVICE), torch.zeros(2, pin_memory=pinned)
    event = torch.strict.Event()  # type: ignore[attr-defined]
    target.copy_(source, non_blocking=True)
    event.record()
    source.zero_()
    assert target.isnan().all()
    event.synchronize()
    assert target.tolist() == [1.0, 2.0], "as it was when the copy was asked for"


def test_whoever_waits_is_noted_and_a_tensor_of_the_cpus_is_refused() -> None:
    x = torch.ones(2, device=DEVICE)
    with strict.waits() as noted:
        torch.stack((x, x)).sum(0).clone()
        assert noted == []
        x[0].item()
        x.cpu()
        x.nonzero()
    assert [each.what for each in noted] == ["item", "copy to the host", "aten::nonzero"]
    assert any(__file__ in frame for frame in noted[0].stack)
    with pytest.raises(RuntimeError, match="same device"):
        x + torch.ones(2)


# -- a plain loop ------------------------------------------------------------------------------------------------------
MODELS: dict[str, Callable[[], Any]] = {
    "lora": partial(llama, WIDE),
    "dora": partial(llama, WIDE, use_dora=True, targets=["q_proj", "down_proj"]),
    "embedding": partial(llama, WIDE, targets=["embed_tokens", "q_proj"]),
    "adalora": adalora,
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_the_same_numbers_and_alerts_as_on_the_cpu_and_the_same_bits_as_without(make: Callable[[], Any]) -> None:
    ours, theirs = train(make, DEVICE), train(make, CPU)
    assert [record.step for record in ours.records] == [record.step for record in theirs.records]
    for here, there in zip(ours.records, theirs.records):
        assert here.loss == (there.loss and pytest.approx(there.loss, rel=1e-6))
        assert here.metrics.keys() == there.metrics.keys()
        for name, reading in here.metrics.items():
            values = there.metrics[name].values
            tiny = 1e-12 * np.nanmax(np.abs(values), initial=0.0)
            np.testing.assert_allclose(reading.values, values, rtol=1e-6, atol=tiny, err_msg=f"{name}, {here.step}")
    assert ours.found == theirs.found
    assert same_bits(ours.weights, train(make, DEVICE, watch=False).weights)
    assert ours.waited_for == [[], ["event"], ["event"]], "the copy of the step before, and no more"


def test_bfloat16_and_dropout_train_as_without() -> None:
    make = partial(llama, torch.bfloat16, lora_dropout=0.3)
    assert same_bits(train(make, DEVICE).weights, train(make, DEVICE, watch=False).weights)


@pytest.mark.parametrize("policy", [{"fail_on": "error"}, {"recover": 3}])
def test_with_a_policy_a_step_waits_twice(policy: dict[str, Any]) -> None:
    """For its loss and gradients before the update, and for the step before."""
    ours = train(partial(llama, WIDE), DEVICE, **policy)
    assert ours.waited_for == [["event"], ["event", "event"], ["event", "event"]]


# -- placement ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("apart", ["lora_A", "base_layer"])
def test_adapters_on_the_cpu_and_a_base_that_is_not_loaded_yet(apart: str) -> None:
    model = llama(targets=["q_proj"])
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.02)
    there = copy.deepcopy(model).to(DEVICE)
    for name, module in there.named_modules():
        if name.endswith(apart):
            module.to(CPU if apart == "lora_A" else "meta")
    ours, theirs = measure(there), measure(model)
    np.testing.assert_allclose(ours.delta_norm, theirs.delta_norm, rtol=1e-6)
    assert np.isnan(ours.relative_norm).all() == (apart == "base_layer")


# -- the Trainer, and the script for accelerators ----------------------------------------------------------------------
def test_a_trainers_run_and_a_resumed_one_are_bit_for_bit_the_run_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # PEFT reads a checkpoint onto the device, and safetensors knows no device of this name.
    monkeypatch.setattr("peft.peft_model.infer_device", lambda: "cpu")

    def trained(name: str, *callbacks: Any, resume: str | None = None, **arguments: Any) -> list[Tensor]:
        torch.manual_seed(0)
        model = lora(tiny_model(), targets=["q_proj", "down_proj"])
        settings = {"per_device_train_batch_size": 2, "output_dir": str(tmp_path / name), **arguments}
        trainer = build_trainer(model, steps=4, callbacks=callbacks, **settings)
        assert trainer.args.device.type == DEVICE.type
        trainer.train(resume_from_checkpoint=resume)
        return [p.detach().cpu() for p in model.parameters() if p.requires_grad]

    plain, saving = trained("plain"), {"save_strategy": "steps", "save_steps": 2}
    with strict.waits() as waits:
        ours = trained("watched", LoraWatchCallback(console=False, fail_on="never"), **saving)
    assert same_bits(plain, ours)
    waited = Counter(wait.what for wait in waits if any("deferred.py" in frame for frame in wait.stack))
    assert waited == {"event": 6}, "one for the start, one a step and one for the end, checkpoints or not"
    checkpoint = str(tmp_path / "watched" / "checkpoint-2")
    assert same_bits(plain, trained("watched", LoraWatchCallback(console=False), resume=checkpoint, **saving))


def test_the_script_for_accelerators_runs(capsys: pytest.CaptureFixture[str]) -> None:
    gpu.main(["--device", "strict", "--models", "toy", "--steps", "1", "--no-tests"])
    output = capsys.readouterr().out
    assert "dry run" in output
    assert "bit for bit" in output
