"""LW101 and LW201: what is not finite, and where that comes from."""

import math
from dataclasses import dataclass, field, replace

import numpy as np

from lora_watch.base.alerts import Severity
from lora_watch.base.records import BoolArray, FloatArray, StepRecord
from lora_watch.base.text import count, plain
from lora_watch.rules.base import FAULTS, GROWN_TOO_LARGE, Finding, Rule
from lora_watch.rules.forecast import ORDINARY_PACE, pace
from lora_watch.rules.remedies import Advice, from_before, in_wider_numbers, raised_to, suspect, why_strong
from lora_watch.rules.size import FAR_TOO_LARGE

_WEIGHTS, _GRADIENTS = ("b_norm", "a_norm", "delta_norm"), ("b_grad_norm", "a_grad_norm")


@dataclass
class NonFiniteAdapter(Rule):
    """A NaN or an infinity is in an adapter, or in the gradient that is about to reach it.

    Fires when one is found, and names the first layer in the order of the model. A gradient is found before its
    update; on an accelerator without `fail_on` or `recover` a step later. A checkpoint's NaN is found before the first
    step. Under a loss scaler (fp16) it is left to the scaler, which skips such steps. What a non-finite loss has
    spoiled is reported as LW201.
    """

    id = "LW101"
    severity = Severity.ERROR
    urgent = True
    zone = "non-finite"
    yields_to = ("LW201",)

    def check(self, record: StepRecord) -> Finding | None:
        if (found := self._where(record)) is None:
            return None
        bad, what, metric = found
        first = record.run.adapters[int(np.argmax(bad))]
        cause, fixes = "the backward pass of this layer overflows or divides by zero", in_wider_numbers(record)
        # An update spoils many at a time, and none has been made before the first step.
        few = what == "weight" and (2 * bad.sum() < len(bad) or not record.step)
        of_the_rate = what == "weight" and not few and bool(np.isfinite(_gradients(record)).all())
        of_one_rank = record.run.config.get("world_size", 1) != 1 and record.run.learning_rate is None  # else the mean
        resume = ""
        if few:
            cause = "code other than the optimizer has written to this adapter, or its file holds a NaN"
            fixes, resume = [], from_before(record.step - bool(record.spoiled))
        elif of_the_rate and raised_to(record) is None and pace(record) <= ORDINARY_PACE:
            cause = "an update at an ordinary rate has overflowed: Adam divides by an eps of 0, as 1e-8 is in float16"
            of_the_rate, fixes = False, ["keep eps at 1e-8, and the adapters in float32, as PEFT does by default"]
        elif of_the_rate:
            cause = "the learning rate is so high that the update itself overflows"
        elif advice := _of_the_batch(record):
            (cause,), fixes, resume = advice.causes, advice.remedies, advice.resume
        elif len(bad) > 1 and bad.all() and (record.loss is None or of_one_rank):
            whose = "this" if record.loss is None else "another rank's"  # nobody has seen it yet
            cause = f"no layer has a finite gradient: the loss of {whose} batch is NaN or infinite"
            cause += ", unless clipping has spread the NaN of one layer to all"
            fixes = [f"{_SEE_BATCH}. Where all are finite, read the gradients before clipping", *fixes]
        else:
            fixes = fixes or ["torch.autograd.set_detect_anomaly(True) names the operation; mend it"]
        return Finding(
            f"the {what} of {int(bad.sum())} of {len(bad)} adapters is NaN or infinite",
            f"The first of them in the model is {first.name}."
            + " Each further step spreads the NaN to other layers." * (not bad.all()),
            adapters=[(record.run.names[i], math.nan) for i in np.flatnonzero(bad)],
            metric=metric,
            causes=[cause],
            remedies=fixes,
            resume=resume,
            next_run=suspect(record, False, otherwise=10.0).next_run if of_the_rate else None,
            # What spoils a single batch, or overflows in half precision, comes from no fault that makes weights grow.
            follows=() if record.bad_inputs else FAULTS * of_the_rate + GROWN_TOO_LARGE,
        )

    def at_the_end(self, record: StepRecord) -> Finding | None:
        return self.check(record)

    def resumed(self, record: StepRecord) -> Finding | None:
        if record.updated or (found := self.check(record)) is None:
            return None
        cause, resume = "the checkpoint's file holds it", "resume from an earlier checkpoint, or begin anew"
        return replace(found, causes=[cause], remedies=[], resume=resume, next_run=None)

    def has_evidence(self, record: StepRecord) -> bool:
        """Behind a NaN loss nothing shows whether the adapters had been finite without it."""
        return record.loss is None or math.isfinite(record.loss)

    @staticmethod
    def _where(record: StepRecord) -> tuple[BoolArray, str, str] | None:
        """In which adapters, in words what of them, and its metric; None where nothing is known to be so."""
        if record.spoiled:
            bad = np.array([name in record.spoiled for name in record.run.names])
            return bad, "weight", "b_norm"
        if record.loss is not None and not math.isfinite(record.loss):
            return None
        for names, what in ((_WEIGHTS, "weight"), (_GRADIENTS, "gradient")):
            if what == "gradient" and not record.updated:  # the loss scaler has thrown it away
                continue
            there = {name: record.metrics[name] for name in names if name in record.metrics}
            bad = np.any([reading.known & ~np.isfinite(reading.values) for reading in there.values()], axis=0)
            if bad.any():
                return bad, what, next(iter(there))
        return None


_SEE_BATCH = "print the batch whose loss is not finite"
MASKED_STEPS = 3
"""Steps in a row without a target, or with a loss that moves nothing, from which on they are no accident."""


