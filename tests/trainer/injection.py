"""Every callable of the package that a training reaches, replaced by one that raises: training must not notice.

``python -m tests.trainer.injection`` tries all of them under the Trainer, at their first call and at a later one;
``--loop`` under a loop of accelerate's; ``--part 0 8`` every eighth. ``test_injection.py`` tries a sample.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import inspect
import io
import logging
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from lora_watch import LoraWatchCallback, Monitor
from tests.support import build_trainer

OUTERMOST = {
    "monitor.guard.Guard.__call__": "it is what catches",
    "trainer.callback.LoraWatchCallback._guard": "it calls what catches",
    "monitor.monitor.Monitor.__enter__": "it calls what is guarded, and returns itself",
}
"""What nothing of ours can stand around."""
NOTHING: AbstractContextManager[Any] = contextlib.nullcontext()


class Injected(RuntimeError):
    pass


@dataclass(frozen=True)
class Target:
    owner: Any
    key: str

    @property
    def name(self) -> str:
        home = self.owner.__name__ if inspect.ismodule(self.owner) else f"{self.owner.__module__}.{self.owner.__name__}"
        return f"{home.removeprefix('lora_watch.')}.{self.key}"


IDS = torch.randint(0, 64, (64, 8), generator=torch.Generator().manual_seed(1))

Training = Callable[[bool, Path, AbstractContextManager[Any]], Any]
"""Builds a training of some steps that explodes, with us or without, runs it in a context, and returns its model."""


def by_trainer(monitored: bool, folder: Path, around: AbstractContextManager[Any]) -> Any:
    model = exploding()
    data = [{"input_ids": row, "labels": row} for row in IDS.tolist()]
    # What fails when it is built fails in the user's own line, before there is a training.
    callbacks: list[Any] = [LoraWatchCallback()] if monitored else []
    trainer = build_trainer(
        model, data, 6, callbacks, lr=1.0, output_dir=str(folder), save_strategy="steps", save_steps=4, logging_steps=4
    )
    with around:
        trainer.train()
    return model


def by_loop(monitored: bool, folder: Path, around: AbstractContextManager[Any]) -> Any:
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    model = exploding()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1.0)
    model, optimizer = accelerator.prepare(model, optimizer)
    fail_on = {"LW406": "error"}  # so that it looks before each update; this one never opens here
    monitor = Monitor(model, optimizer, output_dir=folder, fail_on=fail_on) if monitored else None
    with around, monitor or contextlib.nullcontext():
        for batch in IDS.split(6):
            with accelerator.accumulate(model):
                loss = model(input_ids=batch, labels=batch).loss
                accelerator.backward(loss)
                optimizer.step()
                if monitor is not None:
                    monitor.step(loss=loss)
                optimizer.zero_grad()
        if monitor is not None:
            monitor.load_state_dict(monitor.state_dict())
            monitor.evaluated({"eval_loss": 1.0})
    return model


def exploding() -> Any:
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_key_value_heads": 2}
    torch.manual_seed(0)
    base = LlamaForCausalLM(LlamaConfig(vocab_size=64, num_hidden_layers=2, max_position_embeddings=64, **shape))
    model: Any = get_peft_model(base, LoraConfig(r=4, lora_alpha=64, target_modules=["q_proj", "v_proj"]))
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    return model


def left_by(model: Any) -> tuple[str, str]:
    """What the weights and the random generators are."""
    weights = hashlib.sha256()
    for parameter in model.parameters():
        weights.update(parameter.detach().numpy().tobytes())
    numpy = np.random.get_state()
    state = repr((random.getstate(), numpy[1].tobytes(), numpy[2], torch.get_rng_state().tolist()))  # type: ignore[index, union-attr]
    return weights.hexdigest(), hashlib.sha256(state.encode()).hexdigest()


def targets() -> list[Target]:
    """Every function and method of every module of ours that has been imported."""
    found: list[Target] = []
    for name, module in sorted(sys.modules.items()):
        if not name.startswith("lora_watch."):
            continue
        for key, value in list(vars(module).items()):
            if getattr(value, "__module__", None) != name:
                continue
            if inspect.isfunction(value):
                found.append(Target(module, key))
            elif inspect.isclass(value) and not issubclass(value, BaseException):
                found += [Target(value, inner) for inner, member in vars(value).items() if _function(member)]
    return [target for target in found if target.name not in OUTERMOST]


def _function(member: Any) -> Any:
    """The function behind a member of a class; None where it is something else."""
    if isinstance(member, property):
        return member.fget
    if isinstance(member, functools.cached_property):
        return member.func
    if isinstance(member, (staticmethod, classmethod)):
        member = member.__func__
    written = inspect.isfunction(member) and "lora_watch" in member.__code__.co_filename
    return member if written else None


@contextlib.contextmanager
def replaced(target: Target, around: Callable[[Any], Any]) -> Iterator[None]:
    """``around(function)`` in place of ``target``'s function, also where it has been imported by name.

    Of a decorated one what has been decorated is replaced: an event's handler is what catches, and its body is ours.
    """
    member = inspect.getattr_static(target.owner, target.key)
    function = member if inspect.ismodule(target.owner) else _function(member)
    if (inner := getattr(function, "__wrapped__", None)) is not None:
        cell = next(cell for cell in function.__closure__ if cell.cell_contents is inner)
        cell.cell_contents = around(inner)
        try:
            yield
        finally:
            cell.cell_contents = inner
        return
    new: Any = around(function)
    if isinstance(member, property):
        new = property(new, member.fset)
    elif isinstance(member, functools.cached_property):
        new = property(new)
    elif isinstance(member, (staticmethod, classmethod)):
        new = type(member)(new)
    places = [(target.owner, target.key)]
    if inspect.ismodule(target.owner):
        ours = [module for name, module in sys.modules.items() if name.startswith("lora_watch")]
        places = [(m, key) for m in ours for key, value in list(vars(m).items()) if value is member]
    for owner, key in places:
        setattr(owner, key, new)
    try:
        yield
    finally:
        for owner, key in places:
            setattr(owner, key, member)


def counting(calls: dict[str, int], name: str) -> Callable[[Any], Any]:
    def around(function: Any) -> Any:
        @functools.wraps(function)
        def counted(*args: Any, **kwargs: Any) -> Any:
            calls[name] = calls.get(name, 0) + 1
            return function(*args, **kwargs)

        return counted

    return around


def raising(after: int, name: str) -> Callable[[Any], Any]:
    def around(function: Any) -> Any:
        calls = [0]

        @functools.wraps(function)
        def raises(*args: Any, **kwargs: Any) -> Any:
            calls[0] += 1
            if calls[0] > after:
                raise Injected(name)
            return function(*args, **kwargs)

        return raises

    return around


class Injection:
    """Tries one target after the other against the same training without us."""

    def __init__(self, folder: Path, training: Training):
        self._folder, self._training, self._runs = folder, training, 0
        self._plain = self._train(False)
        self._train(True)  # imports everything
        self.calls: dict[str, int] = {}
        """How often each target is called in a training."""
        self.targets = targets()
        assert self._train(True, self._all_counted()) == self._plain
        self.targets = [target for target in self.targets if target.name in self.calls]

    @contextlib.contextmanager
    def _all_counted(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for target in self.targets:
                stack.enter_context(replaced(target, counting(self.calls, target.name)))
            yield

    def _train(self, monitored: bool, around: AbstractContextManager[Any] = NOTHING) -> tuple[str, str]:
        self._runs += 1
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            return left_by(self._training(monitored, self._folder / str(self._runs), around))

    def harm(self, target: Target, later: bool) -> str | None:
        """What an exception in ``target``, at its first call or at a later one, does to training; None if nothing."""
        after = max(1, self.calls[target.name] // 2) if later else 0
        try:
            left = self._train(True, replaced(target, raising(after, target.name)))
            return None if left == self._plain else "other weights or random numbers"
        except BaseException as error:
            return f"{type(error).__name__}: {error}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--part", nargs=2, type=int, default=(0, 1), metavar=("I", "N"), help="every N-th, from the I-th"
    )
    parser.add_argument("--only", default="", help="those whose name contains this")
    parser.add_argument("--loop", action="store_true", help="a loop of accelerate's instead of the Trainer")
    options = parser.parse_args()
    logging.getLogger("lora_watch").setLevel(logging.CRITICAL + 1)
    first, step = options.part
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        injection = Injection(Path(folder), by_loop if options.loop else by_trainer)
        chosen = [target for target in injection.targets[first::step] if options.only in target.name]
        for target in chosen:
            for later in (False, True):
                if later and injection.calls[target.name] < 2:
                    continue
                if (harm := injection.harm(target, later)) is not None:
                    bad += 1
                    print(f"{target.name} ({'later' if later else 'first'} call): {harm}", flush=True)
        print(f"{len(chosen)} of {len(injection.targets)} callables that a training reaches; {bad} harmed it")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
