"""What a run leaves is judged: the last update, and whatever wrote to the weights after it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import TrainerCallback, TrainerState

from lora_watch import LoraWatchCallback
from tests.support import build_trainer, lora, on, report_of, stdlib_blocks, tiny_model

STEPS = 6
TARGETS = ["q_proj", "down_proj"]
Change = Callable[[Any], object]


def does(event: str, change: Change) -> TrainerCallback:
    """``change(model)`` at an event, once the last step is done."""

    @torch.no_grad()
    def act(state: Any, model: Any, **_: Any) -> None:
        if state.global_step == STEPS:
            change(model)

    return on(event, act)


def ended(folder: Path, *others: Any, first: Any = (), model: Any = None, **settings: Any) -> tuple[str, list[str]]:
    """The verdict of a run, and the rules with an alert in its report."""
    torch.manual_seed(0)
    model = lora(tiny_model(), targets=TARGETS) if model is None else model
    watch = LoraWatchCallback(console=False, tensorboard=False)
    arguments = {"output_dir": str(folder), "logging_steps": 1} | settings
    optimizers = arguments.pop("optimizers", None)
    trainer = build_trainer(model, stdlib_blocks(64, 32), STEPS, callbacks=[*first, watch, *others], **arguments)
    if optimizers is not None:
        trainer.optimizer, trainer.lr_scheduler = optimizers(model)
    trainer.train()
    report = report_of(folder)
    return report["verdict"], [alert["rule"] for alert in report["alerts"] if alert["severity"] == "ERROR"]


def b_of(model: Any) -> list[nn.Parameter]:
    return [parameter for name, parameter in model.named_parameters() if "lora_B" in name]


class Mine(nn.Identity):
    """So that no batch is computed again."""


def nan(model: Any) -> None:
    b_of(model)[0].fill_(torch.nan)


def zeros(model: Any) -> None:
    for b in b_of(model):
        b.zero_()


def huge(model: Any) -> None:
    for b in b_of(model):
        b.mul_(1e4)


@pytest.mark.parametrize(
    ("event", "change", "rule", "alone"),
    [
        ("step_end", nan, "LW101", False),
        ("step_end", huge, "LW102", False),
        ("epoch_end", zeros, "LW303", False),
        ("train_end", huge, "LW102", False),
        *(("step_end", change, rule, True) for change, rule in ((nan, "LW101"), (zeros, "LW303"), (huge, "LW102"))),
    ],
)
def test_what_a_callback_writes_after_the_last_step_is_found(
    event: str, change: Change, rule: str, alone: bool, tmp_path: Path
) -> None:
    """``alone``: no batch can be computed again, and the weights show it by themselves."""
    base = tiny_model()
    base.model.norm = nn.Sequential(base.model.norm, Mine())
    late = (does(event, change),)
    early = event == "train_end"  # what comes after ours comes after the end
    model = lora(base) if alone else None
    found = ended(tmp_path, *(() if early else late), first=late if early else (), model=model)
    assert found == ("unhealthy", [rule])


@pytest.mark.parametrize(("times", "rules"), [(100.0, ["LW102"]), (1.0, [])], ids=["explodes", "sound"])
def test_a_last_update_that_explodes_is_found(times: float, rules: list[str], tmp_path: Path) -> None:
    def optimizers(model: Any) -> Any:
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-3)
        return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: times if k == STEPS - 1 else 1.0)

    assert ended(tmp_path, optimizers=optimizers) == ("unhealthy" if rules else "ok", rules)


def earlier(model: Any) -> None:
    """The adapters of before the last steps, as a callback may keep the best ones."""
    for b in b_of(model):
        b.mul_(0.7)


@pytest.mark.parametrize(
    "change",
    [earlier, lambda model: model.merge_adapter(), lambda model: model.merge_and_unload(), lambda model: model.eval()],
    ids=["earlier adapters", "merged", "unloaded", "evaluation mode"],
)
def test_what_is_done_with_a_trained_model_is_no_fault(change: Change, tmp_path: Path) -> None:
    assert ended(tmp_path, first=(does("train_end", change),)) == ("ok", [])


def test_the_best_model_that_is_loaded_at_the_end_is_none(tmp_path: Path) -> None:
    often: dict[str, Any] = {"eval_strategy": "steps", "save_strategy": "steps", "eval_steps": 2, "save_steps": 2}
    worst = {"load_best_model_at_end": True, "metric_for_best_model": "loss", "greater_is_better": True}
    assert ended(tmp_path, eval_dataset=stdlib_blocks(4, 32), **often, **worst) == ("ok", [])
    state = TrainerState.load_from_json(str(tmp_path / f"checkpoint-{STEPS}" / "trainer_state.json"))
    assert report_of(tmp_path)["evaluation"]["eval_loss"]["last"] == {"step": 2, "value": state.best_metric}
