"""Runs of Gemma 3 270M and of Qwen2.5-Coder 0.5B and 1.5B: train them in the order of the plan, and score them.

    MODELS_FOLDER=FOLDER python -m benchmarks.corpus.larger --train
    MODELS_FOLDER=FOLDER python -m benchmarks.corpus.larger --sweeps     find_lr on each text, and a run at its rate
    MODELS_FOLDER=FOLDER python -m benchmarks.corpus.larger --follow     bad runs again, with the settings advised
    python -m benchmarks.corpus.larger --first     keeps the scores of now in larger.json, as those of untouched rules

Writes the section of SCORES.md, as ``score.py`` does with all of it.
"""

from __future__ import annotations

import argparse
import collections
import functools
import itertools
import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Trainer

from benchmarks.corpus import rates
from benchmarks.corpus.cures import NEAR_BEST, advice, advised
from benchmarks.corpus.generate import files, load_all, trace, train_missing
from benchmarks.corpus.generate import train as train_run
from benchmarks.corpus.labels import BAD, GOOD, Outcome, best, gain, label
from benchmarks.corpus.markdown import share, table
from benchmarks.corpus.plan import Spec, larger
from benchmarks.corpus.replay import judge
from benchmarks.corpus.traces import Trace
from lora_watch import find_learning_rate
from lora_watch.base.alerts import Alert, Severity
from lora_watch.rules.forecast import ORDINARY_SCALE, at_scale, by_weights

SCORES = Path(__file__).with_name("SCORES.md")
HEADING = "## Larger models"
SWEEPS = Path(__file__).with_name("larger_sweeps.json")
"""The rate that a sweep found on each model and text, and the held-out loss after a run at it."""
SWEPT = (
    *(("gemma3", "python", 8), ("gemma3", "python", 2), ("qwen", "python", 8), ("gemma3", "news", 8)),
    *(("gemma3", "news", 2), ("qwen", "python", 2), ("qwen", "news", 2)),
)
"""Model, text and sequences of 64 tokens a batch of each sweep."""
FOLLOWED = Path(__file__).with_name("larger_followed.json")
"""The held-out loss after each run that was trained with the settings that an alert of another advised."""
FIRST = Path(__file__).with_name("larger.json")
"""The rows of ``scores`` before any threshold had seen a run of these models."""
MODELS = {
    "tiny": ("packaged Llama", "1 M"),
    "minilm": ("MiniLM", "22 M"),
    "smollm2": ("SmolLM2", "135 M"),
    "gemma3": ("Gemma 3 270M", "268 M"),
    "qwen": ("Qwen2.5-Coder 0.5B", "494 M"),
    "qwen1.5b": ("Qwen2.5-Coder 1.5B", "1.5 B"),
}
"""Name and parameters of each base."""
HEADS = (
    *("model", "parameters", "runs", "damaged, diverged: named", "good: false ERRORs", "good: false WARNINGs"),
    *("wasted: named", "advised rates that are good"),
)
SWEEP_HEADS = ("model", "text", "tokens", "rate", "held-out loss", "gain of the best run's")
PLAIN = Spec(steps=24, batch=2, length=64)
"""What most runs have in common, but for model, text and modules."""
ABOUT = (
    "Of the {planned} planned runs of Gemma 3 270M and Qwen2.5-Coder 0.5B and 1.5B {made} are made: 24 steps, batches "
    "of 2 × 64 tokens (six of 4 × 64), r 1, 8 and 64, LoRA, rsLoRA and DoRA, weights in float32 (four in bfloat16), "
    "rates of 1e-5 to 3e-2. The 1.5 B model was tried last, for the check: nothing was chosen on it, nor after it. "
    "Gemma's blocks begin with its `<bos>`: without it the model starts at a loss of 6.9 instead of 3.3, and even "
    "2e-4 undoes most of that. An advised rate is good where the gain is at least 0.75 of the best. The bad runs were "
    "trained again with what their alerts advised; of those that were not, the gain is read off between two runs on "
    "the same text and modules, at most a factor of 5 apart, and rates at other scales are converted by scale^−0.7."
)


