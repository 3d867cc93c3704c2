"""Gradients as they are before clipping, which multiplies every one of them by what one NaN has made of their norm."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from lora_watch.trainer.wrapping import Tap

PLAIN = ("NO", "MULTI_GPU", "MULTI_CPU")
"""Accelerate's kinds of distribution in which a process holds whole gradients, reduced over ranks, when it clips."""


class ClippingTap(Tap):
    """Tells when ``accelerator.clip_grad_norm_`` is called. It is wrapped on the instance within each step.

    Where a process does not hold whole gradients, nothing is done.
    """

    _before: Callable[[], None] | None = None

    def attach(self, accelerator: Any, before: Callable[[], None]) -> None:
        """From now on call ``before`` when gradients are about to be clipped; what it raises goes no further."""
        kind = getattr(getattr(accelerator, "distributed_type", None), "value", None)
        self._follow(accelerator if hasattr(accelerator, "clip_grad_norm_") and kind in PLAIN else None)
        self._before = before

    def open(self) -> None:
        """An optimizer step begins. After it ``close`` is to be called: its gradients are as they will be used."""

        def clip_grad_norm_(inner: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            with suppress(Exception):
                self.close()
            with suppress(Exception):
                if self._before is not None:
                    self._before()
            return inner(*args, **kwargs)

        self._wrap([self._followed], "clip_grad_norm_", clip_grad_norm_)
