"""Every number that a file holds at a step was measured at that step, whatever the steps before it were like.

Each step gives everything that is measured another value: weights, gradients, scale, learning rate, base weights,
magnitudes and inputs. A number of another step is then not equal to what is computed here from the definitions.
"""

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
from torch import nn

from lora_watch import Monitor
from lora_watch.adapters import find_adapters
from lora_watch.base import deferred
from lora_watch.run import recording
from lora_watch.runs.data import RunData
from lora_watch.runs.events import EventLog
from tests.sinks.made_up import metric_at
from tests.support import report_of

STEPS = 14
NOT_FINITE = {4, 5, 6, 8}
"""Steps whose loss is NaN: the first is measured in full, as is the one after the last, the others are not."""
UNSEEN = {3}
"""Steps without a forward pass of the model in training."""

Numbers = dict[str, list[float]]


class Tainted(torch.optim.SGD):
    """In the place of an update it gives everything that can be measured the value of its step."""

    def __init__(self, model: nn.Module):
        super().__init__([p for p in model.parameters() if p.requires_grad], lr=1.0)
        self.model, self.steps = model, 0
        self.generator = torch.Generator().manual_seed(0)

    def gradients(self) -> None:
        self.param_groups[0]["lr"] = 0.01 * (self.steps + 1)
        for parameter in self.param_groups[0]["params"]:
            parameter.grad = torch.randn(parameter.shape, generator=self.generator).to(parameter.dtype)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        self.steps += 1
        for parameter in self.model.parameters():
            new = torch.randn(parameter.shape, generator=self.generator).to(parameter.dtype)
            if not parameter.requires_grad:
                parameter.add_(0.01 * new)
            elif parameter.dtype == torch.bfloat16:  # some elements keep their values, another number at each step
                kept = torch.arange(parameter.numel()).view_as(parameter) % 16 < self.steps
                parameter.copy_(torch.where(kept, parameter, new))
            else:
                parameter.copy_(new)
        for adapter in find_adapters(self.model):
            adapter.module.scaling["default"] = 1.0 + self.steps / 7  # type: ignore[index]


