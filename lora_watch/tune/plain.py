"""The sweep of a plain torch or accelerate loop, and what a Trainer's has in common with it."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lora_watch.base.alerts import Severity
from lora_watch.base.records import RunInfo
from lora_watch.measurement.signals.optimizer import ParameterGroups
from lora_watch.monitor.monitor import Monitor
from lora_watch.monitor.ranks import is_first, world_size
from lora_watch.rules.forecast import at_rate, by_weights, has_new_head
from lora_watch.tune.estimate import suggestion
from lora_watch.tune.restoring import restored
from lora_watch.tune.suggestion import Suggestion
from lora_watch.tune.sweep import EDGE_RULES, STEPS, Sweep, begins_at_nothing, monitor_settings, span_of


def find_in_loop(
    step_function: Callable[[], float | Tensor],
    model: nn.Module,
    optimizer: Any,
    *,
    steps: int = STEPS,
    span: tuple[float, float] | None = None,
    others: Sequence[Any] = (),
) -> Suggestion:
    """See ``lora_watch.find_learning_rate``."""
    ratios_of(optimizer)  # refuses what has no rate before anything is done
    monitor = Monitor(model, optimizer, **monitor_settings())
    monitor.may_break_off = True
    shown = progress(steps, hidden=not is_first())
    with restored(model, optimizer, others), torch.enable_grad(), shown as advance:
        try:
            monitor.start()
            seen = SweepMonitor(monitor, optimizer, steps, span)
            while not seen.sweep.over:
                seen.set_rates()
                loss = step_function()
                monitor.after_update(loss)
                advance(seen.add())
        finally:
            monitor.finish("interrupted", "the sweep is over")  # it is no run, and has no verdict
    return seen.suggestion()


class SweepMonitor:
    """A sweep at its work: gives the optimizer its rates, and the sweep what its ``monitor``, once started, sees of the
    steps. ``steps`` and ``span`` are those of ``lora_watch.find_learning_rate``.

    Raises ValueError, which says why, where there is no learning rate to find.
    """

    def __init__(self, monitor: Monitor, optimizer: Any, steps: int, span: tuple[float, float] | None):
        self._monitor, self._optimizer, self._ratios = monitor, optimizer, ratios_of(optimizer)
        if not any(adapter.trainable and adapter.group is not None for adapter in monitor.run.adapters):
            notes = "; ".join(monitor.run.notes) or "no adapter that trains is in the optimizer"
            raise ValueError(f"there is no learning rate to find: {notes}")
        self.sweep = Sweep(*(span or span_of(monitor.run, self._ratios)), steps)
        self.by_size = begins_at_nothing(monitor.last)
        """The depth-scaled output ratio is read: it tells what the sweep has brought."""

    def set_rates(self) -> None:
        """The coming step is made at ``sweep.next_rate``."""
        set_rates(self._optimizer, self.sweep.next_rate, self._ratios)

    def add(self) -> float:
        """The step at ``sweep.next_rate`` has been made; returns that rate."""
        self._monitor.flush()
        loss = size = None
        if (record := self._monitor.last) is not None:
            loss, size = record.loss, record.size if self.by_size and "output_ratio" in record.metrics else None
        errors = (alert.rule for alert in self._monitor.alerts if alert.severity >= Severity.ERROR)
        seen: list[Any] = [loss, size, next((rule for rule in errors if rule in EDGE_RULES), None)]
        if world_size() > 1:  # what the first of several processes has seen: all go on, stop and conclude alike
            torch.distributed.broadcast_object_list(seen, src=0)
        self.sweep.add(*seen)
        return self.sweep.rates[-1]

    def suggestion(self, steps: int | None = None) -> Suggestion:
        """Once it is over. ``steps``: of the run that it is for, where they are known."""
        run, ratios = self._monitor.run, self._ratios
        scales, alphas = {a.scale for a in run.adapters}, {a.alpha for a in run.adapters}
        return suggestion(
            self.sweep,
            ratios,
            steps,
            new_head=has_new_head(run),
            predicted=predicted_rate(run, ratios) if self.by_size else None,
            by_size=self.by_size,
            scale=scales.pop() if len(scales) == 1 else None,
            alpha=alphas.pop() if len(alphas) == 1 else None,
            optimizer=run.optimizer,
        )


def ratios_of(optimizer: Any) -> tuple[float, ...]:
    """Each parameter group's rate relative to the first group's. Raises ValueError where there is none: the optimizer
    makes its own rates, or its first group does not move."""
    peaks = ParameterGroups(optimizer, ()).peak_lr
    if not peaks or not all(0 <= peak < math.inf for peak in peaks) or not peaks[0] > 0:
        raise ValueError(
            "the learning rate cannot be swept: that of the optimizer's first parameter group is "
            f"{peaks[0] if peaks else 'unknown'}. Give it any positive rate (Adafactor: relative_step=False)"
        )
    return tuple(peak / peaks[0] for peak in peaks)


def set_rates(optimizer: Any, rate: float, ratios: Sequence[float]) -> None:
    """The learning rate of each parameter group: ``rate`` times its ratio."""
    for group, ratio in zip(optimizer.param_groups, ratios):
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate * ratio)
        else:
            group["lr"] = rate * ratio


def predicted_rate(run: RunInfo, ratios: tuple[float, ...]) -> float | None:
    """The forecast of the weights for the first group's rate; None where it is unknown."""
    fastest = by_weights(at_rate(run, ratios))
    return None if fastest is None else fastest.best / max(ratios)


@contextmanager
def progress(steps: int, hidden: bool = False) -> Iterator[Callable[[float], object]]:
    """A bar for the steps of a sweep on standard error; nothing where that is no terminal, or ``hidden``.

    Gives what is to be called after each step, with its rate. It starts no thread and redirects no stream: a sweep
    leaves the process as it was.
    """
    if hidden or sys.stderr is None or not sys.stderr.isatty():
        yield lambda rate: None
        return
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress

    with Progress(
        *Progress.get_default_columns(),
        MofNCompleteColumn(),
        console=Console(stderr=True),
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
        transient=True,
    ) as bar:
        said = "finding the learning rate"
        task = bar.add_task(said, total=steps)
        yield lambda rate: bar.update(task, advance=1, description=f"{said}: {rate:.2g}", refresh=True)
