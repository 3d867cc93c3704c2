"""LW3xx on real runs: each must fire on the broken wiring and stay silent on its healthy twin."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import Trainer, TrainerCallback

from lora_watch import LoraWatchCallback, LoraWatchError, Monitor, Severity
from lora_watch.rules.wiring import DETACHED, SET_BACK
from tests.rules.runs import At, ids, numbers, run, said, the, trainer_with_loss
from tests.support import build_trainer, few, lora, needs_peft, on, stdlib_blocks, tiny_model, updates

# -- LW301 -------------------------------------------------------------------------------------------------------------


def changed(model: Any, part: str, change: Callable[[Any], Any]) -> Any:
    """With another state of the parameters with ``part`` in their names."""
    for name, parameter in model.named_parameters():
        if part in name:
            change(parameter)
    return model


def with_trainable_norms(model: Any) -> Any:
    """Something else trains, so that the run goes on and its loss falls."""
    return changed(model, "norm.weight", lambda p: p.requires_grad_(True))


def merged(model: Any) -> Any:
    model.merge_adapter()
    return model


def disabled(model: Any) -> Any:
    model.base_model.disable_adapter_layers()
    return model


def frozen(model: Any, part: str = "lora_") -> Any:
    return changed(model, part, lambda p: p.requires_grad_(False))


@pytest.mark.parametrize("fault", [merged, disabled, frozen], ids=["merged", "off", "frozen"])
def test_no_trainable_adapter(fault: Any) -> None:
    monitor = run(with_trainable_norms(fault(few())), steps=4)
    alert = the("LW301", monitor)
    assert alert.step == 0
    assert 8 in numbers(said(alert))
    assert ids(monitor) == ["LW301"], "one cause, one alert"
    assert not any("had a gradient" in note for note in monitor.run.notes)


def test_a_full_fine_tune_is_no_error_and_not_well_either() -> None:
    monitor = run(tiny_model(), steps=3)
    assert ids(monitor) == []
    assert len(monitor.run.notes) == 1, "one line says it"
    assert monitor.last.loss is not None, "the loss is still watched"


@pytest.mark.parametrize("taken_out", [False, True], ids=["never-wrapped", "merged"])
def test_a_model_without_adapters_is_said_once_and_as_it_is(taken_out: bool, tmp_path: Path, caplog: Any) -> None:
    model = few().merge_and_unload() if taken_out else tiny_model()
    callback = LoraWatchCallback(console=False, fail_on="error")
    callback.meant = True  # as under lora-watch run
    with pytest.raises(LoraWatchError):
        build_trainer(model, steps=1, callbacks=[callback], output_dir=str(tmp_path)).train()
    alert = the("LW301", callback.monitor)
    many = sum(parameter.numel() for parameter in model.parameters())
    assert ("nothing will be trained" in alert.message, f"{many:,} parameters will" in alert.message) == (
        taken_out,
        not taken_out,
    )
    assert "merge_and_unload" in alert.causes[0]
    assert ("mute LW301" in str(alert)) != taken_out, "a full fine-tune may be meant"
    assert not [record for record in caplog.records if record.exc_info], "no page is drawn of nothing"


def test_a_frozen_reference_adapter_beside_the_trained_one_is_no_fault() -> None:
    model = few()
    model.add_adapter("reference", model.peft_config["default"])
    frozen(model, ".reference.").set_adapter("default")
    monitor = run(model, steps=5)
    assert ids(monitor) == []
    assert len(monitor.run.adapters) == 8
    assert not any("reference" in name for name in monitor.run.names)


# -- LW301, of the optimizer -------------------------------------------------------------------------------------------


def own_optimizer(parameters: Any) -> Any:
    def prepare(trainer: Trainer) -> None:
        trainer.optimizer = torch.optim.AdamW(parameters(trainer.model), lr=2e-3)

    return prepare


def test_adapter_not_in_optimizer_and_ones_own_complete_optimizer() -> None:
    complete = own_optimizer(lambda m: [p for p in m.parameters() if p.requires_grad])
    assert ids(run(few(), steps=6, prepare=complete)) == []
    monitor = run(
        with_trainable_norms(few()),
        steps=6,
        prepare=own_optimizer(lambda m: [p for n, p in m.named_parameters() if p.requires_grad and "lora_" not in n]),
    )
    alert = the("LW301", monitor)
    assert alert.step == 0
    assert 8 in numbers(said(alert))
    assert ids(monitor) == ["LW301"]


@pytest.mark.parametrize(
    ("lost", "what", "layers"),
    [("lora_A", "A of all 8 adapters is", 8), ("lora_B", "B of all", 8), ("2.mlp.down_proj", "1 of 8 adapters are", 1)],
)
def test_what_is_missing_in_the_optimizer_is_named(lost: str, what: str, layers: int) -> None:
    held = own_optimizer(lambda m: [p for n, p in m.named_parameters() if p.requires_grad and lost not in n])
    alert = the("LW301", run(few(), steps=2, prepare=held))
    assert alert.message.startswith(what)
    assert [lost in f"{name} lora_A lora_B" for name, _ in alert.adapters] == [True] * layers


def test_a_policys_loss_of_zero_says_nothing_about_labels() -> None:
    model = few()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    with Monitor(model, optimizer, console=False, judge_loss=False) as monitor:
        for _ in range(4):  # no gradient: cut
            optimizer.step()
            monitor.step(0.0)
    assert the("LW303", monitor).causes == DETACHED.causes


def after(step: int, change: Any) -> TrainerCallback:
    """Does something at the end of a step. Of the event's arguments ``change`` takes what it needs."""
    return on("step_end", lambda state, **event: state.global_step == step and change(**event))


