"""From "too strong by this factor" to new settings and to the cause in words."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from lora_watch.base.prescription import ALPHA, RATE, Evidence, Prescription, Setting
from lora_watch.base.records import AdapterInfo, RunInfo, StepRecord
from lora_watch.base.text import count, formula, times
from lora_watch.measurement.signals.policy import course
from lora_watch.rules.forecast import (
    OF_GROWTH,
    OF_WEIGHTS,
    ORDINARY_PACE,
    ORDINARY_SCALE,
    Rates,
    at_its_length,
    at_scale,
    by_weights,
    foretold_step,
    is_adaptive,
    is_gentle,
    pace,
    rate_of,
    stronger_by,
    strongest,
    weaker_by,
)
from lora_watch.rules.prescribing import rate_set, usual_alpha

TYPED = (1, 1.2, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9)
"""First digits of the learning rates to which one is turned down. Every prescribed rate is among them."""
LOWEST_SCALE = ORDINARY_SCALE / 8
"""Below it the scale is the first reason why adapters stay small."""
HIGHEST_RATE = 0.05
"""No run of the corpus needs a higher one of Adam's: where adapters would, they are too few."""


def nearest(value: float, factors: Sequence[float], base: int, most: float = math.inf) -> float:
    """Of the numbers that people would type, one of ``factors`` × baseⁿ, the nearest to ``value`` by ratio, and at most
    ``most`` times it. As people type it: 0.0006 and not 0.0006000000000000001."""
    if not (value > 0 and math.isfinite(value)):
        return value
    exponent = math.floor(math.log(value, base))
    around = (exponent - 1, exponent, exponent + 1)
    choices = [float(f"{factor * float(base) ** each:.12g}") for each in around for factor in factors]
    return min((c for c in choices if c <= most * value * (1 + 1e-9)), key=lambda c: abs(math.log(c / value)))


def typed_rate(lr: float) -> float:
    """A learning rate in one figure, as people type it, rounded up by a fifth at most."""
    return nearest(lr, range(1, 10), 10, 1.2)


def round_alpha(value: float, most: float = math.inf) -> float:
    """The nearest of the numbers that people type for alpha: 1 or 3 times a power of two."""
    return nearest(value, (1, 3), 2, most)


def useful_rates(run: RunInfo) -> Rates | None:
    """The learning rates that the weights advise for a run of this length, its fastest group's; None where they are
    unknown. ``best`` is what people would type. ``advise``, ``preflight`` and the rules go by this one forecast."""
    alike = replace(run, adapters=tuple(replace(a, group=0) for a in run.adapters), peak_lr=(1.0,))
    if (rates := by_weights(alike)) is None:
        return None
    return Rates.around(typed_rate(at_its_length(rates.best, run)), OF_WEIGHTS)


def in_the_rate(told: Prescription, run: RunInfo, own: float) -> Prescription:
    """``told`` without alpha, and the rate changed by as much instead: a run that recovers keeps its scale. ``own`` is
    its rate. Under SGD s²·lr sets the speed. The rate becomes one that people would type."""
    alpha = usual_alpha(run)
    if not alpha or ALPHA not in told.settings:
        return told
    less, before = told.values[ALPHA] / alpha, told.settings.get(RATE, Setting(own, own))
    rate = nearest(before.ours * (at_scale(1.0, less, 1.0) if is_adaptive(run) else less**2), TYPED, 10)
    by = rate / before.ours
    low, high = (None if end is None else end * by for end in (before.low, before.high))
    others = {name: setting for name, setting in told.settings.items() if name not in (ALPHA, RATE)}
    return replace(told, settings={RATE: Setting(before.yours, rate, low, high), **others})


