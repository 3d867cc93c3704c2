"""LW301 to LW312: nothing trains, or not what should, while every curve looks healthy."""

import functools
import re
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from lora_watch.base.alerts import Severity
from lora_watch.base.names import module_family
from lora_watch.base.records import BoolArray, StepRecord
from lora_watch.base.text import count, plain, sentence
from lora_watch.rules.base import NON_FINITE, Finding, Rule, RuleOnSettings, known_values, worst_first
from lora_watch.rules.labels import why_exactly_zero
from lora_watch.rules.remedies import Advice
from lora_watch.rules.reward import NO_DIFFERENCE, SAME_ANSWERS, TO_TELL_APART


def _share(where: BoolArray) -> str:
    return f"all {len(where)} adapters" if where.all() else f"{where.sum()} of {len(where)} adapters"


_IDLE = {
    "off": (
        "inactive or disabled",
        "disable_adapter_layers(), or set_adapter() of another adapter, was called and not undone",
        "call model.enable_adapter_layers() and model.set_adapter(name)",
    ),
    "merged": (
        "merged into the base weights",
        "merge_adapter() was called, and not undone before the next step",
        "call model.unmerge_adapter() after the evaluation or the save, or merge a copy",
    ),
    "frozen": (
        "frozen (requires_grad=False)",
        "PeftModel.from_pretrained loads for inference, or requires_grad_(False) went over all parameters",
        "load with from_pretrained(…, is_trainable=True), or freeze the base model before get_peft_model, not after it",
    ),
    "replaced": (
        "replaced by another adapter that the optimizer does not hold",
        "add_adapter, load_adapter or set_adapter has made another adapter the active one",
        "call model.set_adapter(name) of the trained adapter, or give the new adapter's tensors to the optimizer",
    ),
    "gone": (
        "gone from the model",
        "delete_adapter, unload or merge_and_unload was called while training goes on",
        "delete or merge adapters when training has ended, or on a copy of the model",
    ),
}
"""Why an adapter is not trained, among it all that ``StepRecord.retired`` says: in words, the cause, and the fix."""


@dataclass
class AdaptersNotTrained(Rule):
    """Adapters are not trained: merged, switched off, frozen, gone, or unknown to the optimizer.

    Fires when no adapter is trained, when adapters that have trained no longer are, and when the optimizer does not
    hold an adapter's tensors. All of this is read from the layers at every step. Frozen adapters are no finding while
    others train: layers may be trained in turn (LISA). A switch to another adapter that the optimizer holds is none.
    """

    id = "LW301"
    severity = Severity.ERROR
    breaks = True

    def check(self, record: StepRecord) -> Finding | None:
        if finding := self._no_longer(record):
            return finding
        run = record.run
        if not run.searched:
            return None  # not to know the adapters is not to have none
        if not run.adapters:
            if run.unmeasurable or not run.meant:
                return None  # another method or a full fine-tune; the run's notes say that nothing is monitored
            trained = run.config.get("trainable_parameters")
            others = f"{trained:,} parameters" if isinstance(trained, int) else "weights"
            full = f"{others} will be trained, and no LoRA adapter is among them"
            passing = ". For a full fine-tune mute LW301: its verdict is then unknown" * run.trains_more
            return Finding(
                full if run.trains_more else "nothing will be trained",
                "No LoRA adapter was found in the model that is being trained.",
                causes=["peft.get_peft_model has not wrapped it, or merge_and_unload or unload took the adapters out"],
                remedies=[f"wrap it with model = get_peft_model(model, LoraConfig(...)), merge at the end{passing}"],
            )
        if not record.wiring:
            return None
        active, merged, trainable = (record.wiring[k] for k in ("active", "merged", "trainable"))
        if not (active & trainable & ~merged).any():
            where = {"off": ~active, "merged": merged, "frozen": ~trainable}
            states = {why: _share(idle) for why, idle in where.items() if idle.any()}
            _, cause, remedy = _IDLE[next(iter(states))]
            return Finding(
                "no adapter will be trained" if record.step == 0 else "no adapter is trained",
                sentence(" and ".join(f"{many} are {_IDLE[why][0]}" for why, many in states.items()))
                + " What is trained are other weights, such as a head." * run.trains_more,
                causes=[cause],
                remedies=[remedy],
            )
        lost = active & trainable & ~record.wiring.get("in_optimizer", active)
        if not lost.any():
            return None
        lacking = [x for x in "AB" if (lost & ~record.wiring.get(f"{x.lower()}_in_optimizer", ~lost)).any()]
        what = f"{lacking[0]} of {_share(lost)} is" if len(lacking) == 1 else f"{_share(lost)} are"
        fix = "build the optimizer after get_peft_model, from [p for p in model.parameters() if p.requires_grad]"
        return Finding(
            f"{what} missing in the optimizer",
            "What the optimizer does not hold will never change.",
            adapters=worst_first(record, np.zeros(len(lost)), lost),
            causes=["the optimizer was built before the adapter was added, or from other parameters"],
            remedies=[fix],
        )

    @staticmethod
    def _no_longer(record: StepRecord) -> Finding | None:
        held = record.wiring.get("in_optimizer")
        in_turn = ("frozen", "replaced") if held is None or held.all() else ("frozen",)
        lost = {name: why for name, why in record.retired.items() if why not in in_turn}
        if not lost:
            return None
        counts = Counter(sorted(lost.values(), key=[*_IDLE].index))
        now = [f"{many} {'is' if many == 1 else 'are'} {_IDLE[why][0]}" for why, many in counts.items()]
        _, cause, remedy = _IDLE[next(iter(counts))]
        return Finding(
            f"{count(len(lost), 'adapter')} that had been training no longer {'is' if len(lost) == 1 else 'are'}",
            f"After step {record.step}, {' and '.join(now)}.",
            adapters=[(name, 0.0) for name in lost],
            kind="switched",
            causes=[cause],
            remedies=[remedy],
        )


