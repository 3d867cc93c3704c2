"""Which adapters are monitored, and what is known of them without measuring."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from importlib import metadata
from typing import Any

import numpy as np
from torch import Tensor, nn

from lora_watch.adapters import Adapter, NoAdaptersError, find_adapters
from lora_watch.adapters.find import are_meant, describe, is_untrained
from lora_watch.adapters.live import Live
from lora_watch.adapters.peft_config import init_from_base, others, settings_of, unmatched
from lora_watch.adapters.placement import placement
from lora_watch.adapters.sharding import gathered_together, none_alone, takes_every_rank
from lora_watch.adapters.tensors import partitioned
from lora_watch.adapters.tree import Tree
from lora_watch.base.records import BoolArray, RunInfo
from lora_watch.base.text import count
from lora_watch.measurement.norms import BaseNorms, base_norms
from lora_watch.measurement.signals.labels import own_classes, unsaved_head
from lora_watch.measurement.signals.optimizer import ParameterGroups, rates_of
from lora_watch.run.ranks import world_size
from lora_watch.run.rates import LoweredRate
from lora_watch.run.replicas import are_replicas


class MonitoredAdapters:
    """The adapters of a model that are trained; all of them where none is. ``run``: what is known but these."""

    def __init__(self, model: nn.Module, optimizer: Any, run: RunInfo):
        self._model, self.optimizer = model, optimizer
        self.run = self._given = replace(run, searched=False)
        self.adapters: Sequence[Adapter] = ()
        self.groups = ParameterGroups(optimizer, [])
        self.lowered = LoweredRate()
        """What recoveries have turned the learning rate down by."""
        self.base = BaseNorms(np.zeros(0), np.zeros(0))
        self.retired: dict[str, str] = {}
        """See ``StepRecord.retired``."""
        self.base_norms: dict[str, tuple[float, float]] = {}
        """‖W₀‖_F and σ₁(W₀) under each adapter, by its name: read once a run, for it takes time, and a weight that
        something has been merged into is no longer W₀."""
        self.collective = False
        """To read the adapters takes every rank."""
        self.replicated = False
        """Other ranks may have copies of them, and no parts."""
        self.partitioned = False
        """They are ZeRO-3's, and nothing is here between two layers' work."""
        self._trained: dict[str, Adapter] = {}
        """Every adapter that has been able to learn in this run, by its name."""
        self.live = Live([])
        """What they are made of; as of the latest ``has_changed``, or ``refresh``."""
        self._known = self.live.now
        """What they were made of at the latest ``find``, but for what has moved in memory since."""
        self._rest = Live([])
        """The model's other adapters, which do not train: they may come to."""
        self._state_of_rest = self._rest.now.state
        self._wired: tuple[tuple[Any, ...], dict[str, BoolArray]] | None = None
        """What ``wiring`` has last been made of, and its answer."""
        self._tree = Tree(nn.Module())
        """The model's modules, as of ``find``."""

    def use(self, optimizer: Any, peak_lr: tuple[float, ...]) -> None:
        """Another optimizer trains from now on, with these peaks of its schedule, if any are known."""
        self.optimizer, self._given = optimizer, replace(self._given, peak_lr=peak_lr)

    def note(self, text: str) -> None:
        """Add to what could not be monitored, once."""
        if text not in self.run.notes:
            self.run = replace(self.run, notes=(*self.run.notes, text))

    def find(self) -> None:
        """Look for the adapters anew. Adapters that have trained and no longer do are ``retired``.

        Where it fails nothing is taken over but that the model has not been ``searched``.
        """
        self.run = replace(self.run, searched=False)
        with self.none_alone():
            methods, found = others(self._model), list[Adapter]()
            meant = self.run.meant or are_meant(self._model)
            try:
                found = find_adapters(self._model)
                if methods:
                    self.note(f"not measured next to {count(len(found), 'LoRA adapter')}: {', '.join(methods)}")
                unmeasurable = [method for method, trains in methods.items() if trains]
            except NoAdaptersError as error:
                unmeasurable = [*methods]
                self.note(
                    str(error)
                    if meant or unmeasurable
                    else "no adapter was found: only the loss is judged. For LoRA call get_peft_model(model, …) before"
                )
            # Without frozen and inactive adapters next to a training one (DPO's reference, say); all where none trains.
            training = [adapter for adapter in found if adapter.active and adapter.trainable and not adapter.merged]
            adapters = training or found
            live = Live(adapters)
            active, merged, trainable = live.now.state.T
            rest = Live([adapter for adapter in found if adapter not in adapters])
            tree = Tree(self._model)
            learning = active & trainable & ~merged
            trained = self._trained | {adapter.name: adapter for adapter, learns in zip(adapters, learning) if learns}
            retired = _retired(trained, found)
            tensors = [tensor for adapter in adapters for tensor in adapter.own]
            collective = takes_every_rank(tensors)
            groups = ParameterGroups(self.optimizer, live.now.parameters)
            self.lowered.others = groups.others
        with self.none_alone():
            base = self._read_base_norms(adapters)
            if collective:
                self.note("no last good adapter is kept: the adapters are spread over ranks")
            with gathered_together(tensors) if collective else nullcontext():
                described = tuple(map(describe, adapters, groups.group, base.norm, base.spectral_norm))
            own = {id(parameter) for adapter in found for parameter in adapter.own}
            where = ""
            with suppress(Exception):  # words for a person: no monitoring depends on them
                where = placement(self._model, adapters, described, found) if adapters else ""
            untrained = False
            with suppress(Exception):  # any module may call itself a norm
                untrained = world_size() == 1 and is_untrained(self._model)  # of several ranks one may hold no norm
            if untrained and adapters:
                self.note("the base model looks untrained: what is said of sizes and rates holds for trained ones")
            lora = settings_of(self._model)
            run = replace(
                self.run,
                adapters=described,
                config=({"lora": lora} if lora else {}) | groups.settings | dict(self.run.config),
                versions=_versions(),
                optimizer=groups.name,
                peak_lr=self.lowered.times(self._given.peak_lr or groups.peak_lr, self.run.lr_factor),
                searched=True,
                unmeasurable=tuple(unmeasurable),
                init_from_base=init_from_base(self._model),
                trains_more=any(p.requires_grad and id(p) not in own for p in self._model.parameters()),
                untrained=untrained,
                own_classes=own_classes(self._model),
                unsaved_head=unsaved_head(self._model),
                meant=meant or bool(found) or bool(unmeasurable),
                unmatched=tuple(unmatched(self._model)),
                placement=where,
                resting=len({id(a.module) for a in found} - {id(a.module) for a in adapters}),
            )
        self.adapters, self.live, self._known, self._tree = adapters, live, live.now, tree
        self._rest, self._state_of_rest = rest, rest.now.state
        self._trained, self.retired = trained, retired
        self.collective, self.partitioned = collective, any(map(partitioned, tensors))
        self.replicated = are_replicas([*tensors, *(adapter.base_weight for adapter in adapters)])
        self.groups, self.base, self.run = groups, base, run

    def gathered(self) -> AbstractContextManager[None]:
        """Inside, what the adapters hold is read whole where it is sharded: then every rank must come along."""
        return gathered_together(self._own()) if self.collective else nullcontext()

    def none_alone(self) -> AbstractContextManager[None]:
        """Around what comes before a collective: see ``sharding.none_alone``."""
        return none_alone(self._model.parameters())

    def _own(self) -> list[Tensor]:
        return [tensor for adapter in self.adapters for tensor in adapter.own]

    def turn_down(self, factor: float, of_raised: float = 1.0) -> None:
        """The updates use ``factor`` times the rates so far, and ``of_raised`` times those that something has raised
        above their schedule's highest."""
        peaks = self._given.peak_lr or self.run.peak_lr or self.groups.peak_lr  # read while no step is under way
        if of_raised != 1.0:
            self.lowered.of_raised = self.lowered.of_raised[0] * of_raised, peaks
        if factor != 1.0:
            self.lowered.factor *= factor
            self._given = replace(self._given, peak_lr=peaks)
            self.run = replace(
                self.run,
                lr_factor=self.run.lr_factor * factor,
                peak_lr=self.lowered.times(self.run.peak_lr, factor),
            )

    @property
    def lr(self) -> tuple[float, ...]:
        """The learning rate of each group that the next update uses."""
        return self.lowered.used(rates_of(self.groups.optimizer))

    @property
    def is_whole(self) -> bool:
        """Every adapter is still where it was found: what it holds can be read, whatever it is used for."""
        return self._tree.is_same

    def has_changed(self) -> bool:
        """An adapter has been switched, merged, frozen, added or taken out since ``find``: another one may
        be training now. Or tensors have been exchanged, in the model or in the optimizer: it may hold others."""
        if not self._tree.is_same:
            return True
        now, known = self.live.refresh(), self._known
        if self._rest.adapters and not np.array_equal(self._rest.refresh().state, self._state_of_rest):
            return True
        if now is not known:
            if not np.array_equal(now.state, known.state):
                return True
            pairs = zip(now.parameters, known.parameters)
            if any(a is not b for one, other in pairs for a, b in zip(one, other)):
                return True
            self._known = now
        return self.groups.optimizer is not self.optimizer or not self.groups.is_same

    def wiring(self, readable: bool, base_trainable: BoolArray | None) -> dict[str, BoolArray]:
        """See ``StepRecord.wiring``; as of ``find``, whose state ``has_changed`` tells to be the present one: the same
        object as long as nothing changes. Empty where that has failed.

        ``readable``: False where factors are sharded away, and the optimizer holds other tensors than the model shows.
        """
        if not self.run.searched:
            return {}
        of = self._known, self.groups, readable
        if self._wired is None or any(a is not b for a, b in zip(of, self._wired[0])):
            active, merged, trainable = self._known.state.T
            wiring = {"active": active, "merged": merged, "trainable": trainable}
            if self.groups.known and readable:
                lacks_a, lacks_b = self.groups.lacking.T
                wiring |= {"in_optimizer": ~(lacks_a | lacks_b), "a_in_optimizer": ~lacks_a, "b_in_optimizer": ~lacks_b}
            self._wired = of, wiring
        wiring = self._wired[1]
        return wiring if base_trainable is None else {**wiring, "base_trainable": base_trainable}

    def _read_base_norms(self, adapters: Sequence[Adapter]) -> BaseNorms:
        new = [adapter for adapter in adapters if adapter.name not in self.base_norms]
        norms = base_norms(new)
        self.base_norms.update(zip((a.name for a in new), zip(norms.norm.tolist(), norms.spectral_norm.tolist())))
        pairs = np.array([self.base_norms[adapter.name] for adapter in adapters]).reshape(-1, 2)
        return BaseNorms(pairs[:, 0], pairs[:, 1])


def _versions() -> dict[str, str]:
    """Of the packages that a run depends on, as far as they are installed."""
    out = {}
    for package in ("lora-watch", "torch", "transformers", "peft", "trl", "accelerate", "numpy"):
        with suppress(metadata.PackageNotFoundError):
            out[package] = metadata.version(package)
    return out


def _retired(trained: Mapping[str, Adapter], found: Sequence[Adapter]) -> dict[str, str]:
    """Which adapters that have trained do so no longer, and why, in the words of ``StepRecord.retired``."""
    here, taken = {a.name for a in found}, {id(a.module) for a in found if a.active}

    def why(adapter: Adapter) -> str:
        if adapter.name not in here:
            return "gone"
        if not adapter.active:
            return "replaced" if id(adapter.module) in taken else "off"
        return "merged" if adapter.merged else "" if adapter.trainable else "frozen"

    return {name: reason for name, adapter in trained.items() if (reason := why(adapter))}
