"""The mistakes that a first GPU would show: each planted, and each seen on the strict device."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from lora_watch.base import deferred
from lora_watch.measurement.norms import grams, layer_outputs
from lora_watch.measurement.norms.layer_outputs import Sampled
from lora_watch.measurement.signals.labels import Labels
from tests.device import strict
from tests.device.loops import Outcome, llama, train
from tests.support import DEVICE

Plant = pytest.MonkeyPatch


def run() -> Outcome:
    return train(partial(llama, targets=["q_proj"]), DEVICE, 2)


def failed(outcome: Outcome) -> bool:
    return any(rule == "LW901" for rule, _ in outcome.found)


def test_without_a_mistake_nothing_is_seen() -> None:
    outcome = run()
    assert not failed(outcome)
    assert [[wait.what for wait in waits] for waits in outcome.waits] == [[], ["event"]]
    assert all(np.isfinite(record.metrics["a_norm"].values).all() for record in outcome.records)


def test_an_item_in_a_hook(monkeypatch: Plant) -> None:
    real = Sampled.keep

    def keep(self: Sampled, *args: Any) -> int:
        args[-1].sum().item()
        return real(self, *args)

    monkeypatch.setattr(Sampled, "keep", keep)
    outcome = run()
    assert {wait.what for waits in outcome.waits for wait in waits} == {"item", "event"}
    (wait, *_) = outcome.waits[0]
    assert any("keep" in frame for frame in wait.stack), "it says where"


def test_a_buffer_that_is_read_before_its_copy_has_arrived(monkeypatch: Plant) -> None:
    monkeypatch.setattr(deferred, "copies_done_on", lambda device: lambda: None)
    assert any(np.isnan(record.metrics["a_norm"].values).any() for record in run().records)


def test_an_event_that_is_recorded_before_the_copy(monkeypatch: Plant) -> None:
    early = deferred.copies_done_on(DEVICE)
    monkeypatch.setattr(deferred, "copies_done_on", lambda device: early)
    assert any(np.isnan(record.metrics["a_norm"].values).any() for record in run().records)


def test_a_tensor_made_on_the_cpu(monkeypatch: Plant) -> None:
    monkeypatch.setattr(layer_outputs, "_wide", lambda factor: factor.cpu().double())
    assert failed(run())


def test_labels_counted_on_the_cpu(monkeypatch: Plant) -> None:
    labels, real = Labels(4), torch.arange
    labels.add(torch.tensor([1, 3], device=DEVICE))
    assert labels.counts is not None
    assert labels.counts.cpu().tolist() == [0, 1, 0, 1]
    monkeypatch.setattr(torch, "arange", lambda *args, device=None: real(*args))
    with pytest.raises(RuntimeError, match="same device"):
        labels.add(torch.tensor([1, 3], device=DEVICE))


def test_a_dtype_that_the_device_has_not() -> None:
    assert not failed(run())  # which has asked whether there is float64
    strict.refuse({"float64"})
    try:
        assert failed(run())
    finally:
        strict.refuse()


def test_memory_that_was_never_written_to(monkeypatch: Plant) -> None:
    def compute_nothing(self: Any, blocks: Any, diagonals: Any) -> Any:
        return lambda: self._results

    monkeypatch.setattr(grams.StagedGrams, "of", compute_nothing)
    assert any(np.isnan(record.metrics["a_norm"].values).any() for record in run().records)