def new_in_the_modules(model: Any, **_: Any) -> None:
    for module in model.modules():
        for name, parameter in list(module._parameters.items()):
            if parameter is not None and parameter.requires_grad:
                module._parameters[name] = nn.Parameter(parameter.detach().clone())


def new_in_the_groups(optimizer: Any, **_: Any) -> None:
    for group in optimizer.param_groups:
        group["params"] = [nn.Parameter(p.detach().clone()) for p in group["params"]]


@pytest.mark.parametrize("change", [new_in_the_modules, new_in_the_groups])
def test_an_optimizer_that_loses_the_adapters_in_mid_run_is_seen_at_once(change: Any) -> None:
    monitor = run(few(), steps=10, before=(after(3, change),))
    alert = the("LW301", monitor)
    assert alert.severity is Severity.ERROR
    assert 3 <= alert.step <= 4
    assert ids(monitor) == ["LW301"], "one cause, one alert"


class Stages(Trainer):
    """Goes on with another optimizer from step 6 on."""

    holds = True

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        if self.state.global_step == 5 and getattr(self.optimizer, "defaults", {}).get("lr") != 5e-4:
            model: Any = self.model
            parameters = [p for p in model.parameters() if p.requires_grad]
            held = parameters if self.holds else [nn.Parameter(p.detach().clone()) for p in parameters]
            self.optimizer = self.accelerator.prepare(torch.optim.AdamW(held, lr=5e-4))
            self.lr_scheduler = torch.optim.lr_scheduler.ConstantLR(self.optimizer, 1.0)
        return super().training_step(*args, **kwargs)


@pytest.mark.parametrize("trainer_class", [Stages, type("StagesLost", (Stages,), {"holds": False})])
def test_an_optimizer_that_is_replaced_in_mid_run_is_the_one_that_is_looked_at(trainer_class: Any) -> None:
    monitor = run(few(), steps=8, trainer_class=trainer_class)
    assert monitor.last.lr == (5e-4,)
    assert ids(monitor) == ([] if trainer_class.holds else ["LW301"])


