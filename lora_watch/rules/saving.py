"""Whether what is on the disk is what was trained: after a save, after a resume, and after a merge."""

import math
from dataclasses import dataclass

from lora_watch.base.alerts import Severity
from lora_watch.base.records import RunInfo, StepRecord
from lora_watch.base.text import count, percent, plain
from lora_watch.rules.base import Finding, RuleBetweenSteps
from lora_watch.rules.prescribing import rate_now


@dataclass
class SavedAdapterDiffers(RuleBetweenSteps):
    """The adapter in a checkpoint is not the one that was trained.

    After each save, also ``trainer.save_model()`` after training, the files are read back. Fires when an adapter is not
    in them, or under a name that PEFT does not load, or when its ‖ΔW‖ is not the one that was measured. It is a WARNING
    where all adapters are there and none differs by a factor of two. Not compared are pickles, Lightning's own
    checkpoints, sharded ones, KaSA, BD-LoRA, MonteCLoRA, grouped convolutions, experts under rank or alpha patterns.
    """

    id = "LW313"
    severity = Severity.ERROR

    far: float = 2.0

    def saved(self, record: StepRecord) -> Finding | None:
        receipt = record.receipt
        if receipt is None or receipt.is_good:
            return None
        gone, of_all = [*receipt.missing, *receipt.misnamed], f"of {count(len(record.run.adapters), 'adapter')}"
        grave = True
        remedies = ["keep an earlier checkpoint", "save the whole adapter: trainer.save_model() on all ranks"]
        if receipt.unreadable:
            said, cause = receipt.unreadable, "the save was cut off, or only one rank's part was saved"
        elif receipt.missing:
            said = f"{receipt.folder} lacks {len(receipt.missing)} {of_all}"
            cause = "the save took only what one rank holds, or some of the adapters"
            if record.run.config.get("world_size") == 1:
                cause = "a _save or a state_dict of the script's own leaves them out"
                remedies.insert(0, "let the Trainer save the adapter, without a _save or a state_dict of your own")
        elif receipt.misnamed:
            said = f"{receipt.folder} has {len(receipt.misnamed)} {of_all} under names that PEFT does not load"
            cause = "the names of a wrapped model were saved (FSDP, torch.compile): unwrap it before saving"
        else:
            name, saved, trained = receipt.differing[0]
            said = f"In {receipt.folder}, {len(receipt.differing)} {of_all} have another ‖ΔW‖ than was measured: "
            said += f"{name} has {plain(saved)} instead of {plain(trained)}"
            cause = "the file holds weights of another step, averaged weights, or another scale"
            grave = any(not old / self.far <= new <= old * self.far for _, new, old in receipt.differing)
        return Finding(
            "the saved adapter is not the trained one",
            f"{said}.",
            adapters=[*((name, math.nan) for name in gone), *((name, saved) for name, saved, _ in receipt.differing)],
            metric="delta_norm" if receipt.differing and not gone else None,
            causes=[cause],
            remedies=remedies,
            severity=None if grave else Severity.WARNING,
        )