def train() -> None:
    """Train what is missing of the plan, one run after another; what is there stays."""
    torch.set_num_threads(1)
    train_missing(list(larger()), trace, files())


class Swept(Exception):
    """Carries what a sweep has found out of the training that it stands before."""

    def __init__(self, rate: float | None, taken: float | None):
        super().__init__(rate, taken)
        self.rate, self.taken = rate, taken


def _sweep(trainer: Trainer) -> None:
    found = find_learning_rate(trainer)
    raise Swept(found.rate, found.rate_or_middle)


def sweep() -> None:
    """Measure the rate on each model and text, in batches of 2 and of 8, and train with it the run of the grid; what is
    there stays."""
    torch.set_num_threads(1)
    kept: dict[str, Any] = json.loads(SWEEPS.read_text()) if SWEEPS.exists() else {}
    for base, task, batch in SWEPT:
        if (name := f"{base} {task} {batch}") in kept:
            continue
        spec = replace(PLAIN, base=base, task=task)
        with tempfile.TemporaryDirectory() as folder:
            try:
                train_run(replace(spec, batch=batch, steps=480 // batch), folder, prepare=_sweep)
                raise AssertionError("the sweep has not run")
            except Swept as swept:
                found = swept
            rate = found.taken or spec.lr
            _, before, after = train_run(replace(spec, lr=rate), folder)
        kept[name] = {"rate": found.rate, "trained_at": rate, "before": before, "after": after}
        SWEEPS.write_text(json.dumps(kept, indent=1) + "\n")
        print(name, kept[name], flush=True)


def follow() -> None:
    """Train each bad run again with the settings that its alert advises, the models in turn; what is there stays."""
    torch.set_num_threads(1)
    kept = dict(trained_again())
    runs = load_all(larger())
    wanted = [new for _, new in bad_with_advice(runs) if new not in runs]
    by_model = [list(dict.fromkeys(new for new in wanted if new.base == base)) for base in ("gemma3", "qwen")]
    for new in filter(None, itertools.chain(*itertools.zip_longest(*by_model))):
        if new.name in kept:
            continue
        with tempfile.TemporaryDirectory() as folder:
            after = train_run(new, folder)[2]
        kept[new.name] = after if math.isfinite(after) else None
        FOLLOWED.write_text(json.dumps(kept, indent=1) + "\n")
        print(new.name, after, flush=True)


def bad_with_advice(runs: Mapping[Spec, Trace]) -> Iterator[tuple[Spec, Spec]]:
    """Every bad run whose alert names settings, and the same as advised."""
    outcomes = label(runs)
    for spec, run in runs.items():
        if outcomes[spec].bad and (alert := advice(judge(run))) is not None:
            yield spec, advised(spec, alert.settings)


def row(some: Sequence[Spec], outcomes: Mapping[Spec, Outcome], said: Mapping[Spec, Sequence[Alert]]) -> list[str]:
    """The cells of ``HEADS`` up to the advice, of runs of one model."""
    worst = {spec: max((a.severity for a in said[spec]), default=Severity.INFO) for spec in some}
    bad, good, wasted = (
        [worst[spec] for spec in some if outcomes[spec].label in kinds]
        for kinds in (("damaged", "diverged"), ("good",), ("wasted",))
    )
    return [
        *(*MODELS[some[0].base], str(len(some))),
        share(bad.count(Severity.ERROR), len(bad)),
        f"{good.count(Severity.ERROR)} of {len(good)}",
        f"{good.count(Severity.WARNING)} of {len(good)}",
        share(len(wasted) - wasted.count(Severity.INFO), len(wasted)),
    ]


def scores(runs: Mapping[Spec, Trace]) -> list[list[str]]:
    """One row of ``HEADS`` and the alerts for each model, and for each of its texts."""
    outcomes, said = label(runs), {spec: judge(trace) for spec, trace in runs.items()}
    rows = []
    for base, task in sorted({(spec.base, task) for spec in runs for task in ("", spec.task)}):
        some = [spec for spec in runs if spec.base == base and task in ("", spec.task)]
        spoke = collections.Counter(
            (a.rule, a.severity.name, outcomes[s].label) for s in some for a in said[s] if a.severity > Severity.INFO
        )
        told = [gain_of(advised(s, a.settings), runs, outcomes) for s in some if (a := advice(said[s])) is not None]
        told = [found for found in told if not math.isnan(found)]
        rows.append(
            [
                *row(some, outcomes, said),
                share(sum(found >= GOOD for found in told), len(told)),
                task or "both",
                ", ".join(f"{' '.join(what)}: {n}" for what, n in sorted(spoke.items())) or "–",
            ]
        )
    return rows


def gain_of(spec: Spec, runs: Mapping[Spec, Trace], outcomes: Mapping[Spec, Outcome]) -> float:
    """The gain of ``spec``: as it was trained, in the grid or to ``follow`` an alert, else ``gain_at``."""
    if spec in outcomes:
        return outcomes[spec].gain
    after = trained_again().get(spec.name, math.nan)
    if after is None:
        return -math.inf
    if math.isnan(after):
        return gain_at(spec, outcomes)
    family = [other for other in runs if other.family == spec.family]
    return gain(runs[family[0]].before, after, runs[best(runs, family)].after)


@functools.cache
def trained_again() -> dict[str, float | None]:
    """The held-out losses after the runs of ``follow``, by name; None where one is not finite."""
    return json.loads(FOLLOWED.read_text()) if FOLLOWED.exists() else {}


def followed(runs: Mapping[Spec, Trace]) -> Iterator[list[object]]:
    """What became of the bad runs of each model, and of those of each text, with the settings that were advised."""
    outcomes = label(runs)
    entries = [(old, gain_of(new, runs, outcomes)) for old, new in bad_with_advice(runs)]
    for base, task in sorted({(old.base, task) for old, _ in entries for task in ("", old.task)}):
        gains = [share for old, share in entries if old.base == base and task in ("", old.task)]
        reached = [sum(share >= least for share in gains) for least in (BAD, GOOD, NEAR_BEST)]
        yield [MODELS[base][0], task or "both", len(gains), *(share(many, len(gains)) for many in reached)]


def gain_at(spec: Spec, outcomes: Mapping[Spec, Outcome]) -> float:
    """The gain of the settings of ``spec``, read off between the runs on the same data and modules; NaN where the two
    next to it are not ``rates.NEAR``."""
    known = {_rate(s): max(o.gain, 0.0) if o.gain == o.gain else 0.0 for s, o in outcomes.items() if _alike(s, spec)}
    below, above = ([rate for rate in known if rate <= _rate(spec)], [rate for rate in known if rate >= _rate(spec)])
    if not below or not above or min(above) > rates.NEAR * max(below):
        return math.nan
    ends = max(below), min(above)
    return float(np.interp(math.log(_rate(spec)), [*map(math.log, ends)], [known[rate] for rate in ends]))


def _alike(one: Spec, other: Spec) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in ("family", "r", "rslora", "dora", "dtype"))


def _data(spec: Spec) -> dict[str, Any]:
    return {"base": spec.base, "task": spec.task, "targets": spec.targets}


def _rate(spec: Spec) -> float:
    return at_scale(spec.lr, spec.scale, ORDINARY_SCALE)


def by_the_weights(runs: Mapping[Spec, Trace]) -> list[list[object]]:
    """What ``lora-watch advise`` would say of each model before a step, next to the best run at α = 2r."""
    outcomes, rows = label(runs), []
    plain = [spec for spec in runs if spec.scale == ORDINARY_SCALE and _alike(spec, replace(PLAIN, **_data(spec)))]
    for base, task, targets in sorted({(spec.base, spec.task, spec.targets) for spec in plain}):
        some = [spec for spec in plain if (spec.base, spec.task, spec.targets) == (base, task, targets)]
        top = max(some, key=lambda spec: -runs[spec].after if math.isfinite(runs[spec].after) else -math.inf)
        told = by_weights(runs[top].records[0].run)
        if told is not None:
            gain = gain_at(replace(top, lr=told.best), outcomes)
            known = f"{gain:.2f}" if math.isfinite(gain) else "–"
            rows.append([MODELS[base][0], task, targets, len(some), f"{told.best:.2g}", f"{top.lr:g}", known])
    return rows


def by_a_sweep(runs: Mapping[Spec, Trace]) -> Iterator[list[object]]:
    """What ``sweep`` has kept, next to the best run of all linear layers on the same text."""
    for name, kept in (json.loads(SWEEPS.read_text()) if SWEEPS.exists() else {}).items():
        base, task, batch = name.split()
        afters = [run.after for spec, run in runs.items() if spec.family == replace(PLAIN, base=base, task=task).family]
        most = kept["before"] - min(afters)
        losses = f"{kept['before']:.2f} → {kept['after']:.2f}"
        rate = f"{kept['trained_at']:g}" + ("" if kept["rate"] else " (middle of a range)")
        reached = f"{(kept['before'] - kept['after']) / most:.2f}"
        yield [MODELS[base][0], task, 64 * int(batch), rate, losses, reached]


def report() -> str:
    """The section of SCORES.md."""
    planned = list(larger())
    runs = load_all(planned)
    if not runs:
        return "Not trained yet: `python -m benchmarks.corpus.larger --train`."
    heads = [*HEADS, "text", "alerts by rule and label"]
    of_weights = ["model", "text", "modules", "runs", "by the weights", "best of the grid", "gain at the first"]
    return "\n\n".join(
        [
            ABOUT.format(planned=len(planned), made=len(runs)),
            "### Before any threshold had seen one of them",
            table(heads, json.loads(FIRST.read_text())) if FIRST.exists() else "Not kept.",
            "### With the rules of today, whose thresholds were chosen on the smaller models alone",
            table(heads, scores(runs)),
            "### Bad runs again, as their alerts advised",
            table(["model", "text", "runs", "no longer bad", "good", "0.9 of the best gain"], followed(runs)),
            "### The rate by the weights alone, at alpha = 2r",
            table(of_weights, by_the_weights(runs)),
            "### Would a lower or a higher rate be better?",
            rates.report(),
            "### The rate that a sweep measures (`find_lr`), and a run at it",
            table(SWEEP_HEADS, by_a_sweep(runs)),
            "### Every run",
            table(["run", "held-out loss", "label", "gain", "alerts"], _every(runs)),
        ]
    )


def _every(runs: Mapping[Spec, Trace]) -> Iterator[list[object]]:
    outcomes = label(runs)
    for spec in sorted(runs, key=lambda s: (s.base, s.task, s.targets, s.scale, s.lr)):
        said = ", ".join(f"{a.rule} {a.severity.name} at {a.step}" for a in judge(runs[spec])) or "–"
        losses = f"{runs[spec].before:.2f} → {runs[spec].after:.2f}"
        yield [spec.name, losses, outcomes[spec].label, f"{outcomes[spec].gain:.2f}", said]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", action="store_true", help="train the runs that are missing")
    parser.add_argument("--sweeps", action="store_true", help="measure the rate on each text, and train with it")
    parser.add_argument("--follow", action="store_true", help="train bad runs again with the settings advised")
    parser.add_argument("--first", action="store_true", help="keep the scores of now as those of untouched rules")
    wanted = parser.parse_args()
    if wanted.train:
        train()
    if wanted.sweeps:
        sweep()
    if wanted.follow:
        follow()
    if wanted.first:
        FIRST.write_text(json.dumps(scores(load_all(larger())), indent=1) + "\n")
    before, _, rest = SCORES.read_text().partition(f"{HEADING}\n")
    after = rest[rest.index("\n## ") :]
    SCORES.write_text(f"{before}{HEADING}\n\n{report()}\n{after}")


if __name__ == "__main__":
    main()