def without_target(record: StepRecord) -> bool:
    """The loss is NaN because all labels of a batch are masked: it is the mean over no target, and moves no weight."""
    return record.targets == 0 and record.loss is not None and math.isnan(record.loss)


def _of_the_batch(record: StepRecord) -> Advice | None:
    """Where the batch itself holds what is not finite."""
    if not (names := " and ".join(record.bad_inputs)):
        return None
    fix = f"take out the rows whose {names} are not finite, or mend them"
    return Advice([f"NaN or infinity in the batch's {names}"], [fix], from_before(record.step))


def _gradients(record: StepRecord) -> FloatArray:
    """Those norms of the adapters' gradients that are known."""
    readings = [record.metrics[name] for name in _GRADIENTS if name in record.metrics]
    return np.concatenate([reading.values[reading.known] for reading in readings] or [np.zeros(0)])


@dataclass
class NonFiniteLoss(Rule):
    """The true loss of an optimizer step is NaN or infinite.

    Fires when the loss of the training step itself is not finite. Batches without a target (all labels are -100) are
    LW204's for two steps in a row, then this rule's. It names the first cause that shows: frozen weights, large
    adapters, too large an update, the batch. While the gradients are finite it is a WARNING for two steps in a row.
    """

    id = "LW201"
    severity = Severity.ERROR
    urgent = True
    zone = "non-finite"
    yields_to = ("LW101",)

    size: float = FAR_TOO_LARGE
    masked: list[int] = field(default_factory=list, init=False)
    """The latest steps in a row at which a batch had no target, or the gradients were finite."""

    def check(self, record: StepRecord) -> Finding | None:
        if record.loss is None:
            return None
        if math.isfinite(record.loss):
            self.masked = []
            return None
        masked, gradients = without_target(record), _gradients(record)
        spared = len(gradients) > 0 and bool(np.isfinite(gradients).all()) and not record.broken
        earlier = [step for step in self.masked if step != record.step]
        self.masked = [*earlier, record.step][-MASKED_STEPS:] if masked or spared else []
        single = 0 < len(self.masked) < MASKED_STEPS
        if masked and single:
            return None  # LW204's
        (layers, where), why = _source(record), self._why(record)
        harm = "" if masked or not record.updated else "Training on it makes every adapter NaN."
        if spared and not masked:
            harm = "Its gradients are finite, so it has harmed no adapter."
        return Finding(
            f"the loss is {'NaN' if math.isnan(record.loss) else 'infinite'}",
            " ".join(filter(None, (where, harm))),
            adapters=[(layer, math.nan) for layer in layers],
            metric="targets" if masked else "loss",
            **vars(why),
            follows=() if record.broken or record.bad_inputs else FAULTS * (why.next_run is not None) + GROWN_TOO_LARGE,
            severity=Severity.WARNING if single else None,
        )

    def has_evidence(self, record: StepRecord) -> bool:
        return record.loss is not None

    def _why(self, record: StepRecord) -> Advice:
        """Of what has shown before, weights come before the batch, unless that holds what is not finite itself."""
        if in_batch := _of_the_batch(record):
            return in_batch
        if record.broken:
            fix = "load the base model again, in the dtype of its checkpoint (bf16 weights overflow in fp16)"
            return Advice(["the checkpoint of the base model is damaged, or its conversion overflowed"], [fix])
        if grown := self._grown(record):
            # Clipping is no remedy: a norm that is NaN makes every gradient NaN.
            return replace(suspect(record, False, otherwise=10.0), causes=[grown], remedies=in_wider_numbers(record))
        if without_target(record):  # which moves no weight
            cause = f"all labels of the last {len(self.masked)} batches are -100"
            cause += ": the prompt template does not match the text, or truncation cut the answers off"
            return Advice([cause], ["print (labels != -100).sum() of some batches: it must not be 0"])
        labels = "" if record.targets is None else f"; its batch has {count(record.targets, 'label')} other than -100"
        gradients = _gradients(record)
        if len(gradients) and not gradients.any() and not record.targets:
            cause = "it is probably the mean over no label: all are ignored (-100), and every gradient is 0"
            return Advice([cause], ["print (labels != -100).sum() of this batch; leave out batches where it is 0"])
        cause = f"not known. No NaN was found in the frozen weights or in the adapters before it{labels}"
        return Advice([cause], [_SEE_BATCH, *in_wider_numbers(record)], "" if self.masked else from_before(record.step))

    def _grown(self, record: StepRecord) -> str:
        """What shows that earlier updates have made the weights too large, in words; empty where nothing does."""
        if (size := record.size_before) is not None and size > self.size:
            return f"{why_strong(record)}: all adapters together add {plain(size)} times a layer's output"
        if raised_to(record) is not None or pace(record) > ORDINARY_PACE:
            return f"{why_strong(record)}: a single update changes the model too much"
        return ""


def _source(record: StepRecord) -> tuple[list[str], str]:
    """Where a loss that is not finite comes from: layers, the first first, and in words. Empty where nothing shows."""
    if record.broken:
        names = [name.removesuffix(".weight").removesuffix(".bias") for name in record.broken]
        return list(dict.fromkeys(names)), f"The frozen weight {record.broken[0]} holds NaN or infinity, too."
    ratios = record.metrics.get("output_ratio")
    bad = np.flatnonzero(ratios.known & ~np.isfinite(ratios.values)) if ratios is not None else np.array([], int)
    layers = [record.run.names[i] for i in bad]
    return layers, f"The first layer whose output is not finite is {layers[0]}." if layers else ""
