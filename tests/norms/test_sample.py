"""Whether a few elements show that a tensor has moved, bit for bit."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import nn

from lora_watch.adapters import Adapter, find_adapters
from lora_watch.adapters.live import Live
from lora_watch.base.records import BoolArray, Due, FloatArray
from lora_watch.measurement.norms.sample import Changed, FrozenWeights
from tests.support import lora, tiny_model

DUE = Due(1)


def adapters(dtype: torch.dtype, **config: Any) -> list[Adapter]:
    torch.manual_seed(0)
    found = find_adapters(lora(tiny_model(), **config))
    for factor in (p for a in found for p in a.parameters):
        factor.data = factor.data.to(dtype)
    return found


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_share_of_elements_that_changed(dtype: torch.dtype) -> None:
    monitored = adapters(dtype)
    changed = Changed(Live(monitored))
    a, b = monitored[3].parameters
    a.add_(1.0)
    b.view(-1)[: b.numel() // 2].add_(1.0)
    shares = changed.begin(DUE).now()
    assert shares["a_changed"].values.tolist() == [float(i == 3) for i in range(28)]
    assert shares["b_changed"].values[3] == pytest.approx(0.5, abs=0.05)
    again = changed.begin(DUE).now()
    assert not again["a_changed"].values.any(), "since the last look"
    a.add_(torch.finfo(dtype).smallest_normal)  # too little to see
    assert not changed.begin(DUE).now()["a_changed"].values.any()


def test_what_cannot_lose_updates_is_not_looked_at() -> None:
    assert Changed(Live(adapters(torch.float32))).begin(DUE).now() == {}
    mixed = adapters(torch.bfloat16, targets=["embed_tokens", "q_proj"])
    shares = Changed(Live(mixed)).begin(DUE).now()["a_changed"].values
    assert [a.kind for a, known in zip(mixed, shares == shares) if not known] == ["Embedding"]


def drift_of(frozen: FrozenWeights, monitored: Sequence[Adapter]) -> tuple[FloatArray, BoolArray]:
    frozen.watch(monitored)
    drift = frozen.begin(DUE).now()["base_drift"]
    return drift.values, drift.known


@torch.no_grad()
def test_frozen_weights_are_compared_with_the_start() -> None:
    monitored = adapters(torch.float32)
    frozen = FrozenWeights()
    frozen.watch(monitored)
    drift, known = drift_of(frozen, monitored)
    assert known.all()
    assert not drift.any()
    weights = [w for a in monitored if (w := a.base_weight) is not None]
    weights[5].mul_(1.01)
    weights[6].view(torch.int32).add_(1)  # the last binary digit
    frozen.watch(monitored)
    drift, _ = drift_of(frozen, monitored)
    assert drift[5] == pytest.approx(0.01, rel=1e-4)
    assert 0 < drift[6] < 2e-7
    assert not drift[[i for i in range(28) if i not in (5, 6)]].any()


def test_what_is_merged_or_has_another_dtype_is_unknown() -> None:
    model = lora(tiny_model(), init_lora_weights=False)
    monitored = find_adapters(model)
    frozen = FrozenWeights()
    frozen.watch(monitored)
    model.merge_adapter()
    assert not drift_of(frozen, monitored)[1].any()
    model.unmerge_adapter()
    drift, known = drift_of(frozen, monitored)
    assert known.all()
    assert drift.max() < 1e-5, "rounding alone"
    layer = monitored[0].base_layer
    assert isinstance(layer, nn.Module)
    layer.half()
    assert drift_of(frozen, monitored)[1].tolist() == [False] + [True] * 27
