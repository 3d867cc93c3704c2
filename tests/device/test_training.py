"""A plain loop on the device: the CPU's numbers, the bits of unwatched training, and nobody waits for the monitor."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from lora_watch import Monitor
from tests.device import strict
from tests.device.loops import CPU, Outcome, adalora, assert_same_bits, assert_same_numbers, convolutions, llama, train
from tests.monitor.test_monitor import loop
from tests.support import DEVICE

Make = Callable[[], Any]
WIDE = torch.float64  # in which training itself is the same on both, so that the numbers can be compared


def checkpointed() -> Any:
    model = llama(WIDE)
    model.enable_input_require_grads()
    model.base_model.model.gradient_checkpointing_enable({"use_reentrant": False})
    return model


ADAPTERS: dict[str, Make] = {
    "lora": partial(llama, WIDE),
    "rslora": partial(llama, WIDE, use_rslora=True),
    "dora": partial(llama, WIDE, use_dora=True, targets=["q_proj", "down_proj"]),
    "embedding": partial(llama, WIDE, targets=["embed_tokens", "q_proj"]),
    "adalora": adalora,
    "convolutions": convolutions,
    "checkpointing": checkpointed,
}


def waited_for(outcome: Outcome) -> list[list[str]]:
    return [[wait.what for wait in waits] for waits in outcome.waits]


@pytest.mark.parametrize("make", ADAPTERS.values(), ids=ADAPTERS)
def test_the_same_numbers_and_alerts_as_on_the_cpu_and_the_same_bits_as_without(make: Make) -> None:
    ours, theirs, unmonitored = train(make, DEVICE), train(make, CPU), train(make, DEVICE, watch=False)
    assert_same_numbers(ours, theirs)
    assert ours.found == theirs.found
    assert_same_bits(ours, unmonitored)
    first, *later = [{*waits} for waits in waited_for(ours)]
    anew = {"copy to the host"} if make is convolutions else set()  # of blocks whose Grams cannot tell their norms
    assert first == set()
    assert all({"event"} <= waits <= {"event"} | anew for waits in later), "the copy of the step before, and no more"


@pytest.mark.parametrize(
    ("make", "options"),
    [
        pytest.param(partial(llama, torch.bfloat16), {}, id="bfloat16"),
        pytest.param(partial(llama, lora_dropout=0.3), {}, id="dropout"),
        pytest.param(llama, {"half": torch.bfloat16}, id="autocast"),
        pytest.param(llama, {"half": torch.float16, "scaled": True}, id="scaler"),
        pytest.param(llama, {"every": 2, "drift": True}, id="drift"),
    ],
)
def test_the_same_bits_as_without(make: Make, options: dict[str, Any]) -> None:
    ours = train(make, DEVICE, **options)
    plain = {name: value for name, value in options.items() if name in ("half", "scaled")}
    assert_same_bits(ours, train(make, DEVICE, watch=False, **plain))
    assert [record.step for record in ours.records] == [0, 1, 2, 3]
    assert [rule for rule, step in ours.found if step > 0] == []
    if options.get("scaled"):
        assert [record.updated for record in ours.records[1:]] == [False, False, False], "the scale overflows"


@pytest.mark.parametrize("policy", [{"fail_on": "error"}, {"recover": 3}])
def test_with_a_policy_a_step_waits_twice(policy: dict[str, Any]) -> None:
    """For its loss and gradients before the update, and for the step before."""
    ours = train(partial(llama, WIDE), DEVICE, **policy)
    assert waited_for(ours) == [["event"], ["event", "event"], ["event", "event"]]
    assert_same_bits(ours, train(partial(llama, WIDE), DEVICE, watch=False))


def test_a_bad_run_ends_two_steps_later_than_on_the_cpu() -> None:
    """A step is judged after the next one. LW102 then asks for a comparison, which is of the step after that."""
    strong = partial(llama, alpha=128)
    ours, theirs = (train(strong, device, 20, lr=5e-2, fail_on="error") for device in (DEVICE, CPU))
    assert ours.ended == theirs.ended == "LW102"
    assert ours.found == [(rule, step + (rule == "LW102")) for rule, step in theirs.found]
    assert len(ours.waits) == len(theirs.waits) + 2


def test_a_checkpoint_waits_for_the_latest_step(tmp_path: Path) -> None:
    model = llama().to(DEVICE).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    with Monitor(model, optimizer, console=False, output_dir=tmp_path) as monitor:
        loop(monitor, model, optimizer, 2)
        with strict.waits() as at_checkpoint:
            monitor.state_dict()
        with strict.waits() as again:
            monitor.state_dict()
        loop(monitor, model, optimizer, 1)
        with strict.waits() as at_end:
            monitor.conclude()
    assert [wait.what for wait in at_checkpoint] == ["event"]
    assert again == []
    assert [wait.what for wait in at_end] == ["event"]
