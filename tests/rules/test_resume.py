"""A run that is resumed from a checkpoint says what the uninterrupted one says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import Trainer

from benchmarks.corpus.faults import FAULTS
from lora_watch import LoraWatchCallback
from tests.support import build_trainer, lora, tiny_model


def watched(
    fault: str | None, begins: int = 0, resume_from: Path | None = None, **more: Any
) -> tuple[Trainer, list[dict[str, Any]]]:
    """40 steps with a checkpoint at 16; the Trainer and every alert as it stands in the report."""
    callback = LoraWatchCallback(fail_on="never", console=False, tensorboard=False, max_overhead=1.0, mute=["LW104"])
    settings: dict[str, Any] = {"save_strategy": "steps", "save_steps": 16, "per_device_train_batch_size": 8} | more
    trainer = build_trainer(lora(tiny_model()), None, 40, callbacks=[callback], **settings)
    if fault is not None:
        FAULTS[fault].inject(trainer, begins)
    trainer.train(resume_from_checkpoint=None if resume_from is None else str(resume_from))
    assert callback.monitor is not None
    return trainer, [alert.to_dict() for alert in callback.monitor.alerts]


@pytest.mark.parametrize(
    ("fault", "begins", "rule"),
    [
        pytest.param("decay-eats", 10, "LW107", id="open-in-the-checkpoint"),
        pytest.param("no-targets", 14, "LW204", id="half-way-through-the-evidence"),
        pytest.param("corrupted-batches", 26, "LW202", id="later-with-the-memory-of-before"),
    ],
)
def test_a_resumed_run_raises_the_same_alerts(fault: str, begins: int, rule: str) -> None:
    trainer, alerts = watched(fault, begins)
    assert rule in [alert["rule"] for alert in alerts]
    _, resumed = watched(fault, begins, Path(str(trainer.args.output_dir)) / "checkpoint-16")
    assert resumed == alerts


def test_a_resumed_run_ends_with_the_same_word() -> None:
    trainer, alerts = watched(None, lr=1e-6)
    assert [alert["rule"] for alert in alerts] == ["LW206"]
    _, resumed = watched(None, resume_from=Path(str(trainer.args.output_dir)) / "checkpoint-16", lr=1e-6)
    assert resumed == alerts
