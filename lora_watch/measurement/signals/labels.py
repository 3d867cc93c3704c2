"""The labels of what a model is trained on: how many count, and how often each class of a classifier is one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from lora_watch.measurement.hooks import Hook, has_compiled

SAME = 1e-3
"""Share by which the loss that a loop tells may differ from the model's own."""


class Labels:
    """What the labels of a step's micro-batches say, on the device where they are.

    Args:
        classes: how many there are; with 0 they are not counted one by one.
    """

    def __init__(self, classes: int = 0):
        self.classes = classes
        self.counts: Tensor | None = None
        """How often each class has been a label since ``reset``, ``[classes]``; None if nothing was counted."""
        self.targets: Tensor | None = None
        """How many labels that count the micro-batch with the fewest has had since ``reset``, ``[]``; None without
        labels."""

    def add(self, labels: Any) -> None:
        """A micro-batch with ``labels``: integers of any shape, of which -100 is no class. All else is passed over."""
        if not isinstance(labels, Tensor) or labels.is_floating_point():
            return
        # Of a text's tokens nothing predicts the first.
        counted = labels[:, 1:] if labels.ndim == 2 and labels.shape[1] > 1 else labels
        targets = (counted.detach() != -100).sum(dtype=torch.float32)
        self.targets = targets if self.targets is None else torch.minimum(self.targets, targets)
        if self.classes:
            # Compared rather than counted by bincount, which makes an accelerator wait.
            each = torch.arange(self.classes, device=labels.device)
            counts = (labels.detach().reshape(-1, 1) == each).sum(0, dtype=torch.float32)
            self.counts = counts if self.counts is None else self.counts + counts

    def reset(self) -> None:
        self.counts = self.targets = None


class SeenLabels:
    """Counts the labels that a classifier is given in forward passes with gradients, ``model(**batch)``.

    They count where the loss that the loop tells is the mean of those that the model has made of them since the step
    before: of any other loss it is not known what guessing costs. It changes nothing, and nothing waits for an
    accelerator. Models that are compiled get no hook.
    """

    def __init__(self, model: nn.Module, guard: Callable[[str], AbstractContextManager[Any]]):
        self.guard = guard
        self._labels = Labels(classes_of(model))
        self._losses: list[Tensor] = []
        """The model's own since the step before."""
        hook = Hook(guard, "counting labels", self._see)
        self._hook = None if has_compiled(model) else model.register_forward_hook(hook, with_kwargs=True)

    def _see(self, module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
        """The model's own hook, after a forward pass."""
        loss = getattr(output, "loss", None)
        if isinstance(loss, Tensor) and loss.numel() == 1:
            self._labels.add(kwargs.get("labels"))
            if self._labels.classes:
                self._losses.append(loss.detach().reshape(()))

    def take(self, loss: float | Tensor | None) -> dict[str, Any]:
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

    def remove(self) -> None:
        """Take the hook off the model."""
        if self._hook is not None:
            self._hook.remove()


_CLASSIFIERS = tuple(f"For{what}Classification" for what in ("Sequence", "Image", "Video", "Audio"))


def classes_of(model: Any) -> int:
    """Number of the classes of a classifier whose own loss is the cross-entropy, as it gives each text, token, image or
    sound one of them; 0 for all others."""
    bare = bare_model(model)
    kind, config = type(bare).__name__, getattr(bare, "config", None)
    classes, problem = getattr(config, "num_labels", None), getattr(config, "problem_type", None)
    chooses = kind.endswith(_CLASSIFIERS) and problem in (None, "single_label_classification")
    chooses |= kind.endswith("ForTokenClassification")
    return classes if chooses and isinstance(classes, int) and classes > 1 else 0


def own_classes(model: Any) -> int:
    """Among how many classes the model's own loss chooses: the vocabulary of a language model. 0 if unknown."""
    bare = bare_model(model)
    if not type(bare).__name__.endswith(("ForCausalLM", "ForMaskedLM", "LMHeadModel")):
        return classes_of(model)
    count = getattr(getattr(bare, "config", None), "vocab_size", None)
    return count if isinstance(count, int) else 0


def bare_model(model: Any) -> Any:
    """What is inside the wrappers of DDP and PEFT."""
    model = getattr(model, "module", model)
    return model.get_base_model() if hasattr(model, "get_base_model") else model
