"""The true loss of every optimizer step, taken where the Trainer computes it."""

from __future__ import annotations

import functools
import hashlib
import logging
import weakref
from collections.abc import Callable
from typing import Any

import torch
from transformers import Trainer

from lora_watch.signals.batches import hash_batch
from lora_watch.trainer.ranks import world_size

log = logging.getLogger("lora_watch")


class LossTap:
    """The true loss of every optimizer step, taken where the Trainer computes it.

    ``training_step`` returns each micro-batch's loss, already divided for accumulation, before the Trainer's NaN
    filter and logging see it; it is the same for label smoothing, ``compute_loss_func``, an overridden
    ``compute_loss`` and TRL's trainers. It is wrapped on the instance only and put back at the end.
    """

    def __init__(self, hash_batches: bool) -> None:
        self._sum: torch.Tensor | None = None
        self._hash_batches = hash_batches
        self._hash: Any = None
        self._trainer: weakref.ref[Trainer] | None = None

    def attach(self, trainer: Trainer | None) -> None:
        self.detach()
        if trainer is None:
            return
        self._trainer = weakref.ref(trainer)
        inner: Callable[..., Any] = trainer.training_step

        @functools.wraps(inner)
        def training_step(*args: Any, **kwargs: Any) -> Any:
            if self._hash_batches:  # before a loss takes the labels out of it
                self._add_batch(args[1] if len(args) > 1 else kwargs.get("inputs"))
            loss = inner(*args, **kwargs)
            self._add(loss)
            return loss

        training_step.lora_watch_tap = self  # type: ignore[attr-defined]
        trainer.training_step = training_step  # type: ignore[method-assign]

    def detach(self) -> None:
        trainer = self._trainer() if self._trainer is not None else None
        if trainer is not None:
            wrapped = trainer.__dict__.get("training_step")
            if getattr(wrapped, "lora_watch_tap", None) is self:
                del trainer.__dict__["training_step"]
        self._trainer = None

    def _add(self, loss: Any) -> None:
        value = torch.as_tensor(loss).detach()
        value = value.to(torch.float32 if value.device.type == "mps" else torch.float64)  # MPS has no float64
        self._sum = value.clone() if self._sum is None else self._sum + value

    def reset(self) -> None:
        self._sum = self._hash = None

    def _add_batch(self, inputs: Any) -> None:
        try:
            self._hash = self._hash or hashlib.sha256()
            hash_batch(self._hash, inputs)
        except Exception:
            self._hash_batches, self._hash = False, None
            log.exception("batches cannot be hashed; training goes on without it")

    @property
    def batch_sha256(self) -> str | None:
        """Of the micro-batches since ``reset``, in order; None if there were none."""
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
