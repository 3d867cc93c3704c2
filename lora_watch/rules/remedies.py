"""From "too strong by this factor" to new settings: which of alpha and the learning rate to change, and to what."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, replace

from lora_watch.base.records import AdapterInfo, StepRecord
from lora_watch.rules.forecast import (
    ORDINARY_PACE,
    ORDINARY_SCALE,
    Rates,
    is_adaptive,
    pace,
    rate_of,
    stronger_by,
    strongest,
    weaker_by,
)

MEASURE = "measure the rate: lora-watch run --find-lr train.py"
"""What to try last where a Trainer can sweep, and no sweep has found its rate."""
TOO_LOW = "the learning rate is too low: the first full step was less than half of a useful one"
"""The likely cause where ``forecast.is_gentle`` holds."""
TYPED = (1, 1.2, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8)
"""First digits of the learning rates that people type."""


def typed(value: float, factors: tuple[float, ...], base: int) -> float:
    """The largest number that people would type (one of ``factors`` × baseⁿ) and that is not above ``value``."""
    if not (value > 0 and math.isfinite(value)):
        return value
    return max(c for c in _choices(value, factors, base) if c <= value * (1 + 1e-9))


def nearest(value: float, factors: tuple[float, ...], base: int) -> float:
    """Of the numbers that people would type, one of ``factors`` × baseⁿ, the nearest to ``value`` by ratio."""
    if not (value > 0 and math.isfinite(value)):
        return value
    return min(_choices(value, factors, base), key=lambda c: abs(math.log(c / value)))


def _choices(value: float, factors: tuple[float, ...], base: int) -> list[float]:
    """Numbers around ``value`` that people would type, as they type them: 0.0006 and not 0.0006000000000000001."""
    exponent = math.floor(math.log(value, base))
    around = (exponent - 1, exponent, exponent + 1)
    return [float(f"{m * float(base) ** e:.12g}") for e in around for m in factors]


def round_alpha(value: float) -> float:
    """The nearest of the numbers that people type for alpha: 1 or 3 times a power of two."""
    return nearest(value, (1, 3), 2)


def rescaled(adapter: AdapterInfo, factor: float, adaptive: bool = True) -> tuple[float, float]:
    """``(alpha, left)``: a new alpha, and what the learning rate has to be divided by so that s·lr is divided by
    ``factor``: 1 where alpha is enough.

    Weakening takes from a scale above ``ORDINARY_SCALE`` first and from the learning rate after that; strengthening
    gives to the learning rate alone. Where steps follow the gradient's size, not ``adaptive``, alpha stays: it acts
    once or twice, as the gradient is clipped or not. ``adapter.alpha`` must be known.
    """
    assert adapter.alpha is not None
    if factor <= 1 or adapter.scale <= ORDINARY_SCALE or not adaptive:
        return adapter.alpha, factor
    alpha = typed(max(adapter.scale / factor, ORDINARY_SCALE) * per_scale(adapter), (1, 3), 2)
    return alpha, max(factor * alpha / per_scale(adapter) / adapter.scale, 1.0)


def typed_rate(lr: float) -> float:
    """The highest learning rate that people would type and that is not above ``lr``."""
    return typed(lr, TYPED, 10)


def per_scale(adapter: AdapterInfo) -> float:
    """What alpha is divided by: r, or √r with rsLoRA."""
    return math.sqrt(adapter.r) if adapter.scale_formula == "alpha/sqrt(r)" else float(adapter.r)


@dataclass(frozen=True)
class Change:
    """New settings, in words for people and as values for programs."""

    words: list[str] = field(default_factory=list)
    settings: dict[str, float] = field(default_factory=dict)
    """Every new value that ``words`` name, by its name in LoraConfig or TrainingArguments."""
    by: float = 1.0
    """What s·lr is multiplied by in all, after rounding."""


def with_alpha(record: StepRecord, adapter: AdapterInfo, alpha: float) -> Change:
    """Another alpha of an adapter whose own is known, in one piece of words."""
    scale = alpha / per_scale(adapter)
    words = f"lora_alpha {adapter.alpha:g} → {alpha:g} (scale {adapter.scale:.3g} → {scale:.3g})"
    by = alpha / adapter.alpha if adapter.alpha else 1.0
    ((usual, _),) = Counter(a.scale for a in record.run.adapters).most_common(1)
    if adapter.scale != usual:
        return Change([f"{words} of {adapter.name.rpartition('.')[2]} (alpha_pattern)"], by=by)
    return Change([words], {"lora_alpha": alpha}, by)


def weaker(record: StepRecord, overall: float | None = None, otherwise: float = 2.0) -> Change:
    """Divide s·lr by ``weaker_by`` or a little more, for the adapter with the highest scale."""
    return _change(record, *weaker_by(record, overall, otherwise))


def stronger(record: StepRecord, overall: float) -> Change:
    """Multiply s·lr by ``stronger_by`` or a little less."""
    by, within = stronger_by(record, overall)
    return _change(record, 1.0 / by, within)


def raised_to(record: StepRecord, factor: float = 2.0) -> tuple[float, float] | None:
    """``(now, planned)`` of a learning rate that is more than ``factor`` times the highest of its schedule. None where
    that is not known: a plain loop may warm up by hand, and a schedule may follow the loss."""
    if "learning_rate" not in record.run.config or record.run.config.get("lr_follows_a_metric"):
        return None
    rates = zip(record.lr, record.run.peak_lr)
    return max(((now, planned) for now, planned in rates if now > factor * planned > 0), default=None)


def why_strong(record: StepRecord) -> list[str]:
    """Why the adapters grow too fast, likeliest first."""
    if raised := raised_to(record):
        return [f"the learning rate is {raised[0]:.3g} now, and its schedule's highest is {raised[1]:g}"]
    if not record.run.adapters:
        return ["the learning rate is too high"]
    scale = strongest(record).scale
    if scale > ORDINARY_SCALE and not is_adaptive(record.run):
        return [f"the learning rate is too high for the scale {scale:g}"]
    if scale > ORDINARY_SCALE:
        return [f"the scale {scale:g} is too high for this learning rate: s·lr sets how fast ‖ΔW‖ grows"]
    return [f"the learning rate is too high: the scale {scale:g} is ordinary"]


ORDINARY_SIZE = 2.5
"""Up to this depth-scaled output ratio adapters are of an ordinary size."""
SOUND = 50
"""Steps at which the loss lay below its start after which the settings are no longer the first suspect."""


def improved(record: StepRecord) -> bool:
    """The loss lies below its start by more than its noise."""
    return record.scalars.get("loss_improved", 0.0) > 0


def sound_steps(record: StepRecord) -> int:
    """Steps of this run at which the loss was ``improved``, whether or not the adapters were measured at them."""
    return int(record.scalars.get("loss_sound", 0.0))


def is_proven(record: StepRecord) -> bool:
    """The settings have been right for many steps, and nothing has raised the learning rate: they did not move first,
    and the data are the first suspect."""
    return sound_steps(record) >= SOUND and raised_to(record) is None


def is_ordinary(record: StepRecord) -> bool:
    """Steps and adapters have an ordinary size, and nothing has raised the learning rate: the data are the first
    suspect, however young the run."""
    size = record.size_before
    return pace(record) <= ORDINARY_PACE and size is not None and size <= ORDINARY_SIZE and raised_to(record) is None


def why_worse(record: StepRecord) -> list[str]:
    """Why a loss has risen, likeliest first."""
    strong, data = why_strong(record), "the data changed: another domain, corrupted batches, a new epoch's order"
    if is_proven(record):
        return [f"{data}; with these settings the run had been sound for {sound_steps(record)} steps", *strong]
    if is_ordinary(record):
        return [f"{data}; the learning rate is ordinary, and so is the size of the adapters ({record.size_before:.2g})"]
    return [*strong, data]


def first_suspect_first(record: StepRecord, changes: list[str]) -> list[str]:
    """What to try where a loss has risen: ``changes`` of the settings, and first what is suspected first."""
    batches = "look at the batches of the last steps"
    return [batches, *changes] if is_proven(record) or is_ordinary(record) else [*changes, batches]


def in_wider_numbers(record: StepRecord) -> Change:
    """What helps against numbers that are not finite and is not done yet."""
    clipped = clip(record)
    wider = ["train in bf16 or fp32 instead of fp16"] if record.run.config.get("fp16") else []
    return replace(clipped, words=[*wider, *clipped.words])


def clip(record: StepRecord) -> Change:
    """Clipping where it is not done yet."""
    norm = record.run.config.get("max_grad_norm")
    done = isinstance(norm, (int, float)) and 0 < norm <= 1
    return Change() if done else Change(["set max_grad_norm=1.0"], {"max_grad_norm": 1.0})


def _change(record: StepRecord, factor: float, within: float | None) -> Change:
    if not record.run.adapters:
        return Change()
    if factor > 1 and (raised := raised_to(record)):
        return Change([f"learning rate {raised[0]:.3g} → {raised[1]:g} again: find what raised it"], {})
    adapter = strongest(record)
    lr, changes = rate_of(record, adapter), list[Change]()
    if lr is None or not adapter.alpha or not adapter.scale > 0:
        by = f"{'lower' if factor > 1 else 'raise'} lora_alpha or the learning rate by about"
        return Change([f"{by} {max(factor, 1 / factor):.0f}×"], by=1.0 / factor)
    alpha, left = rescaled(adapter, factor, is_adaptive(record.run))
    if alpha != adapter.alpha:
        changes.append(with_alpha(record, adapter, alpha))
    if left != 1.0:
        changes.append(_new_rate(record, lr, left, within))
    words = " and ".join(word for change in changes for word in change.words)
    settings = {name: value for change in changes for name, value in change.settings.items()}
    return Change([words] if words else [], settings, math.prod(change.by for change in changes))


def _new_rate(record: StepRecord, lr: float, factor: float, within: float | None) -> Change:
    """The rate ``lr`` of a parameter group divided by ``factor`` or a little more, and the others by the same (LoRA+),
    rounded to what people would type. The best one is expected ``within`` a factor."""
    rates = set(record.run.peak_lr or record.lr)
    base, several = record.run.learning_rate, len(rates) > 1
    old = base if several and base in rates else lr  # the one that people set
    new = typed_rate(old / factor)
    words = f"learning rate {old:g} → {new:g}"
    if within is not None:  # what is to be lowered is not left as it is
        around = Rates.around(new, within)
        words += f" ({replace(around, high=min(around.high, old)) if factor > 1 else around})"
    if several:
        words += f" ({lr:g} → {lr * new / old:g} in the fastest parameter group, the others by the same factor)"
    return Change([words], {} if several and old != base else {"learning_rate": new}, new / old)
