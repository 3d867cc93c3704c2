"""The cause comes before its consequences: which rule speaks, which layer it names, and what is shown first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.corpus.faults import FAULTS
from lora_watch import LoraWatchCallback, LoraWatchError
from lora_watch.alerts import Alert, Severity, in_order
from tests.rules.runs import ids, run, the
from tests.support import build_trainer, lora, stdlib_blocks, tiny_model

LAYER = "model.layers.1.self_attn.v_proj"


def without_targets() -> list[dict[str, list[int]]]:
    return [{**row, "labels": [-100] * len(row["labels"])} for row in stdlib_blocks()]  # type: ignore[misc]


def test_behind_a_loss_that_is_no_number_nothing_else_speaks() -> None:
    monitor = run(steps=12, dataset=without_targets())
    assert ids(monitor) == ["LW201"]
    assert the("LW201", monitor).closed_step is None


def test_a_broken_weight_is_named_with_its_layer() -> None:
    model = lora(tiny_model())
    with torch.no_grad():
        model.get_submodule(f"base_model.model.{LAYER}").base_layer.weight[0, 0] = torch.nan
    monitor = run(model, steps=3)
    assert ids(monitor) == ["LW201"]
    assert [name for name, _ in the("LW201", monitor).adapters] == [LAYER]


def test_a_layer_whose_output_overflows_is_named_though_its_weights_are_sound() -> None:
    def overflow(layer: Any, args: Any, output: torch.Tensor) -> torch.Tensor:
        return output * torch.nan

    model = lora(tiny_model())
    model.get_submodule(f"base_model.model.{LAYER}").base_layer.register_forward_hook(overflow, prepend=True)
    monitor = run(model, steps=3)
    # What looks stands before every other hook: the next layers are the first whose output it sees.
    assert the("LW201", monitor).adapters[0][0] == "model.layers.1.self_attn.o_proj"


@pytest.mark.parametrize("clipping", [1.0, 0.0, 1e-3])
def test_a_gradient_is_named_by_its_own_layer_though_clipping_spreads_it(clipping: float) -> None:
    model = lora(tiny_model())
    factor = model.get_submodule(f"base_model.model.{LAYER}").lora_B["default"].weight
    factor.register_hook(lambda grad: grad * torch.nan)
    callback = LoraWatchCallback(fail_on="error", console=False, tensorboard=False)
    trainer = build_trainer(model, callbacks=[callback], max_grad_norm=clipping)
    with pytest.raises(LoraWatchError) as caught:
        trainer.train()
    (alert,) = caught.value.alerts
    assert (alert.rule, alert.step, [name for name, _ in alert.adapters]) == ("LW101", 1, [LAYER])
    assert "clip_grad_norm_" not in vars(trainer.accelerator), "and it is put back"


def test_norms_of_gradients_are_those_after_clipping() -> None:
    monitor = run(steps=3, max_grad_norm=1e-3)
    assert monitor.last is not None
    squares = sum((monitor.last.metrics[f"{factor}_grad_norm"].values ** 2).sum() for factor in "ab")
    assert squares**0.5 == pytest.approx(1e-3, rel=1e-3)


# -- the one to show first ---------------------------------------------------------------------------------------------


def alert(rule: str, severity: Severity, step: int, explains: tuple[str, ...] = ()) -> Alert:
    return Alert(rule, "x", severity, step, "said", explains=list(explains))


def test_the_first_is_the_earliest_of_the_worst_that_no_other_explains() -> None:
    alerts = [
        alert("LW203", Severity.WARNING, 1, ("LW202",)),
        alert("LW202", Severity.ERROR, 2),
        alert("LW309", Severity.ERROR, 9),
        alert("LW102", Severity.ERROR, 5),
        alert("LW405", Severity.INFO, 0),
    ]
    assert [a.rule for a in in_order(alerts)] == ["LW102", "LW309", "LW203", "LW405", "LW202"]


def test_an_alert_says_what_it_explains() -> None:
    monitor = run(steps=30, prepare=lambda t: FAULTS["lr-x100"].inject(t, 8), lr_scheduler_type="constant")
    assert the("LW311", monitor).rule in the("LW102", monitor).explains
    assert in_order(monitor.alerts)[0].rule == "LW102"
    whole = the("LW102", monitor)
    assert Alert.from_dict(whole.to_dict()) == whole


def test_a_run_that_ends_with_an_error_open_is_unhealthy() -> None:
    callback = LoraWatchCallback(console=False, tensorboard=False)
    trainer = build_trainer(lora(tiny_model()), without_targets(), 4, callbacks=[callback])
    trainer.train()
    report = json.loads((Path(trainer.args.output_dir) / "lora_watch" / "report.json").read_text())
    assert report["verdict"] == "unhealthy"
    assert "LW201" in report["message"]
