"""The labels of a plain loop's steps: seen where a classifier computes its own loss from them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lora_watch.measurement.hooks import Hook, has_compiled
from lora_watch.measurement.signals.labels import Labels, classes_of
from lora_watch.monitor.guard import Guard

SAME = 1e-3
"""Share by which the loss that a loop tells may differ from the model's own."""


class SeenLabels:
    """Counts the labels that a classifier is given in forward passes with gradients, ``model(**batch)``.

    They count where the loss that the loop tells is the mean of those that the model has made of them since the step
    before: of any other loss it is not known what guessing costs. It changes nothing, and nothing waits for an
    accelerator. Models that are compiled get no hook.
    """

    def __init__(self, model: nn.Module, guard: Guard):
        self.guard = guard
        compiled = has_compiled(model)
        self._labels = Labels(0 if compiled else classes_of(model))
        self._losses: list[Tensor] = []
        """The model's own since the step before."""
        hook = Hook(guard, "counting labels", self._see)
        self._hook = model.register_forward_hook(hook, with_kwargs=True) if not compiled else None

    def _see(self, module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
        """The model's own hook, after a forward pass."""
        loss = getattr(output, "loss", None)
        if isinstance(loss, Tensor) and loss.numel() == 1:
            self._labels.add(kwargs.get("labels"))
            if self._labels.classes:
                self._losses.append(loss.detach().reshape(()))

    def take(self, loss: float | Tensor | None) -> dict[str, Tensor | None]:
        """``labels``: how often each class was a label in the step with this ``loss``, ``[classes]``, all zero where
        that is none of the model's own; None where none was counted. ``targets``: see ``Labels``. What comes next is of
        the next step."""
        counts, losses, seen = self._labels.counts, self._losses, {"labels": None, "targets": self._labels.targets}
        self._labels.reset()
        self._losses = []
        with self.guard("counting labels"):
            if counts is not None and losses and loss is not None:
                own = torch.stack(losses).float().mean()
                reported = loss.detach().to(own.device) if isinstance(loss, Tensor) else loss
                seen["labels"] = counts * ((reported - own).abs() <= SAME * own.abs())
        return seen

    def close(self) -> None:
        """Take the hook off the model."""
        if self._hook is not None:
            self._hook.remove()
