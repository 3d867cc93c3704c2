"""From "too strong by this factor" to new settings: which of alpha and the learning rate to change, and to what."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from lora_watch.base.records import AdapterInfo, FloatArray, RunInfo, StepRecord

ORDINARY_SCALE = 2.0
"""Above this scale, lower alpha first: α = r and α = 2r are what learning rates in papers and docs are meant for."""


EASY_STEP = 0.1
"""Size of the first full step, ‖ΔW‖/‖W₀‖ summed over blocks, that remedies aim at: runs near it were good on every
model of the corpus, from 4 blocks to 30."""
EASY_STEP_OF_B = 0.15
"""The same where A learns at a fraction of B's rate (LoRA+): the product then grows by B alone. With 16 times the rate
for B, steps of 0.09, 0.14 and 0.22 gave 0.73, 0.80 and 0.88 of the best gain on the packaged Llama (seed 0)."""
PLUS = 4.0
"""From this ratio of the two rates on that counts."""
AIM = 1.5
"""output_ratio (90th percentile over layers, times depth) at the end of a run that remedies aim at."""
EASY_OUTPUT = 0.15
"""What one full step may add to that where remedies raise the learning rate. Good runs of the corpus added up to 0.19
on MiniLM, 0.27 on SmolLM2 and 0.75 on the packaged Llama; the mildest of the damaged ones 0.42, 0.81 and 0.93."""

ORDINARY_PACE = 2.0
"""Up to this ``pace`` the learning rate is ordinary, and remedies leave it as it is."""

ADAPTIVE = ("adam", "lion", "adafactor")
"""Optimizers whose first step is one learning rate an element, whatever the gradient's size."""


def is_adaptive(run: RunInfo) -> bool:
    """Whether steps follow the learning rate rather than the gradient's size."""
    return any(name in (run.optimizer or "").lower() for name in ADAPTIVE)


def first_steps(run: RunInfo) -> FloatArray:
    """‖ΔW‖_F/‖W₀‖_F of each adapter after one full step from the default start: s·lr·√(d_out·r/3)/‖W₀‖_F.

    ``[n_adapters]``, NaN where unknown or where W₀ is zero. For the optimizers of ``ADAPTIVE``; measured within
    0.98–1.14 under Adam.
    """
    reach = run.norm_per_lr * [abs(a.scale) / (a.base_norm or math.nan) for a in run.adapters]
    return run.per_adapter(run.peak_lr) * reach if is_adaptive(run) else np.full(len(run.adapters), np.nan)


def first_step_of(run: RunInfo) -> float:
    """Size of the first full step: ``first_steps`` of the median layer, times the blocks; NaN where unknown."""
    known = first_steps(run)
    known = known[np.isfinite(known)]
    return float(np.median(known)) * run.blocks if len(known) else math.nan


def easy_step(run: RunInfo) -> float:
    """The size of the first full step that remedies aim at."""
    slowest = min((rate for rate in run.peak_lr if rate > 0), default=math.nan)
    of_b = run.per_adapter(run.peak_lr)
    return EASY_STEP_OF_B if len(of_b) and bool((of_b >= PLUS * slowest).all()) else EASY_STEP


def pace(record: StepRecord) -> float:
    """The first full step as a multiple of an easy one; NaN where unknown. See ``weaker_by``."""
    if is_adaptive(record.run):
        return first_step_of(record.run) / easy_step(record.run)
    return (record.first_step or math.nan) / EASY_OUTPUT


def weaker_by(record: StepRecord, overall: float | None = None, otherwise: float = 2.0) -> float:
    """By how much s·lr should come down, from 2 on: to an easy first step, the same whichever rule asks.

    Adam's first step is predicted from the weights and comes down to ``easy_step``. That of SGD and the like follows
    the gradient: what it has added to the output, ``StepRecord.first_step``, comes down to ``EASY_OUTPUT``. It is
    proportional to the learning rate, exactly where B began at zero, and so is the cut, however large. Where single
    steps are of an ordinary size and only their sum is too large, or their size is unknown, to an end near ``AIM``
    instead, and by 10 at most: ``overall`` is the size now, carried on to the end as if every update agreed. Where that
    is unknown too, ``otherwise``.
    """
    if (fast := pace(record)) > ORDINARY_PACE:
        return fast
    if overall is None:
        return otherwise
    return min(max(overall / (record.lr_fraction or 1.0) / AIM, 2.0), 10.0)


def stronger_by(reach: float, step: float) -> float:
    """By how much s·lr should go up, from 2 on: to an end near ``AIM``, and to a first full step of ``EASY_OUTPUT``.

    Both sizes have been measured, as output_ratio (90th percentile over layers, times depth): ``reach`` is that by the
    end as if every update agreed, ``step`` what one update at the full learning rate has added, at most. Both follow
    s·lr: on the models of the corpus ``step`` within a fifth over rates that differ 1,000 times, the end within 1.6.
    """
    return max(min(AIM / max(reach, 1e-12), EASY_OUTPUT / max(step, 1e-12)), 2.0)


