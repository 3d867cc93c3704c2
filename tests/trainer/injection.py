"""Every callable of the package that a training reaches, replaced by one that raises: training must not notice it, and
no run that explodes may pass.

``python -m tests.trainer.injection`` makes the whole table: drivers (the Trainer, a loop of accelerate's, Lightning),
healthy and exploding runs, without and with ``fail_on`` and ``recover``, each callable raising once and from then on,
at its first call and at a later one. ``--part 0 8`` makes every eighth row, ``--setting`` and ``--only`` a part.
``test_injection.py`` tries a sample.
"""

import argparse
import contextlib
import functools
import hashlib
import inspect
import io
import itertools
import logging
import random
import sys
import tempfile
import warnings
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

from lora_watch import LoraWatchCallback, LoraWatchError, Monitor
from lora_watch.gate import judge
from lora_watch.run.process import counts
from tests.support import build_trainer

OUTERMOST = {
    "run.guard.Guard.__call__": "it is what catches",
    "drivers.loop.Monitor.__enter__": "it calls what is guarded, and returns itself",
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

POLICIES: dict[str, dict[str, Any]] = {"": {}, "fail_on": {"fail_on": "error"}, "recover": {"recover": 3}}
RUINED = 8.0
"""Norm of a B from which on the run has exploded: those of the healthy one stay below 0.1."""


@dataclass(frozen=True)
class Setting:
    """One way of training."""

    driver: str
    """One of ``DRIVERS``."""
    explodes: bool
    policy: str = ""
    """One of ``POLICIES``."""

    @property
    def lr(self) -> float:
        return 1.0 if self.explodes else 1e-3

    def __str__(self) -> str:
        return f"{self.driver}, {'exploding' if self.explodes else 'healthy'}, {self.policy or 'no policy'}"


def by_trainer(
    setting: Setting, monitored: bool, folder: Path, around: AbstractContextManager[Any], model: Any
) -> None:
    data = [{"input_ids": row, "labels": row} for row in IDS.tolist()]
    # What fails when it is built fails in the user's own line, before there is a training.
    callbacks: list[Any] = [LoraWatchCallback(**POLICIES[setting.policy])] if monitored else []
    files = {"output_dir": str(folder), "save_strategy": "steps", "save_steps": 4, "logging_steps": 4}
    trainer = build_trainer(model, data, STEPS, callbacks, lr=setting.lr, **files)  # type: ignore[arg-type]
    with around:
        trainer.train()


def by_loop(setting: Setting, monitored: bool, folder: Path, around: AbstractContextManager[Any], model: Any) -> None:
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=setting.lr)
    model, optimizer = accelerator.prepare(model, optimizer)
    monitor = Monitor(model, optimizer, output_dir=folder, **POLICIES[setting.policy]) if monitored else None
    with around, monitor or contextlib.nullcontext():
        for batch in IDS.repeat(2, 1).split(6)[: 2 * STEPS]:
            with accelerator.accumulate(model):
                loss = model(input_ids=batch, labels=batch).loss
                accelerator.backward(loss)
                optimizer.step()
                if monitor is not None:
                    monitor.step(loss=loss)
                optimizer.zero_grad()
        if monitor is not None:
            monitor.state_dict()
            monitor.evaluated({"eval_loss": 1.0})


