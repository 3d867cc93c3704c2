"""Policies (GRPO, RLOO, DPO …): what their rewards say, and whether there is anything to learn from."""

from dataclasses import dataclass, field

from lora_watch.base.alerts import Severity
from lora_watch.base.records import StepRecord
from lora_watch.base.text import plain
from lora_watch.measurement.signals.policy import course
from lora_watch.rules.base import NON_FINITE, Finding, Rule, RuleBetweenSteps
from lora_watch.rules.remedies import ORDINARY_SIZE, Advice, improved, weaker
from lora_watch.rules.size import extent

NO_DIFFERENCE = "the reward function cannot tell them apart: all fail, all pass, or it returns a constant"
TO_TELL_APART = ("print some completions with their rewards", "use easier prompts, or give part marks")
SAME_ANSWERS = Advice(
    ["chosen and rejected are the same"], ["print some pairs as they are after template and truncation"]
)


@dataclass
class RewardsAllEqual(Rule):
    """All completions of a prompt have the same reward, so that there is nothing to learn from.

    Fires when for ten steps or more no group of completions had two different rewards, or the margin of preferences was
    exactly 0. Where the reward has risen before, it is an INFO: the policy has learned all that this reward can teach.
    """

    id = "LW210"
    severity = Severity.WARNING
    of = "logged"
    yields_to = (*NON_FINITE, "LW102", "LW301", "LW303", "LW306:zero", "LW315")

    steps: int = 10
    since: int | None = field(default=None, init=False)
    """The step from which on no group has had a spread."""

    def check(self, record: StepRecord) -> Finding | None:
        if (row := record.logged) is None:
            return None
        alike = "accuracy" in row.numbers and row.numbers["reward"] == 0.0
        if not alike and not record.scalars.get("reward_flat"):
            self.since = None
            return None
        self.since = row.step if self.since is None else self.since
        if row.step - self.since < self.steps:
            return None
        since = f"For {row.step - self.since} steps"
        if alike:
            details = f"{since} the margin between them was exactly 0. Nothing is learned."
            return Finding("chosen and rejected answers do not differ", details, **vars(SAME_ANSWERS))
        learned = improved(record)
        why = f"the mean reward rose {course(record)}, and one answer is left" if learned else NO_DIFFERENCE
        return Finding(
            "the rewards no longer differ" if learned else "all completions get the same reward",
            f"{since} no group of completions had two different rewards. Nothing is learned.",
            causes=[why],
            remedies=[*TO_TELL_APART],
            severity=Severity.INFO if learned else None,
        )


@dataclass
class StaleRollouts(Rule):
    """The completions do not come from the model that is trained: the sampler has not got the adapter's weights.

    Fires when the log-probabilities of sampler and trainer part while the adapters grow, three rows in a row: by more
    than three times what they differed by at the start, and by a fifth of a nat a token. It takes a trainer that logs
    both, as TRL does with vLLM. Tried with simulated numbers: vLLM was never run.
    """

    id = "LW315"
    severity = Severity.ERROR
    of = "logged"
    yields_to = NON_FINITE

    gap: float = 0.2
    times: float = 3.0
    first: float | None = field(default=None, init=False)
    """The gap of the first row, when the adapters were small."""
    wide: int = field(default=0, init=False)

    def check(self, record: StepRecord) -> Finding | None:
        now = None if record.logged is None else record.logged.numbers.get("sampling_gap")
        if now is None:
            return None
        self.first = now if self.first is None else self.first
        threshold = max(self.gap, self.times * self.first)
        self.wide = self.wide + 1 if now > threshold else 0
        if self.wide < 3:
            return None
        return Finding(
            "the rollouts do not use the adapter",
            f"Sampler and trainer differ by {plain(now)} nats a token; at the start they did by {plain(self.first)}. "
            "The rewards are those of another model.",
            threshold=threshold,
            causes=["the sampler (vLLM, fast inference, a server) was not given the adapter's new weights"],
            remedies=[
                "look at how weights reach the sampler: a merge before the transfer, or a LoRA request by name",
                "update TRL, vLLM and the package that patches them",
            ],
        )


@dataclass
class RewardNotRising(RuleBetweenSteps):
    """The run of a policy has ended and its reward has not risen by more than its noise.

    Fires once, at the end of a run that was not stopped and has logged twelve rewards or more. The losses of other
    runs are not judged by their course: harder batches at the end look the same.
    """

    id = "LW206"
    severity = Severity.WARNING
    yields_to = (*NON_FINITE, "LW102", "LW104", "LW210", "LW301", "LW303", "LW306:zero", "LW307:rounded")

    rows: int = 12

    def conclude(self, record: StepRecord) -> Finding | None:
        reward = None if "loss_start" in record.scalars else course(record)  # else the loss is what is judged
        if reward is None or reward.rows < self.rows or reward.has_risen:
            return None
        advice = Advice(
            ["the rate is too low for so few steps, or hardly any completion earns more than the others"],
            ["print completions with their rewards: some must be clearly better than others"],
        )
        if (size := extent(record) or 0.0) > ORDINARY_SIZE:
            advice = weaker(record, size)
        why = f"In {record.step} steps the mean reward went {reward}: no more than its noise."
        return Finding("the reward has not risen", why, **vars(advice))


BARE = "the base model without adapters"
"""``RunInfo.config["reference"]`` where adapters are switched off for the reference (``trainer_info.reference_of``)."""


@dataclass
class ReferenceIsTheBase(Rule):
    """An adapter is trained further, and the reference model is the base model without it.

    Fires when DPO, KTO or an RL trainer with a KL term computes its reference with the adapters off, and the adapters
    were not zero at the start. The policy is then pulled back to before its fine-tuning.
    """

    id = "LW410"
    severity = Severity.WARNING
    lasting = True

    def check(self, record: StepRecord) -> Finding | None:
        if record.run.config.get("reference") != BARE or not record.run.began_large:
            return None
        return Finding(
            "the reference model lacks the adapter that is trained further",
            "Margins and KL count from the base model, not from the model that training began with.",
            causes=["the reference is computed with all adapters switched off"],
            remedies=[
                "load the adapter a second time, frozen, as the reference: model.add_adapter('ref', …), or "
                "ref_adapter_name in TRL",
                "or merge the adapter into the base model first, and train a new one",
            ],
        )
