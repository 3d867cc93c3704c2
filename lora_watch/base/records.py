"""The data of one run and of one optimizer step, as rules read them and sinks write them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lora_watch.base.names import module_family

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class AdapterInfo:
    """The fixed facts of one monitored adapter. Its place in ``RunInfo.adapters`` is its column in every array."""

    name: str
    """Module path without wrapper prefixes; the adapter's own name is appended only when it is not ``default``."""
    kind: str
    """Kind of the adapted layer: ``Linear``, ``Embedding``, ``Conv2d`` …"""
    layer: int | None
    """Index of the transformer block, None where the path holds no number."""
    d_out: int
    d_in: int
    r: int
    alpha: float | None
    scale: float
    """The scale when watching began; the live one is the metric ``scale``."""
    scale_formula: str
    """The origin of ``scale``: ``alpha/r``, ``alpha/sqrt(r)``, ``alpha/ranknum`` or ``set by hand``."""
    group: int | None
    """Index of the optimizer's parameter group that holds B; None when no group does."""
    trainable: int
    """Number of trainable parameters of A and B."""
    base_norm: float = float("nan")
    """‖W₀‖_F of the frozen weight; NaN when unknown."""
    base_spectral_norm: float = float("nan")
    """σ₁(W₀); NaN when unknown."""


@dataclass(frozen=True)
class RunInfo:
    """The facts of a run before its first step. Written to the TensorBoard schema and to the report."""

    adapters: tuple[AdapterInfo, ...]
    max_steps: int | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    """Settings worth comparing between runs: model, learning rate, schedule, batch size, LoRA configuration …"""
    rules: tuple[Mapping[str, Any], ...] = ()
    """Each rule's id, name, severity and thresholds."""
    muted: tuple[str, ...] = ()
    """Ids of the catalogue's rules that the user has left out."""
    versions: Mapping[str, str] = field(default_factory=dict)
    optimizer: str | None = None
    """Class name of the optimizer, None if unknown."""
    peak_lr: tuple[float, ...] = ()
    """Highest learning rate of each parameter group, before warm-up and decay: as used, with ``lr_factor``."""
    lr_factor: float = 1.0
    """What recoveries have multiplied the learning rate of the user's script by, which ``config`` has."""
    lapsed_factor: float = 1.0
    """What recoveries of earlier sessions had multiplied it by, and this one, without ``recover``, does not."""
    kept_rate: float | None = None
    """See ``run.rates.kept_rate``; without ``lr_factor``."""
    init_from_base: str = ""
    """How the adapters were begun (``PiSSA`` …), where that moved a part of W₀ into them: their size is then not what
    was learned. Empty otherwise."""
    nonzero_start: bool = False
    """The adapters added something before the first update: they had been trained before, or begin at random."""
    trains_more: bool = False
    """Parameters outside the adapters are trained, too: a head (``modules_to_save``), biases."""
    untrained: bool = False
    """The base model looks as it was initialised: what is useful in trained ones says nothing of it."""
    unsaved_head: str = ""
    """See ``measurement.signals.labels``."""
    own_classes: int = 0
    """Among how many classes the model's own loss chooses, whatever the training makes of it; 0 if unknown."""
    meant: bool = False
    """Something says that adapters were to be trained: PEFT's configuration, a name, or who started the run."""
    searched: bool = True
    """The model has been looked through: ``adapters`` are all there are. False before, and where that failed."""
    unmeasurable: tuple[str, ...] = ()
    """PEFT's other methods (``LOHA``, ``PROMPT_TUNING`` …) that train something, which is not measured."""
    unmatched: tuple[str, ...] = ()
    placement: str = ""
    """Where the adapters are and what has none, in words; empty without any."""
    resting: int = 0
    """Layers whose adapters do not train (frozen, inactive), next to those that do."""
    notes: tuple[str, ...] = ()
    """Parts that could not be monitored, in words."""
    run_id: str = ""
    """By which the run's files know each other. Empty: the report makes one up."""

    @property
    def learns_preferences(self) -> bool:
        """Against a reference model, as DPO and KTO do."""
        return bool(self.config.get("preference") and self.config.get("reference"))

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(adapter.name for adapter in self.adapters)

    @cached_property
    def began_large(self) -> bool:
        """The adapters held something before the first update: what counts is what has come since."""
        return bool(self.init_from_base) or self.nonzero_start

    @property
    def learning_rate(self) -> float | None:
        """That of the user's script as the run uses it: with ``lr_factor``. None where the script's is not known."""
        rate = self.config.get("learning_rate")
        return rate * self.lr_factor if isinstance(rate, (int, float)) else None

    def of_each(self, kept: Mapping[str, float], otherwise: float = 0.0) -> FloatArray:
        """``[n_adapters]`` of what is ``kept`` by the adapters' names; ``otherwise`` for one of which nothing is.

        What lasts longer than a step is kept by name: the set of adapters changes in a training, at the same size too.
        """
        return np.array([kept.get(name, otherwise) for name in self.names], dtype=np.float64)

    def by_name(self, values: NDArray[Any]) -> dict[str, Any]:
        """``values``, ``[n_adapters]``, by the adapters' names."""
        return dict(zip(self.names, values.tolist()))

    def per_adapter(self, rates: Sequence[float]) -> FloatArray:
        """``rates`` (one a parameter group) spread over the adapters: ``[n_adapters]``, NaN where no group is known."""
        if not len(rates):
            return np.full(len(self.adapters), np.nan)
        groups = np.minimum(self._groups, len(rates))  # the last one is of those that are in none
        return np.array((*rates, np.nan), dtype=np.float64)[groups]

    @cached_property
    def _groups(self) -> NDArray[np.intp]:
        nowhere = np.iinfo(np.intp).max
        return np.array([nowhere if a.group is None else a.group for a in self.adapters], dtype=np.intp)

    @cached_property
    def blocks(self) -> int:
        """Number of transformer blocks that hold adapters; 1 where names carry no index."""
        return max(len({adapter.layer for adapter in self.adapters if adapter.layer is not None}), 1)

    @cached_property
    def depth(self) -> float:
        """What turns the ratio of one layer into that of the model: blocks × √(adapted modules of a block / 6).

        What each block adds is carried on by all that follow. Modules of a block add up like noise, and the fewer are
        adapted, the larger each has to be: v_proj alone counts as 0.41 of a block of six modules or more.
        """
        return self.blocks * math.sqrt(min(len(self.adapters) / self.blocks / 6.0, 1.0))

    @cached_property
    def norm_per_lr(self) -> FloatArray:
        """``[n_adapters]``: √(d_out·r/3), which is ‖B·A‖_F for each unit of Σ lr, where all steps of Adam from the
        default init agree."""
        return np.sqrt([adapter.d_out * adapter.r / 3.0 for adapter in self.adapters])

    @cached_property
    def small_base(self) -> BoolArray:
        """``[n_adapters]``: the frozen weight is less than a tenth of the median of its siblings in other blocks.

        Blocks that were inserted, or projections that began at zero: what is trained there is large relative to them.
        """
        families: dict[str, list[int]] = {}
        for column, name in enumerate(self.names):
            families.setdefault(module_family(name), []).append(column)
        norms, small = np.array([a.base_norm for a in self.adapters]), np.zeros(len(self.adapters), dtype=bool)
        for columns in families.values():
            small[columns] = norms[columns] < 0.1 * np.median(norms[columns])
        return small


