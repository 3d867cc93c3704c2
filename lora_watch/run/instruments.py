"""Everything that is measured of the monitored adapters. Each measurer has one verb, ``begin``, and one answer."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import numpy as np
from torch import nn

from lora_watch.adapters.live import Live
from lora_watch.base.deferred import Deferred, ready
from lora_watch.base.records import Due, FloatArray, Reading, Readings, RunInfo
from lora_watch.measurement.norms import AdapterBank
from lora_watch.measurement.norms.finite import not_finite
from lora_watch.measurement.norms.output_ratio import OutputRatioProbe
from lora_watch.measurement.norms.sample import Changed, FrozenWeights
from lora_watch.measurement.signals.gradients import NOTHING, Gradients
from lora_watch.measurement.signals.labels import OwnLoss
from lora_watch.measurement.signals.scaled_loss import ScaledLoss
from lora_watch.run.guard import Guard
from lora_watch.run.monitored import MonitoredAdapters

_STEPS_TO_BE_SEEN = 3
"""Steps with ``output_ratio`` after which a layer that was in none of them is noted."""


class Instrument(Protocol):
    def begin(self, due: Due) -> Deferred[Readings]:
        """Read what ``due`` asks for, without waiting for an accelerator; no readings of what it does not ask for."""
        ...


class LearningRates:
    """``effective_lr``, s·lr of each adapter's own parameter group, and ``predicted_norm``, s·Σlr·√(d_out·r/3)."""

    def __init__(self) -> None:
        self._live = Live([])
        self._run = RunInfo(())
        self._rates: FloatArray = np.zeros(0)
        """``[n_adapters]``, NaN where they are unknown."""
        self._spent: FloatArray = np.zeros(0)
        """Σ lr over the updates so far, ``[n_adapters]``."""
        self._before: dict[str, float] = {}
        """The same, by name, of all adapters as the present ones were found."""

    @property
    def spent(self) -> dict[str, float]:
        """Σ lr over the updates so far, by adapter."""
        return self._before | self._run.by_name(self._spent)

    @spent.setter
    def spent(self, spent: dict[str, float]) -> None:
        self._before, self._spent = spent, self._run.of_each(spent)

    def watch(self, live: Live, run: RunInfo) -> None:
        """Those of other adapters: one that has not been there before begins at 0."""
        spent, self._live, self._run = self.spent, live, run
        self.spent, self._rates = spent, run.per_adapter(run.peak_lr)

    def step(self, rates: Sequence[float], updated: bool) -> None:
        """A step with these rates, one a parameter group; ``updated``: the optimizer did not skip it."""
        self._rates = self._run.per_adapter(rates or self._run.peak_lr)
        if updated and rates:
            self._spent = self._spent + np.fmax(self._rates, 0.0)  # an unknown one is left out

    def begin(self, due: Due) -> Deferred[Readings]:
        scale, known = self._live.now.scale, ~np.isnan(self._rates)
        predicted = np.abs(scale) * self._spent * self._run.norm_per_lr
        return ready({"effective_lr": Reading(scale * self._rates, known), "predicted_norm": Reading(predicted, known)})


