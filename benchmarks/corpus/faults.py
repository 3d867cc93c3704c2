"""Faults to inject into a healthy run, each with the rules that should name it.

::

    trainer = Trainer(..., callbacks=[LoraWatchCallback()])     # built with FAULTS["lr-x100"].arguments, if any
    FAULTS["lr-x100"].inject(trainer, 20)                       # before train(): the fault begins with step 20
    trainer.train()

``prepare(model)`` comes before the Trainer is built, ``arguments`` go into its TrainingArguments. Nothing depends on
the order of callbacks: faults act when a step begins, inside it, or right after the optimizer's own step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from transformers import Trainer, TrainerCallback

from lora_watch import find_adapters
from lora_watch.adapters import Adapter


@dataclass(frozen=True)
class Fault:
    """One way to spoil a run."""

    name: str
    rules: tuple[str, ...]
    """Any of these rules names the fault; the first is the best name."""
    layer: bool
    """The fault sits in one layer, ``victim(model)``, and the alert should name it first."""
    inject: Callable[[Trainer, int], None]
    """Called with the built Trainer, before ``train()``, and the optimizer step (from 1) with which the fault begins.
    Faults of the model or the set-up are there from the start and ignore the step."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """TrainingArguments without which the fault is none."""
    prepare: Callable[[Any], None] | None = None
    """Changes the model before the Trainer is built."""


def victim(model: Any) -> Adapter:
    """The adapter that faults of one layer strike: the middle one in module order."""
    adapters = find_adapters(model)
    return adapters[len(adapters) // 2]


# -- when and how a fault acts -----------------------------------------------------------------------------------------
class _At(TrainerCallback):
    """Calls ``act(model, optimizer, lr_scheduler)`` once: at the beginning of ``step``, or after its update."""

    def __init__(self, step: int, act: Callable[[Any, Any, Any], None], after_update: bool = False):
        self.step, self.act, self.after_update = step, act, after_update

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not self.after_update:
            self._maybe(state, kwargs)

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.after_update:
            self._maybe(state, kwargs)

    def _maybe(self, state: Any, kwargs: dict[str, Any]) -> None:
        if state.global_step + 1 == self.step:
            self.act(kwargs["model"], kwargs["optimizer"], kwargs["lr_scheduler"])


def _at(act: Callable[[Any, Any, Any], None], after_update: bool = False) -> Callable[[Trainer, int], None]:
    return lambda trainer, step: trainer.add_callback(_At(step, act, after_update))


def _loss(change: Callable[[int, int, Any, Callable[[Any], Any]], Any]) -> Callable[[Trainer, int], None]:
    """Put ``change(now, begins, inputs, loss_of)`` in the place of the Trainer's loss, on this Trainer alone."""

    def inject(trainer: Trainer, step: int) -> None:
        inner: Any = trainer.compute_loss

        def compute_loss(model: Any, inputs: Any, return_outputs: bool = False, **rest: Any) -> Any:
            def loss_of(inputs: Any) -> Any:
                return inner(model, inputs, return_outputs=return_outputs, **rest)

            if not model.training:
                return loss_of(inputs)
            return change(trainer.state.global_step + 1, step, inputs, loss_of)

        trainer.compute_loss = compute_loss  # type: ignore[method-assign]

    return inject


def _train_something_else(model: Any) -> None:
    """Unfreeze the normalisation layers, so that a run whose adapters are off goes on and its loss falls."""
    for name, parameter in model.named_parameters():
        if "norm" in name.lower() and "lora_" not in name:
            parameter.requires_grad_(True)


def _scale_lr(scheduler: Any, optimizer: Any, factor: float) -> None:
    scheduler = getattr(scheduler, "scheduler", scheduler)
    scheduler.base_lrs = [rate * factor for rate in scheduler.base_lrs]
    for group in optimizer.param_groups:
        group["lr"] *= factor


def _own_optimizer(trainer: Trainer, groups: list[dict[str, Any]]) -> None:
    trainer.optimizer = torch.optim.AdamW(groups, lr=trainer.args.learning_rate, weight_decay=0.0)


def _trainable(model: nn.Module) -> list[nn.Parameter]:
    return [p for p in model.parameters() if p.requires_grad]


# -- numbers that are none ---------------------------------------------------------------------------------------------
def _spoil_weight(model: Any, optimizer: Any, scheduler: Any) -> None:
    with torch.no_grad():
        victim(model).parameters[0].view(-1)[0] = float("nan")


def _spoil_base(model: Any, optimizer: Any, scheduler: Any) -> None:
    """The frozen weight of one layer, as of a damaged checkpoint: the step's own loss shows it."""
    weight = victim(model).base_weight
    assert weight is not None
    with torch.no_grad():
        weight.view(-1)[0] = float("nan")