def rescaled(adapter: AdapterInfo, factor: float, adaptive: bool = True) -> tuple[float, float]:
    """``(alpha, left)``: a new alpha, and what the learning rate has to be divided by so that s·lr is divided by
    ``factor``: 1 where alpha is enough.

    Weakening takes from a scale above ``ORDINARY_SCALE`` first and from the learning rate after that; strengthening
    gives to a scale below ``LOWEST_SCALE`` first, and else to the learning rate alone. Where steps follow the
    gradient's size, not ``adaptive``, alpha stays: it acts once or twice, as the gradient is clipped or not.
    ``adapter.alpha`` must be known.
    """
    assert adapter.alpha is not None
    if factor < 1 and adapter.scale < LOWEST_SCALE and adaptive:
        alpha = round_alpha(adapter.alpha * min(1.0 / factor, ORDINARY_SCALE / adapter.scale))
        left = factor * alpha / adapter.alpha
        return alpha, left if left < 0.8 else 1.0
    if factor <= 1 or adapter.scale <= ORDINARY_SCALE or not adaptive:
        return adapter.alpha, factor
    alpha = round_alpha(adapter.alpha * max(1.0 / factor, ORDINARY_SCALE / adapter.scale), most=1.0)
    return alpha, max(factor * alpha / adapter.alpha, 1.0)


@dataclass(frozen=True)
class Advice:
    """Why adapters grow too fast or too slowly, or a loss has risen, and what to do: a finding has these fields."""

    causes: list[str]
    remedies: list[str] = field(default_factory=list)
    """What to change, where no setting can be named."""
    resume: str = ""
    next_run: Prescription | None = None
    """None where there is nothing to change."""


def weaker(
    record: StepRecord, overall: float | None = None, otherwise: float = 2.0, evidence: Evidence | None = None
) -> Advice:
    """Divide s·lr by ``weaker_by`` or a little more, for the adapter with the highest scale. ``evidence``: by default
    the first steps, or the weights where those do not tell."""
    return _advice(record, why_strong(record), *weaker_by(record, overall, otherwise), evidence)


def stronger(record: StepRecord, overall: float) -> Advice:
    """Multiply s·lr by ``stronger_by`` or a little less. Where steps follow the gradient, adapters grow more than in
    proportion to the rate, and no law tells by how much: AdamW instead."""
    if held := _held_back(record):
        return held
    why = f"{settings_in_words(record)} is too low for"
    if not is_adaptive(record.run):
        adam = useful_rates(replace(record.run, optimizer="AdamW"))
        at = f" at learning rate {adam.best:g}" if adam else ""
        return Advice([f"{why} {record.run.optimizer or 'this optimizer'}"], [f"use AdamW{at}"])
    advice = _advice(record, f"{why} LoRA", 1.0 / stronger_by(record, overall), OF_GROWTH)
    rate = 0.0 if advice.next_run is None else advice.next_run.values.get(RATE, 0.0)
    if rate > HIGHEST_RATE and abs(strongest(record).scale) >= LOWEST_SCALE and not record.run.unmatched:
        few = f"{count(len(record.run.adapters), 'adapter')} can hardly change the model at any learning rate"
        return Advice([few], ['adapt more layers: target_modules="all-linear", in all blocks'])
    return advice


def _held_back(record: StepRecord) -> Advice | None:
    """The rate is not what keeps updates small: Adam's epsilon is far above the gradients, or clipping leaves next to
    nothing of them."""
    given = [record.run.config.get(name) for name in ("eps", "max_grad_norm")]
    eps, norm = (value if isinstance(value, (int, float)) else 0.0 for value in given)
    named = "adam_epsilon" if "learning_rate" in record.run.config else "eps"  # a Trainer's, a loop's
    settings = {named: Setting(eps, 1e-8)} if eps > 1e-6 else {}  # RoBERTa's recipe has that
    settings |= {"max_grad_norm": Setting(norm, 1.0)} if 0.0 < norm < 0.01 else {}
    if not settings or (record.first_step or 0.0) > 0.25 * foretold_step(record.run):
        return None
    odd = " and ".join(f"{name} {setting.yours:g}" for name, setting in settings.items())
    why = f"updates are far smaller than {settings_in_words(record)} would make them, because of {odd}"
    return Advice([why], next_run=Prescription(settings, Evidence.STEPS, record.step))


def suspect(record: StepRecord, of_the_data: bool, overall: float | None = None, otherwise: float = 2.0) -> Advice:
    """Why a loss has risen: the data, or else the settings, to be ``weaker``."""
    if of_the_data:
        why = "the data changed, to another domain, corrupted batches or a new epoch's order"
        proven = f": these settings had been right for {sound_steps(record)} steps" if is_proven(record) else ""
        fix = "look at the batches of the last steps. Remove damaged ones; if other texts began there, shuffle"
        return Advice([f"{why}{proven}"], [fix])
    return weaker(record, overall, otherwise, Evidence.HARM)


