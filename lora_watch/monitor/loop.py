"""The loop: find, measure, judge, write."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from lora_watch import markup
from lora_watch.alerts import Alert, LoraWatchError, Severity, in_order
from lora_watch.monitor import interrupts
from lora_watch.monitor.cadence import Cadence
from lora_watch.monitor.guard import guarded
from lora_watch.monitor.judge import Judge
from lora_watch.monitor.recording import Recorder, Taken
from lora_watch.monitor.recovery import NoRecovery
from lora_watch.records import RunInfo, StepRecord
from lora_watch.sinks import Verdict
from lora_watch.text import count


class _Over(NoRecovery):
    """Of a run that has ended: what a checkpoint is to know."""

    def __init__(self, state: dict[str, Any]):
        self._state = state

    def state_dict(self) -> dict[str, Any]:
        return self._state


class Loop:
    """What happens at each event of a training. See ``Monitor``."""

    started: ClassVar[int] = 0
    """How many runs have begun to be monitored in this process."""
    blind: ClassVar[int] = 0
    """How many of them have come to an end without a measurement: those with the verdict ``unknown``."""

    def __init__(self, recorder: Recorder, judge: Judge, cadence: Cadence, recovery: NoRecovery):
        self._recorder, self._judge, self._cadence = recorder, judge, cadence
        self.policy = judge.policy
        self.guard = self._guard = judge.guard
        """What is done inside a training is done in it: no exception comes out, and the time counts as overhead."""
        self._recovery = recovery
        self._waiting: Taken | None = None
        """The latest step, while its numbers are still on their way."""
        self._coming: StepRecord | None = None
        """What is known of a step whose update has not been applied yet."""
        self._started = False
        self._announced: RunInfo | None = None
        """What the sinks know of the run and its adapters."""

    def __getstate__(self) -> dict[str, Any]:
        """A copy, pickled or not, tells what was found; without model and sinks it takes no part in the run."""
        return {**vars(self), "_waiting": None, "_recovery": NoRecovery(), "_coming": None, "_started": False}

    # -- a run as seen from outside -----------------------------------------------------------------------------
    def _repr_html_(self) -> str:
        """For notebooks: where the run stands, and its alerts, the one to read first first."""
        last, steps = self.last, count(self.steps, "step")
        planned = f"{self.steps} of {self.run.max_steps} steps" if self.run.max_steps else steps
        parts = [planned, count(len(self.run.adapters), "adapter"), *([f"zone {last.zone}"] if last else [])]
        if last is not None and last.loss is not None:
            parts.append(f"loss {last.loss:.4g}")
        parts.append(count(len(self.alerts), "alert") if self.alerts else "no alerts")
        return f"<p><b>lora_watch</b> {markup.text(' · '.join(parts))}</p>" + "".join(
            alert._repr_html_() for alert in in_order(self.alerts)
        )

    @property
    def run(self) -> RunInfo:
        """What is known of the run and its adapters."""
        return self._recorder.roster.run

    @property
    def steps(self) -> int:
        """Optimizer steps done."""
        return self._judge.steps

    @property
    def alerts(self) -> list[Alert]:
        """Every alert so far, in order of opening."""
        return self._judge.episodes.alerts

    @property
    def last(self) -> StepRecord | None:
        """The record of the latest step that has been judged."""
        return self._judge.last

    @property
    def is_blind(self) -> bool:
        """Steps have been done, and no adapter's size was known at any: the run's end is ``unknown``, not ``ok``."""
        return self._judge.is_blind

    @property
    def failures(self) -> list[Alert]:
        """The open alerts for which the policy ends the run, worst first."""
        return self._judge.failures

    @property
    def overhead(self) -> float:
        """Share of the wall time since ``start`` returned that was spent in here, the forward hooks counted."""
        return self._cadence.overhead

    @property
    def full_every(self) -> int:
        """Optimizer steps between two full measurements at present: spectrum and ``output_ratio`` too."""
        return self._cadence.full_every

    def error(self) -> LoraWatchError:
        """The exception that says why the policy ends the run."""
        return self._judge.error()

    # -- a run -----------------------------------------------------------------------------------------------------
    @guarded("starting")
    def start(self, step: int = 0) -> None:
        """Find the adapters and judge what can be judged before the first step. ``step``: steps done before."""
        self._cadence.start(step)
        self._judge.start(step)
        with self.guard("looking for adapters"):
            self._recovery.prepare()
            self._recorder.find(step)
            self._started = True
            Loop.started += 1
            interrupts.began(self)
            self._announce(step)
            self._judge.sinks.updated(step)
            if step == 0:
                self._judge.judge(self._recorder.complete(self._recorder.take(0, None)))
            else:  # a resumed run was judged before its first step already, and has what was found since then
                self._judge.resume(StepRecord(self.run, step, {}))
            self._recovery.begin(step)
            self._recorder.plan(step)
        self._cadence.start_clock()

    @guarded("reading gradients")
    def before_clipping(self) -> None:
        """See which gradients are finite before they are clipped, which may spread one NaN to all. Optional."""
        self._recorder.before_clipping()

    @guarded("reading gradients", list)
    def before_update(self, loss: float | Tensor | None, made: bool = False) -> list[Alert]:
        """Look at the loss and the gradients that the optimizer is about to use, or has used where it is ``made``.

        Optional, for loops that want to stop before a non-finite update is applied. Returns what the policy is to act
        on and the rules call ``urgent``: for it this update must not be. Waits for an accelerator only if there is
        something to act for (``fail_on``, ``recover``).
        """
        with self.guard("reading gradients"):
            self._look_again()
            if made:  # what is there now is not what the step before has left
                self._judge.sinks.updated(self.steps + 1)
            if not self._recorder.read_gradients(loss) or self.policy.can_act:
                self._judge_waiting()
                self._coming = self._recorder.before_update(self.steps + 1, loss)
                self._judge.before_update(self._coming)
            self._recovery.before_update()
        return self._judge.urgent

    @guarded("measuring", list)
    def after_update(
        self,
        loss: float | Tensor | None,
        step: int | None = None,
        *,
        lr: Sequence[float] | None = None,
        updated: bool = True,
        labels: Tensor | None = None,
    ) -> list[Alert]:
        """Measure, judge and write one finished optimizer step. Never raises; returns what the policy is to act on.

        With adapters on an accelerator it measures this step, and judges and writes the one before.

        ``lr``: the rates this step used, one a group; read from the optimizer when not given. ``updated``: False
        when the optimizer skipped the step. ``labels``: how often each class was a label in it, ``[classes]``.
        """
        self._judge.steps = self.steps + 1 if step is None else step
        self._coming = None
        with self.guard("measuring"):
            self._judge_waiting()
            dropped = self._recovery.settle(loss)
            self._judge.sinks.updated(self.steps)
            recorder = self._recorder
            self._look_again(everywhere=self._cadence.due(self.steps).full)
            rates = tuple(recorder.roster.groups.lr if lr is None else lr)
            self._waiting = recorder.take(self.steps, loss, lr=rates, updated=updated and not dropped, labels=labels)
            self._announce(self.steps)
            if dropped or not self._waiting.arrival.late:
                self._judge_waiting(dropped)
            self._recovery.updated(self.steps)
            self._recovery.judged()
            recorder.plan(self.steps, self._judge.episodes.asks)
        return self._judge.acute

    def recover(self, alerts: Sequence[Alert]) -> bool:
        """Go back and on for ``alerts``, on which all ranks have agreed. True if the run goes on."""
        recovered = False
        with self.guard("recovering"):
            self._judge_waiting()
            if (record := self._coming or self.last) is not None:
                recovered = self._recovery.treat(in_order(alerts), record, before_update=self._coming is not None)
        return recovered or not self.failures

    @guarded("measuring", list)
    def flush(self) -> list[Alert]:
        """Judge the latest step now, where its numbers are still on their way from an accelerator: waits for them.

        Returns what the policy is to act on if there was such a step, nothing otherwise.
        """
        if self._waiting is None:
            return []
        with self.guard("measuring"):
            self._judge_waiting()
        return self._judge.acute

    @guarded("judging the whole run", list)
    def conclude(self) -> list[Alert]:
        """Ask the rules for their last word on a run that has ended by itself; a second call does nothing.

        Leaving the ``with`` without an exception calls it. Returns ``failures`` if it, or a step that had still been
        under way, brought news. A run that the policy has ended already is not asked about.
        """
        failures = self.flush()
        with self.guard("judging the whole run"):
            self._recovery.conclude()
            if self._judge.conclude():
                return self.failures
        return failures

    @guarded("taking over alerts of another rank")
    def adopt(self, alerts: Iterable[Alert]) -> None:
        """Take over alerts that another rank has opened and this one has not."""
        self._judge.adopt(alerts)

    @guarded("ending")
    def finish(self, verdict: Verdict = "ok", message: str | None = None) -> None:
        """Close every sink with ``ok``, ``failed`` or ``interrupted``. A second call does nothing.

        What has ended by itself with an ERROR open was not ok: it is ``unhealthy``, and the message says why. Where no
        adapter was measured at any step it is ``unknown``.
        """
        if not self._started:
            self._recorder.close()
            return
        self.flush()
        errors = in_order(alert for alert in self._judge.episodes.open if alert.severity >= Severity.ERROR)
        if verdict == "ok" and errors:
            verdict, message = "unhealthy", str(errors[0])
        elif verdict == "ok" and self._judge.is_blind:
            verdict = "unknown"
            message = f"none of the {len(self.run.adapters)} adapters was measured in {self.steps} steps"
            Loop.blind += 1
        self._started = False
        with self.guard("taking the hooks off the model"):
            interrupts.ended(self)
            self._recorder.close()
        self._judge.sinks.finish(verdict, message)
        with self.guard("letting go of the model"):
            self._recorder, self._recovery = copy.copy(self._recorder), _Over(self._recovery.state_dict())

    @guarded("noting an evaluation")
    def evaluated(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Note in the report how good the model is: ``{"eval_loss": 1.2}``. Also after ``finish``."""
        self._judge.sinks.evaluated(self.steps if step is None else step, metrics)

    @guarded("keeping the rules' state for a checkpoint, so that a resumed run starts them anew", dict)
    def state_dict(self) -> dict[str, Any]:
        """Plain numbers, lists and dicts, for a checkpoint. Waits for the latest step."""
        self.flush()
        return self._judge.state_dict() | self._recorder.state_dict() | {"recovery": self._recovery.state_dict()}

    @guarded("taking over a checkpoint's state, so that what it does not tell starts anew")
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state_dict`` was taken. Call it before ``start``."""
        self._judge.load_state_dict(state)
        self._recorder.load_state_dict(state)
        self._recovery.load_state_dict(state.get("recovery", {}))

    def _look_again(self, everywhere: bool = False) -> None:
        """Adapters may have come, gone or been switched since they were looked for."""
        if self._recorder.roster.has_changed(everywhere):
            self._recorder.find(self.steps)

    def _announce(self, step: int) -> None:
        if self.run is not self._announced:  # other adapters, or a note
            self._announced = self.run
            self._judge.sinks.start(self.run, step)

    def _judge_waiting(self, dropped: bool = False) -> None:
        taken, self._waiting = self._waiting, None
        if taken is not None:
            self._judge.judge(self._recorder.complete(taken, dropped), dropped)
            self._recovery.judged()