@dataclass(frozen=True, eq=False)
class Reading:
    """One metric of every adapter at one step."""

    values: FloatArray
    """float64 ``[n_adapters]``; NaN is kept."""
    known: BoolArray
    """``[n_adapters]``: where the number is a measurement."""

    @cached_property
    def measured(self) -> FloatArray:
        """``values``, NaN where they are no measurement. Not to be written to."""
        return np.where(self.known, self.values, np.nan)

    def known_values(self) -> list[float | None]:
        """``values`` as plain numbers, None where they are no measurement."""
        return [value if there else None for value, there in zip(self.values.tolist(), self.known.tolist())]


Readings = Mapping[str, Reading]
"""By the name of the metric."""


FIRST_STEPS = 20
"""Steps from a start on that are measured in full. Most runs that explode do so then, and LW102 is strictest."""


class Due(NamedTuple):
    """What is measured of one step."""

    step: int
    trained: bool = True
    """The optimizer has made a step; False for the state before the first."""
    norms: bool = True
    full: bool = True
    """Spectrum and ``output_ratio`` as well: only where the norms are due."""


class Replica(NamedTuple):
    """The adapters of another rank, which are to be the same."""

    step: int
    rank: int
    here: FloatArray
    """‖ΔW‖ on the first rank, ``[n_adapters]``, NaN where it is unknown."""
    there: FloatArray


@dataclass(frozen=True)
class Receipt:
    """What a folder holds of the adapters that were trained. All is well where it names nothing."""

    step: int
    """Optimizer steps behind the adapters when they were saved."""
    folder: str
    unreadable: str = ""
    """Why the files cannot be read, in words; empty where they can."""
    missing: tuple[str, ...] = ()
    """Adapters that no file holds."""
    misnamed: tuple[str, ...] = ()
    """Adapters under keys that PEFT does not load."""
    differing: tuple[tuple[str, float, float], ...] = ()
    """Of adapters with another ‖ΔW‖: the name, ‖ΔW‖ in the file, and ‖ΔW‖ as it was measured."""

    @property
    def is_good(self) -> bool:
        return not (self.unreadable or self.missing or self.misnamed or self.differing)


class Evaluation(NamedTuple):
    """The loss on texts that are not trained on."""

    step: int
    loss: float
    samples: int | None = None
    """How many examples it is the mean of, about; None if unknown."""
    kept: tuple[int, ...] | None = None
    """Steps whose checkpoints are there; None if unknown."""
    probe: tuple[float, float] | None = None
    """The loss of the texts of ``probe=``, and that without the adapters; None if unknown."""
    right: float | None = None
    """Share of the examples that a classifier gets right, or of the pairs; None if unknown."""
    name: str = "eval_loss"
    """Of the loss: of several sets of examples each has its own."""


