"""Does a run rescue itself? Failing runs train with ``recover=3``, and with other means that users have.

    python -m benchmarks.corpus.recovery [--only TEXT] [--minutes 10]      trains what recovery.json lacks
    python -m benchmarks.corpus.recovery --scores                          writes RECOVERY.md from it

- Failing settings: those of the corpus that ended diverged or damaged with a held-out seed. No threshold was chosen on
  these seeds. The traces of the corpus are their untouched runs.
- Late faults: a sound run of 600 steps, and a fault at step 300, with seeds that nothing was chosen on.
- Good settings of the held-out seeds: nothing may happen to them.

Clipping at 1.0, the Trainer's default, is on in all runs but those under ZClip: "untouched" is clipping alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import Trainer, TrainerCallback

from benchmarks.corpus import recovery_scores
from benchmarks.corpus.faults import FAULTS, victim
from benchmarks.corpus.generate import load_all, train
from benchmarks.corpus.labels import Outcome, label
from benchmarks.corpus.plan import FRESH_SEED, Spec
from benchmarks.corpus.rescuers import ARMS, OURS, UNTOUCHED, recoveries
from benchmarks.corpus.traces import Trace

RESULTS, SCORES = (Path(__file__).with_name(name) for name in ("recovery.json", "RECOVERY.md"))
AT = 300
LONG_RUNS = tuple(Spec(batch=4, steps=600, seed=FRESH_SEED + i) for i in range(2))
NOISE = 20
"""Batches."""
NOTHING = "nothing"


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
    rate = trainer.args.learning_rate
    trainer.optimizer = torch.optim.AdamW([{"params": group} for group in groups], rate, weight_decay=0.0)

    def raise_it(optimizer: Any, lr_scheduler: Any, **_: Any) -> None:
        lr_scheduler.base_lrs = [lr_scheduler.base_lrs[0], 100 * lr_scheduler.base_lrs[1]]
        optimizer.param_groups[1]["lr"] *= 100

    trainer.add_callback(_Late(raise_it))


LATE: dict[str, Callable[[Trainer], None]] = {
    NOTHING: lambda trainer: None,
    "rate × 30": lambda trainer: FAULTS["lr-x30"].inject(trainer, AT + 1),
    "NaN in a layer": lambda trainer: FAULTS["nan-in-one-layer"].inject(trainer, AT + 1),
    f"{NOISE} batches of noise": _noise,
    "one layer at 100 × the rate": _one_layer,
}


# -- running -----------------------------------------------------------------------------------------------------------
class Job(NamedTuple):
    """One training."""

    spec: Spec
    arm: str
    late: str = ""
    """A key of ``LATE``; empty for a run of the corpus."""

    @property
    def key(self) -> tuple[str, str, str]:
        return self.spec.name, self.arm, self.late


def run(job: Job) -> dict[str, Any]:
    """The result of a training."""
    callback, began = ARMS[job.arm](), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        ended, after, weights = "", math.nan, ""
        try:
            arguments = getattr(callback, "arguments", {})
            trainer, _, after = train(job.spec, folder, callback, LATE.get(job.late), arguments)
            weights = digest(trainer.model)
        except Exception as error:  # ended by its policy
            ended = str(error).partition("\n")[0]
        found = recoveries(callback, folder)
    return {
        "run": job.spec.name,
        "late": job.late,
        "arm": job.arm,
        "after": after if math.isfinite(after) else None,
        "ended": ended,
        "recoveries": found,
        "weights": weights,
        "cpu": round(time.process_time() - began, 1),
    }


def digest(model: Any) -> str:
    """Of the bits of everything that was trained."""
    found = hashlib.sha256()
    for parameter in (p for p in model.parameters() if p.requires_grad):
        found.update(parameter.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:16]


def jobs(outcomes: Mapping[Spec, Outcome]) -> Iterator[Job]:
    """All jobs, the most important ones first: about an hour and a half of one core."""
    failing, good = recovery_scores.failing(outcomes), recovery_scores.good(outcomes)
    others = [arm for arm in ARMS if arm != OURS]
    yield from (Job(spec, OURS, late) for spec in LONG_RUNS for late in LATE)
    yield from (Job(spec, OURS) for spec in failing if spec.base != "smollm2")
    yield from (Job(LONG_RUNS[0], arm, late) for arm in others for late in LATE)
    yield from (Job(spec, OURS) for spec in failing)
    for arm in others:
        if arm != UNTOUCHED:  # known from the traces
            yield from (Job(spec, arm) for spec in failing)
    yield from (Job(spec, arm, late) for spec in LONG_RUNS for arm in others for late in LATE)
    yield from (Job(spec, OURS) for spec in good)
    yield from (Job(spec, UNTOUCHED) for spec in good)  # the traces of the corpus may be another machine's


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only runs whose name, arm or fault holds this text")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no run after so long")
    parser.add_argument("--scores", action="store_true", help="write RECOVERY.md from what is there")
    wanted = parser.parse_args()
    began = time.monotonic()
    torch.set_num_threads(1)
    traces: Mapping[Spec, Trace] = load_all()
    done: list[dict[str, Any]] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    outcomes = label(traces)
    if wanted.scores:
        SCORES.write_text(recovery_scores.page(done, traces, outcomes, LONG_RUNS, list(LATE)), encoding="utf-8")
        return
    known = {(d["run"], d["arm"], d["late"]) for d in done}
    for job in jobs(outcomes):
        if job.key in known or wanted.only not in " ".join(job.key):
            continue
        if time.monotonic() - began > 60 * wanted.minutes:
            break
        known.add(job.key)
        done.append(run(job))
        part = RESULTS.with_suffix(".part")
        part.write_text(json.dumps(done, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        part.replace(RESULTS)
        print(done[-1], flush=True)


if __name__ == "__main__":
    main()
