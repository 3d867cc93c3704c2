"""The loss of a batch with other adapters: exact, and nothing of it is left in the training."""

import contextlib
import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from peft.tuners.lora import LoraLayer
from torch import nn
from transformers import Trainer

from lora_watch import LoraWatchCallback, find_adapters
from lora_watch.base.records import RunInfo
from lora_watch.measurement.signals.labels import OwnLoss
from lora_watch.measurement.signals.scaled_loss import NOT_KNOWN, OTHER, ScaledLoss
from lora_watch.rules.size import HARM
from tests.rules.runs import Curious
from tests.support import few, lora, stdlib_blocks, tiny_model, train


def adapted(**config: Any) -> Any:
    """A model whose adapters are no longer zero, in training mode, with dropout."""
    torch.manual_seed(0)
    model = lora(tiny_model(), lora_dropout=0.3, **config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.2)
    return model.train()


def batch() -> dict[str, torch.Tensor]:
    rows = torch.tensor([example["input_ids"] for example in stdlib_blocks()[:4]])
    return {"input_ids": rows, "labels": rows}


@pytest.mark.parametrize("config", [{}, {"targets": ["q_proj", "v_proj"]}, {"use_dora": True}])
def test_both_losses_are_those_of_the_model_with_and_without_its_adapters(config: dict[str, Any]) -> None:
    model = adapted(**config)
    both = ScaledLoss(model, find_adapters(model))
    both.arm(HARM)
    model(**batch()).loss.backward()
    numbers = both.begin().now()
    with torch.no_grad():
        model.eval()
        assert numbers["adapted_loss"] == pytest.approx(float(model(**batch()).loss), rel=1e-6)
        with model.disable_adapter():
            assert numbers["base_loss"] == pytest.approx(float(model(**batch()).loss), rel=1e-6)
    assert numbers["adapted_loss"] != pytest.approx(numbers["base_loss"], rel=1e-3)


@pytest.mark.parametrize("targets", [["q_proj", "v_proj"], "all-linear"])
def test_a_multiple_is_that_of_a_larger_scale(targets: Any) -> None:
    model = adapted(targets=targets)
    scaled = ScaledLoss(model, find_adapters(model))
    scaled.arm({"thrice": 3.0, "half": 0.5})
    model(**batch())
    found = scaled.begin().now()
    model.eval()
    for name, multiple in (("thrice", 3.0), ("half", 0.5)):
        for module in model.modules():
            if isinstance(module, LoraLayer):
                module.set_scale("default", multiple)  # of the scale that the configuration says
        with torch.no_grad():
            assert found[name] == pytest.approx(float(model(**batch()).loss), rel=1e-5)


class Counting(torch.nn.Module):
    """Its output depends on how often it was called."""

    calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x * (1 + 0.01 * self.calls)


@pytest.mark.parametrize("what", ["module", "hook"])
def test_a_model_that_gets_code_that_nobody_knows_in_mid_run_is_not_run_again(what: str) -> None:
    model = adapted()
    both, norm = ScaledLoss(model, find_adapters(model)), model.get_submodule("base_model.model.model")
    counting = Counting()
    if what == "module":
        norm.norm = torch.nn.Sequential(norm.norm, counting)
    else:
        norm.norm.register_forward_hook(lambda module, args, output: counting(output))
    both.arm(HARM)
    model(**batch())
    assert both.begin().now() == {}
    assert both.why_not.startswith(NOT_KNOWN)
    assert "model.norm" in both.why_not
    assert counting.calls == 1


def test_modes_generators_and_hooks_are_as_before() -> None:
    model = adapted()
    model.get_submodule("base_model.model.lm_head").eval()
    both = ScaledLoss(model, find_adapters(model))

    def after_a_pass() -> tuple[Any, ...]:
        for seed in (torch.manual_seed, random.seed, np.random.seed):
            seed(1)
        loss = model(**batch()).loss
        compared.append(both.begin().now())
        hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()]
        modes, buffers = [m.training for m in model.modules()], [b.tolist() for b in model.buffers()]
        return float(loss), torch.get_rng_state().tolist(), random.random(), np.random.rand(), hooks, modes, buffers

    compared: list[dict[str, float]] = []
    plain = after_a_pass()
    both.arm(HARM)
    assert after_a_pass() == plain
    assert compared[1]