class Logged(NamedTuple):
    """What a trainer has logged of a policy: means over the steps since its row before."""

    step: int
    numbers: Mapping[str, float]
    """By the names of ``measurement.signals.policy``."""


@dataclass(frozen=True)
class StepRecord:
    """One optimizer step. Arrays are float64 ``[n_adapters]`` in the order of ``run.adapters``; NaN is kept."""

    run: RunInfo
    step: int
    """Number of optimizer steps done, this one counted; 0 describes the state before the first."""
    metrics: Readings
    """By the names of the documentation's table. A metric that was not measured at this step is absent; an
    adapter for which it has no meaning or is unknown is NaN and False in its reading's ``known``."""
    loss: float | None = None
    """Mean training loss of the whole optimizer step over micro-batches and ranks, NaN kept; None if unknown."""
    targets: int | None = None
    """How many labels that count (not -100) the micro-batch with the fewest has had on this rank; None if unknown."""
    bad_inputs: tuple[str, ...] = ()
    """What of the batch holds NaN or infinity, as far as it was seen: ``labels``, ``pixel_values``, …"""
    lr: tuple[float, ...] = ()
    """Learning rate of each parameter group as used by this step."""
    weight_decay: tuple[float, ...] = ()
    lr_fraction: float | None = None
    """Share of the schedule's total Σ lr that has been spent, this step counted; None if unknown."""
    overhead: float | None = None
    """Share of the wall time that was spent in the monitor: since training began up to its 20th step, since then after
    it."""
    scalars: Mapping[str, float] = field(default_factory=dict)
    """Other numbers of the step, such as ``loss_spike_score``."""
    comparable: bool = False
    """Losses of a batch with larger adapters, or without any, can be had: they are in ``scalars`` at the step after one
    at which a rule ``wants`` them."""
    own_code: str = ""
    """What of the model's code comes from no known library, in words: a hook, a ``forward``. Empty where none is."""
    wiring: Mapping[str, BoolArray] = field(default_factory=dict)
    """How each adapter is connected: ``active``, ``merged``, ``trainable``, ``in_optimizer`` (absent if unknown, as are
    ``a_in_optimizer`` and ``b_in_optimizer``), and where ``base_drift`` is measured ``base_trainable``: the frozen
    weight requires a gradient."""
    retired: Mapping[str, str] = field(default_factory=dict)
    """Adapters that have trained in this run and no longer do, and why: ``merged`` into the frozen weight, ``off``
    (inactive or disabled), ``frozen``, ``replaced`` by another adapter of the same layer, or ``gone`` from the
    model."""
    size: float | None = None
    """The depth-scaled output ratio: the 90th percentile over layers of ``output_ratio`` times ``RunInfo.depth``.
    Without it, 0.3 × ``relative_spectral_norm``. PiSSA and similar methods count from their start. None if it was not
    measured, and before the step was checked."""
    zone: str = "unknown"
    """The run's zone at this step, one of ``lora_watch.rules.zone.ZONES``; set once the step has been checked."""
    updated: bool = True
    """False when the optimizer skipped this step (a loss scaler found an overflow)."""
    broken: tuple[str, ...] = ()
    """Where the loss is not finite: names of frozen weights that are not either, in the model's order."""
    spoiled: tuple[str, ...] = ()
    """Where the loss or a gradient is not finite: names of adapters whose own weights were not either before the step's
    update, in the order of ``run.adapters``. Looked for before the update alone: it may spoil all of them."""

    replica: Replica | None = None
    """On the first of several ranks: what has been compared since the record before."""
    evaluations: Mapping[str, Evaluation] = field(default_factory=dict)
    """By the names of their losses: of each set of examples the latest since the record before."""
    logged: Logged | None = None
    """The latest since the record before."""
    receipt: Receipt | None = None
    """Where rules are asked about a save, on the first of several ranks."""
    checkpoint: Mapping[str, float] = field(default_factory=dict)
    """Where a session begins from a checkpoint: ‖ΔW‖ of each adapter when that was saved."""
    losses: Sequence[float] = ()
    """There, too: what the loss is counted from, and the last losses, 33 at most."""

    @property
    def evaluation(self) -> Evaluation | None:
        """Of several sets that of the first."""
        return next(iter(self.evaluations.values()), None)

    @cached_property
    def derived(self) -> dict[str, Any]:
        """What several rules make of it, by name, made once."""
        return {}

    def amended(self, **changes: Any) -> "StepRecord":
        """The same step with other fields. What rules have ``derived`` is true of it still."""
        record = replace(self, **changes)
        record.derived.update(self.derived)
        return record

    @property
    def first_step(self) -> float | None:
        """What one update at the full learning rate adds to ``size``: what the run's first one has added, in proportion
        to its own rate. None where that was not measured, or has not been yet, and before the step is judged."""
        return self.derived.get("first step")

    @property
    def size_before(self) -> float | None:
        """``size`` as it was measured last, at an earlier step; None where it has not been, and before the step is
        judged."""
        return self.derived.get("size before")

    @property
    def learned(self) -> bool:
        """The update was applied, and the loss that it came from is a number, as far as is known."""
        return self.updated and (self.loss is None or math.isfinite(self.loss))