def typed(value: float, factors: tuple[int, ...], base: int) -> float:
    """The largest number that people would type (one of ``factors`` × baseⁿ) and that is not above ``value``."""
    if not (value > 0 and math.isfinite(value)):
        return value
    exponent = math.floor(math.log(value, base))
    choices = [m * float(base) ** e for e in (exponent - 1, exponent, exponent + 1) for m in factors]
    return max(c for c in choices if c <= value * (1 + 1e-9))


def nearest(value: float, factors: tuple[int, ...], base: int) -> float:
    """Of the numbers that people would type, one of ``factors`` × baseⁿ, the nearest to ``value`` by ratio."""
    if not (value > 0 and math.isfinite(value)):
        return value
    exponent = math.floor(math.log(value, base))
    choices = [m * float(base) ** e for e in (exponent - 1, exponent, exponent + 1) for m in factors]
    return min(choices, key=lambda c: abs(math.log(c / value)))


def round_alpha(value: float) -> float:
    """The nearest of the numbers that people type for alpha: 1 or 3 times a power of two."""
    return nearest(value, (1, 3), 2)


def rescaled(adapter: AdapterInfo, factor: float, adaptive: bool = True) -> tuple[float, float]:
    """``(alpha, left)``: a new alpha, and what the learning rate has to be divided by so that s·lr is divided by
    ``factor``: 1 where alpha is enough.

    Under Adam that product sets the speed. Weakening takes from a scale above ``ORDINARY_SCALE`` first and from the
    learning rate after that; strengthening gives to the learning rate alone. Where steps follow the gradient's size,
    not ``adaptive``, alpha stays: it acts once or twice, as the gradient is clipped or not, the rate always once.
    ``adapter.alpha`` must be known.
    """
    assert adapter.alpha is not None
    if factor <= 1 or adapter.scale <= ORDINARY_SCALE or not adaptive:
        return adapter.alpha, factor
    alpha = typed(max(adapter.scale / factor, ORDINARY_SCALE) * per_scale(adapter), (1, 3), 2)
    return alpha, max(factor * alpha / per_scale(adapter) / adapter.scale, 1.0)


def typed_rate(lr: float) -> float:
    """The highest learning rate that people would type and that is not above ``lr``."""
    return typed(lr, (1, 2, 3, 5), 10)


def per_scale(adapter: AdapterInfo) -> float:
    """What alpha is divided by: r, or √r with rsLoRA."""
    return math.sqrt(adapter.r) if adapter.scale_formula == "alpha/sqrt(r)" else float(adapter.r)


def with_alpha(adapter: AdapterInfo, alpha: float) -> str:
    """Another alpha, in words. The adapter's own must be known."""
    scale = alpha / per_scale(adapter)
    return f"lora_alpha {adapter.alpha:g} → {alpha:g} (scale {adapter.scale:.3g} → {scale:.3g})"


def with_rank(adapter: AdapterInfo, r: int) -> str:
    """Another rank at the same scale, in words."""
    words = f"r {adapter.r} → {r}"
    if adapter.alpha is None or adapter.scale_formula not in ("alpha/r", "alpha/sqrt(r)"):
        return f"{words}, at the same scale"
    alpha = adapter.alpha * per_scale(replace(adapter, r=r)) / per_scale(adapter)
    exact = alpha.is_integer()
    alpha = alpha if exact else round_alpha(alpha)
    near = "at" if exact else "near"
    return f"{words} and lora_alpha {adapter.alpha:g} → {alpha:g}, which keeps the scale {near} {adapter.scale:.3g}"


@dataclass(frozen=True)
class Change:
    """New settings, in words for people and as values for programs."""

    words: list[str]
    settings: dict[str, float]
    """``lora_alpha`` and ``learning_rate``, where they change."""
    by: float = 1.0
    """What s·lr is multiplied by in all, after rounding."""


def weaker(record: StepRecord, factor: float) -> Change:
    """Divide s·lr by ``factor`` or a little more, for the adapter with the highest scale."""
    return _change(record, factor)


def stronger(record: StepRecord, factor: float) -> Change:
    """Multiply s·lr by ``factor`` or a little less."""
    return _change(record, 1.0 / factor)


def raised_to(record: StepRecord, factor: float = 2.0) -> tuple[float, float] | None:
    """``(now, planned)`` of a learning rate that is more than ``factor`` times the highest of its schedule.

    None where the schedule is not known: a plain loop may warm up by hand, and a schedule may follow the loss.
    """
    if "learning_rate" not in record.run.config or record.run.config.get("lr_follows_a_metric"):
        return None
    rates = zip(record.lr, record.run.peak_lr)
    return max(((now, planned) for now, planned in rates if now > factor * planned > 0), default=None)


