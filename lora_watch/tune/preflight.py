"""Whether settings are sound, before anything is loaded or trained: the rules on settings, and what else is known."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from lora_watch.base.alerts import Alert, Severity, in_order
from lora_watch.base.prescription import RATE, Evidence, Prescription, Setting
from lora_watch.base.records import RunInfo, StepRecord
from lora_watch.base.text import meant
from lora_watch.base.untrusted import MISFITS, or_none
from lora_watch.rules import Episodes, Finding, OddRates, catalogue
from lora_watch.rules.base import RuleOnSettings
from lora_watch.rules.forecast import FAR_TOO_LOW, is_adaptive
from lora_watch.rules.remedies import useful_rates
from lora_watch.rules.reward import BARE
from lora_watch.rules.settings import WITHOUT_WARM_UP
from lora_watch.tune.base_model import BaseModel, planned_adapters, read_model

DEFAULT_ALPHA = 8
"""PEFT's lora_alpha where nothing is said."""
TASKS_OF_PEFT = ("CAUSAL_LM", "SEQ_CLS", "TOKEN_CLS", "SEQ_2_SEQ_LM", "QUESTION_ANS", "FEATURE_EXTRACTION")
OF_TEXTS = ("nll", "chunked_nll", "dft")
OF_PREFERENCES = r"\b(aot|apo_|bco|discopop|exo_pair|hinge|ipo|kto|nca_pair|robust|sigmoid|sppo_hard)"
"""``loss_type`` of TRL's SFT, and a pattern of those of its DPO and KTO."""
OF_RATE = ("LW104", "LW401")
"""Rules that judge the learning rate."""


@dataclass(frozen=True)
class Preflight:
    """What the rules say of a pair of configurations."""

    findings: tuple[Alert, ...]
    """Worst first."""
    notes: tuple[str, ...]
    """What could not be judged, and what is worth knowing and no fault."""
    run: RunInfo

    def exit_code(self, fail_on: Severity) -> int:
        """1 when a finding is at least as severe as ``fail_on``, 0 otherwise."""
        return int(any(alert.severity >= fail_on for alert in self.findings))


def preflight(
    lora: Mapping[str, Any],
    arguments: Mapping[str, Any] | None = None,
    *,
    model: nn.Module | str | Path | None = None,
    max_steps: int | None = None,
) -> Preflight:
    """What the rules on settings say of these, and what else is known. Nothing is trained or changed.

    Args:
        lora: fields of a ``LoraConfig``.
        arguments: those of ``TrainingArguments``; what is missing is not judged.
        model: a folder with a ``config.json``, or a loaded model: the layers are then PEFT's own choice, and with the
            weights the first step is judged.
        max_steps: optimizer steps of the run, where ``arguments`` give epochs.

    Raises:
        ValueError: for settings, names and files that make no sense, another method than LoRA, and target_modules of
            which the model has none.
    """
    notes: list[str] = []
    given, fields = arguments or {}, _checked(lora, notes)
    base = None if model is None else read_model(model)
    if "task_type" not in fields:
        known = fields["task_type"] = base and base.task_type
        assumed = f"{known} was assumed, by the class of the model" if known else "it was judged as without a new head"
        notes.append(f"No task_type is given: {assumed}. A classifier's is SEQ_CLS (TRL's YAML: lora_task_type).")
    steps = positive("max_steps", given.get("max_steps") if max_steps is None else max_steps, allow=-1)
    run = planned_run(fields, base, given, steps and _whole("max_steps", steps))
    if base is None:
        notes.append("No model was given: nothing relative to its weights was judged, as the size of the first step.")
    elif all(math.isnan(adapter.base_norm) for adapter in run.adapters):
        notes.append("The frozen weights are not there: the size of the first step was not judged.")
    if (run.config["warmup_steps"] or 0.0) >= 1.0 and steps is None:
        notes.append("The number of steps is not known: the warm-up was not judged (LW409).")
    rules, why = [*(rule for rule in catalogue() if rule.static), WastedRate(), OddRates()], ""
    if not run.peak_lr:
        why = "No learning rate was given"
    elif not is_adaptive(run):
        why = f"Steps of {run.optimizer} follow the gradient's size"
    elif run.config["preference"] is None:
        why = "These settings are a policy's (GRPO …), or of preferences without their loss_type (sigmoid, kto …)"
        rules = [rule for rule in rules if rule.id not in OF_RATE]
    notes += [f"{why}: the learning rate was not judged (LW401, LW104)."] * bool(why)
    decay = positive("weight_decay", given.get("weight_decay"), allow=0.0) or 0.0
    try:
        findings = in_order(Episodes(rules).check(StepRecord(run, 0, {}, lr=run.peak_lr, weight_decay=(decay,))))
    except MISFITS as error:  # a rank that is a list, an infinite number of steps …
        raise ValueError(f"these settings cannot be judged: {type(error).__name__}: {error}") from None
    rate, rates = run.learning_rate, None if why else useful_rates(run)
    if rate and rates and not (rates.low <= rate <= rates.high or any(alert.rule in OF_RATE for alert in findings)):
        side = "below" if rate < rates.low else "above"  # which is no fault: many such runs are good
        told = f"Learning rate {rate:.3g} is {side} {rates}, where the weights expect the best one ({rates.best:g})."
        if side == "below":
            told += f" Preflight warns from {WastedRate.times:g} times too low (LW104). A run measures, and may sooner."
        notes.append(told)
    return Preflight(tuple(findings), tuple(notes), run)