@functools.lru_cache(maxsize=8)
def _expert_layers(names: tuple[str, ...]) -> list[str]:
    """Of each adapter the layer whose numbered expert it belongs to, or its own name."""
    return [found[1] if (found := re.match(r"(.*experts?)\.\d+(\.|$)", name)) else name for name in names]


def _with_experts(record: StepRecord, alive: BoolArray) -> BoolArray:
    """``alive``, and every expert with a living sibling in its layer: an expert may see no token for a long time."""
    layers = _expert_layers(record.run.names)
    living = {layer for layer, lives in zip(layers, alive) if lives}
    return np.array([layer in living for layer in layers], dtype=bool)


def _why_cut(record: StepRecord, cut: BoolArray) -> Advice:
    """By which layers are ``cut``: behind a place in the model, here and there, or in every block."""
    layers = [adapter.layer for adapter in record.run.adapters]
    without = {layer for layer, is_cut in zip(layers, cut) if is_cut}
    whole = {layer for layer in layers if layer is not None} - without
    if None in without or not whole:
        cause = "gradient checkpointing or a detach cuts the graph, or the loss does not depend on these layers"
        fix = "call model.enable_input_require_grads(), or set gradient_checkpointing_kwargs={'use_reentrant': False}"
        return Advice([cause], [f"{fix}; take modules that the forward pass never reaches out of target_modules"])
    last, first = max(layer for layer in without if layer is not None), min(whole)
    if last + 1 == first and all(is_cut for layer, is_cut in zip(layers, cut) if layer in without):
        after, before = _block(record, first), _block(record, last)
        cause = f"torch.no_grad(), a detach or a hook keeps the gradient of {after} from {before}"
        fix = f"look for these in and around the forward pass of {before}"
        if re.search(rf"(?<!\S){re.escape(before)}(?!\w)", record.own_code):
            fix = f"look first at {record.own_code}"
        return Advice([cause], [fix])
    cause = "the loss does not depend on these layers, or torch.no_grad(), a detach or a hook cuts them off"
    fix = "look for these around the layers; take those that no forward pass reaches out of target_modules"
    return Advice([cause], [fix])


NO_STEP = Advice(
    ["the gradients are there, and nothing uses them: step() of the optimizer that holds the adapters is not called"],
    ["call optimizer.step() after loss.backward(), of an optimizer built from this model's parameters"],
)
SET_BACK = Advice(
    ["the gradients are there, so something puts the weights back after each update"],
    ["look for a callback or code of your own that writes to the adapters"],
)
CLEARED = Advice(
    ["zero_grad() is called between loss.backward() and optimizer.step()"],
    ["call zero_grad() after optimizer.step(), or before the forward pass"],
)
DETACHED = Advice(
    ["no backward() reaches the adapters: it is not called, or the loss is detached or made under torch.no_grad()"],
    ["call backward() on the model's loss itself: no detach(), item() or new tensor between the model and it"],
)
"""Where B stays zero: of a Trainer ``SET_BACK``, of a plain loop the others."""
ZERO_TOO = Advice(
    ["A is exactly zero, too, so neither can get a gradient: a wrong start, or an empty file"],
    ["start A at random (init_lora_weights=True), or load the right adapter file"],
)


