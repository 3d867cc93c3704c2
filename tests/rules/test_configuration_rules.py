"""LW408 and LW409: settings against the frozen weights and the run's length."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lora_watch import LoraWatchCallback, Severity
from lora_watch.drivers.loop import Monitor
from tests.rules.runs import ids, the
from tests.support import build_trainer, lora, tiny_model


def settle(model: Any, lr: float = 2e-3, steps: int = 1, **callback: Any) -> Monitor:
    """One real Trainer step under a callback with these arguments."""
    watcher = LoraWatchCallback(fail_on="never", console=False, tensorboard=False, **callback)
    build_trainer(model, None, steps, callbacks=[watcher], lr=lr).train()
    assert watcher.monitor is not None
    return watcher.monitor


# -- DoRA --------------------------------------------------------------------------------------------------------------
def with_zeros(embedding: bool = False) -> Any:
    model = tiny_model()
    with torch.no_grad():
        if embedding:
            model.model.embed_tokens.weight[:, 5] = 0
        else:
            model.model.layers[1].mlp.up_proj.weight[3] = 0
    return model


@pytest.mark.parametrize(("embedding", "targets"), [(False, "all-linear"), (True, ["embed_tokens"])])
def test_dora_over_zero_rows_and_what_becomes_of_it(embedding: bool, targets: Any) -> None:
    monitor = settle(lora(with_zeros(embedding), use_dora=True, targets=targets))
    alert = the("LW408", monitor)
    assert (alert.step, alert.severity) == (0, Severity.ERROR)
    assert alert.adapters[0][0].endswith("embed_tokens" if embedding else "layers.1.mlp.up_proj")
    assert "arXiv:2402.09353" in str(alert)
    the("LW201", monitor)  # the loss is NaN, as foretold


def test_zero_rows_without_dora_and_dora_without_zero_rows_are_silent() -> None:
    plain = settle(lora(with_zeros()))
    assert not {"LW408", "LW201"} & set(ids(plain))
    dora = settle(lora(tiny_model(), use_dora=True))
    assert not {"LW408", "LW201"} & set(ids(dora))