class Instruments:
    """All instruments, an instrument itself."""

    def __init__(self, model: nn.Module, guard: Guard, *, output_ratio: bool):
        self._model, self._guard, self._output_ratio = model, guard, output_ratio
        self.rates, self.gradients = LearningRates(), Gradients(Live([]))
        self.frozen = FrozenWeights()
        self.bank = AdapterBank([])
        self._probe = OutputRatioProbe(model, ())
        self.scaled_loss = ScaledLoss(model, guard=guard)
        self.own_loss = OwnLoss(model, guard, hooks=output_ratio)
        self._of_any_step: Sequence[Instrument] = [self.gradients]
        self._of_norms: Sequence[Instrument] = ()
        """What reads nothing unless norms are due."""
        self._of_full: Sequence[Instrument] = ()
        """What reads nothing unless all is due."""
        self._gathered: Callable[[], AbstractContextManager[None]] = nullcontext
        self._note: Callable[[str], object] = str

    def watch(self, monitored: MonitoredAdapters, step: int, coming: bool = True) -> None:
        """Measure the adapters of ``monitored`` from now on, after ``step``. Says there what cannot be measured.
        ``coming``: the coming pass has not begun, and what was to be seen in it still is."""
        armed, wanted = self._probe.armed_for is not None, self.scaled_loss.wanted
        self._gathered, self._note = monitored.gathered, monitored.note
        with self._gathered():  # first: other ranks come along
            self._look_no_longer()
            self._watch(monitored, step)
        if coming and armed:
            self._probe.arm(step)
        if coming and wanted:
            self.scaled_loss.arm(wanted)

    def _watch(self, monitored: MonitoredAdapters, step: int) -> None:
        adapters, live = monitored.adapters, monitored.live
        self.bank, self.gradients = AdapterBank(adapters, live, monitored.base), Gradients(live)
        self.rates.watch(live, monitored.run)
        self.frozen.watch(adapters)
        if monitored.partitioned:
            monitored.note("base_drift is unknown under ZeRO-3: LW309 compares no base weight")
        if unread := sum(not adapter.factors() for adapter in adapters):
            monitored.note(
                f"the norms of {unread} of {len(adapters)} adapters are unknown: their matrices are not whole in this "
                "process (FSDP1, ZeRO-3), or their kind is not measured"
            )
        self.scaled_loss.watch(adapters, monitored.run)
        seen = adapters if self._output_ratio else ()
        self._probe = OutputRatioProbe(self._model, seen, guard=self._guard, live=live)
        changed = Changed(live, step)
        self._of_any_step, self._of_norms, self._of_full = [self.gradients], [], []
        if adapters:
            self._of_any_step = [self.rates, self.gradients]
            self._of_norms = [self.bank, *([changed] if changed.is_needed else [])]
            self._of_full = [self.frozen, *([self._probe] if self._output_ratio else [])]

    def forget(self) -> None:
        """Measure nothing until ``watch`` has found something."""
        self._look_no_longer()
        self.gradients = Gradients(Live([]))
        self._of_any_step, self._of_norms, self._of_full = [], [], []

    def norms(self, due: Due) -> Deferred[Readings]:
        """All that the weights alone say."""
        with self._gathered():
            return self.bank.begin(due)

    def arm(self, step: int) -> None:
        """The coming step, ``step`` + 1, is measured in full: see its forward pass."""
        if self._output_ratio:
            self._probe.arm(step)

    def search(self, step: int) -> tuple[Deferred[Readings], tuple[str, ...]]:
        """Where the loss of ``step``, which is not finite, comes from: ``output_ratio``, where that was seen, and
        ``not_finite``."""
        seen = self._probe.armed_for == step
        return self._probe.so_far() if seen else NOTHING, not_finite(self._model)

    def measure(self, due: Due) -> Deferred[Readings]:
        """All that ``due`` asks for, without waiting for an accelerator."""
        asked = [*self._of_any_step, *(self._of_norms if due.norms else ()), *(self._of_full if due.full else ())]
        begun: list[tuple[Instrument, Deferred[Readings]]] = []
        with self._gathered() if due.norms else nullcontext():
            for instrument in asked:
                try:
                    begun.append((instrument, instrument.begin(due)))
                except Exception as error:  # which costs its own readings alone
                    self._guard.caught(f"measuring with {type(instrument).__name__}", error)
        if due.full and self._probe.steps == _STEPS_TO_BE_SEEN:
            for why, many in self._probe.never_seen().items():
                self._note(f"output_ratio is unknown for {many} of {len(self.gradients.adapters)} adapters: {why}")

        def finish(arrays: Sequence[FloatArray]) -> Readings:
            readings: dict[str, Reading] = {}
            at = 0
            for instrument, part in begun:
                own, at = arrays[at : at + len(part.tensors)], at + len(part.tensors)
                try:
                    readings |= part.finish(own)
                except Exception as error:
                    self._guard.caught(f"measuring with {type(instrument).__name__}", error)
            return readings

        return Deferred([tensor for _, part in begun for tensor in part.tensors], finish)

    @property
    def is_armed(self) -> bool:
        """There is something to be seen in the coming pass."""
        return self._probe.armed_for is not None or self.scaled_loss.is_armed

    def place_hooks(self) -> None:
        """Hear what the model says, and see the passes of a step that is measured in full, or in which a rule wants
        something. Does nothing where the hooks are in place."""
        if self.scaled_loss.is_armed or self.own_loss.listens:
            self.own_loss.place()
        self.scaled_loss.place_hooks()
        self._probe.place_hooks()

    def take_hooks_off(self) -> None:
        self.own_loss.remove()
        self.scaled_loss.take_hooks_off()
        self._probe.close()

    def close(self) -> None:
        """Take every hook off the model, and forget what they have seen."""
        self.own_loss.remove()
        self._look_no_longer()

    def _look_no_longer(self) -> None:
        self.scaled_loss.close()
        self._probe.close()
