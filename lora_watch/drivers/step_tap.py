"""Methods of a Trainer that are wrapped for a while: for the true loss of every optimizer step and its labels, and for
gradients before clipping."""

import functools
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from typing import Any

import torch
from transformers import Trainer

from lora_watch.base.deferred import has_float64, is_far
from lora_watch.drivers import trainer_info
from lora_watch.measurement.signals.labels import Labels, classes_of
from lora_watch.run.engine import Engine
from lora_watch.run.guard import Guard, guarded

_NOTHING = object()


def wrap(owner: Any, name: str, around: Callable[..., Any]) -> Callable[[], None]:
    """Wrap a method on the instance ``owner`` alone. Returns what puts back whatever the instance had in its place.

    Where somebody has wrapped it once more since then, theirs stays, and ours passes every call on. ``around`` is
    called with the method and a call's arguments.
    """
    inner, before, over = getattr(owner, name), vars(owner).get(name, _NOTHING), False
    reference = weakref.ref(owner)

    @functools.wraps(inner)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return inner(*args, **kwargs) if over else around(inner, *args, **kwargs)

    def restore() -> None:
        nonlocal over
        over, owner = True, reference()
        if owner is None or vars(owner).get(name) is not wrapper:
            return
        if before is _NOTHING:
            delattr(owner, name)
        else:
            setattr(owner, name, before)

    setattr(owner, name, wrapper)
    return restore


class Tap:
    """Listens at methods of a Trainer or of its parts, which are wrapped from ``_wrap`` to ``close``. What stands
    around a method is in no guard of ours: it calls what is, and does nothing else that could fail."""

    def __init__(self) -> None:
        self.followed: Any = None
        """Whose methods they are, until ``detach``."""
        self._wrapped = ExitStack()

    def _wrap(self, methods: Iterable[tuple[Any, str, Callable[..., Any]]]) -> None:
        """Each as ``wrap`` takes it, in the place of those that are wrapped now."""
        self.close()
        for method in methods:
            self._wrapped.callback(wrap(*method))

    def close(self) -> None:
        self._wrapped.close()

    def detach(self) -> None:
        self.close()
        self.followed = None


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
        self._adds_up = 0
        self.labels = Labels()
        self._broke_off = broke_off

    def attach(self, trainer: Trainer, engine: Engine) -> None:
        self.detach()
        self.followed = trainer
        self.guard, self._before_clipping = engine.guard, engine.before_clipping
        self._place_hooks, self._take_hooks_off = engine.place_hooks, engine.take_hooks_off
        self.labels = Labels(classes_of(trainer.model))
        with engine.guard("asking whether losses are added up"):
            self._adds_up = trainer_info.adds_up(trainer)
            if self._adds_up:
                engine.note(trainer_info.ADDS_UP)

    def open(self) -> None:
        """An optimizer step begins. When its micro-batches are through, ``close`` is to be called."""
        self.loss, self._micro_batches = None, 0
        self.labels.reset()
        trainer = self.followed
        if trainer is None:
            return

        accelerator = getattr(trainer, "accelerator", None)
        whole = getattr(getattr(accelerator, "distributed_type", None), "value", None) in WHOLE

        def training_step(inner: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            self._before_pass(args[1] if len(args) > 1 else kwargs.get("inputs"))
            try:
                loss = inner(*args, **kwargs)
            except BaseException as error:
                self._broke_off(error)
                raise
            finally:
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
    def _before_pass(self, inputs: Any) -> None:
        """The labels are counted before a loss takes them out of the batch."""
        self._place_hooks()
        if isinstance(inputs, Mapping):
            self.labels.add(inputs)

    @guarded("reading the loss")
    def _see_loss(self, loss: Any) -> None:
        if isinstance(loss, torch.Tensor) and is_far(loss.device):
            value = loss.detach().to(torch.float64 if has_float64(loss.device) else torch.float32, copy=True)
        else:
            value = float(loss)
        value /= self._adds_up or 1
        self._micro_batches, count = self._micro_batches + 1, self._micro_batches
        if self.loss is not None:
            value = (self.loss * count + value) / (count + 1) if self._adds_up else self.loss + value
        self.loss = value

    def take(self) -> dict[str, Any]:
        """``loss``, and what ``Recorder.measure`` takes, of this rank since ``open``. The next step begins anew."""
        seen = {"loss": self.loss, **self.labels.seen}
        self.loss = None
        return seen
