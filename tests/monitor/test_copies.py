"""Copies of what is in the middle of a run: the model, which has hooks in it, the monitor and the callback."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch

from lora_watch import Monitor
from tests.monitor.test_monitor import built, loop


def pickled(thing: Any) -> Any:
    return pickle.loads(pickle.dumps(thing))


def hooks(model: Any) -> list[Any]:
    return [hook for m in model.modules() for hook in (*m._forward_hooks.values(), *m._forward_pre_hooks.values())]


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled])
def test_a_copy_of_a_model_in_mid_run_computes_the_same_and_is_not_monitored(copied: Callable[[Any], Any]) -> None:
    model, optimizer = built()
    ids = torch.arange(32)[None]
    with Monitor(model, optimizer) as monitor:
        loop(monitor, model, optimizer, 2)
        assert hooks(model), "the coming step is measured in full"
        other = copied(model)
        assert torch.equal(other(input_ids=ids, labels=ids).loss, model(input_ids=ids, labels=ids).loss)
        assert hooks(other) == [], "what is left of ours goes at the first call"
        last = loop(monitor, model, optimizer, 1)[-1]
    assert last.metrics["output_ratio"].known.all()
    assert monitor.alerts == []
