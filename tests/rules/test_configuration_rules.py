"""LW405 to LW409: settings against the task, another model, the run's length, and the frozen weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AdaLoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from lora_watch import LoraWatchCallback, Severity
from lora_watch.monitor.monitor import Monitor
from lora_watch.rules.tasks import TASKS, find_task
from tests.rules.runs import healthy, ids, numbers, run, the
from tests.support import build_trainer, lora, tiny_model


def settle(model: Any, lr: float = 2e-3, steps: int = 1, **callback: Any) -> Monitor:
    """One real Trainer step under a callback with these arguments."""
    watcher = LoraWatchCallback(fail_on="never", console=False, tensorboard=False, **callback)
    build_trainer(model, None, steps, callbacks=[watcher], lr=lr).train()
    assert watcher.monitor is not None
    return watcher.monitor


# -- the task ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("r", "task", "stated", "source"),
    [
        (32, "classification", {32, 4, 8, 64, 16}, "arXiv:2012.13255"),
        (4, "continued-pretraining", {4, 64, 256}, "arXiv:2405.09673"),
        (2, "instruction-tuning", {2, 16, 64}, "arXiv:2405.09673"),
    ],
)
def test_rank_for_task(r: int, task: str, stated: set[float], source: str) -> None:
    alert = the("LW405", settle(lora(tiny_model(), r=r, alpha=2 * r), task=task))
    assert (alert.step, alert.severity) == (0, Severity.INFO)
    assert stated <= numbers(str(alert))
    for name in (task, source):
        assert name in str(alert)


@pytest.mark.parametrize(
    ("r", "task"), [(8, "classification"), (16, "classification"), (32, None), (64, "instruction-tuning")]
)
def test_a_rank_near_the_range_or_without_a_task_is_silent(r: int, task: str | None) -> None:
    assert "LW405" not in ids(settle(lora(tiny_model(), r=r, alpha=2 * r), task=task))


@pytest.mark.parametrize("written", ["instruction-tuning", "Instruction tuning", "instruction_tuning"])
def test_a_task_has_one_name_however_it_is_written(written: str) -> None:
    assert find_task(written).name == "instruction-tuning"


def test_another_name_is_an_error_that_lists_the_tasks_and_says_which_is_near() -> None:
    with pytest.raises(ValueError, match="juggling") as caught:
        LoraWatchCallback(task="juggling")
    assert all(task.name in str(caught.value) for task in TASKS)
    assert "meant" not in str(caught.value)
    with pytest.raises(ValueError, match="classification meant"):
        LoraWatchCallback(task="clasification")


# -- another model -----------------------------------------------------------------------------------------------------
def wide_model(width: int) -> Any:
    """A real Llama of another width, with the default initialisation."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=1024,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
    )
    return LlamaForCausalLM(config)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run of the tiny model (128 wide, 4 blocks, r 8, alpha 16, lr 2e-3) left."""
    folder = tmp_path_factory.mktemp("reference")
    settle(lora(tiny_model()), report_dir=folder)
    return folder


def test_copied_across_sizes(report: Path) -> None:
    alert = the("LW406", settle(lora(wide_model(32)), reference=report))
    assert alert.severity == Severity.INFO
    assert {8, 128, 32} <= numbers(alert.message)
    assert {8, 4, 16, 2} <= numbers(alert.remedies[0])


def test_the_same_settings_on_smaller_weights_is_a_larger_step(report: Path) -> None:
    """Twelve blocks in place of four, at the same width: the first step counts three times."""
    config = LlamaConfig(vocab_size=1024, hidden_size=128, intermediate_size=352, num_hidden_layers=12)
    config.num_attention_heads = config.num_key_value_heads = 4
    alert = the("LW406", settle(lora(LlamaForCausalLM(config)), reference=report))
    assert 12 in numbers(alert.message)
    assert 8 not in numbers(alert.message), "the rank is as it should be"
    assert 0.002 in numbers(alert.remedies[0])


def test_the_same_model_or_adjusted_settings_are_silent(report: Path) -> None:
    assert "LW406" not in ids(settle(lora(tiny_model()), reference=report / "report.json"))
    assert "LW406" not in ids(settle(lora(wide_model(32), r=4, alpha=8), lr=1e-3, reference=report))


def test_a_reference_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(json.dumps({"adapters": []}))
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ValueError, match="reference"):
            LoraWatchCallback(reference=path)


# -- AdaLoRA -----------------------------------------------------------------------------------------------------------
def adalora(**schedule: Any) -> Any:
    config = AdaLoraConfig(
        init_r=6, target_r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", **schedule
    )
    return get_peft_model(tiny_model(), config)


@pytest.mark.parametrize(
    ("schedule", "stated"),
    [
        ({"total_step": 500, "tinit": 5, "tfinal": 5}, {500, 30}),
        ({"total_step": 15, "tinit": 2, "tfinal": 2}, {15, 30}),
        pytest.param(
            {"total_step": 30, "tinit": 5, "tfinal": 15, "deltaT": 10}, {1, 5, 15}, marks=pytest.mark.thorough
        ),
        pytest.param({"total_step": 30, "tfinal": 5}, {0}, marks=pytest.mark.thorough),
    ],
)
def test_adalora_schedule(schedule: dict[str, int], stated: set[float]) -> None:
    alert = the("LW407", run(adalora(**schedule), steps=30, per_device_train_batch_size=1))
    assert alert.severity == Severity.INFO
    assert stated <= numbers(alert.message)
    assert "AdaLoraConfig(total_step=30, tinit=3, tfinal=6, deltaT=1)" in alert.remedies[0]
    assert "arXiv:2303.10512" in str(alert)


def test_a_schedule_that_fits_is_silent() -> None:
    monitor = run(adalora(total_step=30, tinit=3, tfinal=6), steps=30, per_device_train_batch_size=1)
    assert "LW407" not in ids(monitor)


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


def test_the_twin_is_silent() -> None:
    assert ids(healthy()) == []
