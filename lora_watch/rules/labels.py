"""LW204 and LW205: labels that are missing, wrong, or all of one class, as the first losses show it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

from lora_watch.base.alerts import Severity
from lora_watch.base.records import RunInfo, StepRecord
from lora_watch.base.text import percent, plain
from lora_watch.measurement.signals.loss import FEW, FIRST, SEEN_FIRST, WARM_UP
from lora_watch.rules.base import Finding, RuleOfTheLoss, of_the_loss
from lora_watch.rules.non_finite import without_target
from lora_watch.rules.remedies import Advice
from lora_watch.rules.size import classes_of

_AT_CHANCE = 0.98
"""Share of what guessing costs from which on a base model is no better: with random weights it is 0.99 and more."""
_RANDOM = "the base model's weights are random (from_config instead of from_pretrained)"
_FIT = 0.9
"""Share of the labels below which they are not those of their inputs. Masked ones (-100) do not count."""
_FOREIGN = "the adapter that training began with is another model's, or strong and drawn at random"
_TOKENIZER = "the tokenizer is another model's"
_DAMAGED = "weights of the base model are damaged"
_MISMATCH = f"the labels are wrong (shuffled, or shifted twice), or {_TOKENIZER}"
_MASKED = "the mask leaves out all but one token of an answer"


def why_exactly_zero(record: StepRecord) -> Advice:
    """Of a loss."""
    if "labels_seen" in record.scalars or 0 < record.run.own_classes <= FEW:
        cause = "the classifier is sure of every label: they are all of one class, or the inputs hold them"
        return Advice([cause], ["count the labels of the training data, and look for them in the inputs"])
    if record.targets:
        cause = "the batch has labels that count, and the loss leaves them out or is multiplied by 0"
        remedy = "look at what the loss is made of: a weight, a clamp, or a mask that hides every label"
        return Advice([cause], [remedy])
    cause = "every label is -100: the prompt template does not match the text, or truncation cut the answers off"
    return Advice([cause], ["print one batch of the data collator: (labels != -100).sum() must not be 0"])


@dataclass
class LossExactlyZero(RuleOfTheLoss):
    """There is nothing to learn: the loss is exactly 0.0 for several steps, or all labels are of one class.

    Fires when all of the last five losses, or the first three, are exactly 0. It also fires at a step whose batch has
    no target: all of its labels are -100, and its loss is NaN. It fires when a classifier's first 230 labels in twelve
    steps or more are of one class, and when others follow all at once. An ERROR if a run ends with one class.
    """

    id = "LW204"
    severity = Severity.WARNING
    quiet = 25
    turns_out = True
    yields_to = ("LW201",)

    steps: int = 12
    few: int = 100
    labels: int = 230
    """Among so many a class of 2 % is seen with 99 % probability. A run of ``few`` ends with a WARNING."""
    alike: float = field(default=0.0, init=False)
    """Labels of one class before there was any other."""
    is_sorted: bool = field(default=False, init=False)
    masked: int = field(default=0, init=False)
    """Steps so far with a batch without a target."""
    latest: int = field(default=0, init=False)
    """The step that was asked last, if its batch had none; else 0."""

    def check(self, record: StepRecord) -> Finding | None:
        if self.latest:  # recover has dropped the updates of those since then, which were like it
            self.masked += max(record.step - self.latest - 1, 0)
        self.latest = record.step if without_target(record) else 0
        if self.latest:
            self.masked += 1
            return self._without_target(record)
        alike = self._of_one_class(record)
        if alike or not record.loss == record.scalars.get("loss_recent") == 0.0:
            return alike
        return Finding(
            "the loss is exactly 0, so nothing is learned",
            "The loss has been 0.0 for several steps.",
            metric="loss",
            threshold=0.0,
            **vars(why_exactly_zero(record)),
        )

    def conclude(self, record: StepRecord) -> Finding | None:
        """Of a run that has met a single class it is known that its classifier has learned nothing."""
        if self.masked > max(record.step // 25, 1):
            return replace(self._without_target(record), kind="no target")
        return None if self.is_sorted else self._of_one_class(record, is_over=True)

    def _without_target(self, record: StepRecord) -> Finding:
        message, harm, labels = "a batch has no target", "A single such batch does no harm.", "All of its labels"
        if self.masked > 1:
            message = f"{self.masked} of {record.step} steps had a batch without a target"
            harm, labels = "Nothing is learned at such a step.", "All labels of such a batch"
        details = f"{labels} are -100, so its loss is NaN. {harm}"
        remedy = "drop samples without a target, or raise max_length so that answers are not cut off"
        return of_the_loss(message, details, "the template masks its answers, or truncation cut them off", remedy)

    def _of_one_class(self, record: StepRecord, is_over: bool = False) -> Finding | None:
        seen, share = record.scalars.get("labels_seen", 0.0), record.scalars.get("labels_share", 0.0)
        others, since = (1.0 - share) * seen, seen - self.alike
        if share == 1.0:
            self.alike = seen
        elif self.alike and since >= 8 and not self.is_sorted:  # enough to tell
            self.is_sorted = others > since / 2.0
            self.alike *= self.is_sorted  # a rare class is no fault
        least = self.few if self.is_sorted or is_over else self.labels
        is_zero = share == 1.0 and record.loss == record.scalars.get("loss_recent") == 0.0  # however few they are
        known = record.step >= self.steps and self.alike >= least and (share == 1.0 or self.is_sorted)
        if not (known or is_zero):
            return None
        if self.is_sorted:
            return Finding(
                "the training data come sorted by class",
                f"The first {self.alike:.0f} labels were all the same, and then nearly all were of another class.",
                kind="sorted",
                causes=["the data are not shuffled: the model forgets each class while it learns the next"],
                remedies=["shuffle the training data"],
            )
        return Finding(
            f"every label so far is class {record.scalars['labels_class']:.0f}, so there is nothing to tell apart",
            f"There were {self.alike:.0f} labels in {record.step} steps.",
            kind="one class",
            causes=["the training data are sorted by class, or all labels are the same by mistake"],
            remedies=["count the labels of the training data; if there are others, shuffle"],
            severity=Severity.ERROR if is_over and self.alike >= self.labels else None,
        )


@dataclass
class FirstLossTooHigh(RuleOfTheLoss):
    """The first losses or batches show that weights, labels, head or the sign of the loss are wrong.

    A WARNING at the third step:

    - a language model's first losses are about what guessing costs, or a classifier's 1.5 times that;
    - a regression's targets lie far from 0;
    - a classifier guesses whose head is outside ``modules_to_save``;
    - some labels lie on padding.

    An ERROR: labels are provably not the inputs' tokens (shifted), one token or padding, at any loss; tokens are
    another model's; losses are minus the model's; the end is no better.
    """

    id = "LW205"
    severity = Severity.WARNING
    yields_to = ("LW101", "LW102", "LW201")

    factor: float = 1.5
    guessed: float = 0.95
    """Share of what guessing costs, of a language model's first losses: they lie no further below it than this. A new
    classifier's head does guess."""
    first: list[float] = field(default_factory=list, init=False)
    """The first three losses: that of the base model, and two of adapters that have hardly moved yet."""
    seen: dict[str, float] = field(default_factory=dict, init=False)
    """``entropy`` of the base model's predictions, in nats, and where its labels lie, as far as known: see
    ``signals.labels``."""

    def check(self, record: StepRecord) -> Finding | None:
        classes, start = classes_of(record), record.scalars.get("loss_start")
        if len(self.first) < record.step <= FIRST and record.loss is not None:
            self.first = [*self.first, record.loss]
            if record.step == 1:
                self.seen = {name: record.scalars[name] for name in SEEN_FIRST if name in record.scalars}
            elif record.scalars.get("labels_token") != self.seen.get("labels_token"):
                self.seen["labels_token"] = math.nan
        if "targets_far" in record.scalars:
            return self._far_off(record.scalars)
        if start is not None and len(self.first) == FIRST and max(self.first) < 0.0:
            return self._below_zero(record, bool(classes))
        if not classes or start is None or record.loss is None:
            return None
        chance, many = math.log(classes), classes > FEW
        threshold = self.factor * chance
        if (head := record.run.unsaved_head) and len(self.first) == FIRST and fmean(self.first) > self.guessed * chance:
            return of_the_loss(
                f"the classifier's new head is saved in no checkpoint: {head}",
                f"It is not in modules_to_save. The first losses are what guessing costs, {plain(chance)}, so it is "
                "new: whoever loads the adapter draws another one.",
                "without a task_type PEFT takes the head for a part of the pretrained model",
                f'begin anew with modules_to_save=["{head}"] in the LoraConfig, or the right task_type',
                kind="head",
            )
        far = start > threshold and record.scalars["loss_recent"] > threshold
        known, entropy = many and len(self.first) == FIRST, self.seen.get("entropy", 0.0)
        first = self.first[0] if self.first else start
        # The base model is not, and the first updates have moved it neither down nor far up.
        unmoved = known and min(self.first) > self.guessed * chance and max(self.first) < 1.1 * self.first[0]
        no_better = far or (unmoved and self.first[0] > _AT_CHANCE * chance)
        guesses = many and entropy > 0.8 * chance  # 0.9 and more with random weights; a trained model has 0.2 to 0.65
        placed = self._misplaced(record.run, no_better, classes) if known and not guesses else None
        if placed or not no_better:
            return placed
        details = f"Guessing among {classes} {'tokens' if many else 'classes'} costs {plain(chance)}."
        message, mismatch = "the first losses are no better than guessing", _MISMATCH
        if self.seen.get("labels_fit", 0.0) >= _FIT:  # each label is its input's token
            mismatch = f"{_TOKENIZER}, or the texts are of a kind that the model does not know"
        cause = mismatch
        remedy = "decode input_ids and labels of a batch and read them: a causal model shifts labels itself. Then "
        remedy += f"evaluate the base model without adapters: its loss should be far below {plain(chance)}"
        who, kind = ("model with its adapter", "") if record.run.nonzero_start else ("base model", "random" * guesses)
        if guesses:
            details += f" The model takes about {math.exp(entropy):.0f} of them for equally likely."
            message, cause, remedy = f"the {who} guesses", _RANDOM, "load the model with from_pretrained"
        elif self.seen.get("labels_a_row", math.inf) < 1.5:
            cause = f"about one label a row is not -100: {_MASKED}"
        elif far:
            cause = f"{mismatch}, or {_DAMAGED}"
        elif many and not entropy and first < 1.1 * chance:  # random weights are sure of nothing
            cause = f"{_RANDOM}, or {mismatch}"
        if record.run.nonzero_start:
            cause = f"{_FOREIGN}; or {cause}"
            remedy = "evaluate within model.disable_adapter(). If that is better, load this model's own adapter, or "
            remedy += "let B begin at zero (init_lora_weights=True). If not, read a batch: input_ids and labels"
        least = threshold if far else self.guessed * chance
        return self._finding(first, message, details, cause, remedy, threshold=least, kind=kind)

    def _finding(self, first: float, message: str, details: str, cause: str, remedy: str, **more: Any) -> Finding:
        return of_the_loss(message, f"The first loss is {plain(first)}. {details}", cause, remedy, **more)

    def conclude(self, record: StepRecord) -> Finding | None:
        """A run that ends where it began has learned nothing."""
        finding, recent = self.check(record), record.scalars.get("loss_recent", 0.0)
        if finding is None or record.step < WARM_UP or finding.kind not in ("", "random", "targets"):
            return finding
        learned = finding.kind != "targets" and recent < _AT_CHANCE * math.log(max(classes_of(record), 2))
        return finding if learned else replace(finding, severity=Severity.ERROR)

    def _misplaced(self, run: RunInfo, no_better: bool, classes: int) -> Finding | None:
        """What the labels of the first batch prove, of a causal model."""
        chance = math.log(classes)
        fit, padded = self.seen.get("labels_fit", 1.0), self.seen.get("labels_padded", 0.0)
        ahead, behind = (self.seen.get(f"labels_{place}", 0.0) >= _FIT > fit for place in ("ahead", "behind"))
        token = self.seen.get("labels_token", math.nan)
        few = self.seen.get("labels_a_row", 0.0) < 8.0  # whose mean is noise
        learns = run.trains_more or any(classes in (each.d_in, each.d_out) for each in run.adapters)  # what tokens mean
        if ahead or behind:  # of a calibrated model entropy is what right labels cost
            no_better |= self.first[0] > 1.3 * self.seen.get("entropy", math.inf)
        no_better |= fit < _FIT and self.first[0] > chance  # whatever a strong update has made of the next two
        if no_better and fit < _FIT:
            message, cause = "the labels do not fit the inputs", "the labels are those of other rows or positions"
            details = f"Only {percent(fit)} of the labels are the token that input_ids has at their place."
            if ahead or behind:
                cause = "the labels were shifted before, and the model shifts them once more"
                details = f"Each label is the token {'after' if ahead else 'before'} its own place in input_ids."
            remedy = "labels = input_ids, with -100 at places that are not to be learned"
        elif no_better and not math.isnan(token):
            message, cause = "all labels are one and the same token", f"{_MASKED}, such as eos"
            details = f"The first {FIRST} batches have no other label than {token:.0f}."
            remedy = "decode the labels that are not -100: they are to be the answer"
        elif padded >= 0.1:  # less is a slip of single tokens; NaN, too, is less: no label counts
            message = "padding counts as text to be learned"
            details = (
                f"{percent(padded)} of the labels are padding: attention_mask is 0 there, or one token fills the row."
            )
            cause = "labels are a copy of input_ids that keeps the padding: the model learns to write it"
            remedy = "at padding set the labels to -100 and attention_mask to 0"
            if padded > 0.99:
                message, cause = "the text counts as padding", "attention_mask hides all that is to be learned"
                remedy = "attention_mask is 1 at text and 0 at padding; the model makes it where none is given"
            no_better = self.first[0] > chance  # however much of the padding is learned since
        elif fit >= _FIT and min(self.first) > self.factor * chance and not (few or learns or run.nonzero_start):
            message, cause = "the tokens are not those of this model", f"{_TOKENIZER}, or {_DAMAGED}"
            details = f"The trained model is sure of other tokens: guessing among {classes} costs {plain(chance)}."
            no_better, remedy = True, "load the tokenizer from the folder of the model, and tokenize the texts again"
        else:
            return None
        kind, severity = ("labels", Severity.ERROR) if no_better else ("padding", Severity.WARNING)
        return self._finding(self.first[0], message, details, cause, remedy, kind=kind, severity=severity)

    def _far_off(self, seen: Mapping[str, float]) -> Finding:
        mean, spread = plain(seen["targets_mean"]), seen["targets_spread"]
        costs = plain(spread**2)
        details = f"The targets so far have mean {mean} and spread {plain(spread)}: to guess the mean costs {costs}."
        cause = f"a new head begins near 0, and the updates of a usual run do not bring it to {mean}"
        remedy = "subtract the mean from the targets and divide by the spread; undo both in what is predicted"
        first = self.first[0] if self.first else seen["loss_start"]
        return self._finding(first, "the targets are not scaled", details, cause, remedy, kind="targets")

    def _below_zero(self, record: StepRecord, is_minus: bool) -> Finding | None:
        """Of a model that chooses among classes or tokens, whatever its loss: a comparison of answers may be below."""
        if not record.run.own_classes or record.run.config.get("preference"):
            return None
        chance, recent = math.log(record.run.own_classes), record.scalars["loss_recent"]
        raises = is_minus or (-min(self.first) < 1.1 * chance and -recent > self.factor * chance)
        message, cause = "the training raises the model's loss: its sign is wrong", "a minus stands before the loss"
        remedy, severity = "take the minus away: an optimizer lowers the loss that it is given", Severity.ERROR
        if not is_minus:
            cause += ", or it is no cross-entropy"
            remedy += ". If it is meant to be below zero, mute this rule"
        if not raises:
            message, severity = "the loss is below zero", None
        more: dict[str, Any] = {"kind": "sign" if raises else "below zero", "threshold": 0.0, "severity": severity}
        details = f"The latest are {plain(recent)} in the mean, and a cross-entropy is never below zero."
        return self._finding(self.first[0], message, details, cause, remedy, **more)
