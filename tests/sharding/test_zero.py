"""Optimizers that hold flat partitions: whose they are is read from the engine, or unknown, never wrong.

The classes here have the attributes of deepspeed 0.19's; ``test_ways.py`` runs the real ones where it is installed.
"""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from lora_watch import Monitor, find_adapters
from lora_watch.measurement.signals.optimizer import ParameterGroups, rates_of
from tests.support import lora, tiny_model


@pytest.fixture(scope="module")
def model() -> Any:
    return lora(tiny_model(), targets=["q_proj"])


def engine(model: Any, **attributes: Any) -> Any:
    """An engine's optimizer around torch's, which knows two flat tensors of two groups."""
    flat = [nn.Parameter(torch.zeros(100)) for _ in range(2)]
    inner = torch.optim.AdamW([{"params": [flat[0]], "lr": 1e-3}, {"params": [flat[1]], "lr": 4e-3}])
    return SimpleNamespace(optimizer=SimpleNamespace(optimizer=inner, param_groups=inner.param_groups, **attributes),
                           param_groups=inner.param_groups)  # fmt: skip


def pairs_of(model: Any) -> list[tuple[Any, Any]]:
    return [adapter.parameters for adapter in find_adapters(model)]


def halves(model: Any) -> tuple[list[Any], list[Any]]:
    return [a for a, _ in pairs_of(model)], [b for _, b in pairs_of(model)]


def test_stages_1_and_2_say_which_tensors_a_group_has(model: Any) -> None:
    groups = ParameterGroups(engine(model, bit16_groups=list(halves(model))), pairs_of(model))
    assert groups.known
    assert groups.group == [1] * 4, "B's group, as with LoRA+"
    assert not groups.lacking.any()
    assert (groups.name, rates_of(groups.optimizer)) == ("AdamW", (1e-3, 4e-3))


def test_stage_3_has_several_parts_of_a_group(model: Any) -> None:
    a, b = halves(model)
    parts = {"fp16_groups": [a[:2], a[2:], b[:3]], "sub_group_to_group_id": {0: 0, 1: 0, 2: 1}}
    groups = ParameterGroups(engine(model, **parts), pairs_of(model))
    assert groups.group == [1, 1, 1, 0]
    assert groups.lacking.tolist() == [[False, False]] * 3 + [[False, True]]


class Unheard:
    """An optimizer of DeepSpeed's that nobody here knows."""

    __module__ = "deepspeed.runtime.new"

    def __init__(self, inner: Any):
        self.optimizer, self.param_groups = inner, inner.param_groups


class FlatParameter(nn.Parameter):
    """As FSDP1 builds optimizers over."""


@pytest.mark.parametrize("kind", ["unknown engine", "FSDP1"])
def test_where_nobody_can_tell_it_is_unknown_and_no_fault(model: Any, kind: str) -> None:
    optimizer: Any = torch.optim.AdamW([FlatParameter(torch.zeros(100))], lr=1e-3)
    if kind == "unknown engine":
        optimizer = Unheard(engine(model).optimizer.optimizer)
    monitor = Monitor(model, optimizer, console=False)
    monitor.engine.start()
    monitor.engine.after_update(1.0)
    assert "in_optimizer" not in monitor.last.wiring
    assert not monitor.last.metrics["effective_lr"].known.any()
    assert not monitor.last.metrics["predicted_norm"].known.any(), "and not 0.0"
    assert monitor.alerts == []
    monitor.finish()
