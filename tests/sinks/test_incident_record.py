"""The incident record: which steps it holds, and that what it holds brings back the step that went wrong."""

from __future__ import annotations

import base64
import hashlib
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Trainer, TrainerCallback

from lora_watch import LoraWatchCallback, LoraWatchError
from lora_watch.drivers.step_tap import hash_batch
from lora_watch.rules.policy import Policy
from lora_watch.sinks.incident import STEPS, IncidentRecorder
from lora_watch.sinks.report import ReportSink
from tests.sinks.made_up import alert_of, parse, record_of, run_of
from tests.support import build_trainer, lora, stdlib_blocks, tiny_model


def incident_in(folder: Path) -> dict[str, Any]:
    return parse((folder / "incident.json").read_bytes())


@pytest.mark.parametrize(
    ("opens", "closes", "ends", "first", "last"),
    [
        (200, None, 400, 200 - STEPS, 200 + STEPS),  # goes on and on
        (200, 230, 400, 200 - STEPS, 230),  # is over before as many steps have followed
        (200, None, 210, 200 - STEPS, 210),  # ends with the run
        (10, None, 20, 1, 20),  # begins before there are as many
    ],
)
def test_the_steps_around_an_incident(
    opens: int, closes: int | None, ends: int, first: int, last: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lora_watch.sinks.incident.LARGEST_SHARE_OF_TIME", math.inf)  # as if writing cost nothing
    report, run, alert = ReportSink(tmp_path), run_of(2), alert_of(opens)
    recorder = IncidentRecorder(report, torch.nn.Linear(2, 2), Policy())
    for sink in (report, recorder):
        sink.start(run, 0)
    for step in range(1, ends + 1):
        recorder.updated(step)
        alert.closed_step = closes if closes is not None and step >= closes else None
        news = [alert] if step in (opens, closes) else []
        recorder.write(record_of(run, step), news)
    recorder.finish("ok", None)
    incident = incident_in(tmp_path)
    assert incident["step"] == opens
    assert incident["steps"] == list(range(first, last + 1))
    assert incident["metrics"]["delta_norm"] == [[step, step + 1] for step in incident["steps"]]
    assert incident["loss"] == [1 / step for step in incident["steps"]]
    assert incident["rng"]["step"] == opens - 1  # also in the file that was written long afterwards


# -- a real run, twice, and with other data ----------------------------------------------------------------------------

FAILING_STEP = 5
"""Its loss is NaN."""


class Seen(Trainer):
    """Keeps what each step was given."""

    def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        self.batches = [*getattr(self, "batches", []), inputs]
        return super().training_step(model, inputs, *args, **kwargs)

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **kwargs: Any) -> Any:
        loss = model(**inputs).loss
        loss = loss * float("nan") if self.state.global_step + 1 == FAILING_STEP else loss
        return (loss, None) if return_outputs else loss


class States(TrainerCallback):
    """The random state after each step; Python and NumPy draw now and then, as data augmentation does."""

    def __init__(self) -> None:
        self.after: dict[int, tuple[torch.Tensor, Any, Any]] = {}

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.after[state.global_step] = torch.get_rng_state(), np.random.get_state(), random.getstate()
        random.random()
        np.random.standard_normal()


def failing_run(folder: Path, data: Any) -> tuple[dict[str, Any], Any, States]:
    states = States()
    watch = LoraWatchCallback(fail_on="error", console=False, tensorboard=False, record_batches=True)
    trainer = build_trainer(
        lora(tiny_model(), r=2, lora_dropout=0.1),  # which draws from torch at every step
        data,
        8,
        callbacks=[watch, states],
        trainer_class=Seen,
        gradient_accumulation_steps=2,
        output_dir=str(folder),
    )
    with pytest.raises(LoraWatchError, match="LW201"):
        trainer.train()
    return incident_in(folder / "lora_watch"), trainer, states


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Any, States]:
    return failing_run(tmp_path_factory.mktemp("sick"), stdlib_blocks(64, 32))


def test_the_random_state_can_be_brought_back(failing: tuple[dict[str, Any], Any, States]) -> None:
    incident, _, states = failing
    assert incident["step"] == FAILING_STEP
    rng = incident["rng"]
    assert rng["step"] == FAILING_STEP - 1

    def bytes_of(text: str) -> np.ndarray:
        return np.frombuffer(base64.b64decode(text), "u1").copy()

    kind, words, position, has_gauss, gauss = rng["numpy"]
    version, mersenne, place, following = rng["python"]
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()

    def drawn() -> list[float]:
        return [*torch.rand(3).tolist(), *np.random.standard_normal(3), random.random(), random.gauss(0, 1)]

    try:
        torch.set_rng_state(torch.from_numpy(bytes_of(rng["torch"])))
        np.random.set_state((kind, bytes_of(words).view("<u4"), position, has_gauss, gauss))
        random.setstate((version, (*bytes_of(mersenne).view("<u4").tolist(), place), following))
        restored = drawn()
        torch_state, numpy_state, python_state = states.after[FAILING_STEP - 1]
        torch.set_rng_state(torch_state)
        np.random.set_state(numpy_state)
        random.setstate(python_state)
        assert restored == drawn()
        assert not torch.equal(torch_state, states.after[FAILING_STEP - 2][0])
    finally:
        torch.set_rng_state(before[0])
        np.random.set_state(before[1])
        random.setstate(before[2])


def test_the_hashes_find_the_batches(failing: tuple[dict[str, Any], Any, States], tmp_path: Path) -> None:
    incident, trainer, _ = failing
    assert incident["steps"] == list(range(FAILING_STEP + 1))
    assert incident["inputs_sha256"][0] is None  # before the first step
    for step, found in zip(incident["steps"][1:], incident["inputs_sha256"][1:]):
        expected = hashlib.sha256()
        for micro in trainer.batches[2 * step - 2 : 2 * step]:
            hash_batch(expected, micro)
        assert found == expected.hexdigest(), step

    again = failing_run(tmp_path / "again", stdlib_blocks(64, 32))[0]["inputs_sha256"]
    other = failing_run(tmp_path / "other", stdlib_blocks(64, 48))[0]["inputs_sha256"]
    assert again == incident["inputs_sha256"]
    assert len({*again, *other}) == 2 * FAILING_STEP + 1  # None is in both