# -- LW303 -------------------------------------------------------------------------------------------------------------
TIMES_ZERO = trainer_with_loss(lambda n, loss: 0.0 * loss)
WITHOUT_MODEL = trainer_with_loss(lambda n, loss: 0.0 * loss + 1.0)


def cut_after_block_1(model: Any, cuts: Callable[[], Any] = lambda: True) -> Any:
    """What gradient checkpointing without input gradients does: no gradient flows back past this point."""

    def cut(module: Any, args: Any, output: Any) -> Any:
        if not cuts():
            return output
        if torch.is_tensor(output):
            return output.detach().requires_grad_()
        return (output[0].detach().requires_grad_(), *output[1:])  # before transformers 5

    model.base_model.model.model.layers[1].register_forward_hook(cut)
    return model


def test_b_still_zero_in_some_layers() -> None:
    monitor = run(cut_after_block_1(few()), steps=6)
    alert = the("LW303", monitor)
    assert alert.step == 3
    assert {name.split(".")[2] for name, _ in alert.adapters} == {"0", "1"}
    assert {4, 8} <= numbers(said(alert))
    assert "model.layers.2 from model.layers.1" in alert.causes[0]
    assert f"model.layers.1 ({__name__}.cut_after_block_1" in alert.remedies[0], "the hook itself"


def test_layers_that_a_pass_goes_around_are_looked_for_there() -> None:
    model = few()
    mlp = model.base_model.model.model.layers[1].mlp
    mlp.forward = torch.no_grad()(mlp.forward)
    alert = the("LW303", run(model, steps=6))
    assert {name.split(".")[2] for name, _ in alert.adapters} == {"1"}
    assert "no_grad" in alert.causes[0]
    assert "model.layers.2 from" not in alert.causes[0]
    assert "enable_input_require_grads" not in alert.remedies[0]


PUT_BACK = on("step_end", lambda model, **_: changed(model, "lora_B", nn.init.zeros_))


@pytest.mark.parametrize(
    ("change", "settings", "cause", "remedy"),
    [
        (lambda model: changed(model, "lora_A", nn.init.zeros_), {}, "A is exactly zero", "init_lora_weights"),
        (lambda model: frozen(model, "lora_B"), {}, "B is frozen", "lora_B"),
        (lambda model: model, {"trainer_class": WITHOUT_MODEL}, "the loss does not depend on", "the loss is made of"),
        (lambda model: model, {"before": (PUT_BACK,)}, SET_BACK.causes[0], SET_BACK.remedies[0]),
        (lambda model: model, {"trainer_class": TIMES_ZERO}, "the batch has labels", "the loss is made of"),
    ],
)
def test_why_b_is_still_zero(change: Any, settings: dict[str, Any], cause: str, remedy: str) -> None:
    alert = the("LW303", run(change(few()), steps=4, **settings))
    assert (len(alert.causes), alert.causes[0].startswith(cause), remedy in alert.remedies[0]) == (1, True, True)


def test_b_still_zero_waits_for_real_updates() -> None:
    monitor = run(cut_after_block_1(few()), steps=6, lr=0.0)
    assert ids(monitor) == ["LW306"]


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        (lambda: (model := few()).enable_input_require_grads() or model, {"gradient_checkpointing": True}),
        (lambda: lora(tiny_model(), targets=["embed_tokens", "q_proj"]), {}),  # embeddings start with A at zero
        (lambda: with_trainable_norms(few()), {}),
    ],
    ids=["checkpointing done right", "embeddings", "other parameters train as well"],
)
def test_sound_wiring_is_no_fault(model: Any, settings: dict[str, Any]) -> None:
    assert ids(run(model(), steps=6, **settings)) == []