def _spoil_gradient(trainer: Trainer, step: int) -> None:
    """The gradient of one factor, before clipping spreads it over all."""
    factor = victim(trainer.model).parameters[1]
    factor.register_hook(lambda grad: grad * float("nan") if trainer.state.global_step + 1 == step else grad)


def _nan_loss(now: int, begins: int, inputs: Any, loss_of: Any) -> Any:
    found = loss_of(inputs)
    if now != begins:
        return found
    return (found[0] * float("nan"), found[1]) if isinstance(found, tuple) else found * float("nan")


# -- data --------------------------------------------------------------------------------------------------------------
def _corrupted(inputs: Any, seed: int) -> Any:
    """Random tokens as text and as targets for a language model; random classes for a classifier."""
    generator = torch.Generator().manual_seed(seed)
    labels = inputs["labels"]
    noise = torch.randint(int(labels.max()) + 1, labels.shape, generator=generator).to(labels)
    if labels.ndim < 2:
        return {**inputs, "labels": noise}
    return {**inputs, "input_ids": noise, "labels": torch.where(labels == -100, labels, noise)}


def _corrupted_batches(now: int, begins: int, inputs: Any, loss_of: Any) -> Any:
    return loss_of(_corrupted(inputs, now) if now >= begins else inputs)


def _no_targets(now: int, begins: int, inputs: Any, loss_of: Any) -> Any:
    return loss_of({**inputs, "labels": torch.full_like(inputs["labels"], -100)} if now >= begins else inputs)


def _enlarged_head(trainer: Trainer, step: int) -> None:
    """The output layer's numbers are twenty times too large, as after a checkpoint that was loaded wrongly."""
    model: Any = trainer.model
    model.get_output_embeddings().register_forward_hook(lambda module, args, output: output * 20.0)


# -- the adapter is not what is trained --------------------------------------------------------------------------------
def _before_training(act: Callable[[Any], None]) -> Callable[[Trainer, int], None]:
    def inject(trainer: Trainer, step: int) -> None:
        act(trainer.model)
        _train_something_else(trainer.model)

    return inject


def _while_training(act: Callable[[Any], None]) -> Callable[[Trainer, int], None]:
    def inject(trainer: Trainer, step: int) -> None:
        _train_something_else(trainer.model)
        trainer.add_callback(_At(step, lambda model, optimizer, scheduler: act(model)))

    return inject


def _merge(model: Any) -> None:
    model.merge_adapter()


def _freeze(model: Any) -> None:
    for adapter in find_adapters(model):
        for parameter in adapter.parameters:
            parameter.requires_grad_(False)


def _disable(model: Any) -> None:
    model.base_model.disable_adapter_layers()


def _switch(model: Any) -> None:
    model.add_adapter("other", model.peft_config["default"])
    model.set_adapter("other")


def _stale_optimizer(trainer: Trainer, step: int) -> None:
    """The optimizer was built for tensors that are no longer the model's."""
    copies = [nn.Parameter(p.detach().clone()) for p in _trainable(trainer.model)]  # type: ignore[arg-type]
    _own_optimizer(trainer, [{"params": copies}])


def _train_base(trainer: Trainer, step: int) -> None:
    for adapter in find_adapters(trainer.model):  # type: ignore[arg-type]
        if (weight := adapter.base_weight) is not None:
            weight.requires_grad_(True)


# -- gradients ---------------------------------------------------------------------------------------------------------
def _blocks(model: Any) -> nn.ModuleList:
    """The transformer's blocks: the longest list of modules."""
    return max((m for m in model.modules() if isinstance(m, nn.ModuleList)), key=len)