@dataclass
class ResumedAnew(RuleBetweenSteps):
    """A run that was resumed from a checkpoint lacks the checkpoint's adapters, or the script's learning rate.

    Fires before the session's first step when an adapter's ‖ΔW‖ is over one per cent off (a loop without ``with``:
    after it, by a half). Adapters whose scale the script moves are not compared. A WARNING where
    training goes on at another rate than the script's, or without a recovery's. Each resume is judged anew.
    """

    id = "LW314"
    severity = Severity.ERROR

    tolerance: float = 0.01
    tolerance_updated: float = 0.5

    def resumed(self, record: StepRecord) -> Finding | None:
        return self._other_adapters(record) or self._other_rate(record.run)

    def _other_rate(self, run: RunInfo) -> Finding | None:
        used, now, lapsed = run.kept_rate and run.kept_rate * run.lr_factor, rate_now(run), run.lapsed_factor
        ignored = used is not None and not math.isclose(used, run.config["learning_rate"], rel_tol=self.tolerance)
        no_effect = f"script's learning_rate {run.config['learning_rate']:.3g} has no effect" if ignored else ""
        if lapsed != 1.0:
            rates = "" if now is None else f", {now:.3g} instead of {now * lapsed:.3g}"
            said = f"training goes on at the learning rate that a recovery had turned down{rates}"
            details, kind = f"The {no_effect}." if ignored else "", "rate"
            cause = "a resume restores the old rate, and only recover lowers it again"
            remedy = "resume with recover, or begin anew with the lower rate"
        elif ignored:
            said = f"the {no_effect}: training goes on at the checkpoint's, {used:.3g}"
            details, kind = "", "script"
            cause = "a resume restores the learning rate from the checkpoint; the schedule's shape is the script's"
            remedy = "begin anew, or load the adapter alone: PeftModel.from_pretrained(…, is_trainable=True)"
        else:
            return None
        return Finding(
            said, details, metric="lr", causes=[cause], remedies=[remedy], severity=Severity.WARNING, kind=kind
        )

    def _other_adapters(self, record: StepRecord) -> Finding | None:
        norms, before = record.metrics.get("delta_norm"), record.checkpoint
        if norms is None or not before:
            return None
        now = record.run.by_name(norms.measured)  # an adapter that is off or frozen is LW301's
        within = self.tolerance_updated if record.updated else self.tolerance
        other = [
            (name, now[name])
            for name, norm in before.items()
            if name in now and not math.isnan(now[name]) and not math.isclose(now[name], norm, rel_tol=within)
        ]
        if not other:
            return None
        zero = [name for name, value in other if value == 0]
        times = [value / before[name] if before[name] else math.inf for name, value in other]
        if zero:
            said = f"B is zero in {len(zero)} of {count(len(before), 'adapter')}, as before a first step"
        else:
            said = f"{len(other)} of {count(len(before), 'adapter')} have another ‖ΔW‖ than the checkpoint: "
            said += f"{other[0][0]} has {plain(other[0][1])} instead of {plain(before[other[0][0]])}"
        cause = "these weights come from another file, or the checkpoint's was changed after the save"
        remedy = "resume from an earlier checkpoint"
        if not any(now.get(name) for name in before):
            cause = "the adapter was created anew (get_peft_model), and its saved weights were not loaded into it"
            remedy = "use the same LoraConfig with trainer.train(resume_from_checkpoint=…), or load the adapter with "
            remedy += "PeftModel.from_pretrained(model, checkpoint, is_trainable=True)"
        elif len(zero) == len(other):
            cause = "the checkpoint's file lacks these layers, or has them under other names: the rest was loaded"
        elif len(other) == len(before) and math.isclose(min(times), max(times), rel_tol=self.tolerance):
            cause = f"each adapter adds {plain(times[0])} times as much: lora_alpha, use_rslora or the weights differ"
            remedy = "resume with those of the checkpoint's adapter_config.json, or begin anew with these"
        return Finding(
            "training does not go on from the checkpoint's adapter",
            f"{said}.",
            adapters=other,
            metric="delta_norm",
            causes=[cause],
            remedies=[remedy],
        )


@dataclass
class MergeLosesUpdate(RuleBetweenSteps):
    """A merge into the base model as it was loaded would lose a part of what was trained.

    Fires once, at the end of a run, when W + ΔW, rounded as the base model's weights are (bfloat16, float16,
    bitsandbytes' 4 bits), keeps less than 90 % of ΔW. Other quantised weights, weights that are spread over ranks and
    variants that change more than ΔW are not judged.
    """

    id = "LW316"
    severity = Severity.INFO

    kept: float = 0.9

    def at_the_end(self, record: StepRecord) -> Finding | None:
        kept = record.scalars.get("merge_kept", math.nan)
        if not kept < self.kept:
            return None
        return Finding(
            f"a merge into the base model as it is loaded would keep {percent(kept)} of the update",
            "The adapter itself is whole.",
            metric="merge_kept",
            threshold=self.kept,
            causes=["numbers of the base model's precision are further apart than most of what the adapter adds"],
            remedies=["keep the adapter apart, or load the base model in float32 to merge, and keep that"],
        )