def raised_to(record: StepRecord, factor: float = 2.0) -> tuple[float, float] | None:
    """``(now, planned)`` of a learning rate that is more than ``factor`` times the highest of its schedule. None where
    that is not known: a plain loop may warm up by hand, and a schedule may follow the loss."""
    if "learning_rate" not in record.run.config or record.run.config.get("lr_follows_a_metric"):
        return None
    rates = zip(record.lr, record.run.peak_lr)
    return max(((now, planned) for now, planned in rates if now > factor * planned > 0), default=None)


def raised_by_hand(record: StepRecord) -> tuple[float, float] | None:
    """``(now, began)`` of a plain loop whose code has raised its learning rate above the one that it began with."""
    now, began = max(record.lr, default=0.0), max(record.run.peak_lr, default=math.inf)
    return (now, began) if now > 1.2 * began and "learning_rate" not in record.run.config else None


def multiplied(record: StepRecord) -> tuple[str, float] | None:
    """In words that a schedule raises the script's learning rate above itself, and that rate: both as the script has
    them, without a recovery's factor."""
    run, base, own = record.run, record.run.learning_rate, record.run.lr_factor
    resumed = run.kept_rate is not None or run.lapsed_factor != 1.0  # at another rate than the script's
    lr = rate_of(record, strongest(record)) if run.adapters else None
    if not lr or not base or resumed or rate_set(run) in (None, base) or not lr > 1.2 * base:
        return None
    return f"the schedule multiplies the script's learning rate {base / own:.3g}, up to {lr / own:.3g}", base / own


def why_strong(record: StepRecord) -> str:
    """Why the adapters grow too fast. How much too fast is for the prescription to say: a run has one number."""
    if raised := raised_to(record):
        return f"the learning rate is {raised[0]:.3g} now, and its schedule's highest is {raised[1]:.3g}"
    return f"{settings_in_words(record)} is too strong"


def settings_in_words(record: StepRecord) -> str:
    """The learning rate, and the scale where it is not an ordinary one."""
    if not record.run.adapters:
        return "the learning rate"
    adapter = strongest(record)
    by_hand = raised_by_hand(record)
    lr = by_hand[0] if by_hand else rate_set(record.run) or rate_of(record, adapter)
    rate = "the learning rate" if lr is None else f"learning rate {lr:.3g}"
    if by_hand:
        by = "schedule" if "warmup_steps" in record.run.config else "loop"  # of Monitor(scheduler=…)
        rate += f" (raised by the {by} from {by_hand[1]:.3g})"
    elif "unused_learning_rate" in record.run.config:
        rate += " (set outside TrainingArguments)"
    ordinary = LOWEST_SCALE <= abs(adapter.scale) <= ORDINARY_SCALE
    return rate if ordinary else f"{rate} at {formula_of(adapter)} = {adapter.scale:.3g}"


def formula_of(adapter: AdapterInfo) -> str:
    """What the scale is called: ``alpha/r``, ``alpha/√r``, or ``scale`` where it is no such thing."""
    return formula(adapter.scale_formula) if adapter.scale_formula in ("alpha/r", "alpha/sqrt(r)") else "scale"


ORDINARY_SIZE = 2.5
"""Up to this depth-scaled output ratio adapters are of an ordinary size."""
SOUND = 50
"""Steps at which the loss lay below its start after which the settings are no longer the first suspect."""


def improved(record: StepRecord) -> bool:
    """The loss lies below its start by more than its noise; where it says nothing, the reward above its own."""
    if "classes" in record.scalars and record.scalars.get("loss_start", 0.0) < 0.0:
        return False  # a cross-entropy of the wrong sign falls as the model gets worse
    now = None if "loss_start" in record.scalars else course(record)
    return record.scalars.get("loss_improved", 0.0) > 0 or (now is not None and now.has_risen)


def sound_steps(record: StepRecord) -> int:
    """Steps of this run at which the loss was ``improved``, whether or not the adapters were measured at them."""
    return int(record.scalars.get("loss_sound", 0.0))


def is_proven(record: StepRecord) -> bool:
    """The settings have been right for many steps, and nothing has raised the learning rate: they did not move first,
    and the data are the first suspect."""
    return sound_steps(record) >= SOUND and raised_to(record) is None


