"""The loss of a training batch with the adapters as they are, larger, or taken away, whatever the batch is."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from lora_watch.adapters import Adapter
from lora_watch.base.deferred import Deferred
from lora_watch.base.generators import put_back
from lora_watch.base.records import FloatArray, RunInfo
from lora_watch.measurement.hooks import Hook, has_compiled
from lora_watch.measurement.purity import unknown_code

log = logging.getLogger("lora_watch")

OTHER = "the training minimises another loss than the model's own"
GONE = "how the adapters began is not at hand any more"
NOT_KNOWN = "a second pass could change the state of "


class ScaledLoss:
    """Computes the loss of one micro-batch with what the adapters add to each layer multiplied, on request.

    A batch can be easier or harder than the one before it; the difference of two such losses is free of that. After
    ``arm`` the first micro-batch of the next training pass is computed again for each multiple, in evaluation mode and
    without gradients, before the pass itself: the weights have not been trained on it yet. Modes and random generators
    are as before afterwards. After ``keep_beginning`` adapters as they were then stand in for none.

    Needs a model that returns its own ``loss`` for ``labels`` and is trained on that, adapters that wrap their frozen
    layer and are not merged into it, one process, and no code that might notice a further pass (``unknown_code``); else
    ``why_not`` says what is missing. A micro-batch's loss is its mean, whatever the Trainer divides by.
    """

    def __init__(
        self,
        model: nn.Module,
        adapters: Sequence[Adapter] = (),
        guard: Callable[[str], AbstractContextManager[Any]] = lambda doing: torch.no_grad(),
    ):
        self._model, self._guard = model, guard
        self.wanted: Mapping[str, float] = {}
        """What ``arm`` was given, as long as no pass has been seen since."""
        self.is_armed = False
        """``begin`` has something to say of the present step."""
        self._losses: dict[str, Tensor] = {}
        """Each of what was wanted, ``[1]``; none before the pass."""
        self._beginning: dict[str, Tensor] = {}
        """By the model's names, on the host."""
        self._handle: RemovableHandle | None = None
        self._batch: tuple[tuple[Any, ...], dict[str, Any], Tensor] | None = None
        """What the model was given in the latest pass that was computed again, and its loss then as it was."""
        self.why_not = ""
        """Why such losses cannot be compared, in words; empty where they can, as far as is known."""
        self.watch(adapters, RunInfo(()))

    def _check(self, run: RunInfo) -> str:
        if run.config.get("preference"):
            return "the training compares answers, and the model's own loss does not"
        if run.init_from_base:
            return f"{run.init_from_base} has moved a part of the frozen weights into the adapters"
        if not self._adapters or any(adapter.base_layer is None for adapter in self._adapters):
            return "an adapter does not wrap its frozen layer"
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return "the training has several processes"
        if has_compiled(self._model):
            return "the model is compiled"
        return NOT_KNOWN + what if (what := unknown_code(self._model)) else ""

    def watch(self, adapters: Sequence[Adapter], run: RunInfo) -> None:
        """Of other adapters of the model from now on: those of ``run``."""
        self._adapters, self._batch = list(adapters), None
        self.why_not = self._check(run) or (OTHER if self.why_not == OTHER else "")
        if run.nonzero_start and not self._trained().keys() <= self._beginning.keys():
            self.why_not = self.why_not or GONE  # a session before this one has seen it

    def keep_beginning(self) -> None:
        """From now on a multiple of 0 leaves the model as it is now."""
        if not self.why_not:
            self._beginning = {name: p.detach().to("cpu", copy=True) for name, p in self._trained().items()}

    def _trained(self) -> dict[str, Tensor]:
        """The adapters' own parameters, by the model's names."""
        own = {id(tensor) for adapter in self._adapters for tensor in adapter.own}
        return {name: p for name, p in self._model.named_parameters() if id(p) in own}

    def arm(self, multiples: Mapping[str, float]) -> None:
        """Compute these losses in the next training pass: by name, what the adapters' output is multiplied by. 1 leaves
        the model as it is, 0 leaves the frozen layers alone."""
        self.close()
        if not self.why_not and not any(adapter.merged for adapter in self._adapters):
            self.wanted, self.is_armed = multiples, True
            self.place_hooks()

    def place_hooks(self) -> None:
        if self._handle is None and self.wanted:
            see = Hook(self._guard, "computing a loss with other adapters", self._see)
            self._handle = self._model.register_forward_pre_hook(see, with_kwargs=True)

    def take_hooks_off(self) -> None:
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    def begin(self) -> Deferred[dict[str, float]]:
        """The losses since ``arm``, by name; nothing where there was no pass, or they could not be computed."""
        losses = self._losses
        if self.wanted:  # else a rule would wait for an answer that never comes
            self.why_not = "the model's pass was not seen"
        self.close()

        def finish(arrays: Sequence[FloatArray]) -> dict[str, float]:
            return {name: float(array[0]) for name, array in zip(losses, arrays)}

        return Deferred([*losses.values()], finish)

    def again(self, multiples: Mapping[str, float]) -> dict[str, float]:
        """The same losses of the batch that was computed last, now, and ``adapted_loss_before``: its loss then. Nothing
        where none can be had. Waits for the device. The batch is kept until then."""
        batch, self._batch = self._batch, None
        if batch is None or self.why_not:
            return {}
        args, kwargs, before = batch
        try:
            losses = self.of(multiples, args, kwargs)
        except Exception:  # what has ended the training may have moved the model
            log.debug("lora_watch could not compute a batch again at the end", exc_info=True)
            return {}
        return losses and losses | {"adapted_loss_before": float(before)}

    def of(self, multiples: Mapping[str, float], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, float]:
        """The losses of what the model is given in ``args`` and ``kwargs``, now; nothing where the model may notice it,
        or the adapters are merged. Waits for the device."""
        if unknown_code(self._model) or any(adapter.merged for adapter in self._adapters):
            return {}
        with evaluating(self._model), torch.no_grad():
            return {name: float(self._loss(multiple, args, kwargs)) for name, multiple in multiples.items()}

    def close(self) -> None:
        self.wanted, self.is_armed, self._losses = {}, False, {}
        self.take_hooks_off()

    def _see(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not model.training or not self.wanted:
            return
        multiples, self.wanted = self.wanted, {}
        if what := unknown_code(model):  # which has come since the run began
            self.why_not = NOT_KNOWN + what
            return
        if kwargs.get("labels") is None:
            self.why_not = "the model is not given the labels"
            return
        kwargs = {name: value for name, value in kwargs.items() if name != "num_items_in_batch"}
        try:
            with evaluating(self._model), torch.no_grad():
                self._losses = {name: self._loss(multiple, args, kwargs) for name, multiple in multiples.items()}
        except Exception as error:  # a model that cannot be evaluated so: what needs this does without
            self.why_not = f"the model could not be run again ({error!r})"
            log.debug("lora_watch could not compute a loss with other adapters", exc_info=True)
            return
        for name in (name for name, multiple in multiples.items() if multiple == 1.0):
            self._batch = args, kwargs, self._losses[name]

    def _loss(self, multiple: float, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        beginning = self._beginning if multiple == 0.0 else {}
        there = {name: kept.to(self._model.get_parameter(name).device) for name, kept in beginning.items()}
        with ExitStack() as hooks:
            if multiple != 1.0 and not there:
                for module, base in {(adapter.module, adapter.base_layer) for adapter in self._adapters}:
                    assert base is not None
                    hook = _multiplied(base, multiple)
                    hooks.callback(module.register_forward_hook(hook, with_kwargs=True).remove)
            return torch.func.functional_call(self._model, there, args, kwargs).loss.detach().float().reshape(1)


def _multiplied(base: nn.Module, multiple: float) -> Callable[..., Any]:
    """A hook that multiplies what has been added to the frozen layer's own output."""

    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> Tensor:
        alone = base(*args, **kwargs)
        return alone if multiple == 0.0 else alone + multiple * (output - alone)

    return hook


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, and nothing of it left afterwards in a model without ``unknown_code``.

    bitsandbytes' 4-bit layers, which compute the same in both modes, stay as they are: on a CPU with AVX512-BF16 an
    evaluation makes others of their weights, for good.
    """
    quantised = {module for module in model.modules() if hasattr(getattr(module, "weight", None), "quant_state")}
    modes = [(module, module.training) for module in model.modules() if module not in quantised]
    # A weight that autocast has cast and kept here would have no gradient in the pass that follows.
    caches = torch.is_autocast_cache_enabled()
    with put_back(model):
        try:
            torch.set_autocast_cache_enabled(False)
            for module, _ in modes:
                module.training = False
            yield
        finally:
            torch.set_autocast_cache_enabled(caches)
            for module, training in modes:
                module.training = training