def planned_run(
    lora: Mapping[str, Any],
    model: BaseModel | None = None,
    arguments: Mapping[str, Any] | None = None,
    max_steps: float | None = None,
) -> RunInfo:
    """The run that would begin with these settings: one parameter group, no step yet, and the highest learning rate
    that it reaches. ``lora`` holds LoraConfig's fields, ``arguments`` TrainingArguments'."""
    given = arguments or {}
    rate, schedule = positive("learning_rate", given.get("learning_rate")), given.get("lr_scheduler_type")
    warm_up = {name: positive(name, given.get(name), allow=0.0) for name in ("warmup_steps", "warmup_ratio")}
    if (warm_up["warmup_ratio"] or 0.0) > 1.0:
        raise ValueError(f"warmup_ratio is {warm_up['warmup_ratio']:g}: a share of the run, from 0 to 1, is needed")
    config = {"lora": {"default": dict(lora)}, **warm_up, "lr_scheduler_type": schedule, "learning_rate": rate}
    config |= {"model": model and model.name, "preference": _prefers(given), "reference": BARE}
    group, peak = (None, ()) if rate is None else (0, (rate,))
    rising = warm_up["warmup_steps"] or 0.0
    if rate is not None and max_steps is not None and rising > max_steps and schedule not in WITHOUT_WARM_UP:
        peak = (rate * max(max_steps - 1.0, 1.0) / rising,)
    adapters, optimizer = tuple(planned_adapters(lora, model, group)), str(given.get("optim") or "adamw_torch")
    unmatched = () if model is None else model.unknown(lora)
    steps = or_none(int, max_steps)
    return RunInfo(adapters, steps, config, optimizer=optimizer, peak_lr=peak, unmatched=unmatched)


def _prefers(given: Mapping[str, Any]) -> bool | None:
    """Preferences are learned against a reference model, as by DPO and KTO. None where TRL's arguments leave it open,
    and for a policy."""
    loss = str(given.get("loss_type") or "nll")  # or the text of a list of them
    if re.search(OF_PREFERENCES, loss):
        return True
    of_others = any(map(given.get, ("beta", "num_generations", "max_completion_length")))
    return None if of_others or loss not in OF_TEXTS else False


@dataclass
class WastedRate(RuleOnSettings):
    """LW104 as it can be told before a run: by the weights, the learning rate is ``times`` too low or more."""

    id = "LW104"
    name = "barely-moves"
    severity = Severity.WARNING

    times: float = FAR_TOO_LOW

    def check(self, record: StepRecord) -> Finding | None:
        run, rate = record.run, record.run.learning_rate  # that a warm-up never reaches it is LW409's
        if not rate or not is_adaptive(run) or not (rates := useful_rates(run)) or self.times * rate > rates.best:
            return None
        return Finding(
            "this run will hardly change the model",
            "The weights say so: its first step is far smaller than a useful one.",
            causes=[f"learning rate {rate:.3g} is too low for LoRA"],
            next_run=Prescription({RATE: Setting(rate, rates.best, rates.low, rates.high)}, Evidence.WEIGHTS),
        )


def _checked(lora: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    """The same with numbers as numbers, and PEFT's default where alpha is missing."""
    out = {name: value for name, value in lora.items() if value is not None}
    method = str(out.get("peft_type", "LORA")).upper()
    if method != "LORA":
        raise ValueError(f"peft_type {method} is not LORA, which alone is judged")
    if "r" not in out:
        raise ValueError("no rank is given: r of adapter_config.json, or lora_r in TRL's YAML")
    if "lora_alpha" not in out:
        out["lora_alpha"] = DEFAULT_ALPHA
        notes.append(f"lora_alpha is not given: PEFT's default {DEFAULT_ALPHA} was judged.")
    if (task := str(out.get("task_type", TASKS_OF_PEFT[0]))) not in TASKS_OF_PEFT:
        raise ValueError(f"task_type is {task!r}{meant(task, TASKS_OF_PEFT)}, and none of {', '.join(TASKS_OF_PEFT)}")
    out["r"] = _whole("r", out["r"])
    out["lora_alpha"] = positive("lora_alpha", out["lora_alpha"])
    for name, check in (("rank_pattern", _whole), ("alpha_pattern", positive)):
        pattern = out.get(name) or {}
        if not isinstance(pattern, Mapping):
            raise ValueError(f"{name} is {pattern!r}: it says for names of layers what is different there")
        out[name] = {str(key): check(f"{name}[{key!r}]", value) for key, value in pattern.items()}
    return out


def positive(name: str, value: Any, allow: float | None = None) -> float | None:
    """A positive number, also where YAML has made a text of it (2e-4); None for None, and for ``allow``."""
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if number == allow:
        return None
    if isinstance(value, bool) or not (number > 0 and math.isfinite(number)):
        raise ValueError(f"{name} is {value!r}: a positive number is needed")
    return number


def _whole(name: str, value: Any) -> int:
    number = positive(name, value)
    if number is None or not number.is_integer():
        raise ValueError(f"{name} is {value!r}: a whole number from 1 is needed")
    return int(number)
