"""What a recovered run leaves behind is what it computes: adapters, checkpoints, buffers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from torch import optim
from torch.optim import lr_scheduler as schedules
from transformers import Trainer

from lora_watch import LoraWatchCallback, LoraWatchError
from lora_watch.gate import judge
from tests.support import build_trainer, lora, report_of, stdlib_blocks, tiny_model

STRONG, STEPS = 1e-2, 12
IDS = torch.arange(32).reshape(2, 16)


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=IDS).logits


def grouped(model: Any, lr_a: float, lr_b: float) -> optim.Optimizer:
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    sides = [[p for name, p in named if ("lora_B" in name) == b] for b in (False, True)]
    return optim.AdamW([{"params": side, "lr": lr} for side, lr in zip(sides, (lr_a, lr_b))], weight_decay=0.0)


def scheduled(schedule: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, Any]]:
    def make(model: Any) -> tuple[Any, Any]:
        optimizer = optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=STRONG, weight_decay=0.0)
        return optimizer, schedule(optimizer)

    return make


EVALUATED: dict[str, Any] = {"eval_strategy": "steps", "eval_steps": 2, "eval_dataset": stdlib_blocks(68, 16)[64:]}
CASES: dict[str, dict[str, Any]] = {
    "dora and a head": {"config": {"use_dora": True, "modules_to_save": ["lm_head"], "lora_dropout": 0.2}},
    "a rate of 0": {"optimizers": lambda model: (grouped(model, 0.0, STRONG), None)},
    "plateau": {**EVALUATED, "lr_scheduler_type": "reduce_lr_on_plateau"},
    "one cycle": {"optimizers": scheduled(lambda o: schedules.OneCycleLR(o, 2 * STRONG, total_steps=STEPS))},
}


def trained(case: dict[str, Any], folder: Path) -> Trainer:
    case = dict(case)
    config, make = case.pop("config", {}), case.pop("optimizers", None)
    torch.manual_seed(0)
    model = lora(tiny_model(), alpha=128, **config)
    watch = LoraWatchCallback(recover=3, console=False, tensorboard=False)
    rest = {"lr": STRONG, "output_dir": str(folder), "callbacks": [watch], **case}
    trainer = build_trainer(model, stdlib_blocks(64, 16), STEPS, **rest)
    if make is not None:
        trainer.optimizer, trainer.lr_scheduler = make(model)
    trainer.train()
    return trainer


@pytest.mark.thorough
@pytest.mark.parametrize("name", CASES)
def test_what_is_saved_loads_as_what_the_model_computes(name: str, tmp_path: Path) -> None:
    trainer = trained(CASES[name], tmp_path)
    model: Any = trainer.model
    recovered = report_of(trainer)["recoveries"]
    assert recovered
    assert all(recovery["changed"] for recovery in recovered)
    model.save_pretrained(tmp_path / "final")
    again = PeftModel.from_pretrained(tiny_model(), tmp_path / "final")
    assert torch.allclose(logits(again), logits(model), atol=1e-5)


def test_a_recovery_at_the_last_step_is_no_rescue(tmp_path: Path) -> None:
    """What is left is sound, and nobody has trained it on: the run does not end well."""
    first = LoraWatchCallback(fail_on="error", console=False, tensorboard=False)
    torch.manual_seed(0)
    rest: dict[str, Any] = {"lr": STRONG, "lr_scheduler_type": "constant"}
    trainer = build_trainer(lora(tiny_model(), alpha=128), stdlib_blocks(64, 16), STEPS, callbacks=[first], **rest)
    with pytest.raises(LoraWatchError):
        trainer.train()
    with pytest.raises(LoraWatchError, match=r"the last\b.*trained"):
        trained({"max_steps": trainer.state.global_step, "lr_scheduler_type": "constant"}, tmp_path)
    report = report_of(tmp_path)
    assert (report["verdict"], len(report["recoveries"])) == ("failed", 1)
    assert judge([tmp_path]).exit_code == 1