def _cut(model: Any) -> None:
    """No gradient flows back past the middle block, as with gradient checkpointing whose inputs need none."""
    blocks = _blocks(model)

    def detach(module: Any, args: Any, output: Any) -> Any:
        if torch.is_tensor(output):
            return output.detach().requires_grad_()
        return (output[0].detach().requires_grad_(), *output[1:])

    blocks[len(blocks) // 2 - 1].register_forward_hook(detach)


def _noise_gradients(trainer: Trainer, step: int) -> None:
    """A backward pass gone wrong: every gradient is noise of its own size, so that the adapters move to nowhere."""
    generator = torch.Generator().manual_seed(0)

    def noise(grad: torch.Tensor) -> torch.Tensor:
        return torch.randn(grad.shape, generator=generator).to(grad) * grad.std()

    for parameter in _trainable(trainer.model):  # type: ignore[arg-type]
        parameter.register_hook(noise)


class _Overflow(TrainerCallback):
    """A real loss scaler on the CPU, and one gradient that overflows in every second step from ``step`` on."""

    def __init__(self, trainer: Trainer, step: int):
        self.trainer, self.step = trainer, step

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        # Kept small, so that nothing overflows but what we make overflow.
        scaler = torch.amp.GradScaler("cpu", init_scale=1.0, growth_interval=10**6, backoff_factor=0.999)
        self.trainer.accelerator.scaler = scaler
        kwargs["optimizer"].__setstate__({"scaler": scaler})  # what accelerate does on a GPU when fp16 is on
        victim(model).parameters[1].register_hook(lambda g: g * float("inf") if self._due(state) else g)

    def _due(self, state: Any) -> bool:
        since = state.global_step + 1 - self.step
        return since >= 0 and since % 2 == 0


def _half(model: Any) -> None:
    """The adapters themselves in bfloat16, without a float32 copy anywhere."""
    for adapter in find_adapters(model):
        for parameter in adapter.parameters:
            parameter.data = parameter.data.to(torch.bfloat16)


def _eat(model: Any, optimizer: Any, scheduler: Any) -> None:
    """A decay of about a twentieth of every weight a step, at the learning rate of this step."""
    for group in optimizer.param_groups:
        group["weight_decay"] = 0.05 / max(group["lr"], 1e-12)


def _one_hot_layer(trainer: Trainer, step: int) -> None:
    """The victim's parameter group has a hundred times the learning rate of the others."""
    hot = set(map(id, victim(trainer.model).parameters))
    everything = _trainable(trainer.model)  # type: ignore[arg-type]
    rest, own = [p for p in everything if id(p) not in hot], [p for p in everything if id(p) in hot]
    _own_optimizer(trainer, [{"params": rest}, {"params": own, "lr": 100 * trainer.args.learning_rate}])


def _mistyped_target(trainer: Trainer, step: int) -> None:
    """One of the configuration's target modules is a name that no module has."""
    config = trainer.model.peft_config["default"]  # type: ignore[union-attr]
    config.target_modules = {*config.target_modules, "q_prjo"}


def _list() -> list[Fault]:
    return [
        Fault("nan-in-one-layer", ("LW101",), True, _at(_spoil_weight, after_update=True)),
        Fault("nan-in-base-weight", ("LW201",), True, _at(_spoil_base)),
        Fault("nan-gradient", ("LW101",), True, _spoil_gradient),
        Fault("nan-loss", ("LW201",), False, _loss(_nan_loss)),
        Fault("lr-x30", ("LW306", "LW102", "LW202"), False, _at(lambda m, o, s: _scale_lr(s, o, 30.0))),
        Fault("lr-x100", ("LW306", "LW102", "LW202"), False, _at(lambda m, o, s: _scale_lr(s, o, 100.0))),
        Fault("lr-zero", ("LW306",), False, _at(lambda m, o, s: _scale_lr(s, o, 0.0))),
        Fault("corrupted-batches", ("LW202", "LW203"), False, _loss(_corrupted_batches)),
        Fault("noise-gradients", (), False, _noise_gradients),
        Fault("no-targets", ("LW204", "LW201"), False, _loss(_no_targets)),
        Fault("loud-head", ("LW205",), False, _enlarged_head),
        Fault("merged-before", ("LW301",), False, _before_training(_merge)),
        Fault("frozen-before", ("LW301",), False, _before_training(_freeze)),
        Fault("inactive-before", ("LW301",), False, _before_training(_disable)),
        Fault("merged", ("LW301",), False, _while_training(_merge)),
        Fault("inactive", ("LW301",), False, _while_training(_disable)),
        Fault("switched", ("LW301",), False, _at(lambda m, o, s: _switch(m))),
        Fault("stale-optimizer", ("LW301",), False, _stale_optimizer),
        Fault("cut-graph", ("LW303",), False, lambda trainer, step: _cut(trainer.model)),
        Fault("cut-graph-late", ("LW303",), False, _at(lambda m, o, s: _cut(m))),
        Fault("low-precision", ("LW307",), False, lambda t, step: None, {"learning_rate": 1e-6}, _half),
        Fault("skipped-steps", ("LW307",), False, lambda t, step: t.add_callback(_Overflow(t, step))),
        Fault("base-trained", ("LW309",), False, _train_base),
        Fault("decay-eats", ("LW306",), False, _at(_eat)),
        Fault("one-hot-layer", ("LW306",), True, _one_hot_layer),
        Fault("mistyped-target", ("LW310",), False, _mistyped_target),
    ]


FAULTS: dict[str, Fault] = {fault.name: fault for fault in _list()}
