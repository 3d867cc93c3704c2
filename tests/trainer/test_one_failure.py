"""One failure of ours while the adapters are looked for is no knowledge of them: it ends no healthy run."""

from __future__ import annotations

from typing import Any

import pytest

from lora_watch import LoraWatchCallback
from lora_watch.adapters.peft import PeftAdapter
from tests.support import build_trainer, lora, stdlib_blocks, tiny_model


@pytest.mark.parametrize("call", [28, 84, 112])
def test_reading_the_parameters_of_28_adapters_fails_once(call: int, monkeypatch: pytest.MonkeyPatch) -> None:
    read: Any = PeftAdapter.parameters.fget
    calls = iter(range(10**6))

    def failing(self: Any) -> Any:
        if next(calls) == call:
            raise RuntimeError("injected")
        return read(self)

    monkeypatch.setattr(PeftAdapter, "parameters", property(failing))
    callback = LoraWatchCallback(fail_on="error", console=False, tensorboard=False)
    build_trainer(lora(tiny_model()), stdlib_blocks(16, 32), 4, callbacks=[callback]).train()
    assert callback.monitor is not None
    assert [(alert.rule, alert.severity.name) for alert in callback.monitor.alerts] == [("LW901", "WARNING")]
