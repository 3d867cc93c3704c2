"""The true loss of every optimizer step and the labels it is computed from, taken where the Trainer computes it."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from transformers import Trainer

from lora_watch.deferred import has_float64
from lora_watch.monitor.ranks import world_size
from lora_watch.signals.batches import hash_batch
from lora_watch.signals.labels import Labels
from lora_watch.trainer.wrapping import Wrapped


class LossTap:
    """The true loss of every optimizer step, taken where the Trainer computes it.

    ``training_step`` returns each micro-batch's loss, already divided for accumulation, before the Trainer's NaN
    filter and logging see it; it is the same for label smoothing, ``compute_loss_func``, an overridden
    ``compute_loss`` and TRL's trainers. It is wrapped from the beginning of each step until its gradients are there:
    whatever raises elsewhere in the Trainer finds it as it was.

    Args:
        hash_batches: see ``batch_sha256``.
        guard: what is done inside it does not harm training.
        broke_off: told of an exception that leaves ``training_step``.
    """

    def __init__(
        self,
        hash_batches: bool,
        guard: Callable[[str], AbstractContextManager[None]],
        broke_off: Callable[[BaseException], None],
    ) -> None:
        self._sum: torch.Tensor | None = None
        self._labels = Labels()
        self._hash_batches = hash_batches
        self._hash: Any = None
        self._guard, self._broke_off = guard, broke_off
        self._trainer: weakref.ref[Trainer] | None = None
        self._wrapped: Wrapped | None = None

    def attach(self, trainer: Trainer | None, classes: int = 0) -> None:
        """``classes``: of a classifier whose labels are to be counted; 0 for none."""
        self.detach()
        self._labels = Labels(classes)
        self._trainer = weakref.ref(trainer) if trainer is not None else None

    def detach(self) -> None:
        self.close()
        self._trainer = None

    def open(self) -> None:
        """An optimizer step begins."""
        self.close()
        self._sum = self._hash = None
        self._labels.reset()
        trainer = self._trainer() if self._trainer is not None else None
        if trainer is not None:
            self._wrapped = Wrapped(trainer, "training_step", self._training_step)

    def close(self) -> None:
        """The step's micro-batches are through."""
        if self._wrapped is not None:
            self._wrapped.restore()
            self._wrapped = None

    def _training_step(self, inner: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        inputs = args[1] if len(args) > 1 else kwargs.get("inputs")
        if self._hash_batches:  # before a loss takes the labels out of it
            with self._guard("hashing a batch"):
                self._add_batch(inputs)
        if self._labels.classes:
            with self._guard("counting labels"):
                self._labels.add(inputs.get("labels") if isinstance(inputs, Mapping) else None)
        try:
            loss = inner(*args, **kwargs)
        except BaseException as error:
            with self._guard("ending"):
                self._broke_off(error)
            raise
        with self._guard("reading the loss"):
            self._add(loss)
        return loss

    def _add(self, loss: Any) -> None:
        value = torch.as_tensor(loss).detach()
        value = value.double() if has_float64(value.device) else value.float()
        self._sum = value.clone() if self._sum is None else self._sum + value

    def _add_batch(self, inputs: Any) -> None:
        batch, self._hash, self._hash_batches = self._hash or hashlib.sha256(), None, False
        hash_batch(batch, inputs)
        self._hash, self._hash_batches = batch, True  # which a failure has left undone

    @property
    def batch_sha256(self) -> str | None:
        """Of the micro-batches since ``open``, in order; None if there were none."""
        return self._hash.hexdigest() if self._hash is not None else None

    @property
    def device(self) -> torch.device:
        return self._sum.device if self._sum is not None else torch.device("cpu")

    def reduce(self) -> None:
        """Average over ranks; every rank must call it."""
        if self._sum is not None and world_size() > 1:
            torch.distributed.all_reduce(self._sum)
            self._sum /= world_size()

    @property
    def loss(self) -> torch.Tensor | None:
        """``[]``, on the device where it was computed: reading it there would wait."""
        return self._sum

    @property
    def told(self) -> dict[str, torch.Tensor | None]:
        """``loss``, and ``labels``: how often each label has occurred on this rank since ``open``, ``[classes]``; None
        where labels are not counted."""
        return {"loss": self.loss, "labels": self._labels.counts}