def by_lightning(
    setting: Setting, monitored: bool, folder: Path, around: AbstractContextManager[Any], model: Any
) -> None:
    import lightning.pytorch as lightning

    from lora_watch.lightning import LoraWatch

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return self.model(input_ids=batch, labels=batch).loss

        def configure_optimizers(self) -> Any:
            return torch.optim.AdamW([p for p in self.parameters() if p.requires_grad], lr=setting.lr)

    callbacks: list[Any] = [LoraWatch(**POLICIES[setting.policy])] if monitored else []
    trainer = lightning.Trainer(
        max_steps=STEPS,
        default_root_dir=str(folder),
        callbacks=callbacks,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with around:
        trainer.fit(Module(), torch.utils.data.DataLoader(IDS, batch_size=6))  # type: ignore[arg-type]


DRIVERS: dict[str, Callable[..., None]] = {"trainer": by_trainer, "loop": by_loop, "lightning": by_lightning}
STEPS = 8


def tiny() -> Any:
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_key_value_heads": 2}
    shape |= {"vocab_size": 64, "num_hidden_layers": 2, "max_position_embeddings": 64}
    torch.manual_seed(0)
    adapters = LoraConfig(r=4, lora_alpha=64, target_modules=["q_proj", "v_proj", "lm_head"])
    model: Any = get_peft_model(LlamaForCausalLM(LlamaConfig(**shape)), adapters).train()
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


@functools.cache
def imported(modules: int) -> dict[int, list[tuple[Any, str]]]:
    """Where the functions of ours are called by name, by their identities, since there are so many ``modules``."""
    places: dict[int, list[tuple[Any, str]]] = {}
    for module in [module for name, module in sys.modules.items() if name.startswith("lora_watch")]:
        for key, value in list(vars(module).items()):
            places.setdefault(id(value), []).append((module, key))
    return places


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
        new = functools.cached_property(new)
        new.__set_name__(target.owner, target.key)
    elif isinstance(member, (staticmethod, classmethod)):
        new = type(member)(new)
    places = [(target.owner, target.key)]
    if inspect.ismodule(target.owner):
        places = imported(len(sys.modules))[id(member)]
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


def raising(after: int, name: str, once: bool = False) -> Callable[[Any], Any]:
    def around(function: Any) -> Any:
        calls = [0]

        @functools.wraps(function)
        def raises(*args: Any, **kwargs: Any) -> Any:
            calls[0] += 1
            if calls[0] == after + 1 or (calls[0] > after and not once):
                raise Injected(name)
            return function(*args, **kwargs)

        return raises

    return around


@dataclass(frozen=True)
class Left:
    """What a training has left."""

    state: tuple[str, str]
    """Weights and random generators."""
    ruined: bool
    """It has exploded, and was trained to its end nevertheless."""
    raised: BaseException | None
    run: int
    """Exit code of ``lora-watch run``, as far as it is the monitor's."""
    check: int
    """Exit code of ``lora-watch check``."""


@contextlib.contextmanager
def counted(known: list[Target], calls: dict[str, int]) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for target in known:
            stack.enter_context(replaced(target, counting(calls, target.name)))
        yield


class Injection:
    """Tries one target after the other against the same training without us."""

    def __init__(self, folder: Path, setting: Setting):
        self._folder, self.setting, self._runs = folder, setting, 0
        self._train(True)  # imports everything, which may draw
        self.plain, self.unharmed = self._train(False), self._train(True)
        self.calls: dict[str, int] = {}
        """How often each target is called in a training."""
        self.targets = targets()
        assert self._train(True, counted(self.targets, self.calls)).state == self.unharmed.state
        self.targets = [target for target in self.targets if target.name in self.calls]

    def _train(self, monitored: bool, around: AbstractContextManager[Any] = NOTHING) -> Left:
        self._runs += 1
        folder, raised, model = self._folder / str(self._runs), None, tiny()
        started, unjudged = counts.started, counts.unjudged
        with (
            contextlib.redirect_stderr(io.StringIO()),
            contextlib.redirect_stdout(io.StringIO()),
            warnings.catch_warnings(action="ignore") if sys.version_info >= (3, 11) else NOTHING,
        ):
            try:
                DRIVERS[self.setting.driver](self.setting, monitored, folder, around, model)
            except Exception as error:
                raised = error
        torch.set_grad_enabled(True)
        largest = max(float(p.detach().norm()) for name, p in model.named_parameters() if "lora_B" in name)
        judged = judge([folder])
        failed = raised is not None or any(one.run.verdict == "failed" for one in judged.runs)
        run = 1 if failed else 2 if counts.started == started or counts.unjudged > unjudged else 0
        return Left(left_by(model), not largest < RUINED and raised is None, raised, run, judged.exit_code)

    def harm(self, target: Target, later: bool, once: bool = False) -> str | None:
        """What an exception in ``target`` does, at its first call or a later one; None if nothing that it must not."""
        after = max(1, self.calls[target.name] // 2) if later else 0
        left = self._train(True, replaced(target, raising(after, target.name, once)))
        if left.raised is not None:
            ours = isinstance(left.raised, LoraWatchError) and self.setting.explodes and self.setting.policy
            return None if ours else f"raises {type(left.raised).__name__}: {str(left.raised)[:200]}"
        if left.ruined and not left.check:
            return "the run has exploded, and check exits 0"
        if left.ruined and not left.run and self.setting.policy:
            return "the run has exploded, and run exits 0"
        recovers = self.setting.explodes and self.setting.policy == "recover"
        return None if recovers or left.state == self.plain.state else "other weights or random numbers"


WAYS = [(later, once) for later in (False, True) for once in (False, True)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--part", nargs=2, type=int, default=(0, 1), metavar=("I", "N"), help="every N-th, from the I-th"
    )
    parser.add_argument("--only", default="", help="those whose name contains this")
    parser.add_argument("--setting", default="", help="those runs whose heading contains this")
    options = parser.parse_args()
    logging.getLogger("lora_watch").setLevel(logging.CRITICAL + 1)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    first, step = options.part
    bad = tried = 0
    settings = itertools.starmap(Setting, itertools.product(DRIVERS, (False, True), POLICIES))
    for setting in (setting for setting in settings if options.setting in str(setting)):
        with tempfile.TemporaryDirectory() as folder:
            injection = Injection(Path(folder), setting)
            chosen = [t for t in injection.targets if options.only in t.name]
            rows = [(t, *way) for t in chosen for way in WAYS if injection.calls[t.name] > way[0]][first::step]
            print(f"{setting}: {len(rows)} rows, {len(chosen)} callables", flush=True)
            for target, later, once in rows:
                tried += 1
                if (harm := injection.harm(target, later, once)) is not None:
                    bad += 1
                    when = f"{'later' if later else 'first'} call, {'once' if once else 'from then on'}"
                    print(f"  {target.name} ({when}): {harm}", flush=True)
    print(f"{tried} rows, {bad} harmed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
