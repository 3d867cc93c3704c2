"""The loss of general texts at each evaluation: a rise while the task gains nothing is named; nothing is touched."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from lora_watch import LoraWatchCallback
from lora_watch.base import deferred
from lora_watch.base.text import plain
from lora_watch.rules import WorseOnOtherTexts
from lora_watch.runs.run import read_runs
from tests.rules.runs import numbers
from tests.support import build_trainer, few, report_of, stdlib_blocks, tiny_tokenizer

GENERAL = [
    "It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a",
    "She was then but fifteen, and had never been from home; but she was not without hope that she might be of use",
]


def run(
    folder: Path,
    probe: Sequence[Any] | None,
    texts: int = 8,
    steps: int = 50,
    lr: float = 5e-3,
    tensorboard: bool = False,
    noise: float = math.inf,
    **own: Any,
) -> Any:
    """A run on Python's source of a model that knows Jane Austen."""
    blocks = stdlib_blocks(256)
    rules = [WorseOnOtherTexts(noise=noise)]  # infinite: of the evaluation loss alone nothing is said
    watch = LoraWatchCallback(console=False, tensorboard=tensorboard, probe=probe, mute=["LW102"], rules=rules)
    settings = {"eval_strategy": "steps", "eval_steps": 10, "eval_dataset": blocks[224:240], **own}
    torch.manual_seed(0)  # for A
    model = few(lora_dropout=0.1)
    trainer = build_trainer(model, blocks[:texts], steps, [watch], lr, output_dir=str(folder), **settings)
    trainer.processing_class = tiny_tokenizer()
    trainer.callback_handler.processing_class = tiny_tokenizer()
    trainer.train()
    return trainer, watch.monitor


def test_what_is_unlearned_for_nothing_is_named(tmp_path: Path) -> None:
    """Of several sets of texts for evaluation the first says whether the task still gains."""
    held_out = stdlib_blocks(256)[224:240]
    _, monitor = run(tmp_path, GENERAL, eval_dataset={"own": held_out, "other": held_out[:2]})
    (alert,) = (alert for alert in monitor.alerts if alert.rule == "LW209")
    assert (alert.severity.name, alert.step % 10) == ("WARNING", 0), "the step of the evaluation"
    evaluation = report_of(tmp_path)["evaluation"]
    assert evaluation["probe_loss"]["last"]["value"] > 1.1 * evaluation["probe_base_loss"]["last"]["value"] > 0


def test_what_is_learned_by_heart_hides_nothing_that_is_unlearned(tmp_path: Path) -> None:
    _, monitor = run(tmp_path, GENERAL, lr=1e-2, noise=3.0)
    *_, alert = (alert for alert in monitor.alerts if alert.rule == "LW209")
    evaluation = report_of(tmp_path)["evaluation"]
    assert alert.kind == "both"
    assert float(plain(evaluation["probe_base_loss"]["last"]["value"])) in numbers(alert.details)


@pytest.mark.parametrize("probe", [GENERAL, list(stdlib_blocks(256)[200:208])], ids=["gentle", "what it trains on"])
def test_its_twins_are_silent(probe: Any, tmp_path: Path) -> None:
    _, monitor = run(tmp_path, probe, 200, 30, 1e-4 if probe is GENERAL else 2e-3)
    assert "LW209" not in [alert.rule for alert in monitor.alerts]


def test_its_losses_are_read_back_where_numbers_come_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deferred, "_NEAR", frozenset())  # a CPU in the place of an accelerator
    run(tmp_path, GENERAL, steps=20, tensorboard=True)
    (found,) = read_runs([tmp_path], [])
    assert set(found.data.series_at("probe_loss")) == set(found.data.series_at("eval_loss")) == {10, 20}


def test_training_and_random_states_are_as_without_it(tmp_path: Path) -> None:
    one, _ = run(tmp_path / "a", GENERAL, steps=20)
    after = torch.get_rng_state()
    other, _ = run(tmp_path / "b", None, steps=20)
    assert torch.equal(after, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(one.model.parameters(), other.model.parameters()))


@pytest.mark.parametrize(("settings", "said"), [({}, "set eval_strategy"), ({"eval_strategy": "steps"}, "a tokenizer")])
def test_what_a_probe_lacks_is_a_note_and_no_failure(settings: dict[str, Any], said: str, tmp_path: Path) -> None:
    watch, blocks = LoraWatchCallback(console=False, tensorboard=False, probe=GENERAL), stdlib_blocks(24)
    build_trainer(few(), blocks, 2, [watch], output_dir=str(tmp_path), eval_dataset=blocks[:4], **settings).train()
    assert watch.monitor.alerts == []
    assert any("probe=" in note and said in note for note in watch.monitor.run.notes)