def _why_zero(record: StepRecord, zero: BoolArray) -> Advice:
    """Where B of the adapters is ``zero`` after updates, and A is not."""
    a, b = known_values(record, "a_grad_norm"), known_values(record, "b_grad_norm")
    if a is not None and b is not None and np.isnan(b[zero]).all() and not np.isnan(a[zero]).any():
        return Advice(["B is frozen: A alone has a gradient"], ["set requires_grad=True on lora_B, too"])
    if record.scalars.get("reward_flat"):
        return Advice([NO_DIFFERENCE], ["; ".join(TO_TELL_APART)])
    if record.scalars.get("loss_recent") == 0.0:  # of a policy it says nothing
        return why_exactly_zero(record)
    if a is not None and b is not None and (np.fmax(a, b)[zero] > 0).all():
        return SET_BACK if "learning_rate" in record.run.config else NO_STEP
    if (came := record.scalars.get("came_gradient")) is not None and zero.all():  # a plain loop
        if came:
            return CLEARED
        if a is not None and np.isnan(a).all():
            return DETACHED
    if a is None or b is None or a.any() or b.any():  # NaN: no gradient comes there
        return _why_cut(record, zero)
    if record.run.config.get("preference"):
        return SAME_ANSWERS
    cause = "the loss does not depend on the adapters: every gradient is exactly 0"
    return Advice([cause], ["look at what the loss is made of: a weight or a mask of 0, a clamp, or max_grad_norm=0"])


def _block(record: StepRecord, layer: int) -> str:
    """``model.layers.1``."""
    name = next(adapter.name for adapter in record.run.adapters if adapter.layer == layer)
    return f"{module_family(name).partition('*')[0]}{layer}"


@dataclass
class NoGradient(Rule):
    """No gradient reaches some of the adapters, from the start or from some step on.

    Fires when the factor that starts at zero (B; A for embeddings) is still exactly zero after three updates. It is a
    WARNING when layers that have learned get no gradient at ten updates in a row while others do. Experts of a layer
    without a token do not count while others in it learn.
    """

    id = "LW303"
    severity = Severity.ERROR
    yields_to = (*NON_FINITE, "LW301", "LW314")

    updates: int = 3
    """Optimizer steps with lr > 0 after which B is no longer zero."""
    updates_without: int = 10
    """Updates without a gradient. Layers may be left out at random."""
    done: dict[str, float] = field(default_factory=dict, init=False)
    """Real updates of each adapter so far, by its name."""
    without: dict[str, float] = field(default_factory=dict, init=False)
    """Real updates in a row without a gradient, by adapter."""
    masked: bool = field(default=False, init=False)
    """attention_mask hides all that is to be learned: attention then has no gradient, and LW205 says why."""

    def check(self, record: StepRecord) -> Finding | None:
        self.masked |= record.scalars.get("labels_padded", 0.0) > 0.99  # of the first batch
        zero, cut = self._still_zero(record), self._cut(record)
        # A policy may have nothing to learn from, as LW210 says, or no reward is logged yet. The end is another matter.
        waits = record.scalars.get("reward_flat", "reward_funcs" in record.run.config)
        return None if self.masked else cut if zero is None or waits else zero

    def at_the_end(self, record: StepRecord) -> Finding | None:
        return None if self.masked else self._still_zero(record.amended(updated=False))  # no further update

    def _still_zero(self, record: StepRecord) -> Finding | None:
        total = len(record.run.adapters)
        if record.step == 0 or not total:
            return None
        lr = known_values(record, "effective_lr")
        updated = np.full(total, record.learned) if lr is None else record.learned & (lr != 0)
        done = record.run.of_each(self.done) + updated
        self.done = self.done | record.run.by_name(done)
        a, b = known_values(record, "a_norm"), known_values(record, "b_norm")
        if a is None or b is None:
            return None
        alive = (a != 0) & (b != 0)
        if alive.all():
            return None
        zero = ~_with_experts(record, alive) & (done >= self.updates)
        if record.wiring:
            zero &= record.wiring["active"] & record.wiring["trainable"]
        if not zero.any():
            return None
        return Finding(
            f"{_share(zero)} have learned nothing",
            f"B is exactly zero in these adapters after {int(done[zero].max())} steps.",
            adapters=worst_first(record, np.zeros(total), zero),
            metric="b_norm",
            threshold=0.0,
            **vars(_why_zero(record, zero) if a[zero].any() or b[zero].any() else ZERO_TOO),
        )

    def _cut(self, record: StepRecord) -> Finding | None:
        """While others have one. Where no adapter shows a gradient, DeepSpeed keeps them elsewhere."""
        a, b = known_values(record, "a_grad_norm"), known_values(record, "b_grad_norm")
        if record.step == 0 or not record.updated or not record.wiring or a is None or b is None:
            return None
        if (b > 0).all() and not any(self.without.values()):
            return None
        learning = record.wiring["active"] & record.wiring["trainable"]
        reached = (a > 0) | (b > 0)
        if not (reached & learning).any():
            return None
        not_reached = ~_with_experts(record, reached | ~learning)
        without = (record.run.of_each(self.without) + 1) * not_reached
        self.without |= record.run.by_name(without)
        cut = without >= self.updates_without
        if not cut.any():
            return None
        longest = int(without.max())
        since = "from the start" if longest >= record.step else f"since step {record.step - longest + 1}"
        return Finding(
            f"{_share(cut)} are not trained",
            f"These adapters have received no gradient {since}, while the others have.",
            adapters=worst_first(record, np.zeros(len(cut)), cut),
            **vars(_why_cut(record, cut)),
            severity=Severity.WARNING,
        )


