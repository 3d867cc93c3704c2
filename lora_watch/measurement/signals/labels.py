"""The labels of what a model is trained on: how many count, and how often each class of a classifier is one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


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
        targets = targets_in(labels)
        self.targets = targets if self.targets is None else torch.minimum(self.targets, targets)
        if not self.classes:
            return
        classes, self.classes = self.classes, 0
        # Compared rather than counted by bincount, which makes an accelerator wait.
        each = torch.arange(classes, device=labels.device)
        counts = (labels.detach().reshape(-1, 1) == each).sum(0, dtype=torch.float32)
        self.counts = counts if self.counts is None else self.counts + counts
        self.classes = classes  # which a failure has left undone

    def reset(self) -> None:
        self.counts = self.targets = None


def classes_of(model: Any) -> int:
    """Number of the classes of a classifier whose own loss is the cross-entropy; 0 for all others."""
    bare = bare_model(model)
    classes = getattr(getattr(bare, "config", None), "num_labels", None)
    return classes if is_classifier(bare) and isinstance(classes, int) and classes > 1 else 0


def bare_model(model: Any) -> Any:
    """What is inside the wrappers of DDP and PEFT."""
    model = getattr(model, "module", model)
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def is_classifier(model: Any) -> bool:
    """Whether ``model``, without PEFT's wrapper, gives each text, or each of its tokens, one of a few classes."""
    kind, problem = type(model).__name__, getattr(getattr(model, "config", None), "problem_type", None)
    return kind.endswith("ForTokenClassification") or (
        kind.endswith("ForSequenceClassification") and problem in (None, "single_label_classification")
    )


def targets_in(labels: Tensor) -> Tensor:
    """How many of ``labels`` count, ``[]``: not -100, and of a text's tokens not the first, which nothing predicts."""
    counted = labels[:, 1:] if labels.ndim == 2 and labels.shape[1] > 1 else labels
    return (counted.detach() != -100).sum(dtype=torch.float32)
