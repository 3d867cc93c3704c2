"""What a model itself says in its passes: its loss, how sure it is, how many labels count, and of which classes."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from lora_watch.adapters.peft_config import methods
from lora_watch.base.deferred import has_float64
from lora_watch.measurement.hooks import Hook, has_compiled
from lora_watch.measurement.signals.loss import FIRST, SEEN_FIRST

SAME = 1e-3
"""Share by which the loss of a training may differ from the model's own, to be taken for it."""
_ALIKE = 1.1
"""By what factor they may differ where batches are compared by it: a small term more may be added to it."""
NUMBERS = ("labels", "inputs_embeds", "pixel_values", "input_features", "input_values")
"""Of a batch, by name, what may be floating-point numbers, all of which are to be finite. A mask may hold -inf."""
ROWS = 32
"""At about how many positions of a micro-batch a language model is asked how sure it is."""


class Labels:
    """What a step's micro-batches say, most of it by their labels, on the devices where they are.

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
        self.bad: dict[str, Tensor] = {}
        """Of each of ``NUMBERS`` that was there since ``reset``: NaN if one of its numbers was not finite, else 0."""

    def add(self, batch: Mapping[str, Any]) -> None:
        """A micro-batch. Its ``labels`` may be integers of any shape, of which -100 is no class."""
        for name in NUMBERS:
            if isinstance(value := batch.get(name), Tensor) and value.is_floating_point() and value.numel():
                value = value.detach()  # its sum may overflow, and takes a copy in float32: 50 ms for 64 images in bf16
                bad = (value.amin() * 0.0 + value.amax() * 0.0).float()
                self.bad[name] = bad if name not in self.bad else self.bad[name].to(bad.device) + bad
        labels = batch.get("labels")
        if not isinstance(labels, Tensor) or labels.is_floating_point():
            return
        # Of a text's tokens nothing predicts the first.
        counted = labels[:, 1:] if labels.ndim == 2 and labels.shape[1] > 1 else labels
        targets = (counted != -100).sum(dtype=torch.float32)
        self.targets = targets if self.targets is None else torch.minimum(self.targets, targets)
        if self.classes:
            # Compared rather than counted by bincount, which makes an accelerator wait.
            each = torch.arange(self.classes, device=labels.device)
            counts = (labels.detach().reshape(-1, 1) == each).sum(0, dtype=torch.float32)
            self.counts = counts if self.counts is None else self.counts + counts

    @property
    def seen(self) -> dict[str, Tensor | None]:
        """``labels``, ``targets``, and each of ``bad``, by ``bad`` and its name."""
        bad = {f"bad {name}": tensor for name, tensor in self.bad.items()}
        return {"labels": self.counts, "targets": self.targets, **bad}

    def reset(self) -> None:
        self.counts = self.targets = None
        self.bad = {}


class OwnLoss:
    """What the model itself says in passes with gradients, ``model(**batch)``: its loss, and how sure it is. A training
    whose loss is the mean of those minimises the model's own: what guessing costs is known of no other, and a batch is
    computed again by that alone. Nothing waits; models that are compiled get no hook.
    """

    def __init__(self, model: nn.Module, guard: Callable[[str], AbstractContextManager[Any]], hooks: bool = True):
        self._model = model
        self.labels: Labels | None = Labels(classes_of(model))
        """Those of each pass with a loss since the step before; None where a driver counts them."""
        self.asked = True
        """At each step: it is not known yet whether the training's loss is the model's own."""
        self._is_language = own_classes(model) > classes_of(model)
        self._is_causal = not type(bare_model(model)).__name__.endswith("ForMaskedLM")
        self._losses: list[Tensor] = []
        """Of each micro-batch since the step before, ``[]``."""
        self._in_shares = False
        """They are shares of the step's mean, and no means."""
        self.squares: Tensor | None = None
        """Of a regression's micro-batches since then, see ``_squares``; once ranks share them, of all ranks."""
        self._first: dict[str, Tensor] = {}
        """What is asked in the first steps alone, of the latest pass: see ``take``."""
        self._steps = 0
        self._see_hook = Hook(guard, "hearing the model's own loss", self._see)
        self._hook: RemovableHandle | None = None
        self._may_listen = hooks and not has_compiled(model)

    @property
    def listens(self) -> bool:
        """The coming pass is to be heard, whatever else is to be seen of it."""
        return self._may_listen and (self.asked or self.labels is not None or self._steps < FIRST)

    def place(self) -> None:
        if self._may_listen and self._hook is None:
            self._hook = self._model.register_forward_hook(self._see_hook, with_kwargs=True)

    def _see(self, module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
        loss, logits = getattr(output, "loss", None), getattr(output, "logits", None)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            return
        labels = kwargs.get("labels")
        if self.labels is not None:
            self.labels.add(kwargs)
        self._losses.append(loss.detach().reshape(()))
        if isinstance(labels, Tensor) and isinstance(logits, Tensor) and labels.numel() == logits.numel():
            squares = _squares(labels.detach().flatten().to(logits.device), logits.detach().flatten())
            self.squares = squares if self.squares is None else self.squares.to(squares.device) + squares
        self._in_shares = self._is_language and kwargs.get("num_items_in_batch") is not None
        if self._is_language and self._steps < FIRST:
            self._first = {}
            if isinstance(logits, Tensor):  # a loss in chunks, as TRL's, has none
                rows = logits.detach().flatten(0, -2)
                chances = rows[:: max(len(rows) // ROWS, 1)].float().softmax(-1)
                self._first["entropy"] = torch.special.entr(chances).sum(-1).mean()
            tokens = kwargs.get("input_ids", *args[:1])
            if self._is_causal and isinstance(labels, Tensor) and getattr(tokens, "shape", ()) == labels.shape:
                self._first |= _placed(labels, tokens, kwargs.get("attention_mask"))

    def take(self) -> dict[str, Tensor | None]:
        """Of the step: ``own_losses`` of its micro-batches, ``[n]``, ``own_loss``, in the first steps of a language
        model ``entropy`` of its predictions, in nats, ``[]`` each, what its ``labels`` have ``seen``; of a causal one
        what ``_placed`` says of its labels; of a regression ``squares``, ``[4]``. The next step begins."""
        seen: dict[str, Tensor | None] = {"squares": self.squares, **self._first}
        if self._losses:
            device = self._losses[0].device  # under DataParallel each replica's is on its own
            losses = seen["own_losses"] = torch.stack(
                [x if x.device == device else x.to(device) for x in self._losses]
            ).float()
            seen["own_loss"] = losses.sum() if self._in_shares else losses.mean()
        if self.labels is not None:
            seen |= self.labels.seen
            self.labels.reset()
        self._losses, self.squares, self._first, self._steps = [], None, {}, self._steps + 1
        return seen

    def remove(self) -> None:
        if self._hook is not None:
            self._hook.remove()
            self._hook = None


def _squares(targets: Tensor, predicted: Tensor) -> Tensor:
    """How many numbers there are to predict, their sum, that of their squares, and that of the squared errors."""
    targets = targets.to(torch.float64 if has_float64(targets.device) else torch.float32)
    errors = (predicted - targets).square()
    return torch.stack([each.sum() for each in (torch.ones_like(targets), targets, targets.square(), errors)])


def _placed(labels: Tensor, tokens: Tensor, mask: Any) -> dict[str, Tensor]:
    """Which shares of the labels that count are the token at their own place, for a causal model itself shifts them, at
    the next one, and at the one before; and which lie on padding: by ``mask``, where it is as large, or behind eight
    of the token that fills up the row. How many count in a row, and the token that all of them are, NaN where they
    differ or are few."""
    count, tokens = labels != -100, tokens.to(labels.device)  # they may lie where the logits do, of several devices
    places = zip(SEEN_FIRST[1:], (tokens, tokens.roll(-1, -1), tokens.roll(1, -1)))
    found = {name: labels == token for name, token in places}
    fills = (tokens == tokens[..., -1:]).flip(-1).cumprod(-1).flip(-1) == 1
    found["labels_padded"] = fills & fills.roll(8, -1) & ~fills[..., :1]
    if getattr(mask, "shape", ()) == labels.shape:
        hidden = mask.to(labels.device) == 0
        found["labels_padded"] |= hidden & hidden.roll(1, -1)
    shares = {name: (each & count).sum(dtype=torch.float32) / count.sum() for name, each in found.items()}
    highest = labels.masked_fill(~count, -1).max()
    alike = ((labels == highest) | ~count).all() & (count.sum() > 2)
    token = torch.where(alike, highest.float(), math.nan)
    return shares | {"labels_a_row": count.sum(dtype=torch.float32) / len(labels), "labels_token": token}


def is_own(loss: float, own: Sequence[float]) -> bool:
    """Whether ``loss``, of a step, is the sum of its micro-batches' ``own``, or a mean of them, weighted or not, or
    that divided by their number once more. True where a number is not finite."""
    if not math.isfinite(loss + sum(own)):
        return True
    ranges = ((sum(own), sum(own)), (min(own), max(own)), (min(own) / len(own), max(own) / len(own)))
    return any(low / _ALIKE <= loss <= high * _ALIKE for low, high in ranges)


_CLASSIFIERS = tuple(f"For{what}Classification" for what in ("Sequence", "Image", "Video", "Audio"))


def classes_of(model: Any) -> int:
    """Number of the classes of a classifier whose own loss is the cross-entropy; 0 for all others."""
    bare = bare_model(model)
    kind, config = type(bare).__name__, getattr(bare, "config", None)
    classes, problem = getattr(config, "num_labels", None), getattr(config, "problem_type", None)
    chooses = kind.endswith(_CLASSIFIERS) and problem in (None, "single_label_classification")
    chooses |= kind.endswith("ForTokenClassification")
    return classes if chooses and isinstance(classes, int) and classes > 1 else 0


def own_classes(model: Any) -> int:
    """Among how many classes the model's own loss chooses: the vocabulary of a language model. 0 if unknown, and of
    AdaLoRA, which adds to that loss."""
    if "ADALORA" in methods(model):
        return 0
    bare = bare_model(model)
    if not type(bare).__name__.endswith(("ForCausalLM", "ForMaskedLM", "LMHeadModel")):
        return classes_of(model)
    count = getattr(getattr(bare, "config", None), "vocab_size", None)
    return count if isinstance(count, int) else 0


def unsaved_head(model: Any) -> str:
    """Name of a classifier's head of which PEFT saves a part with no adapter, outside ``modules_to_save``: it has a
    layer with an output for each class. Empty where there is none, and without PEFT."""
    classes, bare = classes_of(model), bare_model(model)
    if not classes or not methods(model):
        return ""
    layers = {name: layer for name, layer in bare.named_modules() if isinstance(layer, nn.Linear)}
    layers = {name: layer for name, layer in layers.items() if ".lora_" not in name and ".original_module" not in name}
    last = "".join([name for name, layer in layers.items() if layer.out_features == classes][-1:])
    head = last.partition(".")[0]
    if head in ("", getattr(bare, "base_model_prefix", "")):  # a part of what is pretrained
        return "" if "modules_to_save" in last else last.removesuffix(".base_layer")
    within = [name for name in layers if name.partition(".")[0] == head]
    return "" if all("modules_to_save" in name for name in within) else head


def bare_model(model: Any) -> Any:
    model = getattr(model, "module", model)
    return model.get_base_model() if hasattr(model, "get_base_model") else model