def why_strong(record: StepRecord) -> list[str]:
    """Why the adapters grow too fast, likeliest first."""
    if raised := raised_to(record):
        return [f"the learning rate is {raised[0]:.3g} now, and its schedule's highest is {raised[1]:g}"]
    if record.run.other_methods or not record.run.adapters:
        return ["the learning rate is too high"]
    scale = _strongest(record).scale
    if scale > ORDINARY_SCALE and not is_adaptive(record.run):
        return [f"the learning rate is too high for the scale {scale:g}"]
    if scale > ORDINARY_SCALE:
        return [f"the scale {scale:g} is too high for this learning rate: s·lr sets how fast ‖ΔW‖ grows"]
    return [f"the learning rate is too high: the scale {scale:g} is ordinary"]


ORDINARY_SIZE = 2.5
"""Up to this output_ratio (90th percentile over layers, times depth) adapters are of an ordinary size: damaged and
diverged runs of the corpus reached 2.7 at least."""
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
    """Steps and adapters have an ordinary size, as far as has been measured, and nothing has raised the learning rate:
    the data are the first suspect, however young the run."""
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


def in_fp16(record: StepRecord) -> bool:
    """Whether the run is known to compute in fp16."""
    return bool(record.run.config.get("fp16"))


def in_wider_numbers(record: StepRecord) -> list[str]:
    """What helps against numbers that are not finite and is not done yet."""
    clipping = record.run.config.get("max_grad_norm")
    out = ["train in bf16 or fp32 instead of fp16"] if in_fp16(record) else []
    if not isinstance(clipping, (int, float)) or not 0 < clipping <= 1:
        out.append("set max_grad_norm=1.0")
    return out


def _strongest(record: StepRecord) -> AdapterInfo:
    """That with the highest s·lr."""
    return max(record.run.adapters, key=lambda a: a.scale * (_lr_of(record, a) or 0.0))


def _change(record: StepRecord, factor: float) -> Change:
    if not record.run.adapters:
        return Change([], {})
    if factor > 1 and (raised := raised_to(record)):
        return Change([f"learning rate {raised[0]:.3g} → {raised[1]:g} again: find what raised it"], {})
    adapter = _strongest(record)
    lr = _lr_of(record, adapter)
    other = record.run.other_methods
    if lr is None or not (other or adapter.alpha) or not adapter.scale > 0:
        word = "lower" if factor > 1 else "raise"
        what = "the learning rate" if other else "lora_alpha or the learning rate"
        return Change([f"{word} {what} by about {max(factor, 1 / factor):.0f}×"], {}, 1.0 / factor)
    if other:
        return _new_rate(record, lr, factor)
    alpha, left = rescaled(adapter, factor, is_adaptive(record.run))
    words, settings, by = [], {}, alpha / adapter.alpha if adapter.alpha else 1.0
    if alpha != adapter.alpha:
        words.append(with_alpha(adapter, alpha))
        if adapter.scale == Counter(a.scale for a in record.run.adapters).most_common(1)[0][0]:
            settings["lora_alpha"] = alpha
        else:
            words[-1] += f" of {adapter.name.rpartition('.')[2]} (alpha_pattern)"
    if left != 1.0:
        rate = _new_rate(record, lr, left)
        words += rate.words
        settings.update(rate.settings)
        by *= rate.by
    return Change([" and ".join(words)] if words else [], settings, by)


def _new_rate(record: StepRecord, lr: float, factor: float) -> Change:
    """The rate ``lr`` of a parameter group divided by ``factor`` or a little more, and the others by the same (LoRA+).

    Rounded once, to what people would type for the rate that they set.
    """
    rates = set(record.run.peak_lr or record.lr)
    base = record.run.config.get("learning_rate")
    if len(rates) < 2 or base == lr or base not in rates:
        new = typed_rate(lr / factor)
        word, known = f"learning rate {lr:g} → {new:g}", len(rates) < 2 or base == lr
        if len(rates) > 1:
            word += " in the fastest parameter group, the others by the same factor"
        return Change([word], {"learning_rate": new} if known else {}, new / lr)
    new = typed_rate(base / factor)
    word = f"learning_rate {base:g} → {new:g} ({lr:g} → {lr * new / base:g} in the fastest parameter group)"
    return Change([word], {"learning_rate": new}, new / base)


def _lr_of(record: StepRecord, adapter: AdapterInfo) -> float | None:
    rates = record.run.peak_lr or record.lr
    if adapter.group is None or adapter.group >= len(rates) or not rates[adapter.group] > 0:
        return None
    return rates[adapter.group]
