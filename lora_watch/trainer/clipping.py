"""Gradients as they are before clipping, which multiplies every one of them by what one NaN has made of their norm."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from lora_watch.trainer.wrapping import Wrapped

PLAIN = ("NO", "MULTI_GPU", "MULTI_CPU")
"""Accelerate's kinds of distribution in which a process holds whole gradients, reduced over ranks, when it clips."""


class ClippingTap:
    """Tells when ``accelerator.clip_grad_norm_`` is called. It is wrapped on the instance within each step.

    Where a process does not hold whole gradients, nothing is done.
    """

    def __init__(self) -> None:
        self._accelerator: weakref.ref[Any] | None = None
        self._before: Callable[[], None] | None = None
        self._wrapped: Wrapped | None = None

    def attach(self, accelerator: Any, before: Callable[[], None]) -> None:
        """From now on call ``before`` when gradients are about to be clipped; what it raises goes no further."""
        self.detach()
        kind = getattr(getattr(accelerator, "distributed_type", None), "value", None)
        if hasattr(accelerator, "clip_grad_norm_") and kind in PLAIN:
            self._accelerator, self._before = weakref.ref(accelerator), before

    def detach(self) -> None:
        self.close()
        self._accelerator = self._before = None

    def open(self) -> None:
        """An optimizer step begins."""
        self.close()
        accelerator = self._accelerator() if self._accelerator is not None else None
        if accelerator is not None:
            self._wrapped = Wrapped(accelerator, "clip_grad_norm_", self._around())

    def close(self) -> None:
        """Its gradients are as the optimizer is to use them."""
        if self._wrapped is not None:
            self._wrapped.restore()
            self._wrapped = None

    def _around(self) -> Callable[..., Any]:
        def clip_grad_norm_(inner: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            before = self._before
            with suppress(Exception):
                self.close()
            with suppress(Exception):
                if before is not None:
                    before()
            return inner(*args, **kwargs)

        return clip_grad_norm_