def test_what_cannot_be_compared_says_why_and_gives_nothing() -> None:
    model = adapted()
    both = ScaledLoss(model, find_adapters(model))
    assert both.begin().now() == {}, "not armed"
    both.arm(HARM)
    model(input_ids=batch()["input_ids"])
    assert both.begin().now() == {}
    assert both.why_not, "no labels"
    both = ScaledLoss(model)
    both.watch(find_adapters(model), RunInfo((), init_from_base="PiSSA"))
    assert both.why_not
    assert ScaledLoss(model, []).why_not
    model.merge_adapter()
    merged = ScaledLoss(model, find_adapters(model))
    merged.arm(HARM)
    model(**batch())
    assert merged.begin().now() == {}


def test_autocast_keeps_no_weight_without_its_gradient() -> None:
    def gradient(armed: bool) -> torch.Tensor:
        model = adapted()
        both = ScaledLoss(model, find_adapters(model))
        if armed:
            both.arm(HARM)
        torch.manual_seed(1)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            model(**batch()).loss.backward()
        assert bool(both.begin().now()) == armed
        gradients = [p.grad for n, p in model.named_parameters() if "lora_B" in n]
        return torch.cat([g.flatten() for g in gradients if g is not None])

    assert torch.equal(gradient(True), gradient(False))


def test_training_is_bit_for_bit_the_same_while_a_rule_asks_at_every_step() -> None:
    def weights(**rest: Any) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        model = few(lora_dropout=0.3)
        trainer = train(model, steps=6, gradient_accumulation_steps=2, **rest)
        return {name: p.detach().clone() for name, p in trainer.model.named_parameters() if p.requires_grad}

    callback = LoraWatchCallback(console=False, tensorboard=False, rules=[Curious()])
    monitored, plain = weights(callbacks=[callback]), weights()
    assert all(torch.equal(monitored[name], plain[name]) for name in plain)
    assert callback.monitor.last.comparable
    assert HARM.keys() <= set(callback.monitor.last.scalars)


@pytest.mark.parametrize("accumulation", [1, 4])
@pytest.mark.parametrize(
    ("change", "own"),
    [(lambda loss: loss, True), (lambda loss: loss + 0.02, True), (lambda loss: loss.exp(), False)],
    ids=["own", "a small term more", "another"],
)
def test_batches_are_compared_by_the_loss_that_is_trained_on(accumulation: int, change: Any, own: bool) -> None:
    callback = LoraWatchCallback(console=False, tensorboard=False, rules=[Curious()])

    class Changed(Trainer):
        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **kwargs: Any) -> Any:
            loss = change(super().compute_loss(model, inputs, **kwargs))
            return (loss, None) if return_outputs else loss

    batches = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": accumulation}
    train(few(), steps=3, trainer_class=Changed, callbacks=[callback], **batches)
    assert (last := callback.monitor.last) is not None
    assert last.comparable == own
    assert (HARM.keys() <= last.scalars.keys()) == own
    assert any(OTHER in note for note in callback.monitor.run.notes) != own
    if own:  # the mean of one micro-batch, however many there are
        assert last.scalars["adapted_loss"] == pytest.approx(last.scalars["loss_recent"], rel=0.3)


def test_losses_that_replicas_hear_on_devices_of_their_own_make_one() -> None:
    model = nn.Module()
    heard = OwnLoss(model, lambda doing: contextlib.nullcontext())
    for device in ("meta", "cpu"):  # as DataParallel's replicas do, on accelerators
        heard._see(model, (), {}, SimpleNamespace(loss=torch.zeros((), device=device), logits=None))
    losses = heard.take()["own_losses"]
    assert losses.shape == (2,)


def test_labels_may_lie_on_another_device_than_the_tokens() -> None:
    class SplitForCausalLM(nn.Module):
        config = SimpleNamespace(vocab_size=8)

    model, tokens = SplitForCausalLM(), torch.arange(8).reshape(1, 8)
    heard = OwnLoss(model, lambda doing: contextlib.nullcontext())
    output = SimpleNamespace(loss=torch.zeros(()), logits=torch.zeros(1, 8, 8))
    heard._see(model, (), {"input_ids": tokens, "labels": tokens.to("meta")}, output)  # as with device_map="auto"
    fit = heard.take()["labels_fit"]
    assert fit.device.type == "meta"
