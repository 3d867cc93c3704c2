"""``Monitor``, for plain loops."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lora_watch.base.alerts import Alert, LoraWatchError, Verdict
from lora_watch.base.prescription import Prescription
from lora_watch.base.records import FIRST_STEPS, RunInfo, StepRecord
from lora_watch.measurement.hooks import has_compiled
from lora_watch.rules.policy import Policy
from lora_watch.run.engine import Engine
from lora_watch.run.guard import guarded
from lora_watch.run.ranks import Ranks, all_have_met, is_first, world_size
from lora_watch.run.rates import warm_up
from lora_watch.settings import MonitorSettings, takes
from lora_watch.sinks import Sink

log = logging.getLogger("lora_watch")


class Monitor:
    """Monitors the LoRA adapters of one model through one training run.

    For a plain torch loop::

        model.train()
        with Monitor(model, optimizer, fail_on="error", output_dir="out") as monitor:
            for batch in data:
                loss = model(**batch).loss
                loss.backward()
                optimizer.step()
                monitor.step(loss=loss)     # before the scheduler's step and zero_grad
                optimizer.zero_grad()

    It reads and never writes: no parameter, gradient or random state is touched. A failure of its own is logged
    once with its traceback, becomes a finding (LW901), and training goes on.

    Numbers on an accelerator are copied to the host without waiting and read one step later. So a step is checked
    after the next one, and the last step by ``finish`` or at the end of the ``with``. On a CPU each step
    is checked at once. With ``fail_on`` the gradients are read before each ``optimizer.step()`` of a loop. That call
    then raises LoraWatchError instead of applying a NaN.

    On several ranks make one on each, and call ``step`` on all of them. With ``fail_on`` they agree at each step
    whether the run continues, and raise together once the files of the first are complete. If only some ranks have
    one, it logs that after 30 s and stops its own rank alone. In torch's ``Join`` leave ``fail_on`` and ``recover``
    alone: ranks whose data has ended no longer agree.

    Raises:
        TypeError: for an argument that it does not have.
        ValueError: for a value that is not allowed.
    """

    @takes(MonitorSettings)
    def __init__(self, settings: MonitorSettings):
        if not isinstance(settings.model, nn.Module):
            given = type(settings.model).__name__
            raise TypeError(f"Monitor: model is a torch.nn.Module, and this is {given}: Monitor(model, optimizer)")
        self._model: nn.Module = settings.model
        self._optimizer: Any = settings.optimizer
        self._scaler: Any = settings.scaler
        folder = None if settings.output_dir is None else Path(settings.output_dir)
        sinks = [*settings.sinks, *_own_sinks(settings.model, settings.policy(), folder, settings.console)]
        config = {**({"world_size": world_size()} if world_size() > 1 else {}), **(settings.config or {})}
        if settings.scheduler is not None:
            with suppress(Exception):  # of a function of the step by the user
                config = {"warmup_steps": warm_up(settings.scheduler), **config}
        self.engine = Engine(
            *(settings.model, settings.optimizer, replace(settings, sinks=sinks, config=config)),
            scheduler=settings.scheduler,
            place=folder,
            is_scaled=self._is_scaled,
        )
        """What does the work. A trainer of one's own gives it the events."""
        self.guard = self.engine.guard
        self._micro_batches: list[Tensor] = []
        self._update_hook: Any = None
        self._gradient_hook: Any = None
        self._gradient: Mapping[str, Any] = {"kept_gradient": 0, "came_gradient": None}
        """Whether one was there before this step's first pass back, and whether that has brought one, ``[]``; None
        where that is not known. A session begins without, whatever the one before did."""
        self._no_pass: Mapping[str, Any] = {"kept_gradient": None, "came_gradient": None}
        """The same of a step before its pass: none has come where one is seen, and no checkpointing stops it."""
        self._started = self._over = False

    # -- a loop --------------------------------------------------------------------------------------------------------
    def __enter__(self) -> "Monitor":
        self._start()
        return self

    @guarded("ending")
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if error is not None:
            self.engine.finish_for(error)
            self._let_go()
        elif not self._over:  # else its exception has been raised before
            try:
                self.engine.end()
            finally:
                self._let_go()

    @guarded("judging a step")
    def step(self, loss: float | Tensor | None = None, step: int | None = None) -> StepRecord | None:
        """One optimizer step of a plain loop: call it after ``optimizer.step()``, before the scheduler's step.

        Inside ``accelerator.accumulate`` call it for every micro-batch with its own loss: those at which accelerate's
        optimizer makes no step are averaged into the next that is one.

        Returns ``last``. Raises LoraWatchError when the policy ends the run.
        """
        if not self._started:
            self._start(updated=True)
        if self._over:
            return self.last
        accumulation = getattr(self._optimizer, "gradient_state", None)  # accelerate's
        with self.guard("reading the loss"):
            if accumulation is not None:
                self._micro_batches += [] if loss is None else [torch.as_tensor(loss).detach().clone()]
                if not accumulation.sync_gradients:
                    return self.last
                there, self._micro_batches, loss = self._micro_batches, [], None
                loss = torch.stack(there).mean() if there else None
        seen, self._gradient = self._gradient, self._no_pass
        self._raise_for(self.engine.after_update(loss, step, **seen))
        if self._gradient_hook is not None and self.engine.coverage.done > FIRST_STEPS:  # of this session
            self._gradient_hook.remove()
            self._gradient_hook = None
        return self.last

    def finish(self, verdict: Verdict = "ok", message: str | None = None) -> None:
        """Close every sink with ``ok``, ``failed`` or ``interrupted``. A second call does nothing. Without ``with`` a
        loop calls it at its end."""
        self.engine.finish(verdict, message)
        self._let_go()

    def evaluated(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Note how good the model is: ``{"eval_loss": 1.2}``, of several sets in a call each. Also after ``finish``."""
        self.engine.evaluated(metrics, step)

    def saved(self, folder: str | Path) -> None:
        """PEFT has saved the adapters into ``folder``, as they are after the latest step: read them back and compare
        them with what was measured (LW313). Call it on the process that has saved them. Also after ``finish``, when it
        raises LoraWatchError for what ``fail_on`` does not tolerate."""
        self.engine.saved(Path(folder), None if self._over else self._model)

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers, lists and dicts, for a checkpoint. Waits for the latest step, and until it is on disk."""
        return self.engine.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state_dict`` was taken, and count steps from there. Call it before the first step."""
        self.engine.load_state_dict(state)

    # -- what may be asked, also after the end -------------------------------------------------------------------------
    @property
    def alerts(self) -> list[Alert]:
        """Every alert so far, in order of opening."""
        return self.engine.alerts

    @property
    def last(self) -> StepRecord | None:
        """The record of the latest step that has been judged."""
        return self.engine.last

    @property
    def run(self) -> RunInfo:
        """What is known of the run and its adapters."""
        return self.engine.run

    @property
    def steps(self) -> int:
        """Optimizer steps done."""
        return self.engine.steps

    @property
    def next_run(self) -> Prescription | None:
        """What to change for the next run, relative to the settings that this one was started with."""
        return self.engine.next_run

    @property
    def failures(self) -> list[Alert]:
        """The open alerts for which the policy ends the run, worst first."""
        return self.engine.failures

    # -- helpers -------------------------------------------------------------------------------------------------------
    @guarded("starting")
    def _start(self, updated: bool = False) -> None:
        """What a loop of the user's own leaves to us: to start, to agree, and to look before each update."""
        if self._over:
            log.warning("lora_watch: this Monitor has ended with its run: make a new one for the next")
            return
        engine, self._started = self.engine, True
        if engine.policy.can_act:
            with self.guard("meeting the monitors of the other ranks"):  # before the clock of the overhead starts
                device = next((parameter.device for parameter in self._model.parameters()), None)
                engine.ranks = Ranks(device, together=all_have_met())
        engine.start(updated=updated)
        if engine.policy.can_act and world_size() > 1 and not engine.ranks.together:
            engine.recovery.give_up("not every rank has a Monitor")
        optimizer = getattr(self._optimizer, "optimizer", self._optimizer)  # accelerate's holds torch's
        if engine.policy.can_act and hasattr(optimizer, "register_step_pre_hook"):
            self._update_hook = optimizer.register_step_pre_hook(self._before_step)
        with self.guard("looking at a gradient", aside=True):
            adapter = next(iter(engine.recorder.monitored.adapters), None)
            factor = None if adapter is None else adapter.parameters[1]
            if factor is not None and factor.requires_grad and world_size() == 1 and not has_compiled(self._model):
                self._gradient_hook = factor.register_hook(partial(self._before_a_gradient, factor))
                stops = any(getattr(module, "gradient_checkpointing", False) for module in self._model.modules())
                self._no_pass = {**self._no_pass, "came_gradient": None if stops else 0}

    @guarded("looking at a gradient")
    def _before_a_gradient(self, factor: Tensor, gradient: Tensor) -> None:
        """``gradient`` is about to be added to what ``factor`` has: after an update nothing is to be left there."""
        if self._gradient is self._no_pass:  # else it is a later one of the step
            left, nothing = factor.grad, torch.zeros((), device=factor.device)
            kept = nothing if left is None else left.any().float()
            self._gradient = {"kept_gradient": kept, "came_gradient": gradient.any().float()}

    @guarded("reading gradients")
    def _before_step(self, *_: Any) -> None:
        with self.guard("telling the other ranks of the batch"):
            self.engine.ranks.mean(None, self.engine.recorder.instruments.own_loss.labels)
        self._raise_for(self.engine.before_update(None))

    def _raise_for(self, alerts: Sequence[Alert]) -> None:
        try:
            self.engine.raise_for(alerts)
        except LoraWatchError:
            self._let_go()
            raise

    @guarded("taking the hooks off", aside=True)
    def _let_go(self) -> None:
        """The run is over: whoever keeps this, for its alerts, does not keep the model."""
        hooks, self._update_hook, self._gradient_hook = (self._update_hook, self._gradient_hook), None, None
        for hook in filter(None, hooks):
            hook.remove()
        if self._started:
            self._model, self._optimizer, self._scaler, self._over = nn.Module(), None, None, True

    def _is_scaled(self) -> bool:  # looked up each time: it may come late
        return self._scaler is not None or getattr(self._optimizer, "scaler", None) is not None


def _own_sinks(model: nn.Module, policy: Policy, folder: Path | None, console: bool) -> Sequence[Sink]:
    # Imported here: the core is torch and numpy alone, and a Trainer brings sinks of its own.
    from lora_watch.sinks.console import ConsoleSink
    from lora_watch.sinks.standard import own_run, standard_sinks
    from lora_watch.sinks.tensorboard import TensorBoardSink

    if not is_first():
        return ()
    if folder is None:
        return (ConsoleSink(policy=policy),) if console else ()
    return standard_sinks(folder / "lora_watch", model, policy, TensorBoardSink(own_run(folder)), console)
