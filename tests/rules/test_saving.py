"""What is on the disk is what was trained: a save that lost a layer and a resume that began anew are ERRORs."""

import contextlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from transformers import TrainerCallback

from lora_watch import Alert, Finding, LoraWatchCallback, LoraWatchError, Monitor, Rule, Severity, find_adapters
from lora_watch.runs.run import latest_run
from tests.adapters.test_placement import mixture
from tests.stored.saving import UP, Damages, lose_a_layer, rewrite
from tests.support import build_trainer, few, lora, needs_peft, on, report_of, stdlib_blocks, tiny_model, updates

LAYERS = ["q_proj", "up_proj"]
STEPWISE = {"save_strategy": "steps", "save_steps": 2, "save_total_limit": 2}
BY_EPOCH = {"save_strategy": "epoch", "dataset": stdlib_blocks(12), "steps": -1}


def trainer(
    folder: Path, *callbacks: TrainerCallback, model: Any = None, saves: Any = STEPWISE, steps: int = 6, **options: Any
) -> Any:
    """It and its callback, whose settings are ``options``."""
    watch = LoraWatchCallback(**{"tensorboard": False, "console": False, **options})
    settings = {"output_dir": str(folder), "steps": steps, **saves}
    return build_trainer(model or lora(tiny_model(), targets=LAYERS), callbacks=[*callbacks, watch], **settings), watch


def of(rule: str, watch: LoraWatchCallback) -> list[Alert]:
    return [alert for alert in watch.monitor.alerts if alert.rule == rule]


# -- a save ------------------------------------------------------------------------------------------------------------
def test_a_save_without_a_layer_ends_the_run_before_the_next_one_replaces_a_good_one(tmp_path: Path) -> None:
    made, watch = trainer(tmp_path, Damages(lose_a_layer), fail_on="error")
    with pytest.raises(LoraWatchError, match="the saved adapter is not the trained one"):
        made.train()
    (alert,) = of("LW313", watch)
    assert (alert.step, [name for name, _ in alert.adapters]) == (4, ["model.layers.1.mlp.up_proj"])
    assert "checkpoint-4 lacks 1 of 8 adapters" in str(alert)
    assert "Cause: a _save or a state_dict of the script's own" in str(alert), "there is one process"
    assert (tmp_path / "checkpoint-2").is_dir()


@pytest.mark.parametrize(
    ("change", "severity", "words"),
    [
        (lambda content: content.clear(), "ERROR", "no lora_A and lora_B in it"),
        (lambda content: content[f"{UP}B.weight"].zero_(), "ERROR", "model.layers.1.mlp.up_proj has 0 instead of"),
        (lambda content: content[f"{UP}B.weight"].mul_(1.2), "WARNING", "have another ‖ΔW‖"),
    ],
    ids=["empty", "a layer of zeros", "averaged weights"],
)
def test_what_else_a_save_can_lose(change: Callable[..., Any], severity: str, words: str, tmp_path: Path) -> None:
    made, watch = trainer(tmp_path, Damages(change, step=6))  # of the last step: the end of the run says it
    made.train()
    (alert,) = of("LW313", watch)
    assert (alert.severity.name, words in str(alert)) == (severity, True), str(alert)