# -- LW301, of adapters that have trained ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        lambda model: model.merge_adapter(),
        lambda model: model.base_model.disable_adapter_layers(),
        lambda model: model.merge_and_unload(),
    ],
    ids=["merged", "off", "unloaded"],
)
def test_what_trained_and_is_switched_off_is_found_at_that_step(fault: Any) -> None:
    monitor = run(with_trainable_norms(few()), steps=6, before=(At(3, fault),))
    alert = the("LW301", monitor)
    assert alert.step == 3
    assert 8 in numbers(said(alert))
    assert ids(monitor) == ["LW301"], "one cause, one alert"
    assert alert.closed_step is None


def test_one_layer_that_is_merged_is_named() -> None:
    name = "model.layers.2.mlp.down_proj"
    monitor = run(few(), steps=6, before=(At(3, lambda model: model.get_base_model().get_submodule(name).merge()),))
    assert [found for found, _ in the("LW301", monitor).adapters] == [name]
    assert ids(monitor) == ["LW301"]


def test_merging_for_an_evaluation_and_unmerging_is_no_fault() -> None:
    def evaluate(model: Any, **_: Any) -> None:
        model.merge_adapter()
        model(input_ids=torch.tensor([stdlib_blocks()[0]["input_ids"]]))
        model.unmerge_adapter()

    assert ids(run(few(), steps=8, before=(on("step_end", evaluate),))) == []


# -- LW303, from some step on ------------------------------------------------------------------------------------------


def test_layers_that_no_gradient_reaches_any_more_are_named() -> None:
    monitor = run(few(), steps=24, before=(At(5, cut_after_block_1),))
    alert = the("LW303", monitor)
    assert alert.step == 15, "ten updates without"
    assert 6 in numbers(said(alert))
    assert {name.split(".")[2] for name, _ in alert.adapters} == {"0", "1"}
    assert ids(monitor) == ["LW303"]


def test_layers_that_are_left_out_now_and_then_are_no_fault() -> None:
    """At nine steps out of ten no gradient reaches them."""
    done: list[int] = []
    model = cut_after_block_1(few(), cuts=lambda: len(done) % 10)
    assert ids(run(model, steps=31, before=(on("step_end", lambda **_: done.append(1)),))) == []


class Experts(nn.Module):
    """Token t goes to expert t mod 4; ``reached`` says which of them see any."""

    def __init__(self, reached: int):
        super().__init__()
        self.experts = nn.ModuleList(nn.Linear(8, 8) for _ in range(4))
        self.gate = nn.Linear(8, 8)
        self.reached = reached

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = [expert(x[i :: self.reached]) for i, expert in enumerate(self.experts) if i < self.reached]
        return self.gate(x) + torch.cat(parts or [x])

    @staticmethod
    def train(reached: int, steps: int, **config: Any) -> Monitor:
        torch.manual_seed(0)
        targets = r".*(gate|experts\.\d)"
        model = get_peft_model(nn.Sequential(Experts(reached)), LoraConfig(target_modules=targets, **config))
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
        with Monitor(model, optimizer) as monitor:
            updates(monitor, optimizer, (model(torch.randn(12, 8)).square().mean() for _ in range(steps)))
        return monitor


def test_an_expert_that_sees_no_token_is_no_fault_but_experts_that_none_reaches_are() -> None:
    assert "LW303" not in ids(Experts.train(reached=3, steps=14))
    assert "LW303" not in ids(Experts.train(reached=3, steps=14, init_lora_weights=False))
    for config in ({}, {"init_lora_weights": False}):
        alert = the("LW303", Experts.train(reached=0, steps=14, **config))
        assert [name for name, _ in alert.adapters] == [f"0.experts.{i}" for i in range(4)]


# -- LW310 -------------------------------------------------------------------------------------------------------------


