"""The one prescription of a run: which proposal of the rules stands, relative to the user's own settings."""

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lora_watch.base.prescription import ALPHA, RATE, SIZE, Evidence, Prescription, Setting
from lora_watch.base.records import RunInfo


def usual_alpha(run: RunInfo) -> float | None:
    """The alpha of most adapters; None where none is known."""
    known = Counter(adapter.alpha for adapter in run.adapters if adapter.alpha)
    return known.most_common(1)[0][0] if known else None


def rate_set(run: RunInfo) -> float | None:
    """The learning rate that people set for this run, as it is now: not that of a parameter group of its own. None
    where the optimizer's rates do not come from one setting."""
    base, rates = run.learning_rate, set(run.peak_lr)
    if base is not None and base > 0:
        ends_in_its_warm_up = (run.config.get("warmup_steps") or 0) > (run.max_steps or math.inf) and len(rates) == 1
        if any(math.isclose(base, rate) for rate in rates) or (ends_in_its_warm_up and base > max(rates)):
            return base
    return max(rates) if len(rates) == 1 else None


def rate_now(run: RunInfo) -> float | None:
    """The learning rate that the run trains at now, before warm-up and decay: the script's, or of its parameter groups
    the highest. None where it is not known."""
    peaks = [peak for peak in run.peak_lr if peak > 0]
    return run.learning_rate if run.learning_rate in peaks else max(peaks, default=run.learning_rate)


def settings_of(run: RunInfo) -> dict[str, float]:
    """What a script would have to say for the run as it trains now."""
    known = ((RATE, rate_set(run)), (ALPHA, usual_alpha(run)))
    return {name: value for name, value in known if value is not None}


@dataclass
class Prescribing:
    """Holds the prescription that stands. Better evidence replaces it, and so does harm at the very settings that it
    names. Plain numbers, for checkpoints."""

    own: dict[str, float] = field(default_factory=dict)
    """The settings that the user's script has."""
    standing: Prescription | None = None
    swept: bool = False
    """The run has found its rate itself, as its script will again."""
    unused: float | None = None
    """The rate of a script that is resumed at another one: not prescribed once more, until the other does harm."""

    @property
    def told(self) -> Prescription | None:
        """What to change for the next run: not what this one has found itself."""
        told = self.standing
        if told is None or RATE not in told.settings:
            return told
        found = self.swept and told.evidence is Evidence.SWEEP and told.settings.keys() == {RATE}
        done = self.unused is not None and told.allows(RATE, self.unused)
        return told.without(RATE) if found or done else told

    def begin(self, run: RunInfo) -> None:
        """The run has its settings: those of the script, or those of a sweep that has found others."""
        if self.own or not run.adapters:
            return
        self.own = settings_of(run)
        found, script = run.config.get("find_lr") or {}, run.config.get("own_learning_rate")
        rate = found.get("rate")
        if isinstance(script, (int, float)):
            rate = rate or self.own.get(RATE)  # of a range without a rate the run takes the middle
            self.own[RATE], self.swept = float(script), True
        if found and rate and RATE in self.own:
            swept = Setting(self.own[RATE], rate, found.get("low"), found.get("high"))
            told = Prescription({RATE: swept}, Evidence.SWEEP)
            self.standing = None if told.allows(RATE, self.own[RATE]) else told

    def resume(self, run: RunInfo) -> None:
        """A session goes on: with the checkpoint's rate, or, as a plain loop may, with another one of its script's own,
        to which the prescription is relative from now on. A prescribed alpha that it has is none any more."""
        if run.kept_rate is not None or run.lapsed_factor != 1.0:
            self.unused = run.config.get("learning_rate", math.nan)
        told, alpha = self.standing, usual_alpha(run)
        if told is not None and alpha is not None and told.values.get(ALPHA) == alpha:
            self.own[ALPHA], self.standing = alpha, told.without(ALPHA)
        rate, told = (rate_set(run) or 0.0) / run.lr_factor, self.standing
        if "learning_rate" in run.config or not rate or math.isclose(rate, self.own.get(RATE, rate)):
            return
        self.own[RATE] = rate
        if told is not None and RATE in told.settings:
            now = replace(told, settings={**told.settings, RATE: replace(told.settings[RATE], yours=rate)})
            self.standing = told.without(RATE) if told.allows(RATE, rate) else now

    def propose(self, found: Prescription, run: RunInfo) -> bool:
        """``found`` is relative to what ``run`` trains with now. True where the prescription has changed."""
        if run.unmatched and found.evidence < Evidence.HARM:  # LW310: with all of its layers it needs another rate
            found = replace(found, settings=_without(found, _sizes(found)))
        old = self.standing or replace(found, settings={})
        sizes, proposed = _sizes(old), _sizes(found)
        refuted = found.evidence >= Evidence.HARM and _has(settings_of(run), old)
        if proposed and sizes and found.evidence <= old.evidence and not refuted:
            if self.unused is not None or (old.evidence is Evidence.SWEEP and not self.swept):
                self.unused = None  # that of the script is not what has done harm
                return True  # the run has not followed it, or its sweep, which no alert has said yet
            found, proposed = replace(found, settings=_without(found, proposed)), []
        kept = _without(old, sizes if proposed else [])
        new = {
            name: replace(each, yours=self.own.get(name, each.yours)) for name, each in _without(found, kept).items()
        }
        if new:
            self.standing = replace(found if proposed else old, settings={**kept, **new})
        return bool(new)

    def withdraw(self, tried_by: RunInfo | None = None) -> bool:
        """The run has shown no harm: what settings, weights or first steps say of the adapters' size stands no more.
        Nor does anything that has been ``tried_by`` a run in vain. True where the prescription has changed."""
        old = self.standing
        if old is None or not (sizes := _sizes(old)):
            return False
        if (old.evidence >= Evidence.HARM) if tried_by is None else not _has(settings_of(tried_by), old):
            return False
        self.standing = old.without(*sizes)
        return True

    def state_dict(self) -> dict[str, Any]:
        standing = self.standing.to_dict() if self.standing else None
        return {"own": dict(self.own), "standing": standing, "swept": self.swept}

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> "Prescribing":
        standing = state.get("standing")
        told = Prescription.from_dict(standing) if standing else None
        return cls(dict(state.get("own", {})), told, bool(state.get("swept")))


def _sizes(told: Prescription) -> list[str]:
    """Names of its settings that say how fast the adapters grow, those of a single module among them."""
    return [name for name in told.settings if name.partition(" ")[0] in SIZE]


def _without(told: Prescription, names: Collection[str]) -> dict[str, Setting]:
    return {name: each for name, each in told.settings.items() if name not in names}


def _has(now: Mapping[str, float], told: Prescription) -> bool:
    both = {*SIZE} & {*now} & {*told.values}
    return bool(both) and all(math.isclose(now[name], told.values[name], rel_tol=0.02) for name in both)
