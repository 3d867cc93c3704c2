"""The settings for the next run: one prescription a run, relative to the user's own settings."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lora_watch.base.text import clean
from lora_watch.base.untrusted import MISFITS, or_none, whole

RATE, ALPHA = "learning_rate", "lora_alpha"
SIZE = (RATE, ALPHA)
"""Settings that together say how fast the adapters grow. What one of them should be depends on the other."""


class Evidence(enum.IntEnum):
    """What a prescription rests on, the weakest first. Better evidence replaces it."""

    SETTINGS = 0
    WEIGHTS = 1
    STEPS = 2
    HARM = 3
    SWEEP = 4


def in_figures(low: float, best: float, high: float) -> tuple[float, float]:
    """A range as people read it: in one figure, in two where it spans less than a factor of 2 or misses ``best``."""
    one, two = ((float(f"{low:.{n}g}"), float(f"{high:.{n}g}")) for n in (1, 2))
    return two if high < 2 * low or not one[0] <= best <= one[1] else one


def typed(number: float) -> float:
    """As people type it: 16, not 16.0."""
    return int(number) if float(number).is_integer() else number


@dataclass(frozen=True)
class Setting:
    """One setting of LoraConfig or TrainingArguments."""

    yours: float | None
    """What the run was started with; None where it was not set."""
    ours: float
    """What the next run should have."""
    low: float | None = None
    high: float | None = None
    """The range in which the best value is expected, ``in_figures``; None where nothing tells."""

    def __post_init__(self) -> None:
        if self.low is not None and self.high is not None:
            for name, end in zip(("low", "high"), in_figures(self.low, self.ours, self.high)):
                object.__setattr__(self, name, end)

    def __str__(self) -> str:
        figures = ".3g" if self.ours < 1 else "g"  # of a rate three at most
        return f"{'none' if self.yours is None else f'{self.yours:{figures}}'} → {self.ours:{figures}}"


@dataclass(frozen=True)
class Prescription:
    """What to change for the next run."""

    settings: Mapping[str, Setting] = field(default_factory=dict)
    """By the name that the setting has in LoraConfig or TrainingArguments."""
    evidence: Evidence = Evidence.SETTINGS
    step: int = 0
    """Optimizer steps from which it was drawn."""

    @property
    def values(self) -> dict[str, float]:
        return {name: setting.ours for name, setting in self.settings.items()}

    @property
    def source(self) -> str:
        """The evidence in three words: ``from 6 steps``."""
        if self.evidence >= Evidence.SWEEP:
            return "from a sweep"
        if self.evidence >= Evidence.STEPS:
            return f"from {self.step} step{'' if self.step == 1 else 's'}"
        return "estimated from the model's weights" if self.evidence is Evidence.WEIGHTS else "from the settings"

    def __str__(self) -> str:
        """``lora_alpha 128 → 16, learning_rate 0.01 → 0.007 (good range 0.004 to 0.01; from 6 steps)``."""
        known = sorted(self.settings.items(), key=lambda each: each[1].low is not None)  # a range stands behind its own
        ranges = [f"good range {s.low:g} to {s.high:g}" for _, s in known if s.low is not None and s.high is not None]
        changes = ", ".join(f"{name} {setting}" for name, setting in known)
        return f"{changes} ({'; '.join([*ranges, self.source])})"

    def allows(self, name: str, value: float) -> bool:
        """``value`` is what is prescribed for ``name``, or lies in its range."""
        setting = self.settings.get(name)
        if setting is None:
            return True
        low, high = setting.low or setting.ours, setting.high or setting.ours
        return min(low, setting.ours) * 0.99 <= value <= max(high, setting.ours) * 1.01

    def without(self, *names: str) -> "Prescription | None":
        """The rest of it; None where nothing is left."""
        rest = {name: setting for name, setting in self.settings.items() if name not in names}
        return replace(self, settings=rest) if rest else None

    def to_dict(self) -> dict[str, Any]:
        """Strict JSON; ``evidence`` and ``text`` are for people."""
        settings = {
            name: {
                "from": or_none(typed, setting.yours),
                "to": typed(setting.ours),
                "low": setting.low,
                "high": setting.high,
            }
            for name, setting in self.settings.items()
        }
        grade = self.evidence.name.lower()
        return {"settings": settings, "evidence": self.source, "grade": grade, "step": self.step, "text": str(self)}

    @classmethod
    def from_dict(cls, serialised: Mapping[str, Any]) -> "Prescription":
        """What ``to_dict`` wrote, every text in it ``clean``. Raises ValueError for anything else."""
        try:
            settings = {
                clean(name): Setting(
                    or_none(float, each.get("from")),
                    float(each["to"]),
                    or_none(float, each.get("low")),
                    or_none(float, each.get("high")),
                )
                for name, each in serialised["settings"].items()
            }
            return cls(settings, Evidence[serialised["grade"].upper()], whole(serialised["step"]))
        except MISFITS as error:
            raise ValueError(f"no prescription of lora_watch ({type(error).__name__}: {clean(error)})") from error
