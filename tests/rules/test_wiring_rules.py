"""LW3xx on real runs: each must fire on the broken wiring and stay silent on its healthy twin."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import Trainer

from tests.rules.runs import At, healthy, ids, run, the
from tests.support import lora, tiny_model


def test_the_healthy_twin_raises_nothing() -> None:
    assert healthy().alerts == []


# -- LW301 -------------------------------------------------------------------------------------------------------------


def with_trainable_norms(model: Any) -> Any:
    """Something else trains, so that the run goes on and its loss falls."""
    for name, parameter in model.named_parameters():
        if name.endswith("norm.weight"):
            parameter.requires_grad_(True)
    return model


def merged(model: Any) -> Any:
    model.merge_adapter()
    return model


def disabled(model: Any) -> Any:
    model.base_model.disable_adapter_layers()
    return model


def frozen(model: Any) -> Any:
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.requires_grad_(False)
    return model


@pytest.mark.parametrize(
    ("fault", "words"),
    [(merged, "merged"), (disabled, "disabled"), (frozen, "frozen")],
    ids=["merged", "off", "frozen"],
)
def test_no_trainable_adapter(fault: Any, words: str) -> None:
    monitor = run(with_trainable_norms(fault(lora(tiny_model()))), steps=4)
    alert = the("LW301", monitor)
    assert alert.step == 0
    assert words in alert.message
    assert "all 28 adapters" in alert.message
    assert ids(monitor) == ["LW301"], "one cause, one alert"


def test_no_trainable_adapter_is_silent_while_other_parameters_train_as_well() -> None:
    assert ids(run(with_trainable_norms(lora(tiny_model())), steps=4)) == []


def test_merging_in_the_middle_of_a_run_is_found_at_that_step() -> None:
    model = with_trainable_norms(lora(tiny_model()))
    monitor = run(model, steps=6, before=(At(3, lambda model: model.merge_adapter()),))
    assert the("LW301", monitor).step == 3


def test_a_frozen_reference_adapter_beside_the_trained_one_is_no_fault() -> None:
    model = lora(tiny_model())
    model.add_adapter("reference", model.peft_config["default"])
    for name, parameter in model.named_parameters():
        if ".reference." in name:
            parameter.requires_grad_(False)
    model.set_adapter("default")
    monitor = run(model, steps=5)
    assert ids(monitor) == []
    assert len(monitor.run.adapters) == 28
    assert not any("reference" in name for name in monitor.run.names)


# -- LW302 -------------------------------------------------------------------------------------------------------------


def own_optimizer(parameters: Any) -> Any:
    def prepare(trainer: Trainer) -> None:
        trainer.optimizer = torch.optim.AdamW(parameters(trainer.model), lr=2e-3)

    return prepare


def test_adapter_not_in_optimizer() -> None:
    monitor = run(
        with_trainable_norms(lora(tiny_model())),
        steps=6,
        prepare=own_optimizer(lambda m: [p for n, p in m.named_parameters() if p.requires_grad and "lora_" not in n]),
    )
    alert = the("LW302", monitor)
    assert alert.step == 0
    assert "all 28 adapters" in alert.message
    assert ids(monitor) == ["LW302"]


def test_an_optimizer_with_tensors_of_the_right_shape_from_another_copy_is_found() -> None:
    stale = lora(tiny_model())
    monitor = run(steps=6, prepare=own_optimizer(lambda m: [p for p in stale.parameters() if p.requires_grad]))
    assert the("LW302", monitor).step == 0


def test_one_forgotten_layer_is_named() -> None:
    monitor = run(
        steps=6,
        prepare=own_optimizer(
            lambda m: [p for n, p in m.named_parameters() if p.requires_grad and "layers.2.mlp.down_proj" not in n]
        ),
    )
    assert [name for name, _ in the("LW302", monitor).adapters] == ["model.layers.2.mlp.down_proj"]


def test_adapter_not_in_optimizer_is_silent_with_ones_own_complete_optimizer() -> None:
    complete = own_optimizer(lambda m: [p for p in m.parameters() if p.requires_grad])
    assert ids(run(steps=6, prepare=complete)) == []


# -- LW303 -------------------------------------------------------------------------------------------------------------


def cut_after_block_1(model: Any) -> Any:
    """What gradient checkpointing without input gradients does: no gradient flows back past this point."""

    def cut(module: Any, args: Any, output: Any) -> Any:
        if torch.is_tensor(output):
            return output.detach().requires_grad_()
        return (output[0].detach().requires_grad_(), *output[1:])  # before transformers 5

    model.base_model.model.model.layers[1].register_forward_hook(cut)
    return model


def test_b_still_zero_in_some_layers() -> None:
    monitor = run(cut_after_block_1(lora(tiny_model())), steps=6)
    alert = the("LW303", monitor)
    assert alert.step == 3
    assert {name.split(".")[2] for name, _ in alert.adapters} == {"0", "1"}
    assert "14 of 28 adapters" in alert.message


def test_b_still_zero_waits_for_real_updates() -> None:
    monitor = run(cut_after_block_1(lora(tiny_model())), steps=6, lr=0.0)
    assert ids(monitor) == []


def test_b_still_zero_is_silent_under_checkpointing_done_right() -> None:
    model = lora(tiny_model())
    model.enable_input_require_grads()
    assert ids(run(model, steps=6, gradient_checkpointing=True)) == []


def test_embeddings_start_with_a_zero_and_are_no_fault() -> None:
    assert ids(run(lora(tiny_model(), targets=["embed_tokens", "q_proj"]), steps=6)) == []
