"""Gradients as they are before clipping, which multiplies every one of them by what one NaN has made of their norm."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

PLAIN = ("NO", "MULTI_GPU", "MULTI_CPU")
"""Accelerate's kinds of distribution in which a process holds whole gradients, reduced over ranks, when it clips."""


class ClippingTap:
    """Tells when ``accelerator.clip_grad_norm_`` is called. It is wrapped on the instance and put back at the end.

    Where a process does not hold whole gradients, nothing is done.
    """

    def __init__(self) -> None:
        self._accelerator: Any = None

    def attach(self, accelerator: Any, before: Callable[[], None]) -> None:
        """From now on call ``before``, which must not raise, when gradients are about to be clipped."""
        self.detach()
        kind = getattr(getattr(accelerator, "distributed_type", None), "value", None)
        inner = getattr(accelerator, "clip_grad_norm_", None)
        if inner is None or kind not in PLAIN:
            return

        @functools.wraps(inner)
        def clip_grad_norm_(*args: Any, **kwargs: Any) -> Any:
            before()
            return inner(*args, **kwargs)

        clip_grad_norm_.lora_watch_tap = self  # type: ignore[attr-defined]
        accelerator.clip_grad_norm_ = clip_grad_norm_
        self._accelerator = accelerator

    def detach(self) -> None:
        accelerator: Any = self._accelerator
        if (
            accelerator is not None
            and getattr(vars(accelerator).get("clip_grad_norm_"), "lora_watch_tap", None) is self
        ):
            del accelerator.clip_grad_norm_
        self._accelerator = None