def test_names_that_match_nothing_are_listed_before_the_first_step() -> None:
    model = lora(
        tiny_model(),
        alpha=8,
        targets=["q_proj", "v_prjo"],
        rank_pattern={"layers.0.self_attn.q_proj": 4, "layers.9.self_attn.q_proj": 4},
    )
    monitor = run(model, steps=2)
    alert = the("LW310", monitor)
    assert alert.step == 0
    named = ("target_modules 'v_prjo'", "'v_proj'", "rank_pattern 'layers.9.self_attn.q_proj'")
    assert all(name in said(alert) for name in named)
    assert "layers.0" not in said(alert)
    assert ids(monitor) == ["LW310"]
    others, _ = of_names(lora(tiny_model(), targets=["q_proj", "embed_token", "norms", "self_atn", "up_prj"]))
    assert [name.partition("(")[2] for name in others] == ["", "", "", "is 'up_proj' meant?)"], "layers alone"
    low = the("LW104", run(lora(tiny_model(), targets=["q_proj", "v_prjo"]), steps=16, lr=1e-3))
    assert ("(LW310" in low.causes[0], low.next_run) == (True, None), "and no rate is to blame"
    lowest = the("LW104", run(lora(tiny_model(), targets=["q_proj", "v_prjo"]), steps=16, lr=1e-6))
    assert "(LW310)" in lowest.remedies[0], "what comes before its rate"


def of_names(model: Any) -> tuple[list[str], list[Severity]]:
    """Before the first step: the names that the model lacks, and LW310's severity."""
    with Monitor(model.train(), console=False) as monitor:
        severity = [alert.severity for alert in monitor.alerts if alert.rule == "LW310"]
        return [*monitor.run.unmatched], severity


NOTHING: Any = ([], [])
LEFT_OUT: dict[str, dict[str, Any]] = {
    "all but one": {"targets": "all-linear", "exclude_modules": ["down_proj"]},
    "excluded": {"targets": ["q_proj", "down_proj"], "exclude_modules": ["down_proj"]},
    "excluded head": {"targets": ["q_proj", "lm_head"], "exclude_modules": ["lm_head"]},
    "full path": {"targets": ["q_proj", "model.layers.1.mlp.up_proj"], "exclude_modules": ["layers.1.mlp.up_proj"]},
    "some layers": {"targets": ["q_proj", "layers.2.mlp.up_proj"], "layers_to_transform": [1]},
    "trained whole": {"targets": ["q_proj", "lm_head"], "modules_to_save": ["lm_head"]},
    "tokens": {"targets": ["q_proj", "lm_head"], "trainable_token_indices": [1], "exclude_modules": ["lm_head"]},
}


@needs_peft("0.15")
@pytest.mark.parametrize("case", LEFT_OUT)
def test_what_a_setting_leaves_out_is_not_missing_and_a_mistyped_name_is(case: str) -> None:
    targets = LEFT_OUT[case]["targets"]
    assert of_names(lora(tiny_model(), **LEFT_OUT[case])) == NOTHING
    setting = "rank_pattern" if targets == "all-linear" else "target_modules"
    typo = {"targets": [*targets, "v_prjo"]} if setting == "target_modules" else {setting: {"v_prjo": 4}}
    missing, severity = of_names(lora(tiny_model(), **{**LEFT_OUT[case], **typo}))
    assert missing == [f"{setting} 'v_prjo' (is 'v_proj' meant?)"]
    assert severity == [Severity.WARNING]


def only_blocks(*blocks: int) -> Any:
    def freeze(model: Any, **_: Any) -> None:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_("lora_" in name and any(f"layers.{block}." in name for block in blocks))

    return freeze


def test_layers_that_are_trained_in_turn_are_no_fault() -> None:
    turns = [after(step, only_blocks(step % 4, (step + 1) % 4)) for step in range(2, 20, 3)]

    def prepare(trainer: Any) -> None:
        adapters = [p for name, p in trainer.model.named_parameters() if "lora_" in name]
        trainer.optimizer = torch.optim.AdamW(adapters, lr=8e-3)  # a layer is trained at half of the steps only

    monitor = run(few(), steps=20, before=tuple(turns), prepare=prepare)
    assert ids(monitor) == []
