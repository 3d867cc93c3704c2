"""Rules and their findings."""

import inspect
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

import numpy as np

from lora_watch.base.alerts import WITHDRAWN, Severity
from lora_watch.base.prescription import Prescription
from lora_watch.base.records import BoolArray, FloatArray, StepRecord

NON_FINITE = ("LW101", "LW201")
"""Rules that explain all others that compare numbers: after a NaN no number is valid."""
GROWN_TOO_LARGE = ("LW102", "LW202")
"""Rules whose open alert explains a NaN: weights that grow, or a loss that rises, end in one."""
FAULTS = ("LW102:sign", "LW204:sorted", "LW205:sign", "LW205:labels", "LW205:targets", "LW306:adds up", "LW309:moved")
"""Alerts that prove a fault of the data or the code which raises a loss, or does harm, at any learning rate: what comes
after them has them as its cause, and no rate that it says holds without the fault. Adapters that are not trained
(LW301, LW303, LW310) are none: the others grow as they would have."""
ANOTHER_RUN = (*FAULTS, "LW204:one class", "LW205:head", "LW209:knows less", "LW209:both")
"""Alerts whose fix makes another run of this one: of what comes beside them only harm prescribes anything."""
UNHARMED = f"The run came to no harm{WITHDRAWN}"
"""Said of an alert at the end of such a run."""
IN_VAIN: dict[str, Severity] = {
    **dict.fromkeys(["LW209:knows less", "LW209:both"], Severity.ERROR),
    **dict.fromkeys(["LW204:one class", "LW204:sorted", "LW205:head", "LW207:"], Severity.WARNING),
    **dict.fromkeys(["LW205:", "LW205:labels", "LW205:random", "LW205:sign"], Severity.ERROR),
}
"""From which severity on alerts, named alike, say that nothing that was learned is good: labels or data are wrong from
the start, or a head is saved in no file."""


@dataclass(frozen=True)
class Finding:
    """A rule holds at this step. The fields are those of ``Alert``, which the first finding of an episode becomes."""

    message: str
    """What is wrong, without a full stop, as after a colon: the first line alone must be enough to act."""
    details: str = ""
    adapters: list[tuple[str, float]] = field(default_factory=list)
    metric: str | None = None
    threshold: float | None = None
    causes: list[str] = field(default_factory=list)
    remedies: list[str] = field(default_factory=list)
    resume: str = ""
    next_run: Prescription | None = None
    """The settings that this rule proposes, relative to those that the run has now. An INFO proposes none."""
    severity: Severity | None = None
    """The alert's severity, where it is not the rule's own."""
    kind: str = ""
    """Which of the rule's faults it is, where the rule has several: another one is another alert."""
    follows: tuple[str, ...] = ()
    """Rules, named as in ``Rule.yields_to``, of whose open alert this is a consequence: the alert that opens all the
    same has that one's causes and remedies, proposes nothing, and is explained by it."""


def of_the_loss(message: str, details: str, cause: str, remedy: str, **more: Any) -> Finding:
    return Finding(message, details, metric="loss", causes=[cause], remedies=[remedy], **more)