@dataclass
class ReplicasDiffer(Rule):
    """The ranks of a data-parallel run have different adapters: gradients or first weights are not shared.

    Fires when ‖ΔW‖ of an adapter on another rank differs from that on the first one. Each of the first 20 steps and
    every 16th one after them is compared, with the other ranks in turn. Nothing is compared where adapters are spread
    over ranks (FSDP, ZeRO-3, tensor parallelism), or differ in their names or shapes.
    """

    id = "LW312"
    severity = Severity.ERROR
    lasting = True

    tolerance: float = 1e-4
    """Share of ‖ΔW‖. Replicas are equal to the last bit; other kinds of accelerators may round in another way."""

    def check(self, record: StepRecord) -> Finding | None:
        replica = record.replica
        if replica is None:
            return None
        larger = np.fmax(replica.here, replica.there)
        with np.errstate(invalid="ignore"):  # what is unknown, or not finite, differs in nothing
            share = np.abs(replica.here - replica.there) / np.where(larger > 0, larger, 1.0)
            apart = share > self.tolerance
        if not apart.any():
            return None
        worst = int(np.nanargmax(np.where(apart, share, -1.0)))
        return Finding(
            "the ranks are training different adapters",
            f"After step {replica.step}, {apart.sum()} of {len(apart)} adapters on rank {replica.rank} differ from "
            f"those of rank 0: ‖ΔW‖ of {record.run.names[worst]} is {plain(replica.there[worst])} instead of "
            f"{plain(replica.here[worst])}.",
            adapters=worst_first(record, share, apart),
            threshold=self.tolerance,
            causes=[
                "the gradients of these adapters are not averaged over ranks, for they came after "
                "DistributedDataParallel was made, or the ranks began with different adapters"
            ],
            remedies=["add the adapters first, then wrap the model in DistributedDataParallel, or prepare() it"],
        )


@dataclass
class TargetMatchedNothing(RuleOnSettings):
    """One of several names in the LoRA configuration matches no module, so part of the intended adapters is missing.

    Fires before the first step when a name matches nothing, compared as PEFT does it: in ``target_modules`` or
    ``target_parameters``, or a key of ``rank_pattern`` or ``alpha_pattern``. A name that the model has is no finding,
    such as one that ``exclude_modules`` leaves out.
    """

    id = "LW310"
    severity = Severity.WARNING

    def check(self, record: StepRecord) -> Finding | None:
        if not record.run.unmatched:
            return None
        return Finding(
            "some of the layers that you named are not adapted",
            f"The LoRA configuration names what the model does not have: {'; '.join(record.run.unmatched)}.",
            causes=["the name is mistyped, or belongs to the layers of another model"],
            remedies=["correct or remove it; print(base_model) before get_peft_model shows the names of its layers"],
        )