def plain(
    model: Any, steps: int, after: Callable[[Monitor], None] | None = None, resume: Any = None, **options: Any
) -> Monitor:
    """A loop of one's own."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    batch = torch.tensor([block["input_ids"] for block in stdlib_blocks(4)]) % model.config.vocab_size
    monitor = Monitor(model, optimizer, console=False, **{"fail_on": "error", **options})
    if resume is not None:
        monitor.load_state_dict(resume)
    with monitor:
        for _ in range(steps):
            updates(monitor, optimizer, [model(input_ids=batch, labels=batch).loss])
            if after is not None:
                after(monitor)
    return monitor


@pytest.mark.parametrize("lost", [None, lose_a_layer, lambda content: content[f"{UP}B.weight"].zero_()])
def test_what_a_script_saves_after_training_is_read_back_once(lost: Callable[..., Any] | None, tmp_path: Path) -> None:
    evaluates = {"eval_strategy": "steps", "eval_steps": 2, "eval_dataset": stdlib_blocks()[:4]}
    best = {"load_best_model_at_end": True, "metric_for_best_model": "steps"}
    made, _ = trainer(tmp_path, saves={"save_strategy": "steps", "save_steps": 2, **evaluates, **best}, fail_on="error")
    made.evaluate = lambda *_, **__: {"eval_steps": -made.state.global_step}  # that of step 2 is loaded at the end
    made.train()
    assert "save_model" in vars(made)
    if lost:
        save = made._save
        made._save = lambda folder, **options: [save(folder, **options), rewrite(Path(folder), lost)]
    with pytest.raises(LoraWatchError, match="LW313") if lost else contextlib.nullcontext():
        made.save_model()
    report = report_of(tmp_path)
    assert [report["verdict"], *(alert["rule"] for alert in report["alerts"])] == (
        ["unhealthy", "LW313"] if lost else ["ok"]
    )
    assert "save_model" not in vars(made)


@pytest.mark.parametrize(("lost", "every"), [(False, 1), (True, 1), (True, 3)], ids=["", "lost", "norms unknown"])
def test_a_plain_loop_may_ask_when_it_is_over(lost: bool, every: int, tmp_path: Path) -> None:
    model = lora(tiny_model())
    monitor = plain(model, 4, every=every)
    model.save_pretrained(tmp_path)
    rewrite(tmp_path, lose_a_layer if lost else lambda content: None)
    with pytest.raises(LoraWatchError, match="LW313") if lost else contextlib.nullcontext():
        monitor.saved(tmp_path)


# -- a resume ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("fail_on", ["never", "error"])
def test_a_nan_in_a_checkpoint_is_an_error_before_a_step_is_spent(fail_on: str, tmp_path: Path) -> None:
    trainer(tmp_path, steps=4)[0].train()
    rewrite(tmp_path / "checkpoint-4", lambda content: [factor.fill_(math.nan) for factor in content.values()])
    made, watch = trainer(tmp_path, steps=6, fail_on=fail_on)
    with contextlib.nullcontext() if fail_on == "never" else pytest.raises(LoraWatchError):
        made.train(resume_from_checkpoint=True)
    (alert,) = watch.monitor.alerts
    assert (alert.rule, alert.step, alert.severity) == ("LW101", 4, Severity.ERROR)
    assert alert.next_run is None, "no rate has made it so"
    assert made.state.global_step == (6 if fail_on == "never" else 4)


@pytest.mark.parametrize(("checkpoint", "known"), [(2, []), (4, ["LW313"])], ids=["a good one", "the damaged one"])
def test_a_checkpoint_brings_the_alert_about_itself(checkpoint: int, known: list[str], tmp_path: Path) -> None:
    """Its own state was saved before it was read back."""
    trainer(tmp_path, Damages(lambda content: content[f"{UP}B.weight"].mul_(1.2), step=4), steps=4)[0].train()
    made, watch = trainer(tmp_path, steps=6, saves={"save_strategy": "no"})
    made.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{checkpoint}"))
    assert [alert.rule for alert in of("LW313", watch)] == known


class StartsAnew(TrainerCallback):
    """Puts the adapter of a first start in place of the one that was loaded."""

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.zero_()


def test_a_resume_that_drops_the_adapter_is_an_error_and_one_that_loads_it_is_none(tmp_path: Path) -> None:
    trainer(tmp_path, steps=4, tensorboard=True)[0].train()
    made, watch = trainer(tmp_path, StartsAnew(), steps=6, fail_on="error", tensorboard=True)
    with pytest.raises(LoraWatchError, match=r"^ERROR at step 4: training does not go on from"):
        made.train(resume_from_checkpoint=True)
    (alert,) = of("LW314", watch)
    assert (alert.step, "B is zero in 8 of 8 adapters" in str(alert), "created anew" in str(alert)) == (4, True, True)
    drawn = latest_run(tmp_path).data  # of tab and page, from the events: the session has written no step of its own
    assert [(each["rule"], each["step"]) for each in drawn.alerts()["alerts"]] == [("LW314", 4)]

    made, watch = trainer(tmp_path, steps=6)
    made.train(resume_from_checkpoint=True)
    assert watch.monitor.alerts == []


@pytest.mark.parametrize(
    ("change", "first", "why"),
    [
        (lose_a_layer, "B is zero in 1 of 8", "the checkpoint's file lacks these layers"),
        (lambda file: [b.mul_(2) for b in file.values()], "8 of 8 adapters have", "use_rslora or the weights differ"),
        (lambda file: [b.mul_(1 + i) for i, b in enumerate(file.values())], "8 of 8", "come from another file"),
    ],
    ids=["a layer", "one factor", "other weights"],
)
def test_a_resume_from_a_damaged_file_names_what_it_lacks_and_the_way_out(
    change: Callable[..., Any], first: str, why: str, tmp_path: Path
) -> None:
    trainer(tmp_path, steps=4)[0].train()
    rewrite(tmp_path / "checkpoint-4", change)
    made, watch = trainer(tmp_path, steps=6, fail_on="error")
    with pytest.raises(LoraWatchError) as raised:
        made.train(resume_from_checkpoint=True)
    (alert,) = of("LW314", watch)
    assert len(alert.adapters) == (1 if change is lose_a_layer else 8)
    assert change is not lose_a_layer or alert.adapters[0][0] == "model.layers.1.mlp.up_proj"
    assert first in alert.details
    assert why in alert.causes[0]
    assert "\n  Fix: resume " in str(raised.value)
    assert not any(words in str(raised.value) for words in ("created anew", "was open"))


def test_a_scale_that_the_script_moves_is_no_other_checkpoint(tmp_path: Path) -> None:
    def move(state: Any, model: Any, **_: Any) -> None:
        for adapter in find_adapters(model):
            adapter.module.scaling["default"] = 0.1 * (1 + state.global_step)

    trainer(tmp_path, on("step_begin", move), steps=4)[0].train()
    made, watch = trainer(tmp_path, on("step_begin", move), steps=6)
    made.train(resume_from_checkpoint=True)
    assert of("LW314", watch) == []


def saves(state: Any, control: Any, **_: Any) -> None:
    control.should_save = state.global_step == 3


@pytest.mark.parametrize("callbacks", [[], [on("step_end", saves)]], ids=["nobody saves", "a callback saves"])
def test_a_failed_run_without_a_save_strategy_saves_what_a_callback_asks_for(
    callbacks: list[TrainerCallback], tmp_path: Path
) -> None:
    @dataclass
    class Third(Rule):
        id = "X003"
        severity = Severity.ERROR

        def check(self, record: Any) -> Finding | None:
            return Finding("it is the third step") if record.step == 3 else None

    made, _ = trainer(tmp_path, *callbacks, model=few(), saves={}, fail_on="error", rules=[Third()])
    with pytest.raises(LoraWatchError):
        made.train()
    assert len([*tmp_path.glob("checkpoint-3")]) == len(callbacks)


def test_an_alert_that_came_with_the_checkpoint_was_open_when_it_was_saved(tmp_path: Path) -> None:
    trainer(tmp_path, Damages(lose_a_layer, 2), steps=4)[0].train()
    made, _ = trainer(tmp_path, steps=6, fail_on="error")
    with pytest.raises(
        LoraWatchError, match=r"^The run does not go on from step 4: LW313 .* was open when it\s+was saved"
    ):
        made.train(resume_from_checkpoint=True)
    (note,) = latest_run(tmp_path).notes
    assert note.startswith("The run does not go on from step 4: LW313"), "check and show say it, too"


@pytest.mark.parametrize("own", [False, True], ids=["the Trainer's optimizer", "the script's own"])
def test_a_rate_that_the_checkpoint_overrules_is_a_warning_and_prescribed_no_more(own: bool, tmp_path: Path) -> None:
    def resumed(lr: float, steps: int, again: bool = True, **options: Any) -> LoraWatchCallback:
        made, watch = trainer(tmp_path, steps=steps, saves={**STEPWISE, "lr": lr}, mute=["LW102", "LW202"], **options)
        if own:
            made.args.learning_rate, made.optimizer = 5e-5, torch.optim.AdamW(made.model.parameters(), lr=lr)
        made.train(resume_from_checkpoint=again)
        return watch

    before = resumed(0.1, 2, again=False).monitor.next_run
    assert resumed(0.1, 4).monitor.next_run == before, "the script has not changed"
    with pytest.raises(LoraWatchError, match=r"(?s)learning_rate 0\.006 has no effect: .*\scheckpoint's, 0\.1 "):
        resumed(0.006, 6, fail_on="warning")
    watch = resumed(0.006, 6)
    assert [(alert.step, "Trainer" in str(alert)) for alert in of("LW314", watch)] == [(4, False)], "as of a loop"
    assert max(watch.monitor.last.lr) == pytest.approx(0.1 / 6), "the checkpoint's rate, the script's schedule"
    assert (before.allows("learning_rate", 0.006), watch.monitor.next_run) == (True, None)


def test_a_resume_is_judged_by_itself_and_not_by_an_earlier_one(tmp_path: Path) -> None:
    def session(lr: float, steps: int, fail_on: Any = "never", alpha: int = 16) -> LoraWatchCallback:
        model = lora(tiny_model(), alpha=alpha, targets=LAYERS)
        made, watch = trainer(tmp_path, model=model, saves={**STEPWISE, "lr": lr}, steps=steps, fail_on=fail_on)
        made.train(resume_from_checkpoint=steps > 2)
        return watch

    session(5e-3, 2)
    assert [alert.closed_step for alert in of("LW314", session(1e-3, 4))] == [None]
    with pytest.raises(LoraWatchError, match=r"^ERROR at step 4: training does not go on from") as raised:
        session(5e-3, 6, "error", alpha=64)
    assert "each adapter adds 4 times as much" in str(raised.value.alerts[0])
    (alert,) = of("LW314", session(5e-3, 6, {"LW314": "warning"}))
    assert (alert.step, alert.closed_step, alert.severity) == (2, 4, Severity.INFO)


def test_a_trial_of_a_search_is_not_compared_with_the_checkpoints_of_another_training(tmp_path: Path) -> None:
    trainer(tmp_path)[0].train()
    made, watch = trainer(tmp_path, fail_on="error")
    made.args.learning_rate /= 4
    made._get_output_dir = lambda trial=None: str(tmp_path / "run-0")
    made.train(trial={})
    assert (tmp_path / "run-0").is_dir()
    assert of("LW313", watch) == []


def test_a_session_from_a_checkpoint_of_an_epoch_knows_what_was_saved(tmp_path: Path) -> None:
    def by_epoch(epochs: int, *callbacks: TrainerCallback) -> Any:
        return trainer(tmp_path, *callbacks, saves={**BY_EPOCH, "num_train_epochs": epochs})

    by_epoch(1)[0].train()
    made, watch = by_epoch(2)
    made.train(resume_from_checkpoint=True)
    assert of("LW314", watch) == []
    made, watch = by_epoch(3, StartsAnew())
    made.train(resume_from_checkpoint=True)
    assert [alert.step for alert in of("LW314", watch)] == [6]


def test_a_failure_that_is_not_to_be_saved_is_not_saved_at_the_end_of_the_epoch_either(tmp_path: Path) -> None:
    saves = {**BY_EPOCH, "save_total_limit": 1, "num_train_epochs": 3}
    made, _ = trainer(tmp_path, Damages(lose_a_layer, 3), saves=saves, fail_on="error")
    with pytest.raises(LoraWatchError):
        made.train()
    assert [folder.name for folder in tmp_path.glob("checkpoint-*")] == ["checkpoint-3"]


def test_what_the_files_do_not_tell_is_no_finding(tmp_path: Path) -> None:
    config = peft.IA3Config(target_modules=["q_proj"], feedforward_modules=[], task_type="CAUSAL_LM")
    made, watch = trainer(tmp_path, model=peft.get_peft_model(tiny_model(), config), steps=4)
    made.train()
    assert of("LW313", watch) == []


# -- AdaLoRA, whose ranks are cut, and experts that are stored together ------------------------------------------------
def adaptive() -> Any:
    ranks: Any = {"init_r": 6, "target_r": 2, "tinit": 1, "tfinal": 3, "deltaT": 1, "total_step": 6, "lora_alpha": 16}
    config = peft.AdaLoraConfig(**ranks, target_modules=["q_proj", "up_proj"], task_type="CAUSAL_LM")
    return peft.get_peft_model(tiny_model(), config)


def experts() -> Any:
    parameters = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
    return lora(mixture(), targets=["q_proj"], target_parameters=parameters)


KINDS = [
    pytest.param(adaptive, "model.layers.1.mlp.up_proj", "layers.1.mlp.up_proj.lora_E", id="AdaLoRA"),
    pytest.param(
        experts,
        "model.layers.1.mlp.experts.gate_up_proj",
        "layers.1.mlp.experts.base_layer.lora_B.weight",
        id="experts",
        marks=needs_peft("0.18"),
    ),
]


@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.parametrize(("make", "name", "key"), KINDS)
def test_cut_ranks_and_experts_are_compared(make: Any, name: str, key: str, damaged: bool, tmp_path: Path) -> None:
    model, state = make(), dict[str, Any]()
    settings = {"fail_on": "never", "mute": ["LW205"]}  # the experts are random

    def save(monitor: Monitor) -> None:
        if hasattr(model, "rankallocator"):
            model.update_and_allocate(monitor.steps)
        model.save_pretrained(tmp_path)
        if damaged and monitor.steps == 3:
            rewrite(tmp_path, lambda content: content[f"base_model.model.model.{key}"].mul_(3))
        monitor.saved(tmp_path)
        state.update(json.loads(json.dumps(monitor.state_dict())))

    def found(monitor: Monitor) -> list[list[str]]:
        return [[alert.rule, *(layer for layer, _ in alert.adapters)] for alert in monitor.alerts]

    assert found(plain(model, 3, save, **settings)) == ([["LW313", name]] if damaged else [])
    state.pop("episodes")  # with the alert of the save
    again = peft.PeftModel.from_pretrained(make().unload(), tmp_path, is_trainable=True)
    assert found(plain(again, 1, resume=state, **settings)) == ([["LW314", name]] if damaged else [])
