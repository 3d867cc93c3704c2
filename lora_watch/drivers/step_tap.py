"""The true loss of every optimizer step and its labels, and gradients before clipping, where the Trainer makes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import torch
from transformers import Trainer

from lora_watch.base.deferred import has_float64, is_far
from lora_watch.drivers import trainer_info
from lora_watch.drivers.wrapping import Tap
from lora_watch.measurement.signals.labels import Labels
from lora_watch.run.engine import Engine
from lora_watch.run.guard import Guard, guarded
from lora_watch.run.ranks import Ranks

WHOLE = ("NO", "MULTI_GPU", "MULTI_CPU")
"""Accelerate's kinds of distribution in which a process holds whole gradients, reduced over ranks, when it clips."""


class StepTap(Tap):
    """The true loss of every optimizer step, taken where the Trainer computes it, and word of gradients to be clipped.

    ``training_step`` returns each micro-batch's share of the loss before the Trainer's NaN filter and logging see it;
    it is the same for label smoothing, ``compute_loss_func``, an overridden ``compute_loss`` and TRL's trainers. Of
    means that the Trainer adds up (``trainer_info.adds_up``) the mean is the loss of the step, and a note says so.

    It is wrapped from the beginning of each step until its gradients are there: whatever raises elsewhere in the
    Trainer finds it as it was. Clipping multiplies every gradient by what one NaN has made of their norm, so the
    monitor looks before it where a process holds whole gradients. Hooks of ours are in the model while
    ``training_step`` runs, and at no other time.

    Args:
        broke_off: told of an exception that leaves ``training_step``. It raises none.
    """

    guard: Guard
    """The run's: what is done inside it does not harm training."""

    def __init__(self, broke_off: Callable[[BaseException], None]) -> None:
        super().__init__()
        self.loss: torch.Tensor | float | None = None
        """Of the step so far. A tensor, ``[]``, on an accelerator: reading it there would wait."""
        self._micro_batches = 0
        """Of the step so far."""
        self._adds_up = False
        self._labels = Labels()
        self._broke_off = broke_off
        self.ranks = Ranks(together=True)
        """Those of the run, once it has begun."""

    def attach(self, trainer: Trainer | None, engine: Engine, classes: int) -> None:
        """``classes``: of a classifier whose labels are to be counted; 0 for none."""
        self._follow(trainer)
        self.guard, self._before_clipping = engine.guard, engine.before_clipping
        self._place_hooks, self._take_hooks_off = engine.place_hooks, engine.take_hooks_off
        self._labels = Labels(classes)
        with engine.guard("asking whether losses are added up"):
            self._adds_up = trainer is not None and trainer_info.adds_up(trainer)
            if self._adds_up:
                engine.note(trainer_info.ADDS_UP)

    def open(self) -> None:
        """An optimizer step begins. When its micro-batches are through, ``close`` is to be called."""
        self.loss, self._micro_batches = None, 0
        self._labels.reset()
        trainer = self.followed
        if trainer is None:
            return

        accelerator = getattr(trainer, "accelerator", None)
        whole = getattr(getattr(accelerator, "distributed_type", None), "value", None) in WHOLE

        def training_step(inner: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            inputs = args[1] if len(args) > 1 else kwargs.get("inputs")
            self._see_batch(inputs)
            placed = self._place_hooks()
            try:
                loss = inner(*args, **kwargs)
            except BaseException as error:
                self._broke_off(error)
                raise
            finally:
                if placed is not False:
                    self._take_hooks_off()
            self._see_loss(loss)
            return loss

        def clip_grad_norm_(inner: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            with suppress(Exception):
                self.close()
                self._before_clipping()
            return inner(*args, **kwargs)

        methods: list[tuple[Any, str, Callable[..., Any]]] = [(trainer, "training_step", training_step)]
        if whole:
            methods.append((accelerator, "clip_grad_norm_", clip_grad_norm_))
        self._wrap(methods)

    @guarded("looking at a batch")
    def _see_batch(self, inputs: Any) -> None:
        """Before a loss takes the labels out of it."""
        if isinstance(inputs, Mapping):
            self._labels.add(inputs.get("labels"))

    @guarded("reading the loss")
    def _see_loss(self, loss: Any) -> None:
        if isinstance(loss, torch.Tensor) and is_far(loss.device):
            value = loss.detach().to(torch.float64 if has_float64(loss.device) else torch.float32, copy=True)
        else:
            value = float(loss)
        self._micro_batches, count = self._micro_batches + 1, self._micro_batches
        if self.loss is not None:
            value = (self.loss * count + value) / (count + 1) if self._adds_up else self.loss + value
        self.loss = value

    def reduce(self) -> None:
        """Average over ranks; every rank must call it. A batch without a target on one of them is one on all."""
        targets = self._labels.targets
        self.loss, masked = self.ranks.mean(self.loss, False if targets is None else targets == 0)
        if targets is not None and self.ranks.several:
            self._labels.targets = targets * (masked == 0)

    @property
    def targets(self) -> torch.Tensor | int | None:
        """How many labels that count the micro-batch with the fewest has had; None where no labels are seen."""
        return self._labels.targets

    def take(self) -> dict[str, Any]:
        """``loss`` and ``targets``, and ``labels``: how often each label has occurred on this rank since ``open``,
        ``[classes]``; None where labels are not counted. The next step's loss begins anew."""
        seen = {"loss": self.loss, "labels": self._labels.counts, "targets": self.targets}
        self.loss = None
        self._labels.reset()
        return seen