def suits(record: StepRecord) -> bool:
    """The settings are not the first suspect of a loss that rises: its data are. They have been right for long, or are
    gentle, or steps and adapters have an ordinary size, however young the run."""
    size = record.size_before
    ordinary = pace(record) <= ORDINARY_PACE and size is not None and size <= ORDINARY_SIZE
    return is_proven(record) or (raised_to(record) is None and (ordinary or is_gentle(record)))


def from_before(step: int) -> str:
    """What to go on from when the weights, or the batch of ``step``, are not sound since that step."""
    older = f"resume from the last checkpoint before step {step}, or from the last good adapter if the report names one"
    return f"{older}; else begin anew" if step > 1 else "begin anew"


def in_wider_numbers(record: StepRecord) -> list[str]:
    """What helps against numbers that are not finite and is not done yet."""
    return ["train in bf16 or fp32 instead of fp16"] if record.run.config.get("fp16") else []


def _advice(
    record: StepRecord, why: str, factor: float, within: float | None, evidence: Evidence | None = None
) -> Advice:
    """Divide s·lr by ``factor``."""
    if not record.run.adapters:
        return Advice([why])
    if factor > 1 and (raised := raised_to(record)):
        return Advice([why], [f"find what raised the learning rate from {raised[1]:.3g} to {raised[0]:.3g}"])
    if record.run.untrained:  # how far to go is known of trained ones
        factor, within = (2.0 if factor > 1 else 0.5), None
    adapter = strongest(record)
    if factor > 1 and (by_hand := raised_by_hand(record)):
        most = f"{typed_rate(by_hand[0] / factor):g} at most"
        return Advice([why], [f"let the learning rate rise to {most}"])
    if factor > 1 and (by_schedule := multiplied(record)):
        own = record.run.lr_factor  # of a recovery, and none of the script's
        used = f" ({own:.3g} times that was used)" * (own != 1.0)
        return Advice([by_schedule[0] + used], ["let the schedule's factor end at 1: min(1.0, …)"])
    lr = rate_of(record, adapter)
    if lr is None or not adapter.alpha or not adapter.scale > 0:
        how = "divide" if factor > 1 else "multiply"
        by = times(max(factor, 1 / factor)).removesuffix(" times")
        return Advice([why], [f"{how} lora_alpha or the learning rate by {by}"])
    alpha, left = rescaled(adapter, factor, is_adaptive(record.run))
    settings: dict[str, Setting] = {}
    if alpha != adapter.alpha:
        ((usual, _),) = Counter(a.scale for a in record.run.adapters).most_common(1)
        of = "" if adapter.scale == usual else f" of {adapter.name.rpartition('.')[2]} (alpha_pattern)"
        settings[f"{ALPHA}{of}"] = Setting(adapter.alpha, alpha)
    if left != 1.0:
        settings |= _new_rate(record, lr, left, within, adapter.alpha / alpha)
    if evidence is None:
        evidence = Evidence.STEPS if record.first_step and record.step else Evidence.WEIGHTS
    return Advice([why], next_run=Prescription(settings, evidence, record.step) if settings else None)


def _new_rate(
    record: StepRecord, lr: float, factor: float, within: float | None, less_alpha: float
) -> dict[str, Setting]:
    """The rate that people set divided by ``factor`` or a little more, rounded to what people would type, where alpha
    is divided by ``less_alpha``, too. The best one is expected ``within`` a factor. Where ``lr``, that of the fastest
    parameter group, comes from no setting, it is named itself, and the others follow by the same factor."""
    known = rate_set(record.run)
    old = known or lr
    reached = old if any(math.isclose(old, peak) for peak in record.run.peak_lr) else lr  # a warm-up may end at less
    new = typed_rate(reached / factor)
    if (factor > 1) != (new < old):  # a small change that rounding has undone
        new = nearest(reached / factor, (1, 1.2, 1.5, *range(2, 10)), 10, most=1.0)
    low = high = None
    if within is not None:
        low, high = new / within, new * within
        failed = old * less_alpha
        short = (new * new * failed) ** (1 / 3)  # of it: rounding to one figure moves by a factor of 1.5
        if factor > 1:
            high = min(high, max(short, failed / 1.5))
        else:
            low = max(low, min(short, 1.5 * failed))
    name = RATE if known else f"{RATE} of the fastest parameter group (the others by the same factor)"
    return {name: Setting(old, new, low, high)}
