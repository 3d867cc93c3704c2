"""``Monitor``, for plain loops, and what a Trainer's callback drives."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lora_watch.base.alerts import LoraWatchError, Verdict
from lora_watch.base.records import RunInfo, StepRecord
from lora_watch.measurement.signals.labels import SeenLabels
from lora_watch.rules.policy import Policy
from lora_watch.run.cadence import Cadence
from lora_watch.run.engine import Run
from lora_watch.run.guard import guarded
from lora_watch.run.instruments import Instruments
from lora_watch.run.judge import Judge
from lora_watch.run.monitored import MonitoredAdapters
from lora_watch.run.ranks import Ranks, all_have_met, is_first, world_size
from lora_watch.run.rates import peaks
from lora_watch.run.recording import Recorder
from lora_watch.run.recovery import Recovery
from lora_watch.settings import MonitorSettings, takes
from lora_watch.sinks import Sink

log = logging.getLogger("lora_watch")

_UNEVEN = "inside torch's Join each rank goes on or stops by itself, as one whose data has ended answers DDP alone"


class Monitor(Run):
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
    after the next one, and the last step by ``flush``, ``conclude`` or at the end of the ``with``. On a CPU each step
    is checked at once. With ``fail_on`` the gradients are read before each ``optimizer.step()`` of a loop. That call
    then raises LoraWatchError instead of applying a NaN.

    On several ranks make one on each, and call ``step`` on all of them. With ``fail_on`` they agree at each step
    whether the run continues, and raise together once the files of the first are complete. If only some ranks have
    one, it logs that after 30 s and stops its own rank alone. In torch's ``Join`` give it DDP's wrapper as
    ``model``: it then waits for no other rank.

    Raises:
        TypeError: for an argument that it does not have.
        ValueError: for a value that is not allowed.
    """

    @takes(MonitorSettings)
    def __init__(self, settings: MonitorSettings):
        model, optimizer, scheduler = settings.model, settings.optimizer, settings.scheduler
        chosen = settings.policy()
        own = _own_sinks(model, chosen, settings.output_dir, settings.console)
        judge = Judge(chosen, [*settings.sinks, *own])
        cadence = Cadence(settings.every, settings.full_every)
        run = RunInfo(
            adapters=(),
            max_steps=settings.max_steps,
            config=dict(settings.config or {}),
            rules=tuple(rule.describe() for rule in judge.policy.rules),
            peak_lr=tuple(settings.peak_lr or peaks(scheduler)),
            notes=tuple(dict.fromkeys(settings.notes)),
            meant=settings.meant,
            run_id=uuid.uuid4().hex,
        )
        monitored = MonitoredAdapters(model, optimizer, run)
        instruments = Instruments(model, judge.guard, output_ratio=settings.output_ratio, drift=settings.drift)
        self._optimizer: Any = optimizer
        self._scaler: Any = settings.scaler
        self._micro_batches: list[Tensor] = []
        self._update_hook: Any = None
        self._labels: SeenLabels | None = None
        self._model, self._over = model, False
        recorder = Recorder(
            *(monitored, instruments, cadence, judge.guard),
            *(settings.lr_fraction, settings.judge_loss, self._is_scaled),
        )
        recovery = Recovery(model, optimizer, recorder, judge, settings.recover_memory)
        super().__init__(recorder, judge, cadence, recovery)
        if settings.output_dir is not None:
            self.place = Path(settings.output_dir).resolve()

    def __enter__(self) -> Monitor:
        self._begin()
        return self

    @guarded("ending")
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: Any
    ) -> LoraWatchError | None:
        if error is None:
            return None if self._over else self.end()  # its exception has been raised before
        self.finish_for(error)
        return None

    @guarded("judging a step")
    def step(self, loss: float | Tensor | None = None, step: int | None = None) -> StepRecord | None:
        """One optimizer step of a plain loop: call it after ``optimizer.step()``, before the scheduler's step.

        Inside ``accelerator.accumulate`` call it for every micro-batch with its own loss: those at which accelerate's
        optimizer makes no step are averaged into the next that is one.

        Returns ``last``. Raises LoraWatchError when the policy ends the run.
        """
        if not self._started:
            self._begin(updated=True)
        if self._over:
            return self.last
        accumulation = getattr(self._optimizer, "gradient_state", None)  # accelerate's
        if accumulation is not None:
            with self.guard("reading the loss"):
                self._micro_batches += [] if loss is None else [torch.as_tensor(loss).detach().clone()]
            if not accumulation.sync_gradients:
                return self.last
        seen: dict[str, Any] = {}
        with self.guard("reading the loss"):
            if accumulation is not None:
                there, self._micro_batches, loss = self._micro_batches, [], None
                loss = torch.stack(there).mean() if there else None
            seen = self._labels.take(loss) if self._labels is not None else {}
        self._see_join()
        found = self.after_update(loss, step, labels=seen.get("labels"), targets=seen.get("targets"))
        ending = self.end_for(found)
        return self.last if ending is None else ending  # type: ignore[return-value]  # the guard's door raises it

    @guarded("ending")
    def finish(self, verdict: Verdict = "ok", message: str | None = None) -> None:
        for hook in (self._update_hook, self._labels):
            with self.guard("taking the hooks off the model", aside=True):
                if hook is not None:
                    hook.remove()
        self._update_hook = self._labels = None
        began = self._started
        super().finish(verdict, message)
        if began:  # whoever keeps it, for its alerts, does not keep the model
            self._model, self._optimizer, self._scaler, self._over = nn.Module(), None, None, True

    @guarded("starting")
    def _begin(self, updated: bool = False) -> None:
        """What a loop of the user's own leaves to us: to start, to agree, and to look before each update."""
        if self._over:
            log.warning("lora_watch: this Monitor has ended with its run: make a new one for the next")
            return
        if self.policy.can_act:
            with self.guard("meeting the monitors of the other ranks"):  # before the clock of the overhead starts
                device = next((parameter.device for parameter in self._model.parameters()), None)
                self.ranks = Ranks(device, together=all_have_met())
        self.start(updated=updated)
        if self.policy.can_act and world_size() > 1 and not self.ranks.together:
            self._recovery.give_up("not every rank has a Monitor")
        optimizer = getattr(self._optimizer, "optimizer", self._optimizer)  # accelerate's holds torch's
        if self.policy.can_act and hasattr(optimizer, "register_step_pre_hook"):
            self._update_hook = optimizer.register_step_pre_hook(self._before_step)
        self._labels = SeenLabels(self._model, self.guard)

    @guarded("reading gradients")
    def _before_step(self, *_: Any) -> LoraWatchError | None:
        self._see_join()
        return self.end_for(self.before_update(None))

    @guarded("looking for torch's Join", light=True)
    def _see_join(self) -> None:
        """Inside torch's ``Join`` a rank whose data has ended answers DDP's collectives alone: no others are made."""
        # torch has no public way to ask
        if self.ranks.together and getattr(getattr(self._model, "_join_config", None), "enable", False):
            self.ranks.together = False
            self._recovery.give_up(_UNEVEN)
            self._recorder.monitored.note(_UNEVEN)
            log.warning("lora_watch: %s", _UNEVEN)

    def __getstate__(self) -> dict[str, Any]:
        gone = dict.fromkeys(("_optimizer", "_scaler", "_update_hook", "_labels"))
        return {**super().__getstate__(), **gone, "_model": nn.Module()}

    def _is_scaled(self) -> bool:  # looked up each time: it may come late
        return self._scaler is not None or getattr(self._optimizer, "scaler", None) is not None


def _own_sinks(
    model: nn.Module, policy: Policy, output_dir: str | os.PathLike[str] | None, console: bool
) -> Sequence[Sink]:
    # Imported here: the core is torch and numpy alone, and a Trainer brings sinks of its own.
    from lora_watch.run.standard import own_run, standard_sinks
    from lora_watch.sinks.console import ConsoleSink
    from lora_watch.sinks.tensorboard import TensorBoardSink

    if not is_first():
        return ()
    if output_dir is None:
        return (ConsoleSink(),) if console else ()
    folder = Path(output_dir)
    events = TensorBoardSink(own_run(folder))
    return standard_sinks(folder / "lora_watch", model, policy, events, console)
