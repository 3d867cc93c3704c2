"""The monitor without a Trainer: plain torch loops, its budget, and its manners."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lora_watch import LoraWatchError, Monitor, StepRecord
from lora_watch.sinks import ReportSink
from tests.support import lora, stdlib_blocks, tiny_model


def loop(monitor: Monitor, model: Any, optimizer: torch.optim.Optimizer, steps: int) -> list[StepRecord]:
    data = torch.tensor([example["input_ids"] for example in stdlib_blocks(4 * steps, 32)]).split(4)
    records = []
    for ids in data:
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        record = monitor.step(loss=loss)
        assert record is not None
        records.append(record)
        optimizer.zero_grad()
    return records


def built(alpha: float = 16, lr: float = 2e-3) -> tuple[Any, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = lora(tiny_model(), alpha=alpha).train()
    return model, torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=lr)


def test_a_plain_loop_is_watched(tmp_path: Path) -> None:
    model, optimizer = built()
    with Monitor(model, optimizer, sinks=[ReportSink(tmp_path)], max_steps=5) as monitor:
        records = loop(monitor, model, optimizer, 5)
    last = records[-1]
    assert [record.step for record in records] == [1, 2, 3, 4, 5]
    assert all(np.isfinite(record.metrics["output_ratio"]).all() for record in records)
    assert np.isfinite(last.metrics["b_grad_norm"]).all()
    assert last.lr == (2e-3,)
    assert last.lr_fraction == 1.0
    assert json.loads((tmp_path / "report.json").read_text())["verdict"] == "ok"
    assert not any(module._forward_hooks for module in model.modules()), "no hook is left behind"


def test_a_bad_loop_raises_and_the_report_says_failed(tmp_path: Path) -> None:
    model, optimizer = built(alpha=128, lr=5e-2)
    with (
        pytest.raises(LoraWatchError, match="LW102"),
        Monitor(model, optimizer, fail_on="error", sinks=[ReportSink(tmp_path)]) as monitor,
    ):
        loop(monitor, model, optimizer, 20)
    assert json.loads((tmp_path / "report.json").read_text())["verdict"] == "failed"


def test_a_loop_that_breaks_by_itself_is_interrupted(tmp_path: Path) -> None:
    model, optimizer = built()
    monitor = Monitor(model, optimizer, sinks=[ReportSink(tmp_path)])

    def broken() -> None:
        with monitor:
            loop(monitor, model, optimizer, 2)
            raise KeyError("theirs")

    with pytest.raises(KeyError):
        broken()
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["verdict"] == "interrupted"
    assert "KeyError" in report["message"]


def test_it_measures_less_often_when_it_costs_too_much() -> None:
    model, optimizer = built()
    with Monitor(model, optimizer, max_overhead=0.0) as monitor:
        records = loop(monitor, model, optimizer, 50)
    looked = [record.step for record in records if "output_ratio" in record.metrics]
    assert looked[:10] == list(range(1, 11)), "the first steps are always looked at"
    assert looked[10:] == [*range(12, 21, 2), *range(24, 41, 4), 48]
    assert all("delta_norm" in record.metrics for record in records), "the norms stay at every step"

    model, optimizer = built()
    with Monitor(model, optimizer, max_overhead=1.0) as monitor:
        assert all("output_ratio" in record.metrics for record in loop(monitor, model, optimizer, 30))


def test_switching_to_another_adapter_is_followed(tmp_path: Path) -> None:
    model, optimizer = built()
    with Monitor(model, optimizer, sinks=[ReportSink(tmp_path)]) as monitor:
        loop(monitor, model, optimizer, 2)
        model.add_adapter("second", model.peft_config["default"])
        model.set_adapter("second")
        optimizer.add_param_group({"params": [p for n, p in model.named_parameters() if ".second." in n]})
        loop(monitor, model, optimizer, 3)
    assert len(monitor.run.adapters) == 28
    assert all(name.endswith(".second") for name in monitor.run.names)
    assert [alert.rule for alert in monitor.alerts] == []
    report = json.loads((tmp_path / "report.json").read_text())
    assert {adapter["name"].rsplit(".", 1)[1] for adapter in report["adapters"]} == {"second"}


def test_every_thins_the_norms_but_not_the_loss() -> None:
    model, optimizer = built()
    with Monitor(model, optimizer, every=3) as monitor:
        records = loop(monitor, model, optimizer, 9)
    assert [record.step for record in records if "delta_norm" in record.metrics] == [3, 6, 9]
    assert [record.step for record in records if "output_ratio" in record.metrics] == [3, 6, 9]
    assert all(record.loss is not None for record in records)


def test_the_live_scale_is_what_is_measured() -> None:
    model, optimizer = built()
    with Monitor(model, optimizer) as monitor:
        before = loop(monitor, model, optimizer, 1)[-1]
        for module in model.modules():
            if hasattr(module, "scale_layer"):
                module.scale_layer(0.5)
        after = monitor.step(loss=1.0)
    assert after is not None
    assert (before.metrics["scale"], after.metrics["scale"]) == (pytest.approx(2.0), pytest.approx(1.0))
    assert after.metrics["delta_norm"] == pytest.approx(after.metrics["product_norm"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"every": 0}, "every=0: measure every 1, 2"),
        ({"fail_on": "sometimes"}, "'sometimes' is no severity"),
        ({"mute": ["norm-explosoin"]}, r"did you mean LW102 \(norm-explosion\)"),
    ],
)
def test_settings_that_make_no_sense_are_one_clear_error(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Monitor(torch.nn.Linear(2, 2), **settings)
