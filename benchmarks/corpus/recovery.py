"""Does a run rescue itself? Failing runs of the packaged model with ``recover=3``, and with what users do else.

    python -m benchmarks.corpus.recovery            trains what recovery.json lacks, and prints the table

Settings: those of the corpus that ended diverged or damaged with a held-out seed, which no threshold was chosen on;
what became of them untouched is in their traces. Late faults: a sound run of 600 steps into which something goes wrong
at step 300. Clipping at 1.0, the Trainer's default, is on in all of them but those under ZClip. "Halve": a loss that is
not finite, or above 1.5 times the mean of the last 20, takes the run back to the last of its copies (each 10 steps) and
halves the learning rate, as loss watchdogs do that go on.
"""

from __future__ import annotations

import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback

from benchmarks.corpus.faults import FAULTS, victim
from benchmarks.corpus.generate import load_all, train
from benchmarks.corpus.labels import BAD, GOOD, best, gain, label
from benchmarks.corpus.plan import FRESH_SEED, Spec
from lora_watch import LoraWatchCallback
from lora_watch.monitor.copies import Copies, Copy
from lora_watch.monitor.rates import multiplied

RESULTS = Path(__file__).with_name("recovery.json")
AT = 300
LONG_RUN = Spec(batch=4, steps=600, seed=FRESH_SEED)
NOISE = 20
"""Batches."""