class Truth:
    """All metrics by their definitions, in float64, ΔW formed whole."""

    def __init__(self, model: nn.Module):
        self.adapters = find_adapters(model)
        self.start = self.changed_from = self._now()
        self.lr_sum = 0.0
        self.numbers: dict[int, Numbers] = {}
        for i, adapter in enumerate(self.adapters):
            adapter.base_layer.register_forward_pre_hook(partial(self._see, i))

    def _see(self, i: int, layer: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        if layer.training:
            self.inputs.setdefault(i, args[0].detach().double().numpy())

    def _now(self) -> list[dict[str, Any]]:
        out = []
        for adapter in self.adapters:
            tensors = (*adapter.parameters, adapter.base_weight, adapter.magnitude)
            a, b, w, m = (tensor.detach().double().numpy().copy() for tensor in tensors if tensor is not None)
            out.append({"a": a, "b": b, "w": w, "m": m.flatten(), "s": adapter.scale, "d": adapter.scale * b @ a})
        return out

    def begin(self) -> None:
        """A step begins."""
        self.before, self.inputs = self._now(), {}

    def end(self, step: int, loss: float) -> None:
        """It is over."""
        now, lr = self._now(), 0.01 * step
        self.lr_sum += lr
        each = [self._of(i, *states, lr) for i, states in enumerate(zip(now, self.before, self.start))]
        self.numbers[step] = {name: [numbers[name] for numbers in each] for name in each[0]} | {"loss": [loss]}

    def _of(self, i: int, now: Any, before: Any, start: Any, lr: float) -> dict[str, float]:
        norm, w0 = np.linalg.norm, np.linalg.svd(start["w"], compute_uv=False)
        sigma = np.linalg.svd(now["d"], compute_uv=False)[:4]
        share = sigma / sigma.sum()
        grads = [float(p.grad.double().norm()) for p in self.adapters[i].parameters if p.grad is not None]
        w, was = (state["w"].flatten()[::3][:64] for state in (now, start))
        x = self.inputs.get(i)
        changed = {f: np.mean(now[f] != self.changed_from[i][f]) if i else math.nan for f in "ab"}
        return {
            "scale": now["s"],
            "product_norm": norm(now["d"]) / now["s"],
            "delta_norm": norm(now["d"]),
            "relative_norm": norm(now["d"]) / norm(w0),
            "a_norm": norm(now["a"]),
            "b_norm": norm(now["b"]),
            "spectral_norm": sigma[0],
            "relative_spectral_norm": sigma[0] / w0[0],
            "stable_rank": norm(sigma) ** 2 / sigma[0] ** 2,
            "effective_rank": math.exp(-(share * np.log(share)).sum()),
            "a_grad_norm": grads[0],
            "b_grad_norm": grads[1],
            "effective_lr": now["s"] * lr,
            "predicted_norm": now["s"] * self.lr_sum * math.sqrt(16 * 4 / 3),
            "base_drift": norm(w - was) / norm(was),
            "a_changed": changed["a"],
            "b_changed": changed["b"],
            "output_ratio": math.nan if x is None else norm(x @ before["d"].T) / norm(x @ before["w"].T),
        }


@pytest.fixture(params=[{}, {"every": 2}, {"looks": True}, {"late": True}, {"late": True, "looks": True}], ids=str)
def written(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[dict[int, Numbers], Path]:
    """What was to be measured at each step, and the folder of the files that a monitor has written."""
    if request.param.get("late"):
        monkeypatch.setattr(deferred, "_NEAR", frozenset())
    monkeypatch.setattr(recording, "FIRST_STEPS", 4)
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 16))
    config = peft.LoraConfig(r=4, lora_alpha=4, target_modules=["0", "2"], use_dora=True, init_lora_weights=False)
    model = peft.get_peft_model(layers, config).train()
    for factor in find_adapters(model)[1].parameters:
        factor.data = factor.data.bfloat16()
    optimizer, every = Tainted(model), request.param.get("every", 1)
    settings = {"every": every, "full_every": 5, "mute": ["LW102", "LW202"]}  # which ask for more steps than that
    with Monitor(model, optimizer, output_dir=tmp_path, console=False, **settings) as monitor:
        truth = Truth(model)
        for step in range(1, STEPS + 1):
            truth.begin()
            x = torch.randn(5, 16, generator=optimizer.generator)
            loss = (model.eval() if step in UNSEEN else model.train())(x).square().mean()
            model(x + 1)  # a second micro-batch
            optimizer.gradients()
            shown = math.nan if step in NOT_FINITE else float(loss)
            if request.param.get("looks"):
                monitor.engine.before_update(shown)
            optimizer.step()
            monitor.step(loss=shown)
            truth.end(step, shown)
            if step % every == 0:
                truth.changed_from = truth._now()
            if step % 3 == 0:
                monitor.state_dict()  # a checkpoint
    return truth.numbers, tmp_path


def test_what_files_hold_of_a_step_was_measured_at_that_step(written: tuple[dict[int, Numbers], Path]) -> None:
    truth, folder = written
    data = RunData(EventLog(sorted(folder.glob("runs/*/events.*"))))
    metrics = {name: metric_at(data, name) for name in (data.overview() or {})["metrics"]}
    seen: set[str] = set()
    for step, expected in truth.items():
        for name, values in ((name, by_step.get(step, {})) for name, by_step in metrics.items()):
            shown = [values.get(f"base_model.model.{i}", values.get(str(i), math.nan)) for i in (0, 2)]
            where = [i for i, value in enumerate(shown) if not math.isnan(value)]
            assert [shown[i] for i in where] == pytest.approx([expected[name][i] for i in where], rel=1e-3), (
                step,
                name,
            )
            seen |= {name} if where else set()
    assert seen == set(truth[1]) - {"loss"}, "each was measured at some step"
    for step, rate in data.series_at("effective_lr", truth).items():
        assert rate == pytest.approx(truth[step]["effective_lr"][0], rel=1e-6), step
    assert not NOT_FINITE & set(data.series_at("loss_recent", truth)), "nothing was added to what earlier losses say"
    losses = data.series_at("loss", truth)
    assert losses == pytest.approx({step: numbers["loss"][0] for step, numbers in truth.items()}, nan_ok=True, rel=1e-6)
    report = report_of(folder)
    for name, step in report["measured_at"].items():
        shown = [adapter["last"][name] for adapter in report["adapters"]]
        where = [i for i, value in enumerate(shown) if value is not None]
        assert [shown[i] for i in where] == pytest.approx([truth[step][name][i] for i in where], rel=1e-3), (
            step,
            name,
        )