@dataclass
class Rule(ABC):
    """One thing that can go wrong. Subclass it as a dataclass.

    Thresholds are fields with defaults. State is fields with ``init=False`` that hold plain numbers, lists and dicts,
    and is saved with the run's checkpoints; what is kept of each adapter is kept by its name (``RunInfo.of_each``).
    ``check`` reads the record and its own state and nothing else.
    """

    id: ClassVar[str]
    name: ClassVar[str]
    """That of the class with the ``id`` in words, such as ``norm-explosion``, unless one is set."""
    severity: ClassVar[Severity]
    lasting: ClassVar[bool] = False
    """The finding is a fact that does not pass: the alert stays open, although ``check`` returns it only once."""
    urgent: ClassVar[bool] = False
    """A failure that must stop the run before the optimizer step: the rule is checked before the update, too, on loss
    and gradients alone. Patience does not apply, and a checkpoint of such a step is not saved."""
    breaks: ClassVar[bool] = False
    """Its fault can make the backward pass raise. The rule is then asked once more, with the wiring alone."""
    static: ClassVar[bool] = False
    """It checks settings: it is called once, with step 0, and by the commands that check a run before it begins."""
    zone: ClassVar[str | None] = None
    """The run's zone while an alert of this rule is open: one of ``lora_watch.rules.zone.ZONES``."""
    needs: ClassVar[str | None] = None
    """A metric that the rule needs. A step without it neither opens, extends nor ends an alert."""
    of: ClassVar[Literal["evaluation", "logged"] | None] = None
    """The field of the record that it judges, where that is not of each step, and has a ``step`` of its own."""
    quiet: ClassVar[int | None] = None
    """Steps of silence after which an episode is over. None: several, and more if norms are measured seldom."""
    evidence: ClassVar[int] = 5
    """Steps before an alert that its evidence takes, in which the adapter may be damaged already."""
    turns_out: ClassVar[bool] = False
    """What it finds without a ``kind`` may turn out to be one of a kind: its open alert is then stated anew."""
    guesses: ClassVar[bool] = False
    """The cause that it names is a guess: its alert takes on those of one that explains it."""
    yields_to: ClassVar[tuple[str, ...]] = ()
    """Ids of rules whose open alert explains this one: the rule is then silent. One cause, one alert. ``LW306:raised``:
    where the alert is of that ``kind``; ``LW306:ERROR``: where it is one."""

    wants: Mapping[str, float] = field(default_factory=dict, init=False)
    """Losses of the next step's batch that the rule needs: by name, what the adapters' output is multiplied by."""

    def __init_subclass__(cls) -> None:
        if "id" in vars(cls) and "name" not in vars(cls):  # a subclass of a rule is that rule
            cls.name = re.sub(r"\B(?=[A-Z])", "-", cls.__name__).lower()

    @abstractmethod
    def check(self, record: StepRecord) -> Finding | None:
        """The finding of this step, or None. Called once a step, in order, and once with step 0 before the first."""

    def has_evidence(self, record: StepRecord) -> bool:
        """The record holds numbers that this rule judges by. Silence ends an alert only where it does."""
        if self.of is not None:
            return getattr(record, self.of) is not None
        values = None if self.needs is None else known_values(record, self.needs)
        return self.needs is None or (values is not None and bool(np.isfinite(values).any()))

    def conclude(self, record: StepRecord) -> Finding | None:
        """What only the whole run, or its last row, shows. Called once, with the last record of a run that ended."""
        return self.check(record) if self.of == "logged" else None

    def at_the_end(self, record: StepRecord) -> Finding | None:
        """A finding on the weights as they stand when the run has ended. ``record`` is the last one with their norms,
        and with ``adapted_loss`` and ``base_loss`` of the last batch that was compared, where that can be computed
        again. Asked once, before ``conclude``."""
        return None

    def resumed(self, record: StepRecord) -> Finding | None:
        """A finding on the weights with which a session goes on from a checkpoint: ``record`` has their norms, and
        those of the ``checkpoint``, as far as they are known. Asked once, before the first step of such a session."""
        return None

    def saved(self, record: StepRecord) -> Finding | None:
        """A finding on a save, of which ``record`` has the ``receipt``. Asked after each one, also after the end."""
        return None

    @classmethod
    def summary(cls) -> str:
        """The first paragraph of the docstring, as one line."""
        return inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0].replace("\n", " ")

    @property
    def thresholds(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self) if f.init}

    def describe(self) -> dict[str, Any]:
        """Plain data for the schema of event files and the report."""
        return {
            "id": self.id,
            "name": self.name,
            "severity": self.severity.name,
            "zone": self.zone,
            "thresholds": self.thresholds,
        }

    def state_dict(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self) if not f.init}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in state.keys() & self.state_dict().keys():
            setattr(self, name, state[name])


class RuleOnSettings(Rule):
    """What judges the settings of a run. They do not pass by themselves."""

    static = True
    lasting = True


class RuleOfTheLoss(Rule):
    """What judges a loss that is a number: behind a NaN it is silent because it cannot know."""

    def has_evidence(self, record: StepRecord) -> bool:
        return record.loss is not None and math.isfinite(record.loss)


class RuleBetweenSteps(Rule):
    """What is asked at a save, a resume or the end, and at no step."""

    lasting = True

    def check(self, record: StepRecord) -> Finding | None:
        return None


def worst_first(record: StepRecord, values: FloatArray, where: BoolArray | None = None) -> list[tuple[str, float]]:
    """``(adapter name, value)`` of the adapters selected by ``where``, NaN and the largest first."""
    chosen = np.arange(len(values)) if where is None else np.flatnonzero(where)
    order = chosen[np.argsort(np.where(np.isnan(values[chosen]), -np.inf, -values[chosen]), kind="stable")]
    return [(record.run.adapters[i].name, float(values[i])) for i in order]


def known_values(record: StepRecord, metric: str) -> FloatArray | None:
    """``metric`` with NaN where it is no measurement; None when it was not measured at this step."""
    reading = record.metrics.get(metric)
    return None if reading is None else reading.measured