class Halve(TrainerCallback):
    """Roll back and halve, by a moving average."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.kept: Copy | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, optimizer: Any = None, **_: Any) -> None:
        self.copies = Copies(optimizer)
        self.kept = self.copies.take(0)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if "loss" not in (logs or {}) or self.kept is None:
            return
        loss, mean = float(logs["loss"]), statistics.fmean(self.losses[-20:]) if len(self.losses) > 4 else math.inf
        if not math.isfinite(loss) or loss > 1.5 * mean:
            self.copies.put_back(self.kept)
            groups = kwargs["optimizer"].param_groups
            multiplied(kwargs["optimizer"], kwargs["lr_scheduler"], [0.5] * len(groups))
            return
        self.losses.append(loss)
        if state.global_step % 10 == 0:
            self.copies.drop(self.kept)
            self.kept = self.copies.take(state.global_step)


class ZClip(TrainerCallback):
    """Kumar et al. 2025: the gradient is scaled down where its norm is an outlier, z > 2.5."""

    def __init__(self) -> None:
        self.first: list[float] = []
        self.mean, self.variance = 0.0, 0.0

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        norm = float(torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in grads])))
        if len(self.first) < 25:
            self.first.append(norm)
            self.mean, self.variance = statistics.fmean(self.first), statistics.pvariance(self.first)
            return
        sd = math.sqrt(self.variance)
        z, clipped = (norm - self.mean) / (sd + 1e-6), norm
        if z > 2.5:
            clipped = self.mean + 2.5 * sd / (z / 2.5)
            for grad in grads:
                grad.mul_(clipped / norm)
        self.mean = 0.97 * self.mean + 0.03 * clipped
        away = clipped - self.mean
        self.variance = 0.97 * self.variance + 0.03 * away * away


ARMS: dict[str, Callable[[], Any]] = {
    "recover=3": lambda: LoraWatchCallback(recover=3, console=False, tensorboard=False),
    "untouched": lambda: None,
    "halve": Halve,
    "ZClip": ZClip,
}


# -- late faults -------------------------------------------------------------------------------------------------------
class _Late(TrainerCallback):
    """Acts when step ``AT`` begins."""

    def __init__(self, act: Callable[..., None]):
        self.act = act

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == AT:
            self.act(**kwargs)


def _noise(trainer: Trainer) -> None:
    inner: Any = trainer.compute_loss

    def compute_loss(model: Any, inputs: Any, **more: Any) -> Any:
        if model.training and AT <= trainer.state.global_step < AT + NOISE:
            generator = torch.Generator().manual_seed(trainer.state.global_step)
            noise = torch.randint(int(inputs["labels"].max()) + 1, inputs["labels"].shape, generator=generator)
            inputs = {**inputs, "input_ids": noise, "labels": noise}
        return inner(model, inputs, **more)

    trainer.compute_loss = compute_loss  # type: ignore[method-assign]


def _one_layer(trainer: Trainer) -> None:
    """A group of its own for one layer, whose rate is a hundred times as high from ``AT`` on."""
    own = set(map(id, victim(trainer.model).parameters))
    trained = [p for p in trainer.model.parameters() if p.requires_grad]  # type: ignore[union-attr]
    groups = [[p for p in trained if (id(p) in own) == mine] for mine in (False, True)]
    trainer.optimizer = torch.optim.AdamW([{"params": group} for group in groups], trainer.args.learning_rate)

    def raise_it(optimizer: Any, lr_scheduler: Any, **_: Any) -> None:
        lr_scheduler.base_lrs = [lr_scheduler.base_lrs[0], 100 * lr_scheduler.base_lrs[1]]
        optimizer.param_groups[1]["lr"] *= 100

    trainer.add_callback(_Late(raise_it))


LATE: dict[str, Callable[[Trainer], None]] = {
    "nothing": lambda trainer: None,
    "rate × 30": lambda trainer: FAULTS["lr-x30"].inject(trainer, AT + 1),
    "NaN in a layer": lambda trainer: FAULTS["nan-in-one-layer"].inject(trainer, AT + 1),
    f"{NOISE} batches of noise": _noise,
    "one layer at 100 × the rate": _one_layer,
}


# -- running -----------------------------------------------------------------------------------------------------------
def run(spec: Spec, arm: str, late: str = "") -> dict[str, Any]:
    """One training; what came of it."""
    callback, began = ARMS[arm](), time.process_time()
    arguments = {"max_grad_norm": 0.0} if arm == "ZClip" else {}
    with tempfile.TemporaryDirectory() as folder:
        told, before, after = "", math.nan, math.nan
        try:
            _, before, after = train(spec, folder, callback, prepare=LATE.get(late), arguments=arguments)
        except Exception as error:  # ended by its policy
            told = str(error).partition("\n")[0]
        report = Path(folder, "lora_watch", "report.json")
        recoveries = json.loads(report.read_text())["recoveries"] if report.exists() else []
    return {
        "run": spec.name,
        "late": late,
        "arm": arm,
        "before": before,
        "after": after if math.isfinite(after) else None,
        "ended": told,
        "recoveries": [[r["rule"], r["step"], r["lost"], r["changed"]] for r in recoveries],
        "cpu": round(time.process_time() - began, 1),
    }


def todo(settings: list[Spec]) -> Iterator[tuple[Spec, str, str]]:
    """What matters most first: it takes about half an hour of one core."""
    first, *others = ARMS
    yield from ((spec, first, "") for spec in settings)
    yield from ((LONG_RUN, first, late) for late in LATE)
    for arm in others:
        yield from ((LONG_RUN, arm, late) for late in LATE)
        if arm != "untouched":  # known from the traces
            yield from ((spec, arm, "") for spec in settings)


def main() -> None:
    torch.set_num_threads(1)
    traces = load_all()
    outcomes = label(traces)
    settings = [
        spec
        for spec, outcome in outcomes.items()
        if spec.base == "tiny" and spec.held_out and outcome.label in ("diverged", "damaged")
    ]
    done: list[dict[str, Any]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    known = {(d["run"], d["arm"], d["late"]) for d in done}
    for spec, arm, late in todo(settings):
        if (spec.name, arm, late) not in known:
            done.append(run(spec, arm, late))
            RESULTS.write_text(json.dumps(done, indent=1) + "\n")
            print(done[-1], flush=True)
    for line in table(done, settings, traces):
        print(line)


def table(done: list[dict[str, Any]], settings: list[Spec], traces: Any) -> Iterator[str]:
    """Markdown: settings that fail, and late faults."""
    named = {spec.name: spec for spec in settings}
    yield "| | no longer bad | good | steps lost: median | ended |"
    yield "|---|---|---|---|---|"
    for arm in ARMS:
        found = [d for d in done if d["arm"] == arm and d["run"] in named]
        shares = [_share(d, named[d["run"]], traces) for d in found]
        lost = [sum(r[2] for r in d["recoveries"]) for d in found if d["recoveries"]]
        fair, good = (sum(share >= least for share in shares) for least in (BAD, GOOD))
        ended, cost = sum(bool(d["ended"]) for d in found), statistics.median(lost) if lost else "–"
        if found:
            yield f"| {arm} | {fair}/{len(shares)} | {good}/{len(shares)} | {cost} | {ended} |"
    yield ""
    yield "| held-out loss after 600 steps | " + " | ".join(LATE) + " |"
    yield "|---|" + "---|" * len(LATE)
    for arm in ARMS:
        cells = {d["late"]: d for d in done if d["arm"] == arm and d["run"] == LONG_RUN.name}
        told = [_cell(cells.get(late)) for late in LATE]
        if cells:
            yield f"| {arm} | {' | '.join(told)} |"


def _share(result: dict[str, Any], spec: Spec, traces: Any) -> float:
    if result["after"] is None:
        return -math.inf
    members = [s for s in traces if s.family == spec.family and s.seed == spec.seed and not s.fault]
    return gain(traces[spec].before, result["after"], traces[best(traces, members)].after)


def _cell(result: dict[str, Any] | None) -> str:
    if result is None:
        return "not run"
    return "ended" if result["ended"] else "NaN" if result["after"] is None else f"{result['after']:.3f}"


if __name__ == "__main__":
    main()
