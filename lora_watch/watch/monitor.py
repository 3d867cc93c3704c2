"""The loop: find, measure, judge, write. Framework-free; ``callback.py`` drives it from a Trainer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import metadata
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from lora_watch.adapters import (
    Adapter,
    DenseAdapter,
    NoAdaptersError,
    find_adapters,
    find_other_adapters,
    moved,
    prompts,
    unmatched,
)
from lora_watch.adapters.describe import describe
from lora_watch.adapters.find import listed
from lora_watch.adapters.tensors import sharded
from lora_watch.alerts import Alert, LoraWatchError, Severity
from lora_watch.deferred import Arrival, Courier, Deferred, is_far
from lora_watch.norms import AdapterBank, BaseNorms, DenseBank, Snapshot, base_norms
from lora_watch.norms.base import relative
from lora_watch.norms.magnitude import Magnitudes
from lora_watch.norms.output_ratio import OutputRatioProbe
from lora_watch.norms.sample import Changed, FrozenWeights
from lora_watch.records import BoolArray, FloatArray, Reading, RunInfo, StepRecord
from lora_watch.rules import Episodes, Rule
from lora_watch.signals.gradients import gradient_norms
from lora_watch.signals.loss import LossSignals
from lora_watch.signals.optimizer import ParameterGroups
from lora_watch.sinks import EvaluationSink, Sink, UpdateSink, Verdict
from lora_watch.watch.policy import MONITOR_FAILURE, FailOn, policy

log = logging.getLogger("lora_watch")

AnyAdapter = TypeVar("AnyAdapter", Adapter, DenseAdapter)

CLOSE_LOOK = 10
"""Steps at which everything is measured whatever it costs: most runs that explode have done so by then."""
LONGEST = 16
"""Measurements of the norms to one of everything, at most."""
LONGEST_DENSE = 256
"""The same where a measurement has to make whole matrices."""


@dataclass(frozen=True)
class _Taken:
    """What was read of one step."""

    record: StepRecord
    """All that was known at once."""
    base: BaseNorms
    arrival: Arrival
    """The rest, which may still be on its way from an accelerator."""


class Monitor:
    """Watches the LoRA adapters of one model through one training run.

    For a plain torch loop::

        with Monitor(model, optimizer, fail_on="error") as monitor:
            for batch in data:
                loss = model(**batch).loss
                loss.backward()
                optimizer.step()
                monitor.step(loss=loss)     # before the scheduler's step and zero_grad
                optimizer.zero_grad()

    It reads and never writes: no parameter, gradient or random state is touched. A failure of its own is logged
    once with its traceback, becomes a finding (LW901), and training goes on.

    Numbers on an accelerator are copied to the host without waiting and read one step later: there a step is judged
    after the next one, the last by ``flush``, ``conclude`` or at the end of the ``with``. On a CPU each is judged at
    once. With ``fail_on``, ``before_update`` waits for the loss and the gradients, so that nothing non-finite is
    applied.

    Args:
        model: the model that is being trained, with its adapters.
        optimizer: anything with ``param_groups``; without it learning rates are unknown.
        scaler: the ``torch.amp.GradScaler`` of a loop under fp16: steps that it skips are then no fault (LW308 counts
            them). Accelerate's optimizer brings its own.
        fail_on: ``never``, ``warning`` or ``error``: the least severity of an alert that ends the run; or a mapping
            ``{"default": "error", "LW202": "never"}``. See ``lora_watch.watch.policy``, also for the environment
            variables that are asked where this, ``patience`` or ``mute`` is not given.
        patience: optimizer steps that an alert must have lasted to end the run. What cannot pass, and what is not
            finite, does not wait.
        every: optimizer steps between two measurements of the norms; the loss is judged at every step.
        max_overhead: share of the wall time that watching may take. The norms are measured at every step; the spectrum
            and ``output_ratio`` at each of the first 10 steps and after that as often as this allows, down to every
            16th; where adapters are sharded (FSDP2), at every 16th at once, so that all ranks do the same. Of methods
            that are not LoRA all is measured as often as this allows, and after 1, 2, 4, 8 … steps.
        output_ratio: look into forward passes; False where hooks would spoil a compiled graph. The rules then compare
            weights.
        drift: also measure ``drift_norm`` and ``step_norm`` where the spectrum is measured. Holds two copies of the
            adapters, and takes some six times as long as the other norms together. A resumed run's drift counts from
            where it went on.
        rules: rules to use in place of those with the same id, or in addition.
        mute: ids or names of rules to leave out.
        sinks: where records and alerts are written.
        max_steps: optimizer steps the run will take, if known.
        lr_fraction: share of the schedule's total Σ lr spent after n steps; without it, n / max_steps.
        peak_lr: the highest learning rate that the schedule has for each parameter group; without it, the rates that
            the optimizer was built with.
        config: settings for the report and the dashboards. ``classes``, the number of classes of a cross-entropy (a
            language model's vocabulary), lets LW205 judge the first loss.
        judge_loss: False where the loss does not fall as the model gets better (GRPO, PPO): of the rules that read it
            only LW201, NaN and infinity, is left.

    Raises:
        ValueError: for a ``fail_on``, ``patience`` or ``mute`` that makes no sense.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Any = None,
        *,
        scaler: Any = None,
        fail_on: FailOn | None = None,
        patience: int | None = None,
        every: int = 1,
        max_overhead: float = 0.01,
        output_ratio: bool = True,
        drift: bool = False,
        rules: Iterable[Rule] | None = None,
        mute: Sequence[str] | None = None,
        sinks: Sequence[Sink] = (),
        max_steps: int | None = None,
        lr_fraction: Callable[[int], float | None] | None = None,
        peak_lr: Sequence[float] | None = None,
        config: Mapping[str, Any] | None = None,
        judge_loss: bool = True,
        notes: Sequence[str] = (),
    ):
        if every < 1:
            raise ValueError(f"every={every}: measure every 1, 2, … optimizer steps")
        self.policy = policy(fail_on, patience, mute, rules)
        self.every, self.max_overhead = every, max_overhead
        self.full_every = every
        """Optimizer steps between two full measurements at present: spectrum and ``output_ratio`` beside the norms."""
        self.episodes = Episodes(self.policy.rules, every)
        self.run = RunInfo(())
        self.last: StepRecord | None = None
        """The record of the latest step that has been judged."""
        self._model, self._optimizer, self._scaler = model, optimizer, scaler
        self._sinks = list(sinks)
        self._update_sinks = [sink for sink in sinks if isinstance(sink, UpdateSink)]
        self._max_steps, self._config, self._notes = max_steps, dict(config or {}), list(notes)
        self._lr_fraction, self._peak_lr = lr_fraction, tuple(peak_lr or ())
        self._loss, self._judge_loss = LossSignals(), judge_loss
        self._adapters: Sequence[Adapter | DenseAdapter] = ()
        self._shared = False
        """To read the adapters takes every rank: all must do so at the same steps, whatever each of them has spent."""
        self._bank: AdapterBank | DenseBank = AdapterBank([])
        self._groups = ParameterGroups(optimizer, [])
        self._looks_inside = output_ratio
        self._probe: OutputRatioProbe | None = None
        self._lr_sum: FloatArray = np.zeros(0)
        self._skipped = 0
        """Steps that the optimizer has skipped."""
        self._snapshots = (Snapshot([]), Snapshot([])) if drift else None
        """The adapters as they were when first seen, and before the coming step."""
        self._magnitudes = Magnitudes()
        self._changed, self._weights = Changed([]), FrozenWeights()
        self._frozen: dict[str, tuple[float, float]] = {}
        """‖W₀‖_F and σ₁(W₀) under each adapter, by its name."""
        self._state: list[tuple[bool, bool, bool]] = []
        self._found_state: list[tuple[bool, bool, bool]] = []
        self._trained: dict[str, Adapter | DenseAdapter] = {}
        """Every adapter that has been able to learn in this run, by its name."""
        self._retired: dict[str, str] = {}
        self._gradients: Deferred[tuple[dict[str, FloatArray], dict[str, BoolArray]]] | None = None
        """Of the coming step, once they have been looked at."""
        self._courier = Courier()
        self._waiting: _Taken | None = None
        """The latest step, while its numbers are still on their way."""
        self._said: set[str] = set()
        self._unwritten: list[Alert] = []
        self._step = self._first_step = self._found_step = 0
        self._full = True
        """The coming step is measured in full."""
        self._last_full = 0
        self._began, self._spent = time.perf_counter(), 0.0
        self._started = self._concluded = False

    # -- what a run looks like from outside ----------------------------------------------------------------------
    @property
    def alerts(self) -> list[Alert]:
        """Every alert so far, in order of opening."""
        return self.episodes.alerts

    @property
    def _scaled(self) -> bool:
        """A loss scaler stands between the gradients and the optimizer. Looked up each time: it may come late."""
        return self._scaler is not None or getattr(self._optimizer, "scaler", None) is not None

    @property
    def failures(self) -> list[Alert]:
        """The open alerts for which the policy ends the run, worst first."""
        return self.policy.failures(self.episodes.open)

    @property
    def overhead(self) -> float:
        """Share of the wall time since ``start`` returned that was spent in here, the forward hooks counted."""
        inside = self._probe.seconds if self._probe is not None else 0.0
        return (self._spent + inside) / max(time.perf_counter() - self._began, 1e-9)

    def error(self) -> LoraWatchError:
        """The exception that says why the policy ends the run."""
        bad = self.failures
        lines = [str(alert) for alert in bad]
        if self._first_step and self.last is None:  # not a step has been judged: these came with the checkpoint
            open_then = " and ".join(f"{alert.rule} {alert.name}" for alert in bad)
            first = f"The run does not go on from step {self._first_step}: {open_then} was open when it was saved."
            lines.insert(0, first + " Resume from an earlier checkpoint, or begin anew.")
        return LoraWatchError("\n".join(lines), bad)

    def __enter__(self) -> Monitor:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if kind is None:
            if self.conclude():
                late = self.error()
                self.finish("failed", str(late))
                raise late
            self.finish("ok")
        elif isinstance(error, LoraWatchError):
            self.finish("failed", str(error))
        else:
            self.finish("interrupted", f"{kind.__name__}: {error}")

    # -- a run -----------------------------------------------------------------------------------------------------
    def start(self, step: int = 0) -> None:
        """Find the adapters and judge what can be judged before the first step. ``step``: steps done before."""
        self._step = self._first_step = self._last_full = step
        self._concluded = False
        with self._unharmed("looking for adapters"):
            self._find()
            self._started = True
            self._tell_sinks()
            self._updated()
            if step == 0:  # a resumed run was judged before its first step already
                self._judge(self._take(step, None, measured=True))
            self._arm()
        self._began, self._spent = time.perf_counter(), 0.0

    def before_update(self, loss: float | Tensor | None) -> list[Alert]:
        """Look at the loss and the gradients that the optimizer is about to use.

        Optional, for loops that want to stop before a non-finite update is applied. Returns those of ``failures`` for
        which this one must not be. Waits for an accelerator only if there is something to stop (``fail_on``).
        """
        with self._timed(), self._unharmed("reading gradients"):
            self._gradients = gradient_norms(self._adapters)
            far = [tensor for tensor in (*self._gradients.tensors, loss) if _is_far(tensor)]
            if not far or self.policy.can_end_a_run:
                self._judge_waiting()
                self._look_before(loss)
        return [alert for alert in self.failures if alert.rule in self.policy.urgent]

    def _look_before(self, loss: float | Tensor | None) -> None:
        there = self._courier.send({"gradients": self._gradients or gradient_norms([]), "loss": _deferred(loss)}).read()
        (gradients, has_gradient), value = there["gradients"], there["loss"]
        self._gradients = Deferred((), lambda _: there["gradients"])
        # A loss scaler meets overflows by skipping the step: not a fault.
        skipped = self._scaled and _overflow(gradients, has_gradient)
        metrics = {name: Reading(values, has_gradient[name]) for name, values in gradients.items()}
        record = StepRecord(self.run, self._step + 1, metrics, loss=value, updated=not skipped)
        self._unwritten += self.episodes.check(record, urgent=True)
        if any(alert.rule in self.policy.urgent for alert in self.failures):  # else it is written when it is done
            self._write(record, [])

    def after_update(
        self,
        loss: float | Tensor | None,
        step: int | None = None,
        *,
        lr: Sequence[float] | None = None,
        updated: bool = True,
    ) -> list[Alert]:
        """Measure, judge and write one finished optimizer step. Never raises; returns ``failures``.

        With adapters on an accelerator it measures this step, and judges and writes the one before.

        ``lr``: the rates this step used, one a group; read from the optimizer when not given. ``updated``: False
        when the optimizer skipped the step.
        """
        self._step = self._step + 1 if step is None else step
        with self._timed(), self._unharmed("measuring"):
            self._judge_waiting()
            self._updated()
            self._state = self._look_at_state()
            if self._state != self._found_state:  # switched, merged or frozen: another one may be training now
                self._find()
                self._tell_sinks()
                self._gradients = None  # they are those of the adapters before
            rates = tuple(self._groups.lr if lr is None else lr)
            if updated:
                self._lr_sum = self._lr_sum + np.nan_to_num(self._groups.per_adapter(rates))
            measured = self._step % self.every == 0
            taken = self._take(self._step, loss, measured=measured, lr=rates, updated=updated)
            if taken.arrival.late:
                self._waiting = taken
            else:
                self._judge(taken)
            self._arm()
        self._gradients = None
        return self.failures

    def flush(self) -> list[Alert]:
        """Judge the latest step now, where its numbers are still on their way from an accelerator: waits for them.

        Returns ``failures`` if there was such a step, nothing otherwise.
        """
        if self._waiting is None:
            return []
        with self._timed(), self._unharmed("measuring"):
            self._judge_waiting()
        return self.failures

    def conclude(self) -> list[Alert]:
        """Ask the rules for their last word on a run that has ended by itself; a second call does nothing.

        Leaving the ``with`` without an exception calls it. Returns ``failures`` if it, or a step that had still been
        under way, brought news. A run that the policy has ended already is not asked about.
        """
        failures = self.flush()
        record, ended = self.last, self._concluded or bool(self.failures)
        if ended or record is None or record.step == self._first_step:
            return failures
        self._concluded = True
        with self._timed(), self._unharmed("judging the whole run"):
            if alerts := self.episodes.conclude(record):
                self._write(record, alerts)
        return self.failures

    def adopt(self, alerts: Iterable[Alert]) -> None:
        """Take over alerts that another rank has opened and this one has not."""
        with self._unharmed("taking over alerts of another rank"):
            new = [alert for theirs in alerts for alert in self.episodes.say(theirs)]
            if new and self.last is not None:
                self._write(self.last, new)

    def step(self, loss: float | Tensor | None = None, step: int | None = None) -> StepRecord | None:
        """One optimizer step of a plain loop: call it after ``optimizer.step()``, before the scheduler's step.

        Returns ``last``. Raises LoraWatchError when the policy ends the run.
        """
        if not self._started:
            self.start()
        if self.after_update(loss, step):
            raise self.error()
        return self.last

    def finish(self, verdict: Verdict = "ok", message: str | None = None) -> None:
        """Close every sink with ``ok``, ``failed`` or ``interrupted``. A second call does nothing."""
        if not self._started:
            return
        self.flush()
        self._started = False
        if self._probe is not None:
            self._probe.close()
        for sink in self._sinks:
            with self._unharmed(f"finishing {type(sink).__name__}"):
                sink.finish(verdict, message)

    def evaluated(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Note in the report how good the model is: ``{"eval_loss": 1.2}``. Also after ``finish``."""
        for sink in self._sinks:
            if isinstance(sink, EvaluationSink):
                with self._unharmed(f"telling {type(sink).__name__} of an evaluation"):
                    sink.evaluated(self._step if step is None else step, metrics)

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers, lists and dicts, for a checkpoint. Waits for the latest step."""
        self.flush()
        return {
            "episodes": self.episodes.state_dict(),
            "loss": self._loss.state_dict(),
            "lr_sum": self._lr_sum.tolist(),
            "skipped": self._skipped,
            "frozen": {name: list(norms) for name, norms in self._frozen.items() if np.isfinite(norms).all()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state_dict`` was taken. Call it before ``start``."""
        self.episodes.load_state_dict(state.get("episodes", {}))
        self._loss.load_state_dict(state.get("loss", {}))
        self._lr_sum = np.array(state.get("lr_sum", []), dtype=np.float64)
        self._skipped = state.get("skipped", 0)
        self._frozen = {name: (norm, top) for name, (norm, top) in state.get("frozen", {}).items()}

    # -- finding -----------------------------------------------------------------------------------------------------
    def _find(self) -> None:
        others: list[DenseAdapter] = []
        methods: set[str] = set()
        found: Sequence[Adapter | DenseAdapter]
        watched: Sequence[Adapter | DenseAdapter]
        try:
            found = find_adapters(self._model)
            self._bank = AdapterBank(watched := _being_trained(found))
        except NoAdaptersError as error:
            others = find_other_adapters(self._model)
            methods = {adapter.method for adapter in others} | set(prompts(self._model))
            found = self._measurable(others, str(error))
            self._bank = DenseBank(watched := _being_trained(found))
        self._trained.update((adapter.name, adapter) for adapter in watched if _trains(adapter))
        self._retired = _retired(self._trained, found)
        self._adapters = watched
        self._shared = any(sharded(p) for a in watched for p in (*a.parameters, a.magnitude_parameter) if p is not None)
        self._groups = ParameterGroups(self._optimizer, watched)
        if self._lr_sum.shape != (len(watched),):
            self._lr_sum = np.zeros(len(watched))
        if self._snapshots is not None:
            self._snapshots[0].add(watched)
        self._magnitudes.add(watched)
        factored = [adapter for adapter in watched if isinstance(adapter, Adapter)]
        self._changed, self._found_step = Changed(factored), self._step
        self._weights.add(factored)
        base = self._base_norms(watched)
        if self._probe is not None:
            self._probe.close()
            self._spent += self._probe.seconds
        self._probe = OutputRatioProbe(self._model, watched) if watched and self._looks_inside else None
        notes = list(dict.fromkeys(self._notes))
        if self._probe is not None and self._probe.why_unavailable:
            notes.append(f"output_ratio is unavailable: {self._probe.why_unavailable}")
        self.run = RunInfo(
            adapters=tuple(
                describe(a, group, norm, top)
                for a, group, norm, top in zip(watched, self._groups.group, base.norm, base.spectral_norm)
            ),
            max_steps=self._max_steps,
            config=self._config,
            rules=tuple(rule.describe() for rule in self.episodes.rules),
            versions=_versions(),
            optimizer=self._groups.name,
            peak_lr=self._peak_lr or self._groups.peak_lr,
            other_methods=tuple(sorted(methods)),
            moved=moved(self._model),
            unmatched=tuple(unmatched(self._model)),
            notes=tuple(notes),
        )
        self._base: BaseNorms = base
        self._reach = np.sqrt([a.d_out * a.r / 3.0 for a in self.run.adapters])
        self._state = self._found_state = self._look_at_state()

    def _measurable(self, others: Sequence[DenseAdapter], why_no_lora: str) -> list[DenseAdapter]:
        """Those of ``others`` that can be measured; and a note."""
        found = [adapter for adapter in others if adapter.merged or adapter.why_not is None]
        self._notes.append(
            f"not LoRA ({listed(others)}): looked at as often as max_overhead allows, and after 1, 2, 4, 8 … steps; "
            "there are no norms of A and B, and no scale"
            if found
            else why_no_lora
        )
        return found

    def _base_norms(self, adapters: Sequence[Adapter | DenseAdapter]) -> BaseNorms:
        """Read once a run: it takes time, and a weight that something has been merged into is no longer W₀."""
        new = [a for a in adapters if a.name not in self._frozen]
        norms = base_norms(new)
        self._frozen.update(zip((a.name for a in new), zip(norms.norm.tolist(), norms.spectral_norm.tolist())))
        pairs = np.array([self._frozen[a.name] for a in adapters]).reshape(-1, 2)
        return BaseNorms(pairs[:, 0], pairs[:, 1])

    def _look_at_state(self) -> list[tuple[bool, bool, bool]]:
        """Of each adapter: active, merged, trainable. Of one that is not active, perhaps deleted, no more is asked."""
        return [(True, a.merged, a.trainable) if a.active else (False, False, False) for a in self._adapters]

    def _arm(self) -> None:
        """Decide whether the coming step is measured in full, and have its forward pass looked at if so."""
        self._full = self._dense_due() if isinstance(self._bank, DenseBank) else self._due()
        if self._full:
            self._last_full = self._step + 1
        if self._full and self._probe is not None:
            self._probe.arm(self._step)
        if self._full and self._snapshots is not None:
            self._snapshots[1].update(self._adapters)

    def _due(self) -> bool:
        # Judged anew the longer the cadence, so that it has had time to show.
        due = self._step - self._first_step >= CLOSE_LOOK * self.full_every // self.every
        longest = LONGEST * self.every
        if due and self._shared:
            self.full_every = longest
        elif due and self.overhead > self.max_overhead and self.full_every < longest:
            wanted = self.full_every * self.overhead / max(self.max_overhead, 1e-9)
            while self.full_every < min(wanted, longest):
                self.full_every *= 2
            log.info(
                "lora_watch takes %.1f %% of the time, more than max_overhead=%g: spectrum and output_ratio are now "
                "measured every %d steps",
                100 * self.overhead,
                self.max_overhead,
                self.full_every,
            )
        return (self._step + 1) % self.full_every == 0

    def _dense_due(self) -> bool:
        """Whole matrices cost more: no ten close looks, but one at twice the steps of the last at the latest."""
        longest = min(self._last_full - self._first_step, LONGEST_DENSE * self.every)
        late = self._step + 1 - self._last_full >= longest
        cheap = not self._shared and self.overhead <= self.max_overhead
        return (self._step + 1) % self.every == 0 and (late or cheap)

    # -- measuring -----------------------------------------------------------------------------------------------------
    def _take(
        self,
        step: int,
        loss: float | Tensor | None,
        *,
        measured: bool,
        lr: tuple[float, ...] = (),
        updated: bool = True,
    ) -> _Taken:
        """Read all that is to be known of this step, without waiting for an accelerator."""
        metrics: dict[str, Reading] = {}
        parcels: dict[str, Deferred[Any]] = {"loss": _deferred(loss)}
        total = len(self._adapters)
        base_weights: list[Tensor | None] | None = None
        if step != self._first_step:
            parcels["gradients"] = self._gradients or gradient_norms(self._adapters)
        if measured and total:
            parcels["norms"] = self._bank.begin(spectrum=self._full)
            factored = [adapter for adapter in self._adapters if isinstance(adapter, Adapter)]
            if factored and step != self._found_step:  # else they are compared with themselves
                parcels["changed"] = self._changed.measure()
            if self._full:
                parcels["magnitudes"] = self._magnitudes.measure(self._adapters)
            if self._full and factored:
                base_weights = [adapter.base_weight for adapter in factored]
                parcels["base_drift"] = self._weights.measure(factored, base_weights)
            if self._full and step != self._first_step:
                unknown = np.full(total, np.nan), np.zeros(total, dtype=bool)
                parcels["output_ratio"] = self._probe.read() if self._probe else Deferred((), lambda _: unknown)
                for name, snapshot in zip(("drift_norm", "step_norm"), self._snapshots or ()):
                    metrics[name] = Reading(*snapshot.distance(self._adapters))
        if total:
            scale = np.array([a.scale for a in self._adapters])
            rates = self._groups.per_adapter(lr if lr else self.run.peak_lr)
            metrics["effective_lr"] = Reading(scale * rates, ~np.isnan(rates))
            if not self.run.other_methods:
                metrics["predicted_norm"] = Reading(np.abs(scale) * self._lr_sum * self._reach)
        record = StepRecord(
            self.run,
            step,
            metrics,
            lr=lr,
            weight_decay=self._groups.weight_decay,
            wiring=self._wiring(base_weights),
            retired=self._retired,
            updated=updated,
        )
        return _Taken(record, self._base, self._courier.send(parcels))

    def _complete(self, taken: _Taken) -> StepRecord:
        """The whole record of a step: waits for what is still on its way."""
        there = taken.arrival.read()
        metrics = dict(taken.record.metrics)
        updated = taken.record.updated
        if "gradients" in there:
            gradients, has_gradient = there["gradients"]
            metrics.update((name, Reading(norms, has_gradient[name])) for name, norms in gradients.items())
            # Accelerate does not see it when a fused optimizer (the Trainer's default) skips the step by itself.
            updated = updated and not (self._scaled and _overflow(gradients, has_gradient))
        if "norms" in there:
            values, readable = there["norms"], self._bank.known
            metrics.update((name, Reading(numbers, readable)) for name, numbers in values.items())
            sizes = {"relative_norm": taken.base.norm, "relative_spectral_norm": taken.base.spectral_norm}
            for (name, size), change in zip(sizes.items(), ("delta_norm", "spectral_norm")):
                if change in values:
                    metrics[name] = Reading(relative(values[change], size), readable & (size > 0))
        if "magnitudes" in there:
            magnitudes, has_magnitude = there["magnitudes"]
            metrics.update((name, Reading(numbers, has_magnitude)) for name, numbers in magnitudes.items())
        if "changed" in there:
            metrics.update((name, Reading(shares, ~np.isnan(shares))) for name, shares in there["changed"].items())
        if "base_drift" in there:
            metrics["base_drift"] = Reading(*there["base_drift"])
        if "output_ratio" in there:
            metrics["output_ratio"] = Reading(*there["output_ratio"])
        loss = there["loss"]
        self._skipped += not updated
        return replace(
            taken.record,
            metrics=metrics,
            spectrum=self._bank.spectrum if "norms" in there else None,
            loss=loss,
            overhead=self.overhead,
            full_every=self.full_every if isinstance(self._bank, AdapterBank) else None,
            lr_fraction=self._fraction(taken.record.step - self._skipped),  # a skipped step does not move the schedule
            updated=updated,
            scalars=self._loss.update(loss) if self._judge_loss else {},
        )

    def _wiring(self, base_weights: Sequence[Tensor | None] | None) -> dict[str, BoolArray]:
        state = np.array(self._state, dtype=bool).reshape(-1, 3)
        wiring = {"active": state[:, 0], "merged": state[:, 1], "trainable": state[:, 2]}
        # Where factors are sharded away the optimizer holds other tensors than the model shows.
        if self._groups.known and self._bank.known.all():
            wiring["in_optimizer"] = self._groups.in_optimizer
        if base_weights is not None:
            wiring["base_trainable"] = np.array([w is not None and w.requires_grad for w in base_weights], dtype=bool)
        return wiring

    def _fraction(self, step: int) -> float | None:
        if self._lr_fraction is not None:
            return self._lr_fraction(step)
        return min(step / self._max_steps, 1.0) if self._max_steps else None

    # -- judging and writing -------------------------------------------------------------------------------------------
    def _judge(self, taken: _Taken) -> None:
        record = self._complete(taken)
        alerts = self.episodes.check(record)
        self.last = self.episodes.place(record)
        self._write(self.last, alerts)

    def _judge_waiting(self) -> None:
        taken, self._waiting = self._waiting, None
        if taken is not None:
            self._judge(taken)

    def _tell_sinks(self) -> None:
        for sink in self._sinks:
            with self._unharmed(f"starting {type(sink).__name__}"):
                sink.start(self.run, self._step)

    def _updated(self) -> None:
        for sink in self._update_sinks:
            with self._unharmed(f"showing the weights to {type(sink).__name__}"):
                sink.updated(self._step)

    def _write(self, record: StepRecord, alerts: list[Alert]) -> None:
        alerts, self._unwritten = [*self._unwritten, *alerts], []
        for sink in self._sinks:
            with self._unharmed(f"writing with {type(sink).__name__}"):
                sink.write(record, alerts)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self._spent += time.perf_counter() - began

    @contextmanager
    def _unharmed(self, doing: str) -> Iterator[None]:
        """Training goes on whatever happens inside: the failure is logged once and becomes a finding."""
        try:
            with torch.no_grad(), np.errstate(all="ignore"):  # NaN and infinities are results here
                yield
        except OSError as error:  # the disk's fault, not ours: one line is enough, whichever files it meets
            said = f"lora_watch could not write: {error}"
            if self._is_new(f"errno {error.errno}"):
                log.warning("%s; training goes on, what could not be written is lost", said)
                self._confess(said, "free the space, or name a folder that can be written to (report_dir, output_dir)")
        except Exception as error:
            if self._is_new(doing):
                log.exception("lora_watch failed while %s; training goes on without it", doing)
                said = f"lora_watch itself failed while {doing}: {type(error).__name__}: {error}"
                self._confess(said, "the traceback is in the log; training is not affected")

    def _is_new(self, failure: str) -> bool:
        new = failure not in self._said
        self._said.add(failure)
        return new

    def _confess(self, message: str, remedy: str) -> None:
        alert = Alert(MONITOR_FAILURE, "monitor-failure", Severity.WARNING, self._step, message, remedies=[remedy])
        self._unwritten += self.episodes.say(alert)


def _retired(trained: Mapping[str, Adapter | DenseAdapter], found: Sequence[Adapter | DenseAdapter]) -> dict[str, str]:
    """Which adapters that have trained do so no longer, and why, in the words of ``StepRecord.retired``."""
    here, taken = {a.name for a in found}, {id(a.module) for a in found if a.active}

    def why(adapter: Adapter | DenseAdapter) -> str:
        if adapter.name not in here:
            return "gone"
        if not adapter.active:
            return "replaced" if id(adapter.module) in taken else "off"
        return "merged" if adapter.merged else ""

    return {name: reason for name, adapter in trained.items() if (reason := why(adapter))}


def _overflow(gradients: Mapping[str, FloatArray], there: Mapping[str, BoolArray]) -> bool:
    return any((there[name] & ~np.isfinite(norms)).any() for name, norms in gradients.items())


def _is_far(value: Any) -> bool:
    return isinstance(value, Tensor) and is_far(value.device)


def _trains(adapter: Adapter | DenseAdapter) -> bool:
    return adapter.active and adapter.trainable and not adapter.merged


def _being_trained(found: Sequence[AnyAdapter]) -> Sequence[AnyAdapter]:
    """Without frozen and inactive adapters beside a training one (DPO's reference, say); all where none trains."""
    return [adapter for adapter in found if _trains(adapter)] or found


def _deferred(loss: float | Tensor | None) -> Deferred[float | None]:
    """The loss as a number: at once, unless it is on an accelerator."""
    if _is_far(loss) and isinstance(loss, Tensor):
        return Deferred((loss,), lambda numbers: float(numbers[0][0]))
    value = None if loss is None else float(loss.detach()) if isinstance(loss, Tensor) else float(loss)
    return Deferred((), lambda _: value)


def _versions() -> dict[str, str]:
    out = {}
    for package in ("lora-watch", "torch", "transformers", "peft", "trl", "accelerate", "numpy"):
        try:
            out[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return out
