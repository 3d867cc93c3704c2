"""PEFT's other tuners in training: measured whole, now and then, and judged by the rules that need no A and B."""

from __future__ import annotations

from typing import Any

import numpy as np
import peft
import pytest
import torch

from lora_watch import LoraWatchCallback, Monitor
from lora_watch.adapters import find_other_adapters
from tests.rules.runs import ids, run, the
from tests.support import stdlib_blocks, tiny_model, train

METHODS: dict[str, tuple[Any, dict[str, Any]]] = {
    "LoHa": (peft.LoHaConfig, {"r": 8, "alpha": 16}),
    "LoKr": (peft.LoKrConfig, {"r": 8, "alpha": 16}),
    "Vera": (peft.VeraConfig, {"r": 64, "projection_prng_key": 0}),
}
HEALTHY = {"LoHa": 1e-2, "LoKr": 1e-2, "Vera": 5e-2}
TARGETS = ["q_proj", "v_proj", "o_proj"]


def tuned(method: str, **options: Any) -> Any:
    torch.manual_seed(0)
    config, own = METHODS[method]
    return peft.get_peft_model(tiny_model(), config(target_modules=TARGETS, **own, **options))


@pytest.mark.parametrize("method", METHODS)
def test_a_healthy_run_is_measured_and_silent(method: str) -> None:
    model = tuned(method)
    before = {a.name: a.base_matrices()[0].clone() for a in find_other_adapters(model)}
    monitor = run(model, steps=32, lr=HEALTHY[method])
    assert ids(monitor) == []
    assert monitor.run.other_methods == (method,)
    assert len(monitor.run.adapters) == 12
    record = monitor.last
    assert record is not None
    assert record.step == 32
    model.merge_adapter()
    for i, adapter in enumerate(find_other_adapters(model)):
        change = adapter.base_matrices()[0].double() - before[adapter.name].double()
        top = float(torch.linalg.matrix_norm(change, ord=2))
        size = float(torch.linalg.matrix_norm(before[adapter.name].double()))
        # The merged weight is rounded, and that is seen in the difference.
        assert record.metrics["delta_norm"].values[i] == pytest.approx(float(change.norm()), rel=1e-4)
        assert record.metrics["spectral_norm"].values[i] == pytest.approx(top, rel=1e-4)
        assert record.metrics["relative_norm"].values[i] == pytest.approx(float(change.norm()) / size, rel=1e-4)
    assert record.metrics["output_ratio"].known.all()
    assert (record.metrics["grad_norm"].values > 0).all()
    assert not {"scale", "a_norm", "b_grad_norm", "predicted_norm"} & set(record.metrics)


@pytest.mark.parametrize(("method", "lr"), [("LoHa", 1.0), ("LoKr", 1.0), ("Vera", 1.0)])
def test_an_explosion_is_found_and_the_advice_is_a_learning_rate(method: str, lr: float) -> None:
    alert = the("LW102", run(tuned(method), steps=16, lr=lr))
    assert alert.step <= 8
    assert set(alert.settings) == {"learning_rate"}
    assert alert.settings["learning_rate"] <= lr / 2
    assert "lora_alpha" not in str(alert)
    assert "scale" not in str(alert)


def test_one_that_barely_moves_is_found() -> None:
    alert = the("LW104", run(tuned("Vera"), steps=40, lr=1e-4))
    assert alert.settings["learning_rate"] > 1e-4


def test_a_gradient_that_is_not_finite_is_found_before_the_update() -> None:
    model = tuned("LoHa")
    third = find_other_adapters(model)[3]
    third.parameters[0].register_hook(lambda grad: grad * float("nan"))
    tokens = torch.tensor([stdlib_blocks(1, 32)[0]["input_ids"][:8]])
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    with Monitor(model.train(), optimizer, fail_on={"default": "never", "LW101": "error"}) as monitor:
        loss = model(input_ids=tokens, labels=tokens).loss
        loss.backward()
        (alert,) = monitor.before_update(loss)
        monitor.finish("failed")
    assert alert.metric == "grad_norm"
    assert [name for name, _ in alert.adapters] == [third.name]


def test_one_that_the_optimizer_does_not_hold_is_found() -> None:
    model = tuned("LoKr")
    with Monitor(model, torch.optim.AdamW([torch.nn.Parameter(torch.zeros(2))])) as monitor:
        assert "LW302" in [alert.rule for alert in monitor.alerts]


@pytest.mark.parametrize(("method", "options"), [("LoHa", {"rank_dropout": 0.5}), ("LoKr", {}), ("Vera", {})])
def test_training_is_bit_for_bit_the_same(method: str, options: dict[str, Any]) -> None:
    plain = train(tuned(method, **options), steps=4).model
    watcher = LoraWatchCallback(console=False, tensorboard=False)
    monitored = train(tuned(method, **options), steps=4, callbacks=[watcher]).model
    assert watcher.monitor is not None
    assert watcher.monitor.last is not None
    assert "delta_norm" in watcher.monitor.last.metrics
    assert plain is not None
    assert monitored is not None
    for (name, a), b in zip(plain.named_parameters(), monitored.parameters()):
        assert torch.equal(a, b), name


def looks(max_overhead: float, every: int = 1) -> list[int]:
    model = tuned("LoHa")
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    tokens = torch.tensor([stdlib_blocks(1, 32)[0]["input_ids"][:8]])
    seen = []
    with Monitor(model.train(), optimizer, max_overhead=max_overhead, every=every) as monitor:
        for _ in range(20):
            loss = model(input_ids=tokens, labels=tokens).loss
            loss.backward()
            optimizer.step()
            record = monitor.step(loss)
            optimizer.zero_grad()
            assert record is not None
            assert ("delta_norm" in record.metrics) == ("output_ratio" in record.metrics)
            if "delta_norm" in record.metrics:
                seen.append(record.step)
    return seen


def test_looks_are_as_many_as_the_budget_allows_and_never_none() -> None:
    assert looks(max_overhead=1.0) == list(range(1, 21))
    assert looks(max_overhead=0.0) == [1, 2, 4, 8, 16]
    assert looks(max_overhead=0.0, every=3) == [3, 6, 12]


def test_output_ratio_is_that_of_the_whole_change() -> None:
    model = tuned("LoKr")
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    tokens = torch.tensor([stdlib_blocks(1, 32)[0]["input_ids"]])
    adapters = find_other_adapters(model)
    inputs: dict[int, torch.Tensor] = {}
    expected = np.zeros(len(adapters))
    with Monitor(model.train(), optimizer, max_overhead=1.0) as monitor:
        for step in range(3):
            handles = [
                a.base_layer.register_forward_pre_hook(
                    lambda module, args, i=i: inputs.__setitem__(i, args[0].detach().double().flatten(0, 1))
                )
                for i, a in enumerate(adapters)
                if a.base_layer is not None
            ]
            loss = model(input_ids=tokens, labels=tokens).loss
            for handle in handles:
                handle.remove()
            for i, adapter in enumerate(adapters):
                change, weight = adapter.delta_matrices()[0].double(), adapter.base_matrices()[0].double()
                expected[i] = float((inputs[i] @ change.T).norm() / (inputs[i] @ weight.T).norm())
            loss.backward()
            optimizer.step()
            record = monitor.step(loss)
            optimizer.zero_grad()
            assert record is not None
            assert record.metrics["output_ratio"].values == pytest.approx(expected, rel=1e-3, abs=1e-12)
            assert (expected > 0).all() == (step > 0)
